//! Where backends and the consumer meet: the dirty set with everything else that goes into a batch, under one lock, and the waiting for it.

use std::collections::BTreeMap;
use std::mem;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::batch::{Batch, RescanReason, RootEvent};
use crate::config::WatchConfig;
use crate::dirty::DirtySet;
use crate::filter::Filter;
use crate::path::{RelPath, is_within};
use crate::settle::{Activity, Pace, Throttle};
use crate::stats::ScanReason;

/// Directories that are scanned one by one. More are scanned as a whole.
const SCANNED_MAX: usize = 1024;

/// See the module.
pub(crate) struct Changes {
    pub(crate) filter: Filter,
    state: Mutex<State>,
    wake: Condvar,
    scan_interval: Duration,
}

struct State {
    dirty: DirtySet,
    throttle: Throttle,
    root: Option<RootEvent>,
    /// Set once the root is gone.
    ended: Option<RootEvent>,
    rules_changed: bool,
    marker_changed: bool,
    /// The consumer is to come back from its wait.
    interrupted: bool,
    /// Until when the consumer sleeps, while it does.
    sleeping_until: Option<Instant>,
    scanned: BTreeMap<Box<[u8]>, ScanReason>,
    /// When the next scan is due; set while something is scanned.
    scan_due: Option<Instant>,
    /// When a scan was handed out, until the consumer comes back from it.
    scan_began: Option<Instant>,
    counters: Counters,
}

/// What is counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    pub(crate) events: u64,
    pub(crate) overflows: u64,
    pub(crate) denied: u64,
}

impl Changes {
    pub(crate) fn new(config: &WatchConfig) -> Self {
        let now = Instant::now();
        let mut dirty = DirtySet::new(config.limits.clone(), config.settle.clone());
        dirty.mark_now(b"", RescanReason::Started, Pace::Quick, now);
        Self {
            filter: Filter::new(config.rules.clone(), config.keeps.clone()),
            state: Mutex::new(State {
                dirty,
                throttle: Throttle::new(&config.settle, now),
                root: None,
                ended: None,
                rules_changed: false,
                marker_changed: false,
                interrupted: false,
                sleeping_until: None,
                scanned: BTreeMap::new(),
                scan_due: None,
                scan_began: None,
                counters: Counters::default(),
            }),
            wake: Condvar::new(),
            scan_interval: config.scan_interval,
        }
    }

    /// Begins to mark what happened; the consumer is woken when the guard is dropped, if there is reason to.
    pub(crate) fn marks(&self) -> Marks<'_> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let pace = state.throttle.pace(now);
        Marks { changes: self, state, now, pace, earliest: None }
    }

    /// What is due, as soon as something is; an empty batch at `deadline`.
    pub(crate) fn wait(&self, deadline: Instant) -> Batch {
        let mut state = self.state.lock();
        state.rest_after_scan(Instant::now(), self.scan_interval);
        loop {
            let now = Instant::now();
            if state.scan_due.is_some_and(|due| due <= now) {
                state.mark_scans(now, &self.filter);
            }
            let pace = state.throttle.pace(now);
            let due = state.dirty.take_due(pace, now);
            let batch = state.complete(due);
            if !batch.is_empty() || now >= deadline || mem::take(&mut state.interrupted) {
                return batch;
            }
            let quick = state.throttle.quick_from().filter(|_| !state.dirty.is_empty());
            let next = state.dirty.next_due(pace).into_iter().chain(quick).chain(state.scan_due).min();
            let until = next.map_or(deadline, |next| next.min(deadline));
            state.sleeping_until = Some(until);
            self.wake.wait_until(&mut state, until);
            state.sleeping_until = None;
        }
    }

    /// Everything, whether it is due or not.
    pub(crate) fn take_all(&self) -> Batch {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.rest_after_scan(now, self.scan_interval);
        state.mark_scans(now, &self.filter);
        let all = state.dirty.take_all();
        state.complete(all)
    }

    pub(crate) fn checkpointed(&self) {
        self.state.lock().throttle.checkpointed(Instant::now());
    }

    /// Wakes the consumer for nothing, so that it can look whether it is to stop.
    pub(crate) fn interrupt(&self) {
        self.state.lock().interrupted = true;
        self.wake.notify_all();
    }

    pub(crate) fn counters(&self) -> Counters {
        self.state.lock().counters
    }

    pub(crate) fn dirty_len(&self) -> usize {
        self.state.lock().dirty.len()
    }

    pub(crate) fn ended(&self) -> Option<RootEvent> {
        self.state.lock().ended.clone()
    }

    pub(crate) fn scanned(&self) -> Vec<(RelPath, ScanReason)> {
        let state = self.state.lock();
        state.scanned.iter().map(|(path, reason)| (RelPath::trusted(path.clone()), reason.clone())).collect()
    }
}

impl State {
    /// Adds what does not wait to a batch.
    fn complete(&mut self, mut batch: Batch) -> Batch {
        batch.root = self.root.take();
        batch.rules_changed = mem::take(&mut self.rules_changed);
        batch.marker_changed = mem::take(&mut self.marker_changed);
        batch
    }

    fn drop_marks(&mut self) {
        self.dirty.clear();
        self.scanned.clear();
        self.scan_due = None;
        self.rules_changed = false;
        self.marker_changed = false;
    }

    /// Everything that no events come from is dirty now.
    fn mark_scans(&mut self, now: Instant, filter: &Filter) {
        if self.scanned.is_empty() {
            return;
        }
        let pace = self.throttle.pace(now);
        for path in self.scanned.keys() {
            // No event tells that a file of rules changed there.
            filter.rules().forget_beneath(path);
            self.dirty.mark_now(path, RescanReason::Periodic, pace, now);
        }
        self.scan_due = None;
        self.scan_began = Some(now);
    }

    /// The consumer is back. A scan that took long is followed by a longer rest, so that scanning takes at most a tenth of the time.
    fn rest_after_scan(&mut self, now: Instant, interval: Duration) {
        if let Some(began) = self.scan_began.take() {
            self.scan_due = Some(now + interval.max(now.saturating_duration_since(began) * 9));
        }
    }
}

/// The right to mark.
pub(crate) struct Marks<'a> {
    changes: &'a Changes,
    state: MutexGuard<'a, State>,
    now: Instant,
    pace: Pace,
    earliest: Option<Instant>,
}

impl Marks<'_> {
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    pub(crate) fn counters(&mut self) -> &mut Counters {
        &mut self.state.counters
    }

    /// Something happened to `name` in `directory`.
    pub(crate) fn path(&mut self, directory: &[u8], name: &[u8], activity: Activity) {
        let due = self.state.dirty.mark(directory, name, activity, self.pace, self.now);
        self.due_at(due);
    }

    /// Everything at and beneath `path` may have changed; for the root, `reason` says why.
    pub(crate) fn subtree(&mut self, path: &[u8], reason: RescanReason) {
        let due = self.state.dirty.mark_subtree(path, reason, self.pace, self.now);
        self.due_at(due);
    }

    /// Any entry of `directory` may have changed.
    pub(crate) fn listing(&mut self, directory: &[u8], activity: Activity) {
        let due = self.state.dirty.mark_listing(directory, activity, self.pace, self.now);
        self.due_at(due);
    }

    /// The watch of `directory` was set just now: what happened in it before is unknown, unless it is to be looked at anyhow.
    pub(crate) fn watched_from_now(&mut self, directory: &[u8]) {
        if !self.state.dirty.covers(directory) {
            self.listing(directory, Activity::Settled);
        }
    }

    pub(crate) fn rescan(&mut self, reason: RescanReason) {
        let due = self.state.dirty.mark_rescan(reason, self.pace, self.now);
        self.due_at(due);
    }

    /// Rules of `directory`, or of the whole tree if it is the root, changed.
    pub(crate) fn rules_changed(&mut self, directory: &[u8]) {
        self.state.rules_changed = true;
        self.subtree(directory, RescanReason::RulesChanged);
        self.due_at(self.now);
    }

    pub(crate) fn marker_changed(&mut self) {
        self.state.marker_changed = true;
        self.due_at(self.now);
    }

    /// No events come from `path`: it is scanned from now on. Beneath something that is scanned anyhow this says nothing new.
    pub(crate) fn scan(&mut self, path: &[u8], reason: ScanReason) {
        let state = &mut *self.state;
        if state.scanned.keys().any(|known| is_within(path, known)) {
            return;
        }
        state.scanned.retain(|known, _| !is_within(known, path));
        state.scanned.insert(path.into(), reason.clone());
        if state.scanned.len() > SCANNED_MAX {
            state.scanned.clear();
            state.scanned.insert(Box::default(), reason);
        }
        if state.scan_due.is_none() && state.scan_began.is_none() {
            state.scan_due = Some(self.now + self.changes.scan_interval);
        }
        self.subtree(path, RescanReason::Periodic);
    }

    /// Events come from `path` again.
    pub(crate) fn end_scan(&mut self, path: &[u8]) {
        if self.state.scanned.remove(path).is_some() {
            self.subtree(path, RescanReason::Periodic);
            if self.state.scanned.is_empty() {
                self.state.scan_due = None;
                self.state.scan_began = None;
            }
        }
    }

    /// True if nothing is scanned.
    pub(crate) fn no_scans(&self) -> bool {
        self.state.scanned.is_empty()
    }

    /// What is scanned for a reason that may pass: too few watches, or a refusal.
    pub(crate) fn starved(&self) -> Vec<Box<[u8]>> {
        let passes = |reason: &ScanReason| matches!(reason, ScanReason::WatchLimit | ScanReason::Refused(_));
        let starved = self.state.scanned.iter().filter(|(_, reason)| passes(reason));
        starved.map(|(path, _)| path.clone()).collect()
    }

    /// Tells of something that happened to the root; `last` says that nothing follows, and what was not handed out is dropped.
    pub(crate) fn root(&mut self, event: RootEvent, last: bool) {
        if self.state.ended.is_some() {
            return;
        }
        if last {
            // With this guard everything that was not handed out goes.
            self.state.ended = Some(event.clone());
        }
        self.state.root = Some(event);
        self.due_at(self.now);
    }

    fn due_at(&mut self, moment: Instant) {
        self.earliest = Some(self.earliest.map_or(moment, |earliest| earliest.min(moment)));
    }
}

impl Drop for Marks<'_> {
    fn drop(&mut self) {
        // A backend may still read what happened before the end; it is told no more.
        if self.state.ended.is_some() {
            self.state.drop_marks();
        }
        let sooner = |until: Instant| self.earliest.is_some_and(|earliest| earliest < until);
        if self.state.sleeping_until.is_some_and(sooner) {
            self.changes.wake.notify_all();
        }
    }
}
