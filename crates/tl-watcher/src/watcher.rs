//! The watcher: one interface before all backends.

use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use rustix::fs::FileType;

use crate::batch::{Batch, RootEvent, Skipped, SpecialKind};
use crate::beneath::Lookup;
use crate::changes::Changes;
#[cfg(not(target_os = "linux"))]
use crate::config::Fidelity;
use crate::config::{Backend, WatchConfig};
use crate::error::{Error, Result};
#[cfg(target_os = "linux")]
use crate::native::{NativeEngine, Unavailable};
use crate::path::RelPath;
use crate::portable::PortableEngine;
use crate::root::Root;
use crate::settle::Activity;
use crate::stats::{Mode, ScanReason, Stats};

/// Watches one directory tree and says what may have changed in it.
///
/// When [`Watcher::start`] returns, everything that happens in the tree from then on is seen. The first batch asks for a rescan, as nothing is known
/// about the time before. From then on the consumer calls [`Watcher::wait`] in a loop, looks at what the batch names, and tells the watcher
/// of each checkpoint that came of it by [`Watcher::checkpointed`]. One thread waits; the other methods may be called from any thread.
///
/// What the operating system tells nobody about is listed at [`Stats`]. If a file has more than one name in the tree, an event names the one that
/// it was written through: whoever keeps contents looks at its other names too.
pub struct Watcher {
    engine: Engine,
    changes: Arc<Changes>,
    root: OwnedFd,
}

enum Engine {
    #[cfg(target_os = "linux")]
    Native(NativeEngine),
    Portable(PortableEngine),
    /// No events: the root is looked at whenever something is handed out.
    Scan(Mutex<Root>),
}

impl Watcher {
    /// Begins to watch.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`] and [`Error::NotADirectory`] for a wrong configuration, [`Error::Io`] if the root cannot be opened,
    /// [`Error::BackendUnavailable`] if a backend was asked for by name and is not to be had. With [`Backend::Auto`] that is no error: the tree is
    /// scanned, and [`Watcher::stats`] says why.
    pub fn start(config: WatchConfig) -> Result<Self> {
        config.check()?;
        let opened = |action| {
            let path = config.root.clone();
            move |source| Error::Io { action, path, source }
        };
        let root = File::open(&config.root).map_err(opened("open the directory"))?;
        if !root.metadata().map_err(opened("look at"))?.is_dir() {
            return Err(Error::NotADirectory { path: config.root });
        }
        let root = OwnedFd::from(root);
        let again = root.try_clone().map_err(opened("open the directory"))?;
        let changes = Arc::new(Changes::new(&config));
        let engine = match config.backend {
            Backend::Auto => automatic(&config, &changes, again)?,
            Backend::Native => native(&config, &changes, again)?,
            Backend::Portable(fidelity) => Engine::Portable(PortableEngine::start(&config, &changes, again, fidelity)?),
            Backend::Scan => scan(&config, &changes, again, ScanReason::Asked)?,
        };
        Ok(Self { engine, changes, root })
    }

    /// What may have changed, as soon as something has settled; an empty batch at `deadline`.
    pub fn wait(&self, deadline: Instant) -> Batch {
        loop {
            let batch = self.changes.wait(deadline);
            if self.is_gone_unseen() {
                // What was taken for changes was the end of the root.
                continue;
            }
            let came_with_something = !batch.is_empty();
            let batch = self.without_special_files(batch);
            if !batch.is_empty() || !came_with_something || Instant::now() >= deadline {
                return batch;
            }
        }
    }

    /// A barrier: everything that any process of this machine wrote before the call is in the batch that this returns, in a batch that was handed
    /// out before, or will be found by the rescan that it asks for. Settled or not: files that are still open are in it. What is only scanned is
    /// in it as a whole.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if events cannot be read.
    pub fn drain(&self) -> Result<Batch> {
        match &self.engine {
            #[cfg(target_os = "linux")]
            Engine::Native(engine) => engine.drain()?,
            Engine::Portable(engine) => engine.drain()?,
            Engine::Scan(_) => {
                self.is_gone_unseen();
                if self.changes.ended().is_none() && self.changes.filter.rules().refresh_excludes() {
                    self.changes.marks().rules_changed(b"");
                }
            }
        }
        Ok(self.without_special_files(self.changes.take_all()))
    }

    /// A checkpoint was made of what was handed out. Too many of them in a short time, and changes are coalesced.
    pub fn checkpointed(&self) {
        self.changes.checkpointed();
    }

    /// These paths could not be read in a stable state: they come again in a later batch.
    pub fn requeue(&self, paths: &[RelPath]) {
        let mut marks = self.changes.marks();
        for path in paths {
            let (directory, name) = crate::path::split(path.as_bytes());
            marks.path(directory, name, Activity::Requeued);
        }
    }

    /// Lets a waiting [`Watcher::wait`], or else the next one, return at once.
    pub fn interrupt(&self) {
        self.changes.interrupt();
    }

    /// The state of the watcher.
    pub fn stats(&self) -> Stats {
        let (mode, watches, kernel_bytes, table_bytes) = match &self.engine {
            #[cfg(target_os = "linux")]
            Engine::Native(engine) => {
                let stats = engine.stats();
                (Mode::Native, stats.watches, stats.kernel_bytes, stats.table_bytes)
            }
            Engine::Portable(engine) => (Mode::Portable, engine.watches(), 0, 0),
            Engine::Scan(_) => (Mode::Scan, 0, 0, 0),
        };
        let counters = self.changes.counters();
        Stats {
            mode: self.changes.ended().map_or(mode, Mode::Ended),
            scanned: self.changes.scanned(),
            watches,
            kernel_bytes,
            table_bytes,
            events: counters.events,
            overflows: counters.overflows,
            dirty: self.changes.dirty_len(),
            denied: counters.denied,
        }
    }

    /// Looks what became of the root where no event tells. True if its end was found just now.
    fn is_gone_unseen(&self) -> bool {
        let Engine::Scan(root) = &self.engine else { return false };
        let Some(event) = root.lock().look() else { return false };
        let last = event == RootEvent::Removed;
        self.changes.marks().root(event, last);
        last
    }

    /// Takes FIFOs, sockets and devices out of the paths and lists them apart.
    fn without_special_files(&self, mut batch: Batch) -> Batch {
        let mut lookup = Lookup::new(self.root.as_fd());
        let mut skipped = Vec::new();
        batch.paths.retain(|path| {
            // What cannot be looked at is left to the consumer, who has to say why it is missing.
            let kind = lookup.kind_of(path.as_bytes()).ok().flatten();
            let special = kind.and_then(special_kind);
            skipped.extend(special.map(|kind| Skipped { path: path.clone(), kind }));
            special.is_none()
        });
        batch.skipped = skipped;
        batch
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

fn special_kind(kind: FileType) -> Option<SpecialKind> {
    match kind {
        FileType::Fifo => Some(SpecialKind::Fifo),
        FileType::Socket => Some(SpecialKind::Socket),
        FileType::CharacterDevice | FileType::BlockDevice => Some(SpecialKind::Device),
        _ => None,
    }
}

fn scan(config: &WatchConfig, changes: &Changes, root: OwnedFd, reason: ScanReason) -> Result<Engine> {
    let looked_at =
        |error: rustix::io::Errno| Error::Io { action: "look at", path: config.root.clone(), source: error.into() };
    let root = Root::new(root, config.root.clone()).map_err(looked_at)?;
    changes.marks().scan(b"", reason);
    Ok(Engine::Scan(Mutex::new(root)))
}

#[cfg(target_os = "linux")]
fn automatic(config: &WatchConfig, changes: &Arc<Changes>, root: OwnedFd) -> Result<Engine> {
    let again = root.try_clone().map_err(|source| Error::Io {
        action: "open the directory",
        path: config.root.clone(),
        source,
    })?;
    match NativeEngine::start(config, changes, root, false) {
        Ok(engine) => Ok(Engine::Native(engine)),
        Err(Unavailable(reason)) => scan(config, changes, again, reason),
    }
}

#[cfg(not(target_os = "linux"))]
fn automatic(config: &WatchConfig, changes: &Arc<Changes>, root: OwnedFd) -> Result<Engine> {
    let again = root.try_clone().map_err(|source| Error::Io {
        action: "open the directory",
        path: config.root.clone(),
        source,
    })?;
    match PortableEngine::start(config, changes, root, Fidelity::Full) {
        Ok(engine) => Ok(Engine::Portable(engine)),
        Err(error) => scan(config, changes, again, ScanReason::Refused(error.to_string())),
    }
}

#[cfg(target_os = "linux")]
fn native(config: &WatchConfig, changes: &Arc<Changes>, root: OwnedFd) -> Result<Engine> {
    match NativeEngine::start(config, changes, root, true) {
        Ok(engine) => Ok(Engine::Native(engine)),
        Err(Unavailable(reason)) => Err(Error::BackendUnavailable { why: reason.to_string() }),
    }
}

#[cfg(not(target_os = "linux"))]
fn native(_config: &WatchConfig, _changes: &Arc<Changes>, _root: OwnedFd) -> Result<Engine> {
    Err(Error::BackendUnavailable { why: "inotify exists on Linux alone".to_owned() })
}
