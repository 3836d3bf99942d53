//! `tl show`: one state, and what it changed.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tl_core::ObjectId;
use tl_daemon::wire::{Checkpoint, GapCause};

use super::diff::{self, Form};
use crate::context::Context;
use crate::diff::json::FileJson;
use crate::history;
use crate::output::{self, CheckpointJson, Clock};
use crate::session::Session;
use crate::text::{Canvas, Escaped, Quoted};

/// Show a state: when and why it was recorded, and what changed with it
#[derive(Debug, Args)]
pub struct Arguments {
    /// The state
    #[arg(default_value = "@")]
    state: String,
    /// Only what changed at or below these paths
    #[arg(last = true, value_name = "PATH")]
    paths: Vec<OsString>,
    /// Show the changes themselves, as a patch
    #[arg(short, long)]
    patch: bool,
    #[command(flatten)]
    form: Form,
}

/// A state with what it changed, for programs.
#[derive(Serialize)]
struct ShowJson<'a> {
    #[serde(flatten)]
    checkpoint: CheckpointJson<'a>,
    /// The state that it is compared with.
    compared_with: Option<String>,
    files: Vec<FileJson<'a>>,
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let mut session = Session::open(context)?;
    let paths = diff::paths(context, &session, &arguments.paths)?;
    let checkpoint = session.resolve(&arguments.state)?;
    let parent = history::parent(&mut session, checkpoint.id)?;
    let before = parent.as_ref().map_or(ObjectId::EMPTY_TREE, |parent| history::object_id(parent.root));
    let after = history::object_id(checkpoint.root);
    let form = if arguments.patch { arguments.form.clone() } else { arguments.form.without_patch() };
    let objects = session.objects()?;
    let changes = history::files_between(&objects, &before, &after, &paths, form.renames().as_ref())?;
    if context.out.is_json() {
        let files = diff::load(&objects, &changes.files)?;
        let json = ShowJson {
            checkpoint: CheckpointJson::from(&checkpoint),
            compared_with: parent.as_ref().map(|parent| output::checkpoint_id(parent.id)),
            files: diff::files_json(&files, &form),
        };
        return context.out.json(&json);
    }
    let mut canvas = diff::canvas(&context.out);
    write_head(&mut canvas, &Clock::new(context.environment.zone()), &checkpoint);
    diff::write(&mut canvas, &objects, &changes.files, &form, diff::columns())?;
    drop(objects);
    drop(session);
    context.out.page()?;
    context.out.bytes(&canvas.into_bytes())
}

fn write_head(canvas: &mut Canvas, clock: &Clock, checkpoint: &Checkpoint) {
    let paint = canvas.paint();
    canvas.line(format_args!("checkpoint {}", paint.id(output::checkpoint_id(checkpoint.id))));
    let time = checkpoint.time_us;
    canvas.line(format_args!("time       {} ({})", clock.local(time), clock.ago(time)));
    canvas.line(format_args!("reason     {}", output::reason(checkpoint.reason)));
    let provenance = &checkpoint.provenance;
    for (name, text) in [("session", &provenance.session), ("actor", &provenance.actor), ("label", &provenance.label)] {
        if let Some(text) = text {
            canvas.line(format_args!("{name:<11}{}", Escaped(text.as_bytes())));
        }
    }
    for parent in &checkpoint.parents {
        canvas.line(format_args!("parent     {}", output::checkpoint_id(*parent)));
    }
    canvas.line(format_args!("root       {}", output::object_id(checkpoint.root)));
    if let Some(saved) = checkpoint.saved {
        canvas.line(format_args!("saved      {}", output::object_id(saved)));
    }
    let completeness = &checkpoint.completeness;
    if completeness.missing > 0 {
        canvas.line(
            paint.bad(format_args!("incomplete {} paths are not in it as they were on disk", completeness.missing)),
        );
        for gap in completeness.listed.iter().filter(|gap| gap.cause != GapCause::Special) {
            canvas.line(format_args!("           {} ({})", Quoted::plain(&gap.path.0), output::gap_cause(gap.cause)));
        }
    }
    if let Some(message) = &provenance.message {
        canvas.line("");
        message.lines().for_each(|line| canvas.line(format_args!("    {}", Escaped(line.as_bytes()))));
    }
    canvas.line("");
}
