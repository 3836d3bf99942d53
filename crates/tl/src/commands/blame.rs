//! `tl blame`: which save brought each line of a file.

use std::ffi::OsString;
use std::ops::RangeInclusive;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tl_core::{Entry, EntryKind, Objects, RepoPathBuf};
use tl_daemon::wire::{Checkpoint, LogQuery, PathBytes};

use crate::blame::{Blame, Origin};
use crate::context::Context;
use crate::diff::content::Content;
use crate::diff::renames::RenameOptions;
use crate::failure::Failure;
use crate::history;
use crate::output::{self, Clock, PathJson};
use crate::place;
use crate::session::Session;
use crate::text::{Canvas, Escaped, Quoted};

/// Columns for who acted.
const ACTOR_COLUMNS: usize = 12;

/// Show which save brought each line of a file
#[derive(Debug, Args)]
pub struct Arguments {
    /// The file, as PATH or PATH@STATE
    #[arg(value_name = "PATH@STATE")]
    place: OsString,
    /// The state, if the name has an @ in it
    #[arg(long, value_name = "STATE")]
    at: Option<String>,
    /// Only these lines, such as `10,20`, `10,` or `10`
    #[arg(short = 'L', long, value_name = "FROM,TO", value_parser = line_range)]
    lines: Option<RangeInclusive<usize>>,
    /// Do not look for the file under the name that it had before it was renamed
    #[arg(long)]
    no_renames: bool,
}

fn line_range(text: &str) -> Result<RangeInclusive<usize>, String> {
    let number = |text: &str| match text.parse() {
        Ok(0) | Err(_) => Err(format!("{text:?} is no line: lines are counted from 1")),
        Ok(number) => Ok(number),
    };
    let range = match text.split_once(',') {
        None => number(text)?..=number(text)?,
        Some((from, "")) => number(from)?..=usize::MAX,
        Some((from, to)) => number(from)?..=number(to)?,
    };
    if range.is_empty() { Err(format!("{text:?} ends before it begins")) } else { Ok(range) }
}

/// One line with where it came from, for programs.
#[derive(Serialize)]
struct LineJson<'a> {
    line: usize,
    text: PathJson<'a>,
    checkpoint: String,
    time: String,
    /// Where the line stood in the state that brought it.
    original_line: usize,
    /// The name that the file had there.
    original_path: PathJson<'a>,
    session: Option<&'a str>,
    actor: Option<&'a str>,
    message: Option<&'a str>,
}

/// A version of the file.
struct Version {
    checkpoint: Checkpoint,
    path: RepoPathBuf,
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let mut session = Session::open(context)?;
    let found = place::find(&mut session, &arguments.place, arguments.at.as_deref())?;
    let path = history::repo_path(&context.path(session.located(), found.path.as_ref())?)?;
    let objects = session.objects()?;
    let Some(entry) = history::entry_at(&objects, &history::object_id(found.state.root), &path)? else {
        return Err(found.absent());
    };
    let content = text(&objects, &path, &entry)?;
    let renames = (!arguments.no_renames).then(RenameOptions::default);
    let mut walk = Walk { session: &mut session, objects: &objects, renames, versions: Vec::new() };
    let lines = walk.blame(found.state, path, &entry, content)?;
    let versions = walk.versions;
    drop(objects);
    drop(session);
    let wanted = arguments.lines.clone().unwrap_or(1..=usize::MAX);
    let lines: Vec<_> = lines.into_iter().enumerate().filter(|(index, _)| wanted.contains(&(index + 1))).collect();
    if context.out.is_json() {
        let json = lines.iter().filter_map(|(index, (origin, text))| line_json(&versions, *index, *origin, text));
        return context.out.json(&json.collect::<Vec<_>>());
    }
    let clock = Clock::new(context.environment.zone());
    let mut canvas = Canvas::new(context.out.paint(), true);
    for (index, (origin, text)) in &lines {
        write(&mut canvas, &clock, &versions, *index, *origin, text);
    }
    context.out.page()?;
    context.out.bytes(&canvas.into_bytes())
}

/// The lines of a file, which has to be one.
fn text(objects: &Objects, path: &RepoPathBuf, entry: &Entry) -> Result<Vec<u8>> {
    let name = Quoted::plain(path.as_bytes());
    if entry.kind != EntryKind::File {
        return Err(Failure::input(format!("{name} is no file"), "only files have lines"));
    }
    match Content::load(objects, Some(entry))? {
        Content::Text(text) => Ok(text),
        other => {
            let why = other.obstacle().unwrap_or_default();
            Err(Failure::input(format!("{name} cannot be taken line by line: {why}"), "`tl log PATH` lists its states"))
        }
    }
}

/// A walk from a version of a file to the ones before it.
struct Walk<'a> {
    session: &'a mut Session,
    objects: &'a Objects,
    /// How renames are found; nothing if they are not looked for.
    renames: Option<RenameOptions>,
    /// The versions that were met, the newest first.
    versions: Vec<Version>,
}

impl Walk<'_> {
    fn blame(
        &mut self,
        state: Checkpoint,
        mut path: RepoPathBuf,
        entry: &Entry,
        content: Vec<u8>,
    ) -> Result<Vec<(Origin<usize>, Vec<u8>)>> {
        let mut from = state.id;
        let mut last_id = entry.id;
        self.versions.push(Version { checkpoint: state, path: path.clone() });
        let mut blame = Blame::new(0, content);
        loop {
            let changed = self.changes_of(&path, from)?;
            // The state in which the content came to be as it is in the version that was looked at last.
            let mut came_with: Option<Checkpoint> = None;
            for checkpoint in changed {
                let root = history::object_id(checkpoint.root);
                let entry =
                    history::entry_at(self.objects, &root, &path)?.filter(|entry| entry.kind == EntryKind::File);
                let Some(entry) = entry else { break };
                if entry.id != last_id {
                    let Content::Text(content) = Content::load(self.objects, Some(&entry))? else { break };
                    let version = self.versions.len();
                    self.versions.push(Version { checkpoint: checkpoint.clone(), path: path.clone() });
                    blame.older(version, content);
                    last_id = entry.id;
                } else if let Some(last) = self.versions.last_mut() {
                    // The same content stood in this older state already.
                    last.checkpoint = checkpoint.clone();
                }
                came_with = Some(checkpoint);
                if blame.is_complete() {
                    break;
                }
            }
            if blame.is_complete() {
                break;
            }
            let Some((before, old_path, old_entry)) =
                came_with.map(|with| self.former(&with, &path)).transpose()?.flatten()
            else {
                break;
            };
            let Content::Text(content) = Content::load(self.objects, Some(&old_entry))? else { break };
            (from, path) = (before.id, old_path);
            if old_entry.id == last_id {
                if let Some(last) = self.versions.last_mut() {
                    *last = Version { checkpoint: before, path: path.clone() };
                }
            } else {
                let version = self.versions.len();
                self.versions.push(Version { checkpoint: before, path: path.clone() });
                blame.older(version, content);
                last_id = old_entry.id;
            }
        }
        Ok(blame.finish())
    }

    /// The states that changed a path, from `from` on backwards.
    fn changes_of(&mut self, path: &RepoPathBuf, from: tl_daemon::wire::CheckpointId) -> Result<Vec<Checkpoint>> {
        let query =
            LogQuery { paths: vec![PathBytes(path.as_bytes().to_vec())], from: Some(from), ..LogQuery::default() };
        let mut found = Vec::new();
        history::log(self.session, query, |checkpoint| {
            if history::is_own_state(&checkpoint) {
                found.push(checkpoint);
            }
            Ok(true)
        })?;
        Ok(found)
    }

    /// Where a file was before it came to `path` with `checkpoint`, if it was renamed there.
    fn former(
        &mut self,
        checkpoint: &Checkpoint,
        path: &RepoPathBuf,
    ) -> Result<Option<(Checkpoint, RepoPathBuf, Entry)>> {
        let Some(options) = self.renames else { return Ok(None) };
        let Some(before) = history::parent(self.session, checkpoint.id)? else { return Ok(None) };
        let roots = (history::object_id(before.root), history::object_id(checkpoint.root));
        let changes = history::files_between(self.objects, &roots.0, &roots.1, &[], Some(&options))?;
        let file = changes
            .files
            .into_iter()
            .find(|file| file.old_path().is_some() && file.after.as_ref().is_some_and(|side| side.path == *path));
        Ok(file.and_then(|file| file.before).map(|side| (before, side.path, side.entry)))
    }
}

fn line_json<'a>(versions: &'a [Version], index: usize, origin: Origin<usize>, text: &'a [u8]) -> Option<LineJson<'a>> {
    let Version { checkpoint, path } = versions.get(origin.version)?;
    let provenance = &checkpoint.provenance;
    Some(LineJson {
        line: index + 1,
        text: PathJson(text.strip_suffix(b"\n").unwrap_or(text)),
        checkpoint: output::checkpoint_id(checkpoint.id),
        time: output::rfc3339(checkpoint.time_us),
        original_line: origin.line + 1,
        original_path: PathJson(path.as_bytes()),
        session: provenance.session.as_deref(),
        actor: provenance.actor.as_deref(),
        message: provenance.message.as_deref(),
    })
}

fn write(canvas: &mut Canvas, clock: &Clock, versions: &[Version], index: usize, origin: Origin<usize>, text: &[u8]) {
    let Some(Version { checkpoint, .. }) = versions.get(origin.version) else { return };
    let paint = canvas.paint();
    let provenance = &checkpoint.provenance;
    let who = provenance.actor.as_deref().or(provenance.session.as_deref()).unwrap_or_default();
    let who: String = Escaped(who.as_bytes()).to_string().chars().take(ACTOR_COLUMNS).collect();
    let id = paint.id(output::short_id(checkpoint.id));
    let time = paint.faint(clock.local(checkpoint.time_us));
    canvas.text(format_args!("{id} {time} {who:<ACTOR_COLUMNS$} {:>5}  ", index + 1));
    canvas.content_line(anstyle::Style::new(), "", text);
}

#[cfg(test)]
mod tests {
    use super::line_range;

    #[test]
    fn ranges_of_lines() {
        assert_eq!(line_range("3"), Ok(3..=3));
        assert_eq!(line_range("3,5"), Ok(3..=5));
        assert_eq!(line_range("3,"), Ok(3..=usize::MAX));
        for bad in ["", "0", "5,3", "a", ",3", "1,2,3"] {
            assert!(line_range(bad).is_err(), "{bad}");
        }
    }
}
