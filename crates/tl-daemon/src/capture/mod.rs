//! From changes on the disk to checkpoints: one thread that takes what the watcher reports, has the journal look at it, and tells subscribers.
//!
//! All that changes the working directory's recorded state happens in that thread, in *turns*: its own captures, a flush, a restore. So a turn that begins with
//! draining the watcher knows of everything that was written before, and nothing that was taken from the watcher is still on its way.

mod batch;
mod cycle;
mod removal;
mod runs;
mod turn;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;

use parking_lot::Mutex;
use tl_watcher::{Stats, Watcher};

use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::wire::{Event, Failure, FailureKind, Health, Provenance};

pub(crate) use batch::{is_ignored, is_recorded};
pub(crate) use cycle::{Cycle, Ended, count_entries};
pub use removal::Removal;
pub(crate) use runs::{RunGuard, Runs};
pub(crate) use turn::Turn;

/// Work for a turn.
type Job = Box<dyn FnOnce(Result<&mut Turn<'_>, Failure>) + Send>;

/// What the capture thread shares with everybody else.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) hub: Hub,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) runs: Runs,
    health: Mutex<Health>,
    jobs: Mutex<Jobs>,
    /// Files and links in the newest tree, directories apart; counted after the start.
    entries: AtomicU64,
}

#[derive(Default)]
struct Jobs {
    waiting: Vec<Job>,
    stop: bool,
    /// Nobody takes jobs any more.
    closed: bool,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("waiting", &self.waiting.len()).field("stop", &self.stop).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            hub: Hub::default(),
            metrics,
            runs: Runs::default(),
            health: Mutex::new(Health::Starting),
            jobs: Mutex::default(),
            entries: AtomicU64::new(0),
        }
    }

    pub(crate) fn health(&self) -> Health {
        self.health.lock().clone()
    }

    /// Sets the health, and tells subscribers if it is another.
    fn set_health(&self, health: Health) {
        let mut present = self.health.lock();
        if *present != health {
            tracing::info!(?health, "health");
            *present = health.clone();
            drop(present);
            self.hub.publish(&Event::Health(health));
        }
    }

    pub(crate) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Takes the jobs that wait, and whether it is time to stop.
    fn take_jobs(&self) -> (Vec<Job>, bool) {
        let mut jobs = self.jobs.lock();
        (std::mem::take(&mut jobs.waiting), jobs.stop)
    }

    /// Refuses the jobs that wait and all that come.
    fn close_jobs(&self) {
        let mut jobs = self.jobs.lock();
        jobs.closed = true;
        let waiting = std::mem::take(&mut jobs.waiting);
        drop(jobs);
        for job in waiting {
            job(Err(stopping()));
        }
        self.hub.close();
    }
}

fn stopping() -> Failure {
    Failure::new(FailureKind::Stopping, "the daemon is ending").hint("run the command again")
}

/// How others get a turn.
#[derive(Debug, Clone)]
pub(crate) struct CaptureHandle {
    pub(crate) shared: Arc<Shared>,
    watcher: Arc<Watcher>,
}

impl CaptureHandle {
    pub(crate) const fn new(shared: Arc<Shared>, watcher: Arc<Watcher>) -> Self {
        Self { shared, watcher }
    }

    /// Has `work` done in a turn, behind everything that was written before the call, and waits for it.
    pub(crate) fn turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Turn<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (done, result) = sync_channel(1);
        let job: Job = Box::new(move |turn| {
            // Whoever asked may have gone.
            drop(done.send(turn.and_then(work)));
        });
        let mut jobs = self.shared.jobs.lock();
        if jobs.closed {
            return Err(stopping());
        }
        jobs.waiting.push(job);
        drop(jobs);
        self.watcher.interrupt();
        result.recv().unwrap_or_else(|_| Err(stopping()))
    }

    /// Has the thread capture what is left, sync, and end.
    pub(crate) fn stop(&self) {
        self.shared.jobs.lock().stop = true;
        self.watcher.interrupt();
    }

    pub(crate) fn watch_stats(&self) -> Stats {
        self.watcher.stats()
    }

    /// To whom the changes of this moment are attributed.
    pub(crate) fn session(&self) -> Option<String> {
        self.shared.runs.present().and_then(|Provenance { session, .. }| session)
    }
}
