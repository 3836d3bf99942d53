//! The native backend: inotify, one instance for a repository.
//!
//! One thread reads. A drain reads on its caller's thread, under the same lock, so that it needs no answer from the reader. Reading comes before
//! everything else: directories are scanned in slices, and between two slices the kernel's queue is emptied.
//!
//! The table of watches follows the events, but events are history and a scan sees the present, so that the two may disagree for a moment.
//! Three rules make sure that every directory ends up watched under its own path:
//! - A directory is opened, watched through its descriptor, marked dirty, and only then listed. What was written before is seen by the
//!   listing, what is written later makes an event.
//! - A watch that turns out to be held by a directory of another path is moved here: this is where it was just found. Everything beneath is
//!   dirty then, as what happened there was told under the other path.
//! - A move re-keys the table at once, so that events get the right path; then everything beneath is verified, as a scan may have met the tree
//!   half before and half after the move, and other ignore rules may hold at the new place.

mod events;
mod mounts;
mod reader;
mod root;
mod scan;
mod side;
mod table;

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use crate::changes::Changes;
use crate::config::WatchConfig;
use crate::root::Root;
use crate::stats::ScanReason;
use mounts::Mounts;
pub(crate) use reader::NativeEngine;
use scan::{Depth, Scanning, Task};
use side::SideWatches;
use table::{NodeId, WatchTable};

/// What the kernel charges a user for one watch, in bytes: the mark, and twice an inode, as `fs/notify/inotify/inotify_user.c` reckons.
pub(crate) const KERNEL_BYTES_PER_WATCH: u64 = 1280;

/// The room for one read of the queue: some two thousand events with short names.
const BUFFER_LEN: usize = 64 * 1024;

/// How long the second half of a rename may be outstanding before the directory counts as moved out of the tree.
const MOVE_PATIENCE: Duration = Duration::from_millis(20);

/// Everything that the reader and a drain share.
pub(crate) struct Native {
    queue: Arc<OwnedFd>,
    changes: Arc<Changes>,
    root: Root,
    /// The root is gone: nothing more can come.
    gone: bool,
    table: WatchTable,
    side: SideWatches,
    mounts: Mounts,
    /// To be scanned, the next one last.
    pending: Vec<Task>,
    /// Found by events; scanned once nothing is pending, so that a drain has an end.
    incoming: Vec<Task>,
    scanning: Option<Scanning>,
    /// A walk over everything is under way; what it does not meet is gone.
    census: bool,
    /// During the walk there were too few watches.
    starved: bool,
    /// Directories that left their place, until it is known where to.
    moves: Vec<Departure>,
    buffer: Box<[MaybeUninit<u8>]>,
    watches_max: usize,
}

struct Departure {
    cookie: u32,
    node: NodeId,
    since: Instant,
}

/// Why there is no native backend; its caller scans instead.
pub(crate) struct Unavailable(pub(crate) ScanReason);

impl Native {
    /// Sets the root's watch and those of everything beneath: when it returns, nothing that happens afterwards is missed.
    fn start(config: &WatchConfig, changes: Arc<Changes>, root: Root) -> Result<Self, Unavailable> {
        let refused = |error: std::io::Error| Unavailable(ScanReason::Refused(error.to_string()));
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(|error| match error {
            Errno::MFILE => Unavailable(ScanReason::InstanceLimit),
            error => refused(error.into()),
        })?;
        let mounts = Mounts::open(&root.found_at().unwrap_or_else(|| config.root.clone()))
            .map_err(|_| Unavailable(ScanReason::NoProcfs))?;
        let wd = watch(&queue, root.directory().as_fd(), root_mask()).map_err(|error| match error {
            Errno::NOSPC => Unavailable(ScanReason::WatchLimit),
            Errno::NOENT => Unavailable(ScanReason::NoProcfs),
            error => refused(error.into()),
        })?;
        let mut native = Self {
            queue: Arc::new(queue),
            changes,
            root,
            gone: false,
            table: WatchTable::new(wd),
            side: SideWatches::default(),
            mounts,
            pending: Vec::new(),
            incoming: Vec::new(),
            scanning: None,
            census: false,
            starved: false,
            moves: Vec::new(),
            buffer: vec![MaybeUninit::uninit(); BUFFER_LEN].into(),
            watches_max: config.watches_max,
        };
        native.set_side_watches();
        native.verify(b"");
        while native.has_tasks() && !native.gone {
            native.scan_slice();
            native.read_events(usize::MAX).map_err(|error| refused(error.into()))?;
        }
        native.table.shrink();
        Ok(native)
    }

    /// Everything beneath `path` is to be looked at again: whether it is watched, and under the right path.
    fn verify(&mut self, path: &[u8]) {
        let task = Task { path: path.into(), depth: Depth::Everything };
        if !self.incoming.contains(&task) {
            self.incoming.push(task);
        }
    }

    fn has_tasks(&self) -> bool {
        self.scanning.is_some() || !self.pending.is_empty() || !self.incoming.is_empty()
    }

    /// Makes sure that the dirty set holds everything that happened before the call.
    fn drain(&mut self) -> rustix::io::Result<()> {
        // What is in the queue now is what happened until now; a writer that goes on must not keep this from ending.
        let queued = usize::try_from(rustix::io::ioctl_fionread(&self.queue)?).unwrap_or(usize::MAX);
        self.read_events(queued)?;
        let mut found = std::mem::take(&mut self.incoming);
        self.pending.append(&mut found);
        while self.scanning.is_some() || !self.pending.is_empty() {
            self.scan_slice_of_pending();
            // What this finds is incoming and is not waited for.
            self.read_events(BUFFER_LEN)?;
        }
        self.check_root();
        Ok(())
    }

    /// Directories that left their place and did not turn up elsewhere are out of the tree.
    fn give_up_moves(&mut self) {
        let now = Instant::now();
        let gone: Vec<NodeId> = self
            .moves
            .extract_if(.., |departure| now.saturating_duration_since(departure.since) >= MOVE_PATIENCE)
            .map(|departure| departure.node)
            .collect();
        for node in gone {
            self.forget(node);
        }
    }

    /// Takes a directory and everything beneath it off the table and gives the watches back.
    fn forget(&mut self, node: NodeId) {
        let wds = self.table.remove(node);
        self.unwatch_all(wds);
    }

    /// Gives back the watches of nodes that were taken off the table, and waits for none of them any more.
    fn unwatch_all(&mut self, wds: Vec<i32>) {
        for wd in wds {
            self.unwatch(wd);
        }
        let table = &self.table;
        self.moves.retain(|departure| table.wd(departure.node).is_some_and(|wd| wd >= 0));
    }

    fn unwatch(&mut self, wd: i32) {
        match inotify::remove_watch(&*self.queue, wd) {
            // The kernel took it back first: the directory is gone.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => tracing::warn!(%error, "cannot give a watch back"),
        }
    }
}

/// Watches the directory behind an open descriptor: exactly that one, whatever its path leads to by now.
fn watch(queue: &OwnedFd, directory: impl AsFd, mask: WatchFlags) -> rustix::io::Result<i32> {
    use std::os::fd::AsRawFd;
    inotify::add_watch(queue, format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd()), mask)
}

/// What is asked of the kernel for each directory. That a directory is gone is told in any case.
fn directory_mask() -> WatchFlags {
    WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
        | WatchFlags::MODIFY
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::ATTRIB
        | WatchFlags::EXCL_UNLINK
        | WatchFlags::ONLYDIR
}

fn root_mask() -> WatchFlags {
    directory_mask() | WatchFlags::MOVE_SELF
}

#[cfg(test)]
mod tests;
