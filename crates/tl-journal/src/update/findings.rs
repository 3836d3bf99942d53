//! What a walk found: the edits of the tree, the changes of the index, the counts, and what could not be seen.

use std::collections::BTreeMap;
use std::ops::Bound;

use rustix::io::Errno;
use tl_core::{Entry, ObjectId, RepoPath, RepoPathBuf, Store};

use super::links::Links;
use crate::checkpoint::{ChangeStats, Gap, GapCause};
use crate::error::{Error, Result};
use crate::index::{IndexChanges, IndexEntry};
use crate::workdir::Stat;

/// Entries below a directory that goes, from which on the index drops a range in place of each.
const RANGE_DELETE_MIN: usize = 512;

/// Gaps by path.
pub(crate) type Gaps = BTreeMap<RepoPathBuf, GapCause>;

/// An entry with what the system said of it, whether that is racy, and what the index had.
pub(super) type Seen = (Entry, Stat, bool, Option<IndexEntry>);

pub(super) struct Findings<'a> {
    store: &'a Store,
    /// One for each path, in any order.
    pub(super) edits: Vec<(RepoPathBuf, Option<Entry>)>,
    pub(super) index: IndexChanges<'a>,
    pub(super) stats: ChangeStats,
    /// Those that are known, brought up to date where the walk came by.
    pub(super) gaps: Gaps,
    pub(super) requeue: Vec<RepoPathBuf>,
    pub(super) links: &'a mut Links,
    pub(super) files_read: u64,
    pub(super) bytes_read: u64,
}

impl<'a> Findings<'a> {
    pub(super) fn new(store: &'a Store, index: IndexChanges<'a>, gaps: Gaps, links: &'a mut Links) -> Self {
        Self {
            store,
            edits: Vec::new(),
            index,
            stats: ChangeStats::default(),
            gaps,
            requeue: Vec::new(),
            links,
            files_read: 0,
            bytes_read: 0,
        }
    }

    /// Notes what `path` is now, or that it is gone.
    pub(super) fn set(&mut self, path: &RepoPath, recorded: Option<Entry>, seen: Option<Seen>) -> Result<()> {
        if seen.is_none() {
            self.forget_gaps_at_and_below(path);
        }
        let entry = seen.as_ref().map(|(entry, ..)| *entry);
        let stays_directory = entry.as_ref().is_some_and(Entry::is_directory);
        if let Some(recorded) = recorded.filter(Entry::is_directory)
            && !stays_directory
        {
            self.remove_below(path, &recorded.id)?;
        }
        if entry != recorded {
            self.count(recorded, entry);
            self.edits.push((path.to_owned(), entry));
        }
        match seen {
            Some((entry, stat, racy, known)) => {
                let now = IndexEntry::new(entry, &stat, racy);
                // The times of a directory say nothing that is asked for.
                let same_directory = |known: IndexEntry| {
                    entry.is_directory() && known.is_of(entry) && known.inode == now.inode && known.device == now.device
                };
                if known != Some(now) && !known.is_some_and(same_directory) {
                    self.index.put(path, &now)?;
                }
            }
            None if recorded.is_some() => self.index.delete(path)?,
            None => {}
        }
        Ok(())
    }

    fn count(&mut self, before: Option<Entry>, after: Option<Entry>) {
        let file = |entry: Option<Entry>| entry.filter(|entry| !entry.is_directory()).map(|entry| entry.size);
        match (file(before), file(after)) {
            (None, None) => {}
            (None, Some(added)) => {
                self.stats.files_added += 1;
                self.stats.bytes_added += added;
            }
            (Some(removed), Some(added)) => {
                self.stats.files_changed += 1;
                self.stats.bytes_added += added;
                self.stats.bytes_removed += removed;
            }
            (Some(removed), None) => {
                self.stats.files_removed += 1;
                self.stats.bytes_removed += removed;
            }
        }
    }

    /// Counts what the tree `recorded` of the directory `path` held, and takes it out of the index.
    fn remove_below(&mut self, path: &RepoPath, recorded: &ObjectId) -> Result<()> {
        let mut few = Some(Vec::new());
        for change in self.store.diff(recorded, &ObjectId::EMPTY_TREE)? {
            let change = change?;
            self.count(change.before, None);
            if let Some(paths) = few.as_mut() {
                paths.push(join(path, &change.path)?);
                if paths.len() >= RANGE_DELETE_MIN {
                    few = None;
                }
            }
        }
        match few {
            Some(paths) => paths.iter().try_for_each(|path| self.index.delete(path)),
            None => self.index.delete_below(path),
        }
    }

    pub(super) fn forget_gap(&mut self, path: &RepoPath) {
        self.gaps.remove(path);
    }

    pub(super) fn forget_gaps_at_and_below(&mut self, path: &RepoPath) {
        let range = self.gaps.range::<RepoPath, _>((Bound::Included(path), Bound::Unbounded));
        let gone: Vec<RepoPathBuf> =
            range.map(|(gap, _)| gap).take_while(|gap| gap.starts_with(path)).cloned().collect();
        for gap in gone {
            self.gaps.remove(&gap);
        }
    }

    pub(super) fn add_gap(&mut self, path: &RepoPath, cause: GapCause) {
        self.gaps.insert(path.to_owned(), cause);
    }

    /// Notes that the system refused to say what `path` is.
    pub(super) fn add_failure(&mut self, path: &RepoPath, errno: Errno) {
        let denied = matches!(errno, Errno::ACCESS | Errno::PERM);
        self.add_gap(path, if denied { GapCause::PermissionDenied } else { GapCause::ReadError });
    }

    /// Notes that `path` changed while it was looked at.
    pub(super) fn add_unstable(&mut self, path: &RepoPath) {
        self.add_gap(path, GapCause::Changing);
        self.requeue.push(path.to_owned());
    }

    /// The gaps as a list.
    pub(super) fn gap_list(&self) -> Vec<Gap> {
        self.gaps.iter().map(|(path, cause)| Gap { path: path.clone(), cause: *cause }).collect()
    }
}

fn join(base: &RepoPath, rest: &RepoPath) -> Result<RepoPathBuf> {
    let mut path = base.to_owned();
    for name in rest.components() {
        path.push(name).map_err(|error| Error::from(tl_core::Error::from(error)))?;
    }
    Ok(path)
}
