//! What happens beside the writers: flushes, compactions, periodic syncs, and the brake that keeps writers from running ahead of them.

mod brake;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::compaction::plan::{self, Limits};
use crate::db::DbCore;
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceCore;
use crate::options::{Background, Options};
use crate::tree::View;

/// The longest that one commit is slowed down, in microseconds.
const DELAY_MAX_US: u64 = 1000;
/// No commit until background work has caught up.
const STOP: u64 = u64::MAX;
/// How long background work rests after the disk was full.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// Log segments from a recovery that may lie around before they are flushed away.
const IDLE_SEGMENTS_MAX: usize = 4;

#[derive(Debug, Default)]
struct SchedulerState {
    /// There may be something to do that no worker has looked at yet.
    pending: bool,
    shut_down: bool,
    compactions: usize,
    running: usize,
    /// The last background failure, until something succeeds.
    error: Option<Error>,
}

/// Wakes the workers and those that wait for them.
#[derive(Debug)]
pub(crate) struct Scheduler {
    state: Mutex<SchedulerState>,
    work: Condvar,
    progress: Condvar,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Microseconds by which each commit is delayed because of tables in level 0, or [`STOP`].
    table_delay: AtomicU64,
    /// Bytes of memtables that wait for their flush, and of those that take commits.
    waiting: AtomicU64,
    active: AtomicU64,
    write_buffer_len: u64,
    compactions_max: usize,
}

/// The right to compact a keyspace, held by a user's thread. The workers pass the keyspace over meanwhile and may go to sleep, so
/// letting go of it wakes them: tables may have piled up, and values may be worth moving now.
pub(crate) struct CompactingByHand<'a> {
    held: Option<MutexGuard<'a, ()>>,
    scheduler: &'a Scheduler,
}

impl Drop for CompactingByHand<'_> {
    fn drop(&mut self) {
        // First: who is woken looks whether it is held.
        self.held = None;
        self.scheduler.notify_work();
    }
}

enum Job {
    Flush(Arc<KeyspaceCore>),
    Compact(Arc<KeyspaceCore>),
}

impl Scheduler {
    pub(crate) fn new(options: &Options) -> Arc<Self> {
        let compactions_max = match options.background {
            // One thread stays free for flushes, which writers wait for.
            Background::Threads(count) => (count - 1).max(1),
            Background::Inline => 1,
        };
        Arc::new(Self {
            state: Mutex::default(),
            work: Condvar::new(),
            progress: Condvar::new(),
            threads: Mutex::default(),
            table_delay: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            active: AtomicU64::new(0),
            write_buffer_len: options.write_buffer_len() as u64,
            compactions_max,
        })
    }

    /// Microseconds by which a commit is to be delayed now, or [`STOP`].
    ///
    /// Three quarters of the write buffers may be full without any delay. Only what waits for a flush can be waited for.
    fn delay(&self) -> u64 {
        let waiting = self.waiting.load(Ordering::Relaxed);
        let used = waiting + self.active.load(Ordering::Relaxed);
        let slow_from = self.write_buffer_len - self.write_buffer_len / 4;
        let memory = match used {
            _ if waiting == 0 => 0,
            used if used >= self.write_buffer_len => STOP,
            used => used.saturating_sub(slow_from) * DELAY_MAX_US / (self.write_buffer_len / 4).max(1),
        };
        memory.max(self.table_delay.load(Ordering::Relaxed))
    }

    pub(crate) fn notify_work(&self) {
        self.state.lock().pending = true;
        self.work.notify_all();
    }

    /// True once after each [`Scheduler::notify_work`] or more.
    pub(crate) fn take_pending(&self) -> bool {
        std::mem::take(&mut self.state.lock().pending)
    }

    pub(crate) fn notify_progress(&self) {
        drop(self.state.lock());
        self.progress.notify_all();
    }

    /// Stops the workers and waits for them. What they were doing is given up or finished.
    pub(crate) fn shut_down(&self) {
        self.state.lock().shut_down = true;
        self.work.notify_all();
        self.progress.notify_all();
        let current = std::thread::current().id();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // A worker that holds the last handle closes the database itself, and must not wait for itself.
            if thread.thread().id() != current && thread.join().is_err() {
                tracing::error!("a background thread panicked");
            }
        }
    }
}

impl DbCore {
    /// Starts the background threads that the options ask for.
    pub(crate) fn start_workers(self: &Arc<Self>) -> Result<()> {
        let Background::Threads(count) = self.options.background else { return Ok(()) };
        for index in 0..count {
            let db = Arc::downgrade(self);
            let scheduler = Arc::clone(&self.scheduler);
            let sync_interval = self.options.sync_interval.filter(|_| index == 0);
            let warm_up = self.options.warm_up && index == 0;
            let spawned =
                std::thread::Builder::new().name(format!("granite-{index}")).stack_size(512 << 10).spawn(move || {
                    if warm_up && let Some(db) = db.upgrade() {
                        db.warm_up();
                    }
                    work(&db, &scheduler, sync_interval);
                });
            let thread = spawned.map_err(|error| Error::io("start a thread for", &self.context.dir, error))?;
            self.scheduler.threads.lock().push(thread);
        }
        self.scheduler.notify_work();
        Ok(())
    }

    /// Segments that are worth emptying: most of what they hold is no longer pointed to.
    pub(crate) fn stale_segments(&self) -> BTreeSet<u64> {
        let manifest = self.manifest.lock();
        let live = manifest.state().live_bytes();
        let is_below = |live: u64, of: u64| (live as f64) < self.options.value_gc_share * (of as f64);
        let is_stale = |(number, len): (&u64, &u64)| {
            let live = live.get(number).copied().filter(|&live| live > 0 && is_below(live, *len))?;
            // Of a segment that a compaction wrote, keys and headers count for nothing: they would be written again.
            match self.segments.get(*number).value_bytes() {
                Ok(0) => Some(*number),
                Ok(values) => is_below(live, values).then_some(*number),
                Err(error) => {
                    tracing::warn!(%error, "a segment is left as it is because its header cannot be read");
                    None
                }
            }
        };
        manifest.state().segments.iter().filter_map(is_stale).collect()
    }

    fn limits(&self) -> Limits {
        Limits::new(&self.options, self.stale_segments())
    }

    fn wants_flush(&self, view: &View) -> bool {
        if view.immutables.is_empty() {
            return false;
        }
        // A small run from a recovery can wait: a program that only looks something up should not write tables.
        let replayed_only = view.immutables.iter().all(|memory| memory.memtable().is_none());
        let bytes: usize = view.immutables.iter().map(|memory| memory.allocated_bytes()).sum();
        !replayed_only
            || bytes > self.options.write_buffer_len() / 8
            || self.log.lock().segments.len() > IDLE_SEGMENTS_MAX
    }

    fn next_job(&self) -> Option<Job> {
        let keyspaces = self.all_keyspaces();
        let flush = keyspaces.iter().find(|keyspace| {
            let view = keyspace.view_full();
            !keyspace.flushing.is_locked() && self.wants_flush(&view)
        });
        if let Some(keyspace) = flush {
            return Some(Job::Flush(Arc::clone(keyspace)));
        }
        if self.options.manual_compaction_only {
            return None;
        }
        let limits = self.limits();
        let compact = keyspaces.iter().find(|keyspace| {
            !keyspace.compacting.is_locked()
                && !keyspace.compaction_stopped.load(Ordering::Relaxed)
                && plan::pick(keyspace.options.compaction, &keyspace.view_full().version, &limits).is_some()
        });
        compact.map(|keyspace| Job::Compact(Arc::clone(keyspace)))
    }

    fn run_job(&self, job: &Job) -> Result<()> {
        let done = match job {
            Job::Flush(keyspace) => self.flush_immutables(keyspace),
            Job::Compact(keyspace) => self.compact_once(keyspace),
        };
        self.update_brake();
        done
    }

    fn compact_once(&self, keyspace: &Arc<KeyspaceCore>) -> Result<()> {
        let Some(_compacting) = keyspace.compacting.try_lock() else { return Ok(()) };
        let version = Arc::clone(&keyspace.view().version);
        match plan::pick(keyspace.options.compaction, &version, &self.limits()) {
            Some(plan) => self.run_plan(keyspace, &version, &plan),
            None => Ok(()),
        }
    }

    /// Syncs buffered writes if the options ask for it and the last sync is long enough ago. The first failure is the next writer's error.
    pub(crate) fn sync_if_due(&self) {
        let Some(interval) = self.options.sync_interval else { return };
        let last = Duration::from_micros(self.last_sync_us.load(Ordering::Relaxed));
        let due = self.context.vfs.monotonic().saturating_sub(last) >= interval;
        if due
            && self.check_writable().is_ok()
            && let Err(error) = self.ensure_durable(self.visible())
        {
            tracing::error!(%error, "the periodic sync failed");
        }
    }

    /// What the committing thread does after its commit where there are no threads for it.
    pub(crate) fn work_inline(&self) {
        self.sync_if_due();
        if self.scheduler.take_pending() {
            self.run_pending_jobs();
        }
    }

    /// Notes how a job ended. True if more work can be done right away.
    fn settle(&self, job: &Job, done: Result<()>) -> bool {
        let mut state = self.scheduler.state.lock();
        let Err(error) = done else {
            state.error = None;
            return true;
        };
        if matches!(error, Error::Closed) {
            return false;
        }
        self.stats.background_errors.add(1);
        tracing::error!(%error, "background work failed");
        let goes_on = match (&error, job) {
            (Error::StorageFull { .. }, _) => {
                // To be tried again: by a worker after a pause, or by the next commit.
                state.pending = matches!(self.options.background, Background::Inline);
                false
            }
            (Error::Corrupt { .. }, Job::Compact(keyspace)) => {
                // Reads and writes go on; the damage is found again by whoever asks for it.
                keyspace.compaction_stopped.store(true, Ordering::Relaxed);
                true
            }
            _ => {
                let cause: Arc<str> = error.to_string().into();
                drop(state);
                self.fail(&cause);
                state = self.scheduler.state.lock();
                false
            }
        };
        state.error = Some(error);
        goes_on
    }

    /// Does everything that is to be done, in this thread.
    pub(crate) fn run_pending_jobs(&self) {
        while self.check_writable().is_ok() {
            let Some(job) = self.next_job() else { return };
            let done = self.run_job(&job);
            if !self.settle(&job, done) {
                return;
            }
        }
    }

    pub(crate) fn wait_for_background(self: &Arc<Self>) -> Result<()> {
        if matches!(self.options.background, Background::Inline) {
            self.run_pending_jobs();
            self.check_failure()?;
            return self.scheduler.state.lock().error.clone().map_or(Ok(()), Err);
        }
        loop {
            self.check_writable()?;
            let idle = self.next_job().is_none();
            let mut state = self.scheduler.state.lock();
            if let Some(error) = &state.error {
                return Err(error.clone());
            }
            if state.running == 0 && !state.pending {
                if idle {
                    return Ok(());
                }
                // Work by hand left something to do, or kept the workers from it when they looked: they look again.
                state.pending = true;
                self.scheduler.work.notify_all();
            }
            self.scheduler.progress.wait_for(&mut state, Duration::from_millis(20));
        }
    }

    /// Waits for the compaction of a keyspace that is running, and keeps the workers from beginning another.
    pub(crate) fn compact_by_hand<'a>(&'a self, keyspace: &'a KeyspaceCore) -> CompactingByHand<'a> {
        CompactingByHand { held: Some(keyspace.compacting.lock()), scheduler: &self.scheduler }
    }

    pub(crate) fn compact_range(
        &self,
        keyspace: &Arc<KeyspaceCore>,
        lower: &std::ops::Bound<Vec<u8>>,
        upper: &std::ops::Bound<Vec<u8>>,
    ) -> Result<()> {
        use std::ops::Bound;
        self.flush_keyspace(keyspace)?;
        let _compacting = self.compact_by_hand(keyspace);
        let version = Arc::clone(&keyspace.view().version);
        let after = |key: &[u8]| match lower {
            Bound::Unbounded => true,
            Bound::Included(lower) | Bound::Excluded(lower) => key >= lower.as_slice(),
        };
        let before = |key: &[u8]| match upper {
            Bound::Unbounded => true,
            Bound::Included(upper) | Bound::Excluded(upper) => key <= upper.as_slice(),
        };
        let plan = plan::everything(&version, &self.limits(), keyspace.options.compaction, |table| {
            after(&table.meta.largest) && before(&table.meta.smallest)
        });
        let done = plan.map_or(Ok(()), |plan| self.run_plan(keyspace, &version, &plan));
        self.update_brake();
        self.scheduler.notify_progress();
        done
    }
}

impl DbCore {
    /// Reads filters and indexes into the cache, so that the first look-ups need not.
    fn warm_up(&self) {
        let mut room = self.options.cache_len() as u64 / 4;
        for keyspace in self.all_keyspaces() {
            let version = Arc::clone(&keyspace.view().version);
            for (_, handle) in version.tables() {
                if room == 0 || self.is_closing() {
                    return;
                }
                match handle.with_table(|table| table.warm_up(room)) {
                    Ok(taken) => room -= taken.min(room),
                    // Whoever needs the block meets the same error, and can do something about it.
                    Err(error) => tracing::warn!(%error, table = handle.meta.number, "a table could not be read ahead"),
                }
            }
        }
    }
}

/// A worker's life. It holds the database only while it works, so that dropping the last handle ends it.
fn work(db: &Weak<DbCore>, scheduler: &Scheduler, sync_interval: Option<Duration>) {
    loop {
        let mut state = scheduler.state.lock();
        if !state.shut_down && !state.pending {
            match sync_interval {
                Some(interval) => {
                    scheduler.work.wait_for(&mut state, interval);
                }
                None => scheduler.work.wait(&mut state),
            }
        }
        if state.shut_down {
            return;
        }
        state.pending = false;
        drop(state);
        let Some(db) = db.upgrade() else { return };
        if sync_interval.is_some() {
            db.sync_if_due();
        }
        work_off(&db, scheduler);
    }
}

fn work_off(db: &Arc<DbCore>, scheduler: &Scheduler) {
    while db.check_writable().is_ok() {
        let Some(job) = db.next_job() else { return };
        let compacts = matches!(job, Job::Compact(_));
        {
            let mut state = scheduler.state.lock();
            if compacts && state.compactions >= scheduler.compactions_max {
                return;
            }
            state.compactions += usize::from(compacts);
            state.running += 1;
        }
        // What this job leaves to do may be another worker's.
        scheduler.notify_work();
        let done = db.run_job(&job);
        {
            let mut state = scheduler.state.lock();
            state.compactions -= usize::from(compacts);
            state.running -= 1;
        }
        let goes_on = db.settle(&job, done);
        scheduler.progress.notify_all();
        if !goes_on {
            let mut state = scheduler.state.lock();
            if !state.shut_down {
                scheduler.work.wait_for(&mut state, RETRY_AFTER);
                state.pending = true;
            }
            return;
        }
    }
}
