//! `tl log`: the states that were recorded.

use std::collections::HashMap;
use std::ffi::OsString;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tl_core::RepoPathBuf;
use tl_daemon::wire::{Answer, Checkpoint, CheckpointId, Direction, LogQuery, Request};

use crate::context::Context;
use crate::diff::renames::Status;
use crate::history;
use crate::output::{self, CheckpointJson, Clock, Paint, PathJson};
use crate::session::{Session, unexpected};
use crate::text::{Canvas, Escaped, Quoted};

/// Paths that are shown of a checkpoint.
const PATHS_SHOWN: usize = 3;

/// List the recorded states, newest first
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only those that changed something at or below these paths
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    /// Only those from this state or time on
    #[arg(long, value_name = "STATE")]
    since: Option<String>,
    /// Only those up to this state or time
    #[arg(long, value_name = "STATE")]
    until: Option<String>,
    /// Only those of this session
    #[arg(long)]
    session: Option<String>,
    /// Only those of this actor
    #[arg(long)]
    actor: Option<String>,
    /// At most this many
    #[arg(short = 'n', long, value_name = "COUNT")]
    limit: Option<u32>,
    /// Only those that removed files, with the files
    #[arg(long)]
    deleted: bool,
    /// Oldest first
    #[arg(long)]
    reverse: bool,
}

/// A checkpoint in the log, for programs.
#[derive(Serialize)]
struct EntryJson<'a> {
    #[serde(flatten)]
    checkpoint: CheckpointJson<'a>,
    pins: &'a [String],
    /// The files that it removed, where these were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<Vec<PathJson<'a>>>,
}

/// What is shown of a checkpoint.
struct Entry {
    checkpoint: Checkpoint,
    deleted: Option<Vec<RepoPathBuf>>,
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    if arguments.limit == Some(0) {
        return if context.out.is_json() { context.out.json(&[(); 0]) } else { Ok(()) };
    }
    let mut session = Session::open(context)?;
    let paths = context.paths(session.located(), &arguments.paths)?;
    let query = LogQuery {
        paths: paths.clone(),
        since_us: history::moment(&mut session, context, arguments.since.as_deref())?,
        until_us: history::moment(&mut session, context, arguments.until.as_deref())?,
        session: arguments.session.clone(),
        actor: arguments.actor.clone(),
        deleted: arguments.deleted,
        direction: if arguments.reverse { Direction::OldestFirst } else { Direction::NewestFirst },
        limit: arguments.limit.unwrap_or(0),
        from: None,
    };
    let pins = pins(&mut session)?;
    let mut checkpoints = Vec::new();
    history::log(&mut session, query, |checkpoint| {
        checkpoints.push(checkpoint);
        Ok(true)
    })?;
    let paths = paths.iter().map(history::repo_path).collect::<Result<Vec<_>>>()?;
    let mut entries = Vec::with_capacity(checkpoints.len());
    for checkpoint in checkpoints {
        let deleted = if arguments.deleted { Some(deleted(&mut session, &checkpoint, &paths)?) } else { None };
        entries.push(Entry { checkpoint, deleted });
    }
    // A reader may look at a page for hours.
    drop(session);
    let none = Vec::new();
    let pins_of = |id: CheckpointId| pins.get(&id).unwrap_or(&none);
    if context.out.is_json() {
        let json = entries.iter().map(|entry| EntryJson {
            checkpoint: CheckpointJson::from(&entry.checkpoint),
            pins: pins_of(entry.checkpoint.id),
            deleted: entry.deleted.as_ref().map(|paths| paths.iter().map(|path| PathJson(path.as_bytes())).collect()),
        });
        return context.out.json(&json.collect::<Vec<_>>());
    }
    if entries.is_empty() {
        return context.out.line("no recorded state fits");
    }
    let clock = Clock::new(context.environment.zone());
    let mut canvas = Canvas::new(context.out.paint(), true);
    for entry in &entries {
        show(&mut canvas, &clock, entry, pins_of(entry.checkpoint.id));
    }
    context.out.page()?;
    context.out.bytes(&canvas.into_bytes())
}

fn pins(session: &mut Session) -> Result<HashMap<CheckpointId, Vec<String>>> {
    let answer = session.ask(Request::Pins)?;
    let Answer::Pins(pins) = answer else { return Err(unexpected(&answer)) };
    let mut by_id: HashMap<_, Vec<String>> = HashMap::new();
    for pin in pins {
        by_id.entry(pin.id).or_default().push(pin.name);
    }
    Ok(by_id)
}

/// The files at or below `paths` that a checkpoint removed.
fn deleted(session: &mut Session, checkpoint: &Checkpoint, paths: &[RepoPathBuf]) -> Result<Vec<RepoPathBuf>> {
    let Some(parent) = history::parent(session, checkpoint.id)? else { return Ok(Vec::new()) };
    let (before, after) = (history::object_id(parent.root), history::object_id(checkpoint.root));
    let found = history::files_between(&session.objects()?, &before, &after, paths, None)?;
    let gone = found.files.into_iter().filter(|file| file.status() == Status::Removed);
    Ok(gone.filter_map(|file| file.before).filter(|side| !side.entry.is_directory()).map(|side| side.path).collect())
}

fn show(canvas: &mut Canvas, clock: &Clock, entry: &Entry, pins: &[String]) {
    let paint = canvas.paint();
    let checkpoint = &entry.checkpoint;
    let id = paint.id(output::short_id(checkpoint.id));
    let time = paint.faint(format!("{}  {:>10}", clock.local(checkpoint.time_us), clock.ago(checkpoint.time_us)));
    canvas.line(format_args!(
        "{id}  {time}  {}  {}{}",
        counts(paint, checkpoint),
        names(checkpoint),
        marks(paint, checkpoint, pins)
    ));
    for path in entry.deleted.iter().flatten() {
        canvas.line(format_args!("    {}", paint.bad(Quoted::plain(path.as_bytes()))));
    }
}

/// Files added, changed and removed.
fn counts(paint: Paint, checkpoint: &Checkpoint) -> String {
    let stats = &checkpoint.stats;
    let parts = [('+', stats.files_added), ('~', stats.files_changed), ('-', stats.files_removed)];
    let text: Vec<String> =
        parts.iter().filter(|(_, count)| *count > 0).map(|(sign, count)| format!("{sign}{count}")).collect();
    let padding = " ".repeat(8usize.saturating_sub(text.join(" ").len()));
    let painted: Vec<String> = text
        .iter()
        .map(|part| match part.as_bytes().first() {
            Some(b'+') => paint.good(part).to_string(),
            Some(b'-') => paint.bad(part).to_string(),
            _ => part.clone(),
        })
        .collect();
    painted.join(" ") + &padding
}

fn names(checkpoint: &Checkpoint) -> String {
    let mut names: Vec<String> =
        checkpoint.touched.iter().take(PATHS_SHOWN).map(|path| Quoted::plain(&path.0).to_string()).collect();
    let left = checkpoint.touched.len().saturating_sub(PATHS_SHOWN);
    match (left, checkpoint.touched_more) {
        (0, false) => {}
        (_, true) => names.push("...".to_owned()),
        (left, false) => names.push(format!("{left} more")),
    }
    names.join(", ")
}

/// What else there is to say about a checkpoint, in brackets behind it.
pub fn marks(paint: Paint, checkpoint: &Checkpoint, pins: &[String]) -> String {
    let clean = |text: &str| Escaped(text.lines().next().unwrap_or_default().as_bytes()).to_string();
    let provenance = &checkpoint.provenance;
    let mut marks = Vec::new();
    marks.extend(pins.iter().map(|pin| paint.name(format!("pin {}", clean(pin))).to_string()));
    if checkpoint.reason != tl_daemon::wire::Reason::FsBatch {
        marks.push(output::reason(checkpoint.reason).to_owned());
    }
    marks.extend(provenance.label.as_deref().map(|label| format!("label {}", clean(label))));
    marks.extend(provenance.session.as_deref().map(|session| format!("session {}", clean(session))));
    marks.extend(provenance.actor.as_deref().map(|actor| format!("by {}", clean(actor))));
    marks.extend(provenance.message.as_deref().map(|message| format!("\"{}\"", clean(message))));
    if checkpoint.completeness.missing > 0 {
        marks.push(paint.bad(format!("{} paths missing", checkpoint.completeness.missing)).to_string());
    }
    if marks.is_empty() { String::new() } else { format!("  [{}]", marks.join(", ")) }
}
