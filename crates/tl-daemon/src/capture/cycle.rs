//! The thread: wait, take, record, tell.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tl_core::ObjectId;
use tl_journal::{Dirty, ErrorKind, Reason, Repository};
use tl_watcher::{Batch, IgnoreRules, RootEvent, ScanReason, Watcher};

use super::turn::Turn;
use super::{Removal, Shared, batch};
use crate::error::Result;
use crate::home::Home;
use crate::path_upkeep::PathUpkeep;
use crate::service::{from_checkpoint, to_provenance};
use crate::upkeep::Upkeep;
use crate::wire::{Event, Failure, FailureKind, Health};

/// Waits before a failed capture is tried again, at first and at most.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LAST: Duration = Duration::from_secs(30);
/// For how long nothing may have changed before a lost marker is written again: a removal of the whole directory that is under way would fail over it.
const MARKER_DELAY: Duration = Duration::from_secs(2);
/// For how long nothing may have changed before memory is given back.
const TRIM_DELAY: Duration = Duration::from_secs(3);
/// The longest wait when there is nothing to do.
const REST: Duration = Duration::from_secs(3600);

/// Why the thread ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was told to.
    Stopped,
    /// The root is gone.
    RootGone,
    /// The store can no longer be used through this handle.
    StoreFailed,
}

/// Everything that the thread works with.
pub(crate) struct Cycle {
    pub(crate) home: Home,
    pub(crate) repository: Arc<Repository>,
    pub(crate) watcher: Arc<Watcher>,
    pub(crate) rules: Arc<IgnoreRules>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) upkeep: Upkeep,
    paths: PathUpkeep,
    pending: Dirty,
    /// Everything was compared once.
    reconciled: bool,
    published: u64,
    retry: Option<(Instant, Duration)>,
    last_change: Instant,
    marker_lost: bool,
    untrimmed: bool,
}

impl Cycle {
    pub(crate) fn new(
        home: Home,
        repository: Arc<Repository>,
        watcher: Arc<Watcher>,
        rules: Arc<IgnoreRules>,
        shared: Arc<Shared>,
        upkeep: Upkeep,
    ) -> Self {
        let published = repository.journal().last_sequence();
        let paths = PathUpkeep::new(Arc::clone(&repository));
        Self {
            home,
            repository,
            watcher,
            rules,
            shared,
            upkeep,
            paths,
            pending: Dirty::everything(),
            reconciled: false,
            published,
            retry: None,
            last_change: Instant::now(),
            // Looked at once the start is over.
            marker_lost: true,
            untrimmed: true,
        }
    }

    /// Runs until there is a reason to end.
    pub(crate) fn run(mut self) -> Ended {
        let ended = self.turns();
        match ended {
            Ended::Stopped => {}
            Ended::RootGone => {
                if let Err(error) = self.note_removal() {
                    tracing::error!(%error, "that the root is gone could not be noted");
                }
                self.shared.set_health(Health::RootGone);
            }
            Ended::StoreFailed => {
                self.shared.set_health(Health::Failed { reason: "the store failed and is opened again".into() });
            }
        }
        self.shared.close_jobs();
        ended
    }

    fn turns(&mut self) -> Ended {
        loop {
            let batch = self.watcher.wait(self.deadline());
            if let Some(ended) = self.take(&batch) {
                return ended;
            }
            let (jobs, stop) = self.shared.take_jobs();
            // What changed while nobody watched is recorded as just that, before anything that is asked for.
            let captures_first = !self.reconciled || (jobs.is_empty() && !stop);
            if let Some(ended) = if captures_first { self.capture_if_due() } else { None } {
                return ended;
            }
            for job in jobs {
                // Everything that was written before the job was asked for is taken in first.
                match self.drain() {
                    Ok(None) => {
                        job(Ok(&mut self.turn()));
                        let bytes = self.publish();
                        if self.pending.is_empty() {
                            self.succeeded(bytes);
                        }
                    }
                    Ok(Some(ended)) => {
                        job(Err(Failure::new(
                            FailureKind::RootGone,
                            "the working directory is gone; its history is kept",
                        )));
                        return ended;
                    }
                    Err(failure) => job(Err(failure)),
                }
            }
            if stop {
                return self.finish();
            }
            self.rest();
        }
    }

    fn turn(&mut self) -> Turn<'_> {
        Turn::watched(&self.repository, &self.rules, &self.watcher, &self.shared.metrics, &mut self.pending)
    }

    /// Until when there is nothing to do of oneself.
    fn deadline(&self) -> Instant {
        let now = Instant::now();
        let mut deadline = now + REST;
        if !self.pending.is_empty() {
            deadline = self.retry.map_or(now, |(at, _)| at);
        }
        let delays = [(self.marker_lost, MARKER_DELAY), (self.untrimmed, TRIM_DELAY)];
        for (_, delay) in delays.into_iter().filter(|(wanted, _)| *wanted) {
            deadline = deadline.min(self.last_change + delay);
        }
        let tasks = [self.upkeep.next(self.last_change), self.paths.next(self.last_change)];
        for at in tasks.into_iter().flatten() {
            deadline = deadline.min(at);
        }
        deadline
    }

    /// Takes over what a batch tells.
    fn take(&mut self, batch: &Batch) -> Option<Ended> {
        if batch.is_empty() {
            return None;
        }
        self.last_change = Instant::now();
        self.untrimmed = true;
        if batch.marker_changed {
            self.marker_lost = true;
        }
        if let Some(reason) = batch.rescan {
            tracing::debug!(?reason, "everything is looked at");
        }
        match &batch.root {
            None => {}
            Some(RootEvent::Removed | RootEvent::Unmounted) => return Some(Ended::RootGone),
            Some(RootEvent::Moved(found)) => self.moved(found.as_deref()),
            // Whether the directory itself is still anywhere shows when it is looked at.
            Some(_) => self.pending.add_path(tl_core::RepoPathBuf::root()),
        }
        let head = self.repository.journal().head().map_or(ObjectId::EMPTY_TREE, |head| head.root);
        batch::add(&mut self.pending, batch, self.repository.store().objects(), &head);
        None
    }

    fn drain(&mut self) -> Result<Option<Ended>, Failure> {
        match self.watcher.drain() {
            Ok(batch) => Ok(self.take(&batch)),
            Err(error) => Err(Failure::new(FailureKind::Retry, error.to_string())),
        }
    }

    fn moved(&mut self, found: Option<&Path>) {
        let noted = match found {
            Some(path) => self.home.moved_to(path),
            None => Ok(()),
        };
        match noted {
            Ok(()) => tracing::info!(path = ?found, "the root was moved"),
            Err(error) => tracing::warn!(%error, "the root's new place could not be noted"),
        }
    }

    /// Records what changed, unless a failure says to wait.
    fn capture_if_due(&mut self) -> Option<Ended> {
        let waits = self.retry.is_some_and(|(at, _)| Instant::now() < at);
        if self.pending.is_empty() || waits {
            return None;
        }
        let reason = if self.reconciled { Reason::FsBatch } else { Reason::Startup };
        self.capture(reason)
    }

    fn capture(&mut self, reason: Reason) -> Option<Ended> {
        // Where no command runs, nobody is named.
        let provenance = self.shared.runs.present().map(to_provenance).unwrap_or_default();
        match self.turn().update(reason, provenance, |_| {}) {
            Ok(outcome) => {
                self.publish();
                self.succeeded(outcome.bytes_new);
                None
            }
            Err(tl_journal::Error::RootGone { .. }) => Some(Ended::RootGone),
            Err(error) => self.failed(&error),
        }
    }

    /// Everything that was known of is recorded.
    fn succeeded(&mut self, bytes_new: u64) {
        self.retry = None;
        if !self.reconciled {
            self.start_is_over();
        }
        if bytes_new > 0 {
            self.upkeep.changed(bytes_new);
        }
        self.shared.set_health(self.healthy());
    }

    fn failed(&mut self, error: &tl_journal::Error) -> Option<Ended> {
        tracing::error!(%error, "changes could not be recorded");
        self.shared.metrics.failed();
        let wait = self.retry.map_or(RETRY_FIRST, |(_, wait)| (wait * 2).min(RETRY_LAST));
        self.retry = Some((Instant::now() + wait, wait));
        if matches!(error, tl_journal::Error::Engine(granite::Error::StorageFull { .. })) {
            self.upkeep.disk_is_full();
        }
        match error.kind() {
            ErrorKind::Stop => Some(Ended::StoreFailed),
            _ => {
                self.shared.set_health(Health::Failed { reason: error.to_string() });
                None
            }
        }
    }

    fn start_is_over(&mut self) {
        self.reconciled = true;
        if let Err(error) = Removal::forget(&self.home.store) {
            tracing::warn!(%error, "an old note could not be removed");
        }
        let head = self.repository.journal().head().map_or(ObjectId::EMPTY_TREE, |head| head.root);
        match count_entries(&self.repository, &head) {
            Ok(entries) => self.shared.entries.store(entries, Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, "the recorded files could not be counted"),
        }
    }

    /// Tells subscribers of the checkpoints that they were not told of. Returns the bytes of the files that these added.
    fn publish(&mut self) -> u64 {
        let journal = self.repository.journal();
        let mut bytes = 0;
        if journal.last_sequence() == self.published {
            return bytes;
        }
        let walk = match journal.since(self.published) {
            Ok(walk) => walk,
            Err(error) => {
                tracing::error!(%error, "new checkpoints could not be read");
                return bytes;
            }
        };
        for found in walk {
            match found {
                Ok(checkpoint) => {
                    self.published = checkpoint.sequence;
                    self.untrimmed = true;
                    let stats = &checkpoint.stats;
                    bytes += stats.bytes_added;
                    let entries = self.shared.entries();
                    if self.reconciled {
                        let entries = (entries + stats.files_added).saturating_sub(stats.files_removed);
                        self.shared.entries.store(entries, Ordering::Relaxed);
                    }
                    tracing::info!(
                        id = %checkpoint.id,
                        reason = %checkpoint.reason,
                        files = stats.files(),
                        bytes = stats.bytes_added,
                        missing = checkpoint.completeness.missing,
                        "checkpoint"
                    );
                    self.shared.hub.publish(&Event::Checkpoint(Box::new(from_checkpoint(&checkpoint))));
                }
                Err(error) => tracing::error!(%error, "a new checkpoint could not be read"),
            }
        }
        bytes
    }

    /// The health when captures succeed.
    fn healthy(&self) -> Health {
        let mut reasons: Vec<String> = Vec::new();
        for (path, why) in self.watcher.stats().scanned {
            if why != ScanReason::Asked {
                reasons.push(format!("{path} is looked at from time to time: {why}"));
            }
        }
        if reasons.is_empty() { Health::Healthy } else { Health::Degraded { reasons } }
    }

    /// Records what is left, durably.
    fn finish(&mut self) -> Ended {
        match self.drain() {
            Ok(None) => {}
            Ok(Some(ended)) => return ended,
            Err(failure) => tracing::error!(%failure, "the last changes could not be taken in"),
        }
        if self.pending.is_empty() {
            return Ended::Stopped;
        }
        let reason = if self.reconciled { Reason::FsBatch } else { Reason::Startup };
        self.capture(reason).unwrap_or(Ended::Stopped)
    }

    /// What is done when nothing else is.
    fn rest(&mut self) {
        let quiet = self.last_change.elapsed();
        if self.marker_lost && quiet >= MARKER_DELAY {
            self.marker_lost = false;
            if let Err(error) = self.home.restore_marker() {
                tracing::warn!(%error, "the marker could not be written");
            }
        }
        if self.untrimmed && quiet >= TRIM_DELAY {
            self.untrimmed = false;
            self.repository.store().trim();
            if let Err(error) = self.repository.db().trim() {
                tracing::warn!(%error, "memory could not be given back");
            }
            crate::memory::give_back();
        }
        self.upkeep.run_if_due(self.last_change);
        self.paths.run_if_due(self.last_change);
    }

    fn note_removal(&self) -> Result<()> {
        let now = self.repository.config().vfs.now();
        let removal = Removal::noticed(self.repository.journal(), now)?;
        tracing::warn!(before = ?removal.before, "the root is gone; its history is kept");
        removal.save(&self.home.store)
    }
}

/// Files, links and directories below a tree.
pub(crate) fn count_entries(repository: &Repository, root: &ObjectId) -> tl_core::Result<u64> {
    let mut count = 0;
    for change in repository.store().diff(&ObjectId::EMPTY_TREE, root)? {
        count += u64::from(!change?.after.is_some_and(|entry| entry.is_directory()));
    }
    Ok(count)
}
