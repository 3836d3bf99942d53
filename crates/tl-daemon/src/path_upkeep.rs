//! When the daemon brings the history of paths up to date: once nothing has changed for a moment and enough has changed before. What it does not cover is walked over, so
//! nobody waits for it.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tl_journal::Repository;

/// For how long nothing may have changed.
const IDLE: Duration = Duration::from_secs(5);
/// The least time between two builds.
const PAUSE: Duration = Duration::from_secs(60);
/// Checkpoints that are walked over in a few milliseconds, and those that take too long. Between them it is a share of all: each build writes the whole file.
const BACKLOG_MIN: u64 = 512;
const BACKLOG_MAX: u64 = 8192;
const BACKLOG_SHARE: u64 = 64;
/// With this many times the backlog it is brought up to date beside the changes.
const URGENT: u64 = 4;
/// Stack of the building thread.
const STACK_LEN: usize = 1 << 20;

/// Decides when to build, and does it in a thread that lives only as long.
#[derive(Debug)]
pub(crate) struct PathUpkeep {
    repository: Arc<Repository>,
    /// The number of the newest checkpoint that is covered, or will be once the thread is done.
    covered: u64,
    last: Option<Instant>,
    thread: Option<JoinHandle<()>>,
}

impl PathUpkeep {
    pub(crate) fn new(repository: Arc<Repository>) -> Self {
        let covered = repository.path_history().covered().unwrap_or(0);
        Self { repository, covered, last: None, thread: None }
    }

    /// When there may be something to do.
    pub(crate) fn next(&self, last_change: Instant) -> Option<Instant> {
        if self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return None;
        }
        let share = self.repository.journal().count() / BACKLOG_SHARE;
        let backlog = self.repository.journal().last_sequence().saturating_sub(self.covered);
        let enough = share.clamp(BACKLOG_MIN, BACKLOG_MAX);
        let at = match () {
            () if self.repository.path_history_is_damaged() => Instant::now(),
            () if backlog >= enough * URGENT => Instant::now(),
            () if backlog >= enough => last_change + IDLE,
            () => return None,
        };
        Some(self.last.map_or(at, |last| at.max(last + PAUSE)))
    }

    /// Builds if it is time to.
    pub(crate) fn run_if_due(&mut self, last_change: Instant) {
        if self.next(last_change).is_none_or(|at| Instant::now() < at) {
            return;
        }
        self.join();
        self.last = Some(Instant::now());
        // If it fails, it is tried again after as many, or at the next start.
        self.covered = self.repository.journal().last_sequence();
        let repository = Arc::clone(&self.repository);
        let build = move || {
            let start = Instant::now();
            match repository.build_path_history() {
                Ok(report) => tracing::info!(
                    checkpoints = report.checkpoints,
                    entries = report.entries,
                    bytes = report.bytes,
                    from_start = report.from_start,
                    ms = start.elapsed().as_millis() as u64,
                    "built the history of paths"
                ),
                Err(error) => tracing::warn!(%error, "the history of paths could not be built"),
            }
            crate::memory::give_back();
        };
        match std::thread::Builder::new().name("paths".into()).stack_size(STACK_LEN).spawn(build) {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => tracing::error!(%error, "no thread for the history of paths"),
        }
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that builds the history of paths panicked");
        }
    }
}

impl Drop for PathUpkeep {
    fn drop(&mut self) {
        self.join();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use tl_core::ObjectId;
    use tl_journal::{Draft, Reason, Repository, RepositoryConfig};

    use super::{BACKLOG_MIN, IDLE, PAUSE, PathUpkeep, URGENT};

    /// If it fails, the history of paths is never built, or all the time.
    #[test]
    fn it_is_built_when_enough_has_changed_and_nothing_changes() {
        let dir = tempfile::tempdir().unwrap();
        let repository = Arc::new(Repository::open(RepositoryConfig::new(dir.path().join("store"), None)).unwrap());
        let add = |count: u64| {
            for _ in 0..count {
                let draft = Draft::new(Reason::FsBatch, ObjectId::EMPTY_TREE);
                let journal = repository.journal();
                journal.append(draft, &*repository.config().vfs, granite::Durability::Buffered).unwrap();
            }
        };
        let mut upkeep = PathUpkeep::new(Arc::clone(&repository));
        add(BACKLOG_MIN - 1);
        let now = Instant::now();
        assert_eq!(upkeep.next(now), None);
        add(1);
        assert_eq!(upkeep.next(now), Some(now + IDLE));
        upkeep.run_if_due(now);
        assert!(upkeep.thread.is_none(), "something has just changed");
        upkeep.run_if_due(now.checked_sub(IDLE).unwrap());
        upkeep.join();
        assert_eq!(repository.path_history().covered(), Some(BACKLOG_MIN));

        add(BACKLOG_MIN * URGENT);
        let again = upkeep.next(Instant::now()).unwrap();
        assert!(again > now + PAUSE - Duration::from_secs(1), "not all the time");
        // A start knows what is covered.
        let upkeep = PathUpkeep::new(Arc::clone(&repository));
        assert_eq!(upkeep.covered, BACKLOG_MIN);
        assert!(upkeep.next(Instant::now()).unwrap() <= Instant::now(), "too much to wait for a rest");
    }
}
