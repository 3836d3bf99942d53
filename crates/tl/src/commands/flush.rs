//! `tl flush`: a durable checkpoint that holds everything written before the call.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tl_daemon::wire::{Answer, Checkpoint, Flush, Item, Request};

use crate::context::Context;
use crate::output::{self, Bar};
use crate::session::{Session, unexpected};

/// Make a checkpoint of everything written so far, and wait until it is durable
#[derive(Debug, Args)]
pub struct Arguments {
    /// Compare every file with what is recorded, also where no event told of a change
    #[arg(long)]
    scan: bool,
    /// Make a checkpoint with this message, even if nothing changed
    #[arg(short, long)]
    message: Option<String>,
    /// Attribute the changes to this session
    #[arg(long)]
    session: Option<String>,
    /// Attribute the changes to this actor
    #[arg(long)]
    actor: Option<String>,
    /// Give the checkpoint this label
    #[arg(long)]
    label: Option<String>,
}

/// A checkpoint that was asked for, for programs.
#[derive(Debug, Serialize)]
pub struct FlushedJson {
    id: String,
    root: String,
    complete: bool,
    changed: bool,
}

impl FlushedJson {
    pub fn new(checkpoint: &Checkpoint, changed: bool) -> Self {
        Self {
            id: output::checkpoint_id(checkpoint.id),
            root: output::object_id(checkpoint.root),
            complete: checkpoint.completeness.missing == 0,
            changed,
        }
    }
}

pub fn run(context: &mut Context, arguments: Arguments) -> Result<()> {
    let mut provenance = context.provenance();
    provenance.session = arguments.session.or(provenance.session);
    provenance.actor = arguments.actor.or(provenance.actor);
    provenance.label = arguments.label;
    provenance.message = arguments.message;
    let mut session = Session::open_to_capture(context)?;
    let mut bar = Bar::new(&context.environment, context.out.is_json());
    let answer = session.ask_each(Request::Flush(Flush { scan: arguments.scan, provenance }), |item| {
        if let Item::Progress(progress) = item {
            bar.show(&progress);
        }
        Ok(())
    })?;
    drop(bar);
    let Answer::Flushed { checkpoint, changed } = answer else { return Err(unexpected(&answer)) };
    if context.out.is_json() {
        return context.out.json(&FlushedJson::new(&checkpoint, changed));
    }
    let paint = context.out.paint();
    let id = paint.id(output::short_id(checkpoint.id));
    let line = if changed { summary(&checkpoint) } else { "nothing changed since".to_owned() };
    context.out.line(format!("{id}  {line}"))?;
    for gap in &checkpoint.completeness.listed {
        let cause = output::gap_cause(gap.cause);
        context.out.line(format!("  {} {} ({cause})", paint.bad("not recorded:"), output::path(&gap.path)))?;
    }
    Ok(())
}

/// What a checkpoint changed, in one line.
pub fn summary(checkpoint: &Checkpoint) -> String {
    let stats = checkpoint.stats;
    let mut parts = Vec::new();
    for (count, verb) in
        [(stats.files_added, "added"), (stats.files_changed, "changed"), (stats.files_removed, "removed")]
    {
        if count > 0 {
            parts.push(format!("{count} {verb}"));
        }
    }
    let what = if parts.is_empty() { output::reason(checkpoint.reason).to_owned() } else { parts.join(", ") };
    match checkpoint.touched.as_slice() {
        [only] if !checkpoint.touched_more => format!("{what}: {}", output::path(only)),
        _ => what,
    }
}
