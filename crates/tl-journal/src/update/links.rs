//! Files with several names: a save through one name changes what the others show, and nobody is told of these.
//!
//! Kept in memory: the reconciliation at the start comes by every name.

use std::collections::{BTreeMap, BTreeSet};

use tl_core::{RepoPath, RepoPathBuf};

/// A file, by inode and device.
pub(crate) type FileKey = (u64, u64);

/// New files with several names in one update, up to which their other names are searched for among everything that is recorded. Whoever makes more at once
/// links to somewhere else.
const SEARCHED_MAX: usize = 64;
/// Names that are kept at most. Beyond it, other names of a saved file are found by the next reconciliation.
const NAMES_MAX: usize = 10_000;

/// Which recorded paths are names of one file, as far as the walks so far came by them.
#[derive(Debug, Default)]
pub(crate) struct Links {
    names: BTreeMap<FileKey, BTreeSet<RepoPathBuf>>,
    count: usize,
    /// Files that this update came by, and the names it came by.
    met: BTreeSet<FileKey>,
    seen: BTreeSet<RepoPathBuf>,
    /// Those of which fewer names are known than they have.
    unknown: BTreeSet<FileKey>,
    /// Those whose names were searched for already.
    searched: BTreeSet<FileKey>,
}

impl Links {
    /// Notes that the walk came by `path`, which is one of `count` names of a file.
    pub(super) fn meet(&mut self, path: &RepoPath, file: FileKey, count: u64) {
        self.seen.insert(path.to_owned());
        self.met.insert(file);
        self.note(path, file);
        let known = self.names.get(&file).map_or(0, |names| names.len() as u64);
        if known < count && !self.searched.contains(&file) {
            self.unknown.insert(file);
        } else {
            self.unknown.remove(&file);
        }
    }

    /// Notes that `path` is recorded as a name of the file.
    pub(super) fn note(&mut self, path: &RepoPath, file: FileKey) {
        if self.count < NAMES_MAX && self.names.entry(file).or_default().insert(path.to_owned()) {
            self.count += 1;
        }
    }

    /// True if no file with several names is known.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Notes that `path` is no name of the file any more. What was written through it before can be seen at the others.
    pub(super) fn leave(&mut self, path: &RepoPath, file: FileKey) {
        let Some(names) = self.names.get_mut(&file) else { return };
        self.count -= usize::from(names.remove(path));
        if names.is_empty() {
            self.names.remove(&file);
        } else {
            self.met.insert(file);
        }
    }

    /// The files whose names have to be searched for, once each.
    pub(super) fn take_unknown(&mut self) -> BTreeSet<FileKey> {
        let unknown = std::mem::take(&mut self.unknown);
        if unknown.len() > SEARCHED_MAX || self.searched.len() > NAMES_MAX {
            return BTreeSet::new();
        }
        self.searched.extend(&unknown);
        unknown
    }

    /// The other known names of the files that this update came by. The next update begins anew.
    pub(super) fn take_others(&mut self) -> Vec<RepoPathBuf> {
        let (met, seen) = (std::mem::take(&mut self.met), std::mem::take(&mut self.seen));
        let others = met.iter().filter_map(|file| self.names.get(file)).flatten();
        others.filter(|path| !seen.contains(*path)).cloned().collect()
    }
}
