//! The portable backend: the crate `notify` over whatever the system has.
//!
//! Where the system watches a tree as a whole (FSEvents) one watch is enough. Where it watches directories (inotify, kqueue) this backend
//! goes through the tree itself, by the same rule as the native one: watch, mark as dirty, then list.
//!
//! `notify` follows paths, which lead elsewhere while it does so, and gives a watch back by the path that it was set under. So a directory that
//! has moved is given back under its former path before it is watched under the next ([`Registry`]); after it was watched it is looked whether its
//! path still leads to it, and if not, everything is gone through; and wherever something was removed or renamed, it is looked what stands
//! there now. What remains: a link that takes a directory's place and gives it back within the few microseconds between two looks.
//!
//! A drain creates a file, the cookie, and waits until its event comes: the system hands out events in order, so that everything before it
//! has come too.

mod inbox;
mod registry;

use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use notify::{Config, RecommendedWatcher, RecursiveMode, Watcher, WatcherKind};
use parking_lot::Mutex;
use rustix::fs::{Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::batch::{RescanReason, RootEvent};
use crate::beneath;
use crate::changes::Changes;
use crate::config::{Fidelity, WatchConfig};
use crate::error::{Error, Result};
use crate::path::{RelPath, join};
use crate::root::Root;
use crate::rules::COOKIE_PREFIX;
use crate::stats::ScanReason;
use inbox::Inbox;
use registry::{DirectoryId, Registry};

/// How often a directory is asked for that stands at its path before and after, and not in between.
const WATCH_ATTEMPTS: usize = 8;

/// The portable backend at work.
pub(crate) struct PortableEngine {
    walk: Arc<Mutex<Walk>>,
    inbox: Arc<Inbox>,
    changes: Arc<Changes>,
    barrier_timeout: Duration,
    stop: Arc<AtomicBool>,
    walker: Option<JoinHandle<()>>,
}

/// Going through the tree, by the walker's thread or by a drain.
struct Walk {
    watcher: RecommendedWatcher,
    changes: Arc<Changes>,
    root: Root,
    /// The root's path as events show it.
    path: PathBuf,
    /// Each directory needs a watch of its own.
    by_directory: bool,
    registry: Registry,
    /// Something may be watched under a path that is not its own: everything is to be gone through.
    in_doubt: bool,
    cookies: u64,
}

impl PortableEngine {
    pub(crate) fn start(
        config: &WatchConfig,
        changes: &Arc<Changes>,
        root: OwnedFd,
        fidelity: Fidelity,
    ) -> Result<Self> {
        let failed = |source: io::Error| Error::Io { action: "watch", path: config.root.clone(), source };
        let unavailable = |error: notify::Error| Error::BackendUnavailable { why: error.to_string() };
        let path = config.root.canonicalize().map_err(failed)?;
        let by_directory = matches!(RecommendedWatcher::kind(), WatcherKind::Inotify | WatcherKind::Kqueue);
        let closes = RecommendedWatcher::kind() == WatcherKind::Inotify && fidelity == Fidelity::Full;
        let directory = root.try_clone().map_err(failed)?;
        let inbox = Arc::new(Inbox::new(Arc::clone(changes), directory, path.clone(), fidelity, closes));
        let receiver = Arc::clone(&inbox);
        let settings = Config::default().with_follow_symlinks(false);
        let watcher = RecommendedWatcher::new(move |event| receiver.receive(event), settings).map_err(unavailable)?;
        let root = Root::new(root, config.root.clone()).map_err(|error| failed(error.into()))?;
        let mut walk = Walk {
            watcher,
            changes: Arc::clone(changes),
            root,
            path,
            by_directory,
            registry: Registry::default(),
            in_doubt: false,
            cookies: 0,
        };
        if by_directory {
            walk.scan(vec![Box::default()]);
        } else {
            let path = walk.path.clone();
            walk.watcher.watch(&path, RecursiveMode::Recursive).map_err(unavailable)?;
        }
        let walk = Arc::new(Mutex::new(walk));
        let stop = Arc::new(AtomicBool::new(false));
        let walker = {
            let (walk, inbox, stop) = (Arc::clone(&walk), Arc::clone(&inbox), Arc::clone(&stop));
            let retry_interval = config.scan_interval;
            let run = move || {
                let mut retry_at = Instant::now() + retry_interval;
                while !stop.load(Ordering::Acquire) {
                    inbox.wait_for_directories(retry_at);
                    let mut walk = walk.lock();
                    walk.check_root();
                    // Taken under the lock: what a drain does not find here has been gone through.
                    let mut found = inbox.directories();
                    if Instant::now() >= retry_at {
                        found.extend(walk.changes.marks().starved());
                        retry_at = Instant::now() + retry_interval;
                    }
                    walk.scan(found);
                    if walk.in_doubt {
                        inbox.wake_walker();
                    }
                }
            };
            thread::Builder::new().name("tl-walker".to_owned()).spawn(run).map_err(failed)?
        };
        let (changes, barrier_timeout) = (Arc::clone(changes), config.barrier_timeout);
        Ok(Self { walk, inbox, changes, barrier_timeout, stop, walker: Some(walker) })
    }

    /// Makes sure that the dirty set holds everything that happened before the call.
    pub(crate) fn drain(&self) -> Result<()> {
        let mut walk = self.walk.lock();
        walk.check_root();
        if self.changes.ended().is_some() {
            return Ok(());
        }
        if self.changes.filter.rules().refresh_excludes() {
            self.changes.marks().rules_changed(b"");
            self.inbox.look_at(b"");
        }
        let confirmed = match walk.put_cookie() {
            Ok(cookie) => self.inbox.wait_for_cookie(&cookie, Instant::now() + self.barrier_timeout),
            Err(error) => {
                tracing::debug!(%error, "cannot put a file into the tree to see whether all events have come");
                false
            }
        };
        if !confirmed {
            self.changes.marks().rescan(RescanReason::Uncertain);
        }
        walk.scan(self.inbox.directories());
        if walk.in_doubt {
            self.inbox.wake_walker();
        }
        Ok(())
    }

    /// Watched directories.
    pub(crate) fn watches(&self) -> usize {
        let walk = self.walk.lock();
        if walk.by_directory { walk.registry.len() } else { 1 }
    }
}

impl Drop for PortableEngine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.inbox.wake_walker();
        if self.walker.take().is_some_and(|walker| walker.join().is_err()) {
            tracing::error!("the walker panicked");
        }
        self.changes.interrupt();
    }
}

impl Walk {
    /// Watches these directories and everything beneath them, known or not: what `notify` lost in a move is found again.
    fn scan(&mut self, pending: Vec<Box<[u8]>>) {
        if !self.by_directory {
            return;
        }
        self.visit(pending);
        if mem::take(&mut self.in_doubt) {
            // Once: whoever brings doubt about again meanwhile wakes the walker.
            self.visit(vec![Box::default()]);
        }
    }

    fn visit(&mut self, mut pending: Vec<Box<[u8]>>) {
        while let Some(path) = pending.pop() {
            let opened = beneath::open_directory(self.root.directory().as_fd(), &path);
            let (id, directory) = match opened.map_err(io::Error::from).and_then(DirectoryId::of) {
                Ok(found) => found,
                Err(error) => {
                    self.cannot_open(&path, &error);
                    continue;
                }
            };
            if !self.watch(&path, id) {
                continue;
            }
            // Whoever asked about the rules here before it was watched may have read them before they changed.
            self.changes.filter.rules().forget_beneath(&path);
            {
                let mut marks = self.changes.marks();
                marks.watched_from_now(&path);
                marks.end_scan(&path);
            }
            if let Err(error) = self.subdirectories(&path, directory, &mut pending) {
                self.changes.marks().scan(&path, ScanReason::Refused(error.to_string()));
            }
        }
    }

    fn cannot_open(&mut self, path: &[u8], error: &io::Error) {
        match Errno::from_io_error(error) {
            // Gone, or another kind of thing: its own event says so. What was watched here stands elsewhere, if it exists at all, and is found
            // there.
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                self.release_within(path);
                self.changes.marks().end_scan(path);
            }
            Some(Errno::ACCESS | Errno::PERM) => self.changes.marks().counters().denied += 1,
            _ => self.changes.marks().scan(path, ScanReason::Refused(error.to_string())),
        }
    }

    /// Watches the directory `id`, which was just found at `path`. True if it is watched there from now on.
    fn watch(&mut self, path: &[u8], id: DirectoryId) -> bool {
        if let Some(former) = self.registry.path_of(id).filter(|former| *former != path).map(<[u8]>::to_vec) {
            if self.is_at(&former, id) && self.is_at(path, id) {
                self.changes.marks().scan(path, ScanReason::Alias);
                return false;
            }
            self.release(&former);
        }
        if self.registry.at(path).is_some_and(|known| known != id) {
            self.release_within(path);
        }
        let place = self.place(path);
        let mut last = String::new();
        for _ in 0..WATCH_ATTEMPTS {
            let Err(error) = self.watcher.watch(&place, RecursiveMode::NonRecursive) else {
                if self.is_at(path, id) {
                    self.registry.insert(path, id);
                    return true;
                }
                self.mistaken(path);
                return false;
            };
            last = error.to_string();
            match error.kind {
                notify::ErrorKind::MaxFilesWatch => return self.starve(path),
                notify::ErrorKind::Io(error) if error.kind() == io::ErrorKind::StorageFull => return self.starve(path),
                // Its own event says what became of it. If it is back, it is asked for again.
                _ if !self.is_at(path, id) => return false,
                _ => {}
            }
        }
        self.changes.marks().scan(path, ScanReason::Refused(last));
        false
    }

    /// While `notify` followed its path, something else stood there: that is watched now, under a path that is not its own. If it was a link,
    /// what it leads to is a directory of which no event will tell; so everything is in doubt.
    fn mistaken(&mut self, path: &[u8]) {
        self.release(path);
        self.in_doubt = true;
    }

    /// There is no watch left for `path`.
    fn starve(&mut self, path: &[u8]) -> bool {
        self.changes.marks().scan(path, ScanReason::WatchLimit);
        false
    }

    /// Gives back what was watched at and beneath `path`: it stands elsewhere, if it still exists, and is found there.
    fn release_within(&mut self, path: &[u8]) {
        for known in self.registry.within(path) {
            self.release(&known);
        }
    }

    /// Gives back whatever `notify` watches at `path`.
    fn release(&mut self, path: &[u8]) {
        self.registry.remove(path);
        let place = self.place(path);
        if let Err(error) = self.watcher.unwatch(&place) {
            // It may have given it back itself when it read of a removal.
            tracing::trace!(%error, "no watch to give back");
        }
    }

    fn place(&self, path: &[u8]) -> PathBuf {
        self.path.join(RelPath::trusted(path).as_path())
    }

    /// True if the directory `id` stands at `path`.
    fn is_at(&self, path: &[u8], id: DirectoryId) -> bool {
        let opened = beneath::open_directory(self.root.directory().as_fd(), path).map_err(io::Error::from);
        opened.and_then(DirectoryId::of).is_ok_and(|(found, _)| found == id)
    }

    fn subdirectories(&self, path: &[u8], directory: OwnedFd, pending: &mut Vec<Box<[u8]>>) -> rustix::io::Result<()> {
        for entry in Dir::new(directory)? {
            let entry = match entry {
                Err(Errno::NOENT) => return Ok(()),
                entry => entry?,
            };
            let name = entry.file_name().to_bytes();
            let may_be_directory = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
            if may_be_directory && !matches!(name, b"." | b"..") && self.changes.filter.admits(path, name, true) {
                // What is no directory after all is left out when it is opened.
                pending.push(join(path, name).into());
            }
        }
        Ok(())
    }

    /// Creates the cookie and removes it again. Returns its name.
    fn put_cookie(&mut self) -> rustix::io::Result<Vec<u8>> {
        self.cookies += 1;
        let suffix = format!("{}-{}", std::process::id(), self.cookies);
        let name = [COOKIE_PREFIX, suffix.as_bytes()].concat();
        // Out of the user's sight where that is watched too.
        let repository =
            if self.by_directory { None } else { beneath::open_directory(self.root.directory().as_fd(), b".git").ok() };
        let directory = repository.as_ref().unwrap_or(self.root.directory());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        drop(rustix::fs::openat(directory, &name[..], flags, Mode::RUSR | Mode::WUSR)?);
        rustix::fs::unlinkat(directory, &name[..], rustix::fs::AtFlags::empty())?;
        Ok(name)
    }

    fn check_root(&mut self) {
        if let Some(event) = self.root.look() {
            let last = event == RootEvent::Removed;
            self.changes.marks().root(event, last);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
