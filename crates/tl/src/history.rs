//! Questions about history that several commands have: pages of the log, what a path stood for, what a checkpoint changed.

use std::time::SystemTime;

use anyhow::Result;
use tl_core::{Change, Entry, ObjectId, Objects, RepoPath, RepoPathBuf};
use tl_daemon::wire::{self, Answer, Checkpoint, CheckpointId, Flush, Item, LogQuery, PathBytes, Reason, Request};
use tl_journal::names::{Now, parse_time};

use crate::context::Context;
use crate::diff::content::{COMPARED_LEN_MAX, Content};
use crate::diff::renames::{self, FileChanges, RenameOptions};
use crate::failure::{Failure, refusal};
use crate::session::{Session, unexpected};

/// Checkpoints that are asked for at once.
const PAGE_LEN: u32 = 1000;

/// Hands out the checkpoints that fit a query, page after page, until there are no more or `each` has seen enough and returns false. A `limit` in the query
/// counts over all pages; 0 is none.
///
/// # Errors
/// Those of the store and of `each`.
pub fn log(session: &mut Session, mut query: LogQuery, mut each: impl FnMut(Checkpoint) -> Result<bool>) -> Result<()> {
    let mut left = match query.limit {
        0 => u64::MAX,
        limit => u64::from(limit),
    };
    while left > 0 {
        query.limit = PAGE_LEN.min(u32::try_from(left).unwrap_or(PAGE_LEN));
        let mut page = Vec::new();
        let answer = session.ask_each(Request::Log(query.clone()), |item| {
            if let Item::Checkpoint(checkpoint) = item {
                page.push(*checkpoint);
            }
            Ok(())
        })?;
        let Answer::Page(end) = answer else { return Err(unexpected(&answer)) };
        left -= (page.len() as u64).min(left);
        for checkpoint in page {
            if !each(checkpoint)? {
                return Ok(());
            }
        }
        match end.next {
            None => return Ok(()),
            next => query.from = next,
        }
    }
    Ok(())
}

/// True for checkpoints that are states of the working directory.
pub fn is_own_state(checkpoint: &Checkpoint) -> bool {
    checkpoint.reason != Reason::Import
}

/// The state of the working directory as it is now. Where it cannot be recorded, because it is gone or the store can only be read, the newest state there is.
///
/// # Errors
/// Those of the store.
pub fn present(session: &mut Session, context: &Context) -> Result<Checkpoint> {
    let flush = Flush { scan: false, provenance: context.provenance() };
    match session.ask(Request::Flush(flush)) {
        Ok(Answer::Flushed { checkpoint, .. }) => Ok(*checkpoint),
        Ok(other) => Err(unexpected(&other)),
        Err(error) => match refusal(&error).map(|failure| failure.kind) {
            Some(wire::FailureKind::RootGone | wire::FailureKind::Unsupported | wire::FailureKind::Full) => {
                session.resolve("@")
            }
            _ => Err(error),
        },
    }
}

/// The first parent of a checkpoint that is left.
///
/// # Errors
/// Those of the store.
pub fn parent(session: &mut Session, id: CheckpointId) -> Result<Option<Checkpoint>> {
    let mut first = None;
    session.ask_each(Request::Parents { id }, |item| {
        if let Item::Checkpoint(checkpoint) = item {
            first.get_or_insert(*checkpoint);
        }
        Ok(())
    })?;
    Ok(first)
}

/// The moment that a word of the command line stands for, in microseconds since 1970: a time such as `5m ago`, else that of the state with this name.
///
/// # Errors
/// That it is neither, or those of the store.
pub fn moment(session: &mut Session, context: &Context, word: Option<&str>) -> Result<Option<u64>> {
    let Some(word) = word else { return Ok(None) };
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    match parse_time(word, &Now { time, zone: context.environment.zone() }) {
        Some(time) => Ok(u64::try_from(time.as_micros()).ok()),
        None => Ok(Some(session.resolve(word)?.time_us)),
    }
}

/// The id of an object as the stores have it.
pub const fn object_id(id: wire::ObjectId) -> ObjectId {
    ObjectId::from_bytes(id.0)
}

/// A path as the stores have it.
///
/// # Errors
/// That it can be no path of a tree.
pub fn repo_path(path: &PathBytes) -> Result<RepoPathBuf> {
    let checked = RepoPath::new(&path.0).map(RepoPath::to_owned);
    checked.map_err(|error| Failure::input(error.to_string(), "name a path below the directory that is protected"))
}

/// What `path` stands for in the tree `root`. The root of a tree is no entry of anything: for it there is nothing.
///
/// # Errors
/// A tree that cannot be read.
pub fn entry_at(objects: &Objects, root: &ObjectId, path: &RepoPath) -> tl_core::Result<Option<Entry>> {
    let mut tree = Some(*root);
    let mut found = None;
    for name in path.components() {
        let Some(id) = tree else { return Ok(None) };
        found = objects.get_tree(&id)?.get(name);
        tree = found.filter(Entry::is_directory).map(|entry| entry.id);
    }
    Ok(found)
}

/// The files at or below `paths` (all, if none is given) that differ between two trees.
///
/// # Errors
/// A tree that cannot be read.
pub fn files_between(
    objects: &Objects,
    before: &ObjectId,
    after: &ObjectId,
    paths: &[RepoPathBuf],
    options: Option<&RenameOptions>,
) -> Result<FileChanges> {
    let mut changes = Vec::new();
    for change in objects.diff(before, after)? {
        let change = change?;
        if is_wanted(&change.path, paths) && !goes_without_saying(&change) {
            changes.push(change);
        }
    }
    renames::files(changes, options, |entry| {
        Ok(match Content::load(objects, Some(entry))? {
            Content::Text(text) => Some(text),
            // Files without lines are similar too, if their bytes are.
            Content::Binary { .. } => objects.get_blob(&entry.id, COMPARED_LEN_MAX).ok(),
            _ => None,
        })
    })
}

/// True for a directory that came or went with what is in it.
fn goes_without_saying(change: &Change) -> bool {
    let only = match (&change.before, &change.after) {
        (None, Some(only)) | (Some(only), None) => only,
        _ => return false,
    };
    only.is_directory() && only.id != ObjectId::EMPTY_TREE
}

/// True for what is at or below one of `paths`, and for everything if there are none.
pub fn is_wanted(path: &RepoPath, paths: &[RepoPathBuf]) -> bool {
    paths.is_empty() || paths.iter().any(|wanted| path.starts_with(wanted))
}
