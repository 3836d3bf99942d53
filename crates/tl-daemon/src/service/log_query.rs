//! Pages of the journal.

use std::ops::Bound;
use std::time::Duration;

use tl_core::{Entry, ObjectId, RepoPath, RepoPathBuf};
use tl_journal::{Checkpoint, CheckpointId, Order, PathHistory};

use super::convert::{id_of, path_of, to_id};
use super::{Answered, Replies, Service, gone};
use crate::wire::{Answer, Direction, Failure, Item, LogQuery, Page};

/// Most checkpoints of one page.
const PAGE_LEN_MAX: usize = 10_000;
/// Checkpoints that are looked at for one page, and those of them of which trees are looked at.
const LOOKED_AT_MAX: usize = 50_000;
const COMPARED_MAX: usize = 5_000;

impl Service {
    pub(super) fn log(&self, query: &LogQuery, replies: &mut dyn Replies) -> Answered {
        let paths = query.paths.iter().map(path_of).collect::<Result<Vec<_>, _>>()?;
        let limit = match query.limit {
            0 => PAGE_LEN_MAX,
            limit => PAGE_LEN_MAX.min(limit as usize),
        };
        let order = match query.direction {
            Direction::NewestFirst => Order::NewestFirst,
            Direction::OldestFirst => Order::OldestFirst,
        };
        let (mut found, mut compared) = (0, 0);
        let history = if paths.is_empty() { PathHistory::default() } else { self.repository.path_history() };
        let mut candidates = history.candidates(self.repository.journal(), &paths, bounds(query), order)?.peekable();
        let (mut looked_at, mut older) = (0, None);
        while let Some(checkpoint) = candidates.next() {
            let checkpoint = checkpoint?;
            if order == Order::NewestFirst {
                older = candidates.peek().and_then(|next| next.as_ref().ok()).map(|next| next.id);
            }
            let beside = older.replace(checkpoint.id);
            if found >= limit || looked_at >= LOOKED_AT_MAX || compared >= COMPARED_MAX {
                return Ok(Answer::Page(Page { next: Some(to_id(checkpoint.id)) }));
            }
            looked_at += 1;
            if !is_of(query, &checkpoint) {
                continue;
            }
            if !paths.is_empty() || query.deleted {
                compared += 1;
                if !self.touches(&checkpoint, beside, &paths, query.deleted)? {
                    continue;
                }
            }
            found += 1;
            replies.item(Item::Checkpoint(self.labelled(&checkpoint)?)).map_err(gone)?;
        }
        Ok(Answer::Page(Page { next: None }))
    }

    /// True if the checkpoint changed something at or below one of `paths` (anywhere if there are none), or removed a file there. `beside` is one that is there, most likely its parent.
    fn touches(
        &self,
        checkpoint: &Checkpoint,
        beside: Option<CheckpointId>,
        paths: &[RepoPathBuf],
        deleted: bool,
    ) -> Result<bool, Failure> {
        if deleted && checkpoint.stats.files_removed == 0 {
            return Ok(false);
        }
        let journal = self.repository.journal();
        let is_as_listed = checkpoint.lists_all()
            && match checkpoint.parents.first() {
                Some(parent) => beside == Some(*parent) || journal.contains(*parent)?,
                None => true,
            };
        if is_as_listed && !paths.is_empty() {
            let is_any = |is_related: fn(&RepoPath, &RepoPath) -> bool| {
                let listed = &checkpoint.touched.listed;
                paths.iter().any(|path| listed.iter().any(|touched| is_related(path, touched)))
            };
            if !deleted && checkpoint.lists_exactly() && is_any(|path, touched| touched.starts_with(path)) {
                return Ok(true);
            }
            // Below a directory that is listed something may differ, and nothing anywhere else.
            if !is_any(|path, touched| touched.starts_with(path) || path.starts_with(touched)) {
                return Ok(false);
            }
        }
        let made_from = journal.parents(checkpoint)?;
        let before = made_from.first().map_or(ObjectId::EMPTY_TREE, |parent| parent.root);
        if deleted {
            return self.removes(&before, &checkpoint.root, paths);
        }
        for path in paths {
            if self.entry(&before, path)? != self.entry(&checkpoint.root, path)? {
                return Ok(true);
            }
        }
        Ok(paths.is_empty())
    }

    fn removes(&self, before: &ObjectId, after: &ObjectId, paths: &[RepoPathBuf]) -> Result<bool, Failure> {
        for change in self.repository.store().diff(before, after)? {
            let change = change?;
            let was_file = change.before.is_some_and(|entry| !entry.is_directory());
            let is_wanted = || paths.is_empty() || paths.iter().any(|path| change.path.starts_with(path));
            if was_file && change.after.is_none() && is_wanted() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What stands at `path` below the tree `root`.
    fn entry(&self, root: &ObjectId, path: &RepoPath) -> Result<Option<Entry>, Failure> {
        let mut entry = Entry::directory(*root, tl_core::Mode::new(0));
        for name in path.components() {
            if !entry.is_directory() {
                return Ok(None);
            }
            match self.repository.store().get_tree(&entry.id)?.get(name) {
                Some(found) => entry = found,
                None => return Ok(None),
            }
        }
        Ok(Some(entry))
    }
}

/// The ids among which the answer is. An id is never older than its checkpoint says, so those before `since` can be left out; the clock may have been set back
/// since, so the end is looked at one by one.
fn bounds(query: &LogQuery) -> (Bound<CheckpointId>, Bound<CheckpointId>) {
    let mut first = query.since_us.map(|since| CheckpointId::bounds_at(Duration::from_micros(since)).0);
    let mut last = None;
    if let Some(from) = query.from.map(id_of) {
        match query.direction {
            Direction::NewestFirst => last = Some(from),
            Direction::OldestFirst => first = first.max(Some(from)),
        }
    }
    (first.map_or(Bound::Unbounded, Bound::Included), last.map_or(Bound::Unbounded, Bound::Included))
}

fn is_of(query: &LogQuery, checkpoint: &Checkpoint) -> bool {
    let time = u64::try_from(checkpoint.time.as_micros()).unwrap_or(u64::MAX);
    let is = |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
    query.since_us.is_none_or(|since| time >= since)
        && query.until_us.is_none_or(|until| time <= until)
        && is(&query.session, &checkpoint.provenance.session)
        && is(&query.actor, &checkpoint.provenance.actor)
}
