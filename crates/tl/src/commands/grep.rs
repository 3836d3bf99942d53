//! `tl grep`: a search through everything that was ever recorded.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tl_daemon::wire::{CheckpointId, Direction, LogQuery, Progress};

use super::diff;
use crate::context::Context;
use crate::failure::Failure;
use crate::grep::{Match, Pattern, PatternOptions, Presence, Search, Skipped};
use crate::history;
use crate::output::{self, Bar, Clock, PathJson};
use crate::session::Session;
use crate::text::{Canvas, Escaped, Quoted};

/// Search the contents of all recorded states
#[derive(Debug, Args)]
#[command(after_help = "Each match says from which state to which it stood in its file. Exit code 1: nothing matches.")]
pub struct Arguments {
    /// A regular expression, as of the Rust crate `regex`
    pattern: String,
    /// Only files at or below these paths
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    /// Only the states from this one or this time on
    #[arg(long, value_name = "STATE")]
    since: Option<String>,
    /// Only the states up to this one or this time
    #[arg(long, value_name = "STATE")]
    until: Option<String>,
    /// Ignore case
    #[arg(short, long)]
    ignore_case: bool,
    /// Take the pattern as it stands, not as a regular expression
    #[arg(short = 'F', long)]
    fixed_strings: bool,
    /// Match whole words only
    #[arg(short, long)]
    word_regexp: bool,
    /// Only the names of the files
    #[arg(short = 'l', long)]
    files_with_matches: bool,
}

/// A state that a search walked over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    /// States are in the order of their ids.
    id: CheckpointId,
    time_us: u64,
    /// It is the newest of those that were searched.
    is_last: bool,
}

/// A content that matches, for programs.
#[derive(Serialize)]
struct PresenceJson<'a> {
    path: PathJson<'a>,
    id: String,
    first: StateJson,
    last: StateJson,
    /// It still stands there in the newest state that was searched.
    present: bool,
    matches: Vec<MatchJson<'a>>,
}

#[derive(Serialize)]
struct StateJson {
    id: String,
    time: String,
}

#[derive(Serialize)]
struct MatchJson<'a> {
    line: usize,
    text: PathJson<'a>,
    start: usize,
    end: usize,
    cut: bool,
}

#[derive(Serialize)]
struct GrepJson<'a> {
    states: usize,
    skipped: SkippedJson,
    presences: Vec<PresenceJson<'a>>,
}

#[derive(Serialize)]
struct SkippedJson {
    binary: u64,
    too_large: u64,
    purged: u64,
    unreadable: u64,
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let options = PatternOptions {
        ignore_case: arguments.ignore_case,
        fixed: arguments.fixed_strings,
        words: arguments.word_regexp,
    };
    let pattern = Pattern::new(&arguments.pattern, options)?;
    let mut session = Session::open(context)?;
    let paths = diff::paths(context, &session, &arguments.paths)?;
    let query = LogQuery {
        since_us: history::moment(&mut session, context, arguments.since.as_deref())?,
        until_us: history::moment(&mut session, context, arguments.until.as_deref())?,
        direction: Direction::OldestFirst,
        ..LogQuery::default()
    };
    let mut states = Vec::new();
    history::log(&mut session, query, |checkpoint| {
        if history::is_own_state(&checkpoint) {
            states.push((State { id: checkpoint.id, time_us: checkpoint.time_us, is_last: false }, checkpoint.root));
        }
        Ok(true)
    })?;
    if let Some((last, _)) = states.last_mut() {
        last.is_last = true;
    }
    let objects = session.objects()?;
    let mut search = Search::new(&objects, &pattern, &paths);
    let mut bar = Bar::new(&context.environment, context.out.is_json());
    let total = Some(states.len() as u64);
    for (done, (state, root)) in states.iter().enumerate() {
        search.state(*state, &history::object_id(*root))?;
        bar.show(&Progress { phase: "searching".to_owned(), done: done as u64 + 1, total });
    }
    let (found, skipped) = search.finish();
    drop((bar, objects, session));
    show(context, arguments, &found, skipped, states.len())?;
    if found.is_empty() {
        return Err(Failure::absent(format!("nothing matches in {} states", states.len()), ""));
    }
    Ok(())
}

fn show(
    context: &mut Context,
    arguments: &Arguments,
    found: &[Presence<State>],
    skipped: Skipped,
    states: usize,
) -> Result<()> {
    if context.out.is_json() {
        let Skipped { binary, too_large, purged, unreadable } = skipped;
        let skipped = SkippedJson { binary, too_large, purged, unreadable };
        let presences = found.iter().map(PresenceJson::from).collect();
        return context.out.json(&GrepJson { states, skipped, presences });
    }
    let mut canvas = diff::canvas(&context.out);
    if arguments.files_with_matches {
        let mut paths: Vec<_> = found.iter().map(|presence| &presence.path).collect();
        paths.dedup();
        paths.iter().for_each(|path| canvas.line(Quoted::plain(path.as_bytes())));
    } else {
        let clock = Clock::new(context.environment.zone());
        found.iter().for_each(|presence| write(&mut canvas, &clock, presence));
    }
    context.out.page()?;
    context.out.bytes(&canvas.into_bytes())?;
    if let Some(note) = skipped_note(skipped) {
        eprintln!("tl: {note}");
    }
    Ok(())
}

fn skipped_note(skipped: Skipped) -> Option<String> {
    let Skipped { binary: _, too_large, purged, unreadable } = skipped;
    let parts = [(too_large, "too large"), (purged, "purged"), (unreadable, "damaged")];
    let parts: Vec<_> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("{count} {why}")).collect();
    (!parts.is_empty()).then(|| format!("contents that were not searched: {}", parts.join(", ")))
}

fn write(canvas: &mut Canvas, clock: &Clock, presence: &Presence<State>) {
    let paint = canvas.paint();
    let path = paint.name(Quoted::plain(presence.path.as_bytes()));
    let state = |state: State| format!("{} ({})", paint.id(output::short_id(state.id)), clock.local(state.time_us));
    let until = match presence.last {
        last if last.is_last => paint.good("to the last").to_string(),
        last if last == presence.first => "alone".to_owned(),
        last => format!("to {}", state(last)),
    };
    canvas.line(format_args!("{path}  from {} {until}", state(presence.first)));
    for found in presence.matches.iter() {
        write_match(canvas, found);
    }
}

fn write_match(canvas: &mut Canvas, found: &Match) {
    let paint = canvas.paint();
    let Match { line, text, span, cut } = found;
    canvas.text(format_args!("{:>6}: ", paint.faint(line)));
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    canvas.content(part(0..span.start));
    canvas.content_in(anstyle::AnsiColor::Red.on_default().bold(), part(span.clone()));
    canvas.content(part(span.end..text.len()));
    canvas.line(if *cut { Escaped(b" ...") } else { Escaped(b"") });
}

impl<'a> From<&'a Presence<State>> for PresenceJson<'a> {
    fn from(presence: &'a Presence<State>) -> Self {
        let state =
            |state: State| StateJson { id: output::checkpoint_id(state.id), time: output::rfc3339(state.time_us) };
        Self {
            path: PathJson(presence.path.as_bytes()),
            id: presence.blob.to_string(),
            first: state(presence.first),
            last: state(presence.last),
            present: presence.last.is_last,
            matches: presence.matches.iter().map(MatchJson::from).collect(),
        }
    }
}

impl<'a> From<&'a Match> for MatchJson<'a> {
    fn from(found: &'a Match) -> Self {
        let Match { line, text, cut, span } = found;
        Self { line: *line, text: PathJson(text), start: span.start, end: span.end, cut: *cut }
    }
}
