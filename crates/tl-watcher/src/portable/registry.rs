//! Which directory was watched at which path. `notify` knows watches by their paths alone: when a directory that it knows is watched under a
//! second path, the first one stays in its list and takes the watch along when something is removed there. So each is given back under its
//! former path before it is watched under the next.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use crate::path::is_within;

/// What tells one directory from another, as long as it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct DirectoryId {
    device: u64,
    inode: u64,
}

impl DirectoryId {
    /// That of an open directory, which is given back.
    pub(super) fn of(directory: OwnedFd) -> io::Result<(Self, OwnedFd)> {
        let file = File::from(directory);
        let metadata = file.metadata()?;
        Ok((Self { device: metadata.dev(), inode: metadata.ino() }, file.into()))
    }
}

/// See the module. Each directory stands at one path, and at each path one directory.
#[derive(Debug, Default)]
pub(super) struct Registry {
    by_path: BTreeMap<Box<[u8]>, DirectoryId>,
    by_id: HashMap<DirectoryId, Box<[u8]>>,
}

impl Registry {
    pub(super) fn len(&self) -> usize {
        self.by_path.len()
    }

    pub(super) fn path_of(&self, id: DirectoryId) -> Option<&[u8]> {
        self.by_id.get(&id).map(|path| &**path)
    }

    pub(super) fn at(&self, path: &[u8]) -> Option<DirectoryId> {
        self.by_path.get(path).copied()
    }

    /// Enters a directory. What was known of its path and of itself is forgotten.
    pub(super) fn insert(&mut self, path: &[u8], id: DirectoryId) {
        self.remove(path);
        if let Some(former) = self.by_id.insert(id, path.into()) {
            self.by_path.remove(&former);
        }
        self.by_path.insert(path.into(), id);
    }

    pub(super) fn remove(&mut self, path: &[u8]) {
        if let Some(id) = self.by_path.remove(path) {
            self.by_id.remove(&id);
        }
    }

    /// The paths at and beneath `path` that something is watched at.
    pub(super) fn within(&self, path: &[u8]) -> Vec<Box<[u8]>> {
        // Whatever begins with its bytes follows it; not all of that lies beneath it.
        let begins = self.by_path.range::<[u8], _>((Bound::Included(path), Bound::Unbounded));
        let begins = begins.take_while(|(known, _)| known.starts_with(path));
        begins.filter(|(known, _)| is_within(known, path)).map(|(known, _)| known.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(inode: u64) -> DirectoryId {
        DirectoryId { device: 1, inode }
    }

    /// If it fails, a path that was left behind is given up later together with the watch of a directory that stands elsewhere.
    #[test]
    fn a_directory_has_one_path_and_a_path_one_directory() {
        let mut registry = Registry::default();
        registry.insert(b"a", id(1));
        registry.insert(b"b", id(2));
        registry.insert(b"b", id(1));
        assert_eq!((registry.at(b"a"), registry.at(b"b"), registry.path_of(id(2))), (None, Some(id(1)), None));
        assert_eq!((registry.path_of(id(1)), registry.len()), (Some(&b"b"[..]), 1));
    }

    #[test]
    fn what_lies_beneath_is_told_from_what_begins_alike() {
        let mut registry = Registry::default();
        for (path, inode) in [(&b"a"[..], 1), (b"a-b", 2), (b"a/b", 3), (b"a/b/c", 4), (b"ab", 5), (b"b", 6)] {
            registry.insert(path, id(inode));
        }
        let within: Vec<Box<[u8]>> = [&b"a"[..], b"a/b", b"a/b/c"].map(Box::from).into();
        assert_eq!(registry.within(b"a"), within);
        assert_eq!(registry.within(b"").len(), 6);
    }
}
