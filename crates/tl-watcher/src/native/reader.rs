//! The thread that reads, and the handle to it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use super::{KERNEL_BYTES_PER_WATCH, MOVE_PATIENCE, Native, Unavailable};
use crate::batch::RescanReason;
use crate::changes::Changes;
use crate::config::WatchConfig;
use crate::error::{Error, Result};
use crate::filesystem::reason_to_scan;
use crate::root::Root;
use crate::stats::ScanReason;

/// After a read of more events than this there are many writers: the next read waits a moment, so that it is worth its two switches of
/// context. At a million events a second the kernel's queue holds sixteen such moments.
const BUSY_EVENTS: usize = 32;
const BUSY_PAUSE: Duration = Duration::from_millis(1);

/// What is read under one hold of the lock, in bytes, so that a drain gets its turn whatever the writers do.
const READ_LEN_MAX: usize = 1 << 20;

/// How often the root is looked at when the directory that holds it cannot be watched, or the kernel gives no notice.
const ROOT_INTERVAL: Duration = Duration::from_secs(60);

/// The native backend at work.
pub(crate) struct NativeEngine {
    native: Arc<Mutex<Native>>,
    changes: Arc<Changes>,
    stop: Arc<AtomicBool>,
    wake: Arc<OwnedFd>,
    reader: Option<JoinHandle<()>>,
}

/// What the native backend says about itself.
pub(crate) struct NativeStats {
    pub(crate) watches: usize,
    pub(crate) kernel_bytes: u64,
    pub(crate) table_bytes: usize,
}

impl NativeEngine {
    /// Watches the tree. `forced`: even where events are known to be incomplete.
    pub(crate) fn start(
        config: &WatchConfig,
        changes: &Arc<Changes>,
        root: OwnedFd,
        forced: bool,
    ) -> Result<Self, Unavailable> {
        if !forced && let Some(reason) = reason_to_scan(&root) {
            return Err(Unavailable(reason));
        }
        let refused = |error: String| Unavailable(ScanReason::Refused(error));
        let root = Root::new(root, config.root.clone()).map_err(|error| refused(error.to_string()))?;
        let native = Native::start(config, Arc::clone(changes), root)?;
        let wake =
            eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|error| refused(error.to_string()))?;
        let wake = Arc::new(wake);
        let stop = Arc::new(AtomicBool::new(false));
        let queue = Arc::clone(&native.queue);
        let mounts = native.mounts.fd().try_clone_to_owned().map_err(|error| refused(error.to_string()))?;
        let native = Arc::new(Mutex::new(native));
        let reader = Reader {
            native: Arc::clone(&native),
            changes: Arc::clone(changes),
            queue,
            mounts,
            wake: Arc::clone(&wake),
            stop: Arc::clone(&stop),
            retry_interval: config.scan_interval,
        };
        let reader = thread::Builder::new()
            .name("tl-watcher".to_owned())
            .spawn(move || reader.run())
            .map_err(|error| refused(error.to_string()))?;
        Ok(Self { native, changes: Arc::clone(changes), stop, wake, reader: Some(reader) })
    }

    /// Makes sure that the dirty set holds everything that happened before the call.
    pub(crate) fn drain(&self) -> Result<()> {
        let mut native = self.native.lock();
        native.refresh_excludes();
        let done = native.drain().map_err(|source| Error::Io {
            action: "read the events of",
            path: native.root.found_at().unwrap_or_default(),
            source: source.into(),
        });
        self.hand_over(native);
        done
    }

    /// Leaves what is unfinished to the reader. It sleeps until there are events, and those that brought the work have been read.
    pub(super) fn hand_over(&self, native: MutexGuard<'_, Native>) {
        let unfinished = native.has_tasks() || !native.moves.is_empty();
        drop(native);
        if unfinished {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Err(error) = rustix::io::write(&*self.wake, &1u64.to_ne_bytes()) {
            tracing::error!(%error, "cannot wake the reader");
        }
    }

    pub(crate) fn stats(&self) -> NativeStats {
        let native = self.native.lock();
        let watches = native.table.len();
        NativeStats {
            watches,
            kernel_bytes: (watches + native.side.len()) as u64 * KERNEL_BYTES_PER_WATCH,
            table_bytes: native.table.heap_bytes(),
        }
    }

    /// Nothing is read until the guard is dropped, so that the kernel's queue can be made to overflow.
    #[cfg(test)]
    pub(super) fn hold(&self) -> MutexGuard<'_, Native> {
        self.native.lock()
    }
}

impl Drop for NativeEngine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
        if self.reader.take().is_some_and(|reader| reader.join().is_err()) {
            tracing::error!("the reader panicked");
        }
        self.changes.interrupt();
    }
}

struct Reader {
    native: Arc<Mutex<Native>>,
    changes: Arc<Changes>,
    queue: Arc<OwnedFd>,
    mounts: OwnedFd,
    wake: Arc<OwnedFd>,
    stop: Arc<AtomicBool>,
    retry_interval: Duration,
}

impl Reader {
    fn run(self) {
        let mut retry_at = Instant::now() + self.retry_interval;
        let mut timeout = Duration::ZERO;
        while !self.stop.load(Ordering::Acquire) {
            let mounts_changed = match self.poll(timeout) {
                Ok(mounts_changed) => mounts_changed,
                Err(error) => return self.fail(error),
            };
            let mut native = self.native.lock();
            if mounts_changed {
                native.refresh_mounts();
            }
            let events = match native.read_events(READ_LEN_MAX) {
                Ok(events) => events,
                Err(error) => {
                    drop(native);
                    return self.fail(error);
                }
            };
            native.give_up_moves();
            if Instant::now() >= retry_at {
                native.retry_starved();
                native.check_root();
                retry_at = Instant::now() + self.retry_interval;
            }
            timeout = if native.has_tasks() {
                native.scan_slice();
                Duration::ZERO
            } else if !native.moves.is_empty() {
                MOVE_PATIENCE
            } else {
                let starved = !self.changes.marks().starved().is_empty();
                if starved { self.retry_interval } else { ROOT_INTERVAL.max(self.retry_interval) }
            };
            drop(native);
            if events > BUSY_EVENTS {
                thread::sleep(BUSY_PAUSE);
            }
        }
    }

    /// Sleeps until there is something to do. True if the list of mounts changed.
    fn poll(&self, timeout: Duration) -> rustix::io::Result<bool> {
        let mut fds = [
            PollFd::new(&*self.queue, PollFlags::IN),
            PollFd::new(&*self.wake, PollFlags::IN),
            PollFd::from_borrowed_fd(self.mounts.as_fd(), PollFlags::PRI),
        ];
        let timeout = Timespec::try_from(timeout).map_err(|_| Errno::INVAL)?;
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let [_, wake, mounts] = &fds;
        if wake.revents().contains(PollFlags::IN) {
            match rustix::io::read(&*self.wake, &mut [0; size_of::<u64>()]) {
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(mounts.revents().intersects(PollFlags::PRI | PollFlags::ERR))
    }

    /// Events cannot be read any more: everything is scanned instead.
    fn fail(&self, error: Errno) {
        tracing::error!(%error, "cannot read events; the tree is scanned from now on");
        let mut marks = self.changes.marks();
        marks.rescan(RescanReason::Uncertain);
        marks.scan(b"", ScanReason::Refused(error.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::IgnoreRules;

    /// If it fails, a directory that appears while a drain is at work stays without a watch until something else happens.
    #[test]
    fn what_a_drain_leaves_unfinished_wakes_the_reader() {
        let scratch = tempfile::tempdir().unwrap();
        let rules = Arc::new(IgnoreRules::open(scratch.path(), Vec::new()).unwrap());
        let config = WatchConfig::new(scratch.path(), rules);
        let changes = Arc::new(Changes::new(&config));
        let root = std::fs::File::open(scratch.path()).unwrap().into();
        let mut engine = NativeEngine::start(&config, &changes, root, true).map_err(|error| error.0).unwrap();
        // Without the reader nobody but the test looks whether it was woken.
        engine.stop.store(true, Ordering::Release);
        engine.wake();
        engine.reader.take().unwrap().join().unwrap();
        let is_woken = |engine: &NativeEngine| rustix::io::read(&*engine.wake, &mut [0; 8]).is_ok();
        is_woken(&engine);

        std::fs::create_dir(scratch.path().join("new")).unwrap();
        let mut native = engine.native.lock();
        native.read_events(usize::MAX).unwrap();
        engine.hand_over(native);
        assert!(is_woken(&engine));
        engine.drain().unwrap();
        assert!(!is_woken(&engine), "nothing is left");
    }
}
