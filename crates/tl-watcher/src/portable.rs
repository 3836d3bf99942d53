//! The portable backend: the crate `notify` over whatever the system has.
//!
//! Where the system watches a tree as a whole (FSEvents) one watch is enough. Where it watches directories (inotify, kqueue) this backend
//! goes through the tree itself, by the same rule as the native one: watch, mark as dirty, then list.
//!
//! A drain creates a file, the cookie, and waits until its event comes: the system hands out events in order, so that everything before it
//! has come too.

mod inbox;

use std::collections::HashSet;
use std::io;
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
    watched: HashSet<Box<[u8]>>,
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
            watched: HashSet::new(),
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
            let run = move || {
                while !stop.load(Ordering::Acquire) {
                    inbox.wait_for_directories();
                    let mut walk = walk.lock();
                    walk.check_root();
                    // Taken under the lock: what a drain does not find here has been gone through.
                    let found = inbox.directories();
                    walk.scan(found);
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
        Ok(())
    }

    /// Watched directories.
    pub(crate) fn watches(&self) -> usize {
        let walk = self.walk.lock();
        if walk.by_directory { walk.watched.len() } else { 1 }
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
    fn scan(&mut self, mut pending: Vec<Box<[u8]>>) {
        if !self.by_directory {
            return;
        }
        while let Some(path) = pending.pop() {
            let directory = match beneath::open_directory(self.root.directory().as_fd(), &path) {
                Ok(directory) => directory,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                    self.watched.retain(|known| !crate::path::is_within(known, &path));
                    continue;
                }
                Err(Errno::ACCESS | Errno::PERM) => {
                    self.changes.marks().counters().denied += 1;
                    continue;
                }
                Err(error) => {
                    self.changes.marks().scan(&path, ScanReason::Refused(error.to_string()));
                    continue;
                }
            };
            if !self.watch(&path) {
                continue;
            }
            self.changes.marks().watched_from_now(&path);
            self.watched.insert(path.clone());
            if let Err(error) = self.subdirectories(&path, directory, &mut pending) {
                self.changes.marks().scan(&path, ScanReason::Refused(error.to_string()));
            }
        }
    }

    fn watch(&mut self, path: &[u8]) -> bool {
        let place = self.path.join(RelPath::trusted(path).as_path());
        let Err(error) = self.watcher.watch(&place, RecursiveMode::NonRecursive) else { return true };
        let reason = match error.kind {
            notify::ErrorKind::MaxFilesWatch => ScanReason::WatchLimit,
            notify::ErrorKind::PathNotFound => return false,
            notify::ErrorKind::Io(error) if error.kind() == io::ErrorKind::NotFound => return false,
            notify::ErrorKind::Io(error) if error.kind() == io::ErrorKind::StorageFull => ScanReason::WatchLimit,
            _ => ScanReason::Refused(error.to_string()),
        };
        self.changes.marks().scan(path, reason);
        false
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
