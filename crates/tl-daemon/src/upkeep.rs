//! When the daemon collects: once nothing has changed for a while, when the store is over its budget, or when the disk is full.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use tl_journal::{CollectRequest, Repository};

use crate::metrics::Metrics;
use crate::settings::Settings;

/// Bytes that may be written before the budget is looked at again.
const BUDGET_STRIDE: u64 = 32 << 20;
/// The least time between two collections that nobody asked for.
const PAUSE: Duration = Duration::from_secs(600);
/// Stack of the collecting thread.
const STACK_LEN: usize = 1 << 20;

/// Decides when to collect, and does it in a thread that lives only as long.
#[derive(Debug)]
pub(crate) struct Upkeep {
    repository: Arc<Repository>,
    settings: Arc<RwLock<Settings>>,
    metrics: Arc<Metrics>,
    /// There is something that was not there at the last collection.
    changed: bool,
    written: u64,
    disk_is_full: bool,
    last: Option<Instant>,
    thread: Option<JoinHandle<()>>,
}

impl Upkeep {
    pub(crate) fn new(repository: Arc<Repository>, settings: Arc<RwLock<Settings>>, metrics: Arc<Metrics>) -> Self {
        // What came up to the last end is looked at too, once.
        Self {
            repository,
            settings,
            metrics,
            changed: true,
            written: BUDGET_STRIDE,
            disk_is_full: false,
            last: None,
            thread: None,
        }
    }

    /// A checkpoint was made, with this many new bytes.
    pub(crate) fn changed(&mut self, bytes_new: u64) {
        self.changed = true;
        self.written = self.written.saturating_add(bytes_new);
    }

    /// A write found no room.
    pub(crate) fn disk_is_full(&mut self) {
        self.disk_is_full = true;
    }

    /// When there may be something to do.
    pub(crate) fn next(&self, last_change: Instant) -> Option<Instant> {
        if self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return None;
        }
        let rested = self.last.map(|last| last + PAUSE);
        let idle = self.settings.read().idle_before_gc().filter(|_| self.changed).map(|idle| last_change + idle);
        let urgent = (self.disk_is_full || self.written >= BUDGET_STRIDE).then(Instant::now);
        let at = match (idle, urgent) {
            (Some(idle), Some(urgent)) => idle.min(urgent),
            (one, other) => one.or(other)?,
        };
        Some(rested.map_or(at, |rested| rested.max(at)))
    }

    /// Collects if it is time to.
    pub(crate) fn run_if_due(&mut self, last_change: Instant) {
        if self.next(last_change).is_none_or(|at| Instant::now() < at) {
            return;
        }
        let settings = self.settings.read();
        let policy = settings.retention();
        let idle = settings.idle_before_gc().is_some_and(|idle| self.changed && last_change.elapsed() >= idle);
        drop(settings);
        self.written = 0;
        let is_over = policy.budget_bytes.is_some_and(|budget| {
            // A size that cannot be told is looked at again after the next bytes.
            self.repository.disk_bytes().is_ok_and(|bytes| bytes > budget)
        });
        if !(idle || is_over || self.disk_is_full) {
            return;
        }
        self.last = Some(Instant::now());
        self.changed = false;
        self.disk_is_full = false;
        self.join();
        let (repository, metrics) = (Arc::clone(&self.repository), Arc::clone(&self.metrics));
        let collect = move || {
            match repository.collect(&CollectRequest { policy, dry_run: false }) {
                Ok(report) => {
                    metrics.collected(&report);
                    tracing::info!(
                        checkpoints = report.checkpoints_deleted,
                        objects = report.objects_dropped,
                        bytes = report.bytes_dropped,
                        ms = report.duration.as_millis() as u64,
                        "collected"
                    );
                }
                // Somebody asked for one.
                Err(tl_journal::Error::Busy { .. }) => {}
                Err(error) => tracing::error!(%error, "the collection failed"),
            }
        };
        let spawned = std::thread::Builder::new().name("collect".into()).stack_size(STACK_LEN).spawn(collect);
        match spawned {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => tracing::error!(%error, "no thread for a collection"),
        }
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the collecting thread panicked");
        }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.join();
    }
}
