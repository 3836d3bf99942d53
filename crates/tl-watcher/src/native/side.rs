//! Watches beside the tree: what is not recorded but changes what is. The repository's excludes, those of the user, and the directory that
//! holds the root, which alone tells that the root was removed while it is held open.

use std::os::fd::AsFd;
use std::path::Path;

use hashbrown::HashMap;
use rustix::fs::inotify::WatchFlags;

use super::scan::watch_outside;
use super::{Native, watch};
use crate::beneath;

/// By watch descriptor. One directory may have several purposes.
#[derive(Default)]
pub(super) struct SideWatches {
    purposes: HashMap<i32, Vec<Purpose>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Purpose {
    /// The entry whose changes matter.
    name: Box<[u8]>,
    pub(super) matter: Matter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matter {
    /// A file of excludes.
    Excludes,
    /// A directory on the way to one.
    Way,
    /// The root itself.
    Root,
}

impl SideWatches {
    /// What an event of `name` under a descriptor is about.
    pub(super) fn matters(&self, wd: i32, name: &[u8]) -> Vec<Matter> {
        let purposes = self.purposes.get(&wd).map(Vec::as_slice).unwrap_or_default();
        purposes.iter().filter(|purpose| &*purpose.name == name).map(|purpose| purpose.matter).collect()
    }

    /// The kernel took a watch back.
    pub(super) fn forget(&mut self, wd: i32) {
        self.purposes.remove(&wd);
    }

    pub(super) fn len(&self) -> usize {
        self.purposes.len()
    }

    fn add(&mut self, wd: i32, name: &[u8], matter: Matter) {
        let purpose = Purpose { name: name.into(), matter };
        let purposes = self.purposes.entry(wd).or_default();
        if !purposes.contains(&purpose) {
            purposes.push(purpose);
        }
    }
}

/// Added to whatever a watch of the same directory asks for already.
fn side_mask() -> WatchFlags {
    WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::ONLYDIR
        | WatchFlags::MASK_ADD
}

impl Native {
    /// Sets those watches beside the tree that are not set yet. What does not exist is waited for by the watch of the directory above; where
    /// that is impossible, a drain looks at the files.
    pub(super) fn set_side_watches(&mut self) {
        let ways: [(&[u8], &[u8], Matter); 2] =
            [(b".git", b"info", Matter::Way), (b".git/info", b"exclude", Matter::Excludes)];
        for (directory, name, matter) in ways {
            let Ok(opened) = beneath::open_directory(self.root.directory().as_fd(), directory) else { continue };
            match watch(&self.queue, &opened, side_mask()) {
                Ok(wd) => self.side.add(wd, name, matter),
                Err(error) => tracing::debug!(%error, "cannot watch the repository's excludes"),
            }
        }
        for file in self.changes.filter.rules().outside_files() {
            self.watch_file(&file, Matter::Excludes);
        }
        if let Some(root) = self.root.found_at() {
            self.watch_file(&root, Matter::Root);
        }
    }

    fn watch_file(&mut self, file: &Path, matter: Matter) {
        use std::os::unix::ffi::OsStrExt;
        let (Some(directory), Some(name)) = (file.parent(), file.file_name()) else { return };
        match watch_outside(&self.queue, directory, side_mask()) {
            Ok(wd) => self.side.add(wd, name.as_bytes(), matter),
            Err(error) => tracing::debug!(%error, directory = %directory.display(), "cannot watch beside the tree"),
        }
    }
}
