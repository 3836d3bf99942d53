//! Setting watches: a directory is opened, watched, marked, and then listed for further directories. In slices, as the kernel's queue must not
//! wait.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Dir, FileType, fstat, inotify};
use rustix::io::Errno;

use super::table::{NodeId, ROOT, place};
use super::{Native, directory_mask, root_mask, watch};
use crate::batch::RescanReason;
use crate::beneath;
use crate::filesystem::reason_to_scan;
use crate::path::join;
use crate::stats::ScanReason;

/// Entries that are looked at between two looks at the queue: less than a millisecond.
const SLICE_ENTRIES: usize = 1024;

/// A directory to be watched.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) path: Box<[u8]>,
    pub(super) depth: Depth,
}

/// How far a task goes into what is watched already. What is not watched yet is always gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Not at all.
    New,
    /// Its subdirectories are listed.
    Listing,
    /// Everything beneath is verified.
    Everything,
}

/// A directory whose entries are being listed.
pub(super) struct Scanning {
    path: Box<[u8]>,
    node: NodeId,
    depth: Depth,
    entries: Dir,
}

/// What came of an attempt to watch a directory.
enum Watched {
    /// It was watched at this place already.
    Known(NodeId),
    /// It is watched from now on.
    New(NodeId),
    /// It was watched, but under another path.
    Moved(NodeId),
    /// Its place is not in the tree (any more), or there is no watch for it.
    Not,
}

impl Native {
    /// Works for a short time at what is to be scanned.
    pub(super) fn scan_slice(&mut self) {
        if self.scanning.is_none() && self.pending.is_empty() {
            std::mem::swap(&mut self.pending, &mut self.incoming);
        }
        self.scan_slice_of_pending();
    }

    pub(super) fn scan_slice_of_pending(&mut self) {
        match self.scanning.take() {
            Some(scanning) => self.list(scanning),
            None => {
                if let Some(task) = self.pending.pop() {
                    self.begin(task);
                }
            }
        }
        if self.census && !self.has_tasks() {
            self.census = false;
            let wds = self.table.end_census();
            self.unwatch_all(wds);
            // Where everything was scanned because too much of it was starved, that is over.
            if !self.starved {
                self.no_longer_scanned(b"");
            }
        }
    }

    fn begin(&mut self, task: Task) {
        if task.path.is_empty() && task.depth == Depth::Everything {
            self.census = true;
            self.starved = false;
            self.table.begin_census();
        }
        let directory = match beneath::open_directory(self.root.directory().as_fd(), &task.path) {
            Ok(directory) => directory,
            // Gone or replaced by now: its own event says so.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return self.no_longer_scanned(&task.path),
            Err(Errno::ACCESS | Errno::PERM) => {
                // It can neither be watched nor read. A change of its permissions is an event of its parent.
                self.changes.marks().counters().denied += 1;
                return;
            }
            Err(error) => {
                self.changes.marks().scan(&task.path, ScanReason::Refused(error.to_string()));
                return;
            }
        };
        let (node, depth) = match self.watch_directory(&task.path, &directory) {
            Watched::Known(_) if task.depth == Depth::New => return,
            Watched::Known(node) | Watched::New(node) => (node, task.depth),
            // What is beneath it may have been met under either path.
            Watched::Moved(node) => (node, Depth::Everything),
            Watched::Not => return,
        };
        self.table.seen(node);
        match Dir::new(directory) {
            Ok(entries) => self.scanning = Some(Scanning { path: task.path, node, depth, entries }),
            Err(error) => self.changes.marks().scan(&task.path, ScanReason::Refused(error.to_string())),
        }
    }

    /// Sets the watch of an open directory and enters it into the table.
    fn watch_directory(&mut self, path: &[u8], directory: &OwnedFd) -> Watched {
        if path.is_empty() {
            return Watched::Known(ROOT);
        }
        if self.mounts.contains(path)
            && let Some(reason) = reason_to_scan(directory)
        {
            self.changes.marks().scan(path, reason);
            return Watched::Not;
        }
        let Some((parent, name)) = place(&self.table, path) else { return Watched::Not };
        if self.table.len() >= self.watches_max && self.table.child(parent, name).is_none() {
            self.starve(path);
            return Watched::Not;
        }
        let wd = match watch(&self.queue, directory, directory_mask()) {
            Ok(wd) => wd,
            Err(Errno::NOSPC) => {
                self.starve(path);
                return Watched::Not;
            }
            Err(error) => {
                self.changes.marks().scan(path, ScanReason::Refused(error.to_string()));
                return Watched::Not;
            }
        };
        let watched = match self.table.by_wd(wd) {
            Some(ROOT) => {
                // The root, mounted beneath itself. The watch was just changed to that of an ordinary directory.
                if let Err(error) = watch(&self.queue, self.root.directory(), root_mask()) {
                    tracing::warn!(%error, "cannot restore the root's watch");
                }
                self.changes.marks().scan(path, ScanReason::Alias);
                return Watched::Not;
            }
            // It left, and is back at its place before it was given up: it stays watched, and what happened beneath it while it was away was told
            // under paths that led nowhere.
            Some(node) if self.take_back(node) => self.move_to(node, parent, name),
            Some(node) if self.table.stands_at(node, parent, name) => {
                self.no_longer_scanned(path);
                return Watched::Known(node);
            }
            Some(node) if self.is_alias(node, path, directory) => {
                self.changes.marks().scan(path, ScanReason::Alias);
                return Watched::Not;
            }
            Some(node) => self.move_to(node, parent, name),
            None => Watched::New(self.table.insert(parent, name, wd)),
        };
        // Whoever asked about the rules here before it was watched may have read them before they changed, or those of another directory.
        self.changes.filter.rules().forget_beneath(path);
        match watched {
            Watched::New(_) => self.changes.marks().watched_from_now(path),
            // What happened anywhere beneath it was told under the path that it was taken to have.
            Watched::Moved(_) => self.changes.marks().subtree(path, RescanReason::Uncertain),
            Watched::Known(_) | Watched::Not => {}
        }
        self.no_longer_scanned(path);
        watched
    }

    /// Moves a directory in the table to where it was found.
    fn move_to(&mut self, node: NodeId, parent: NodeId, name: &[u8]) -> Watched {
        if self.table.replace(node, parent, name) {
            Watched::Moved(node)
        } else {
            // Some directory on the way to it is not the one that the table knows there. The event that says so is still to come; then everything
            // beneath is gone through.
            Watched::Not
        }
    }

    fn no_longer_scanned(&self, path: &[u8]) {
        let mut marks = self.changes.marks();
        if !marks.no_scans() {
            marks.end_scan(path);
        }
    }

    /// There was no watch for `path`.
    fn starve(&mut self, path: &[u8]) {
        self.starved = true;
        self.changes.marks().scan(path, ScanReason::WatchLimit);
    }

    /// Ends the wait for a directory that left its place. True if it was waited for.
    fn take_back(&mut self, node: NodeId) -> bool {
        let before = self.moves.len();
        self.moves.retain(|departure| departure.node != node);
        self.moves.len() < before
    }

    /// True if the directory that `node` stands for is still found at its own path, which is another than `path`, and is the same as `directory`,
    /// and something is mounted on the way to one of them: then it has two paths. Without a mount it has just moved from one to the other and back.
    pub(super) fn is_alias(&mut self, node: NodeId, path: &[u8], directory: &OwnedFd) -> bool {
        let mut own = Vec::new();
        self.table.path(node, &mut own);
        if own == path {
            return false;
        }
        let Ok(other) = beneath::open_directory(self.root.directory().as_fd(), &own) else { return false };
        let is_same = match (fstat(directory), fstat(&other)) {
            (Ok(here), Ok(there)) => (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino),
            _ => false,
        };
        if !is_same {
            return false;
        }
        // It may have been mounted just now.
        self.refresh_mounts();
        self.mounts.is_above(path) || self.mounts.is_above(&own)
    }

    /// Looks at the next entries of a directory.
    fn list(&mut self, mut scanning: Scanning) {
        for _ in 0..SLICE_ENTRIES {
            let entry = match scanning.entries.read() {
                Some(Ok(entry)) => entry,
                Some(Err(Errno::NOENT)) | None => return,
                Some(Err(error)) => {
                    self.changes.marks().scan(&scanning.path, ScanReason::Refused(error.to_string()));
                    return;
                }
            };
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") || !is_directory(&scanning.entries, name, entry.file_type()) {
                continue;
            }
            let known = self.table.child(scanning.node, name);
            if !self.changes.filter.admits(&scanning.path, name, true) {
                if let Some(node) = known {
                    self.forget(node);
                }
            } else if scanning.depth == Depth::Everything || known.is_none() {
                let path = join(&scanning.path, name).into();
                let depth = if scanning.depth == Depth::Everything { Depth::Everything } else { Depth::New };
                self.pending.push(Task { path, depth });
            }
        }
        self.scanning = Some(scanning);
    }

    /// Tries again to watch what there were too few watches for.
    pub(super) fn retry_starved(&mut self) {
        let starved = self.changes.marks().starved();
        self.incoming.extend(starved.into_iter().map(|path| Task { path, depth: Depth::Everything }));
    }

    /// Events may have been lost: every watch is looked at again. What is gone for good is found by it too.
    pub(super) fn verify_all(&mut self) {
        self.moves.clear();
        self.verify(b"");
    }

    /// Something was mounted or unmounted.
    pub(super) fn refresh_mounts(&mut self) {
        let Some(root) = self.root.found_at() else { return };
        match self.mounts.refresh(&root) {
            Ok(changed) => {
                for path in changed {
                    self.changes.marks().subtree(&path, RescanReason::Uncertain);
                    self.verify(&path);
                }
            }
            Err(error) => tracing::warn!(%error, "cannot read the list of mounts"),
        }
    }
}

/// Not every filesystem tells the kind of an entry in its directory.
fn is_directory(entries: &Dir, name: &[u8], told: FileType) -> bool {
    match told {
        FileType::Directory => true,
        FileType::Unknown => {
            let Ok(directory) = entries.fd() else { return false };
            beneath::kind_of(directory.as_fd(), name).is_ok_and(|kind| kind == Some(FileType::Directory))
        }
        _ => false,
    }
}

/// Kept apart from [`watch`], as the path is a name that the caller gives and not an open directory.
pub(super) fn watch_outside(
    queue: &OwnedFd,
    directory: &std::path::Path,
    mask: inotify::WatchFlags,
) -> rustix::io::Result<i32> {
    inotify::add_watch(queue, directory, mask)
}
