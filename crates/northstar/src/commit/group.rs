//! Group commit.
//!
//! A writer appends its record under the writer's lock and leaves its new root here. If the commit is to be durable, it then waits for a sync
//! that began after its append. Whoever finds no sync under way leads: one sync for all records that are in the log by then. The next
//! writer builds on a root that is not durable yet; its own sync covers both, so it never becomes visible or durable without it.
//!
//! Roots become visible in order. A buffered commit is visible at once, unless a durable one before it still waits.
//!
//! Syncs of the log never overlap: the system reports an error to one caller only, and the other would acknowledge what is lost. A sync
//! that failed is never repeated: the handle is poisoned.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};
use vfs::File;

use crate::error::{Error, Result};
use crate::id::TxnId;

/// Yields without a newcomer after which a leader stops waiting for the writers of the last group.
const QUIET_YIELDS: usize = 60;
/// After this many waits in vain, a leader waits in one group of `1 << MISSES_MAX`.
const MISSES_MAX: u32 = 6;

struct Pending<R> {
    /// The root may be seen once everything up to this is durable.
    barrier: TxnId,
    root: R,
}

struct State<R> {
    file: Arc<dyn File>,
    path: PathBuf,
    /// The newest record in the log.
    appended: TxnId,
    /// Everything up to this is durable.
    synced: TxnId,
    /// The newest record whose writer wants it durable.
    wanted: TxnId,
    syncing: bool,
    pending: VecDeque<Pending<R>>,
    poison: Option<Arc<str>>,
    /// Durable commits since the last sync began, and how many the last sync answered.
    arrived: usize,
    answered: usize,
    misses: u32,
    rest: u32,
    syncs: u64,
}

/// What a group has done, for statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupUse {
    pub(crate) appended: TxnId,
    pub(crate) durable: TxnId,
    pub(crate) syncs: u64,
}

pub(crate) struct Group<R> {
    state: Mutex<State<R>>,
    changed: Condvar,
    publish: Box<dyn Fn(R) + Send + Sync>,
}

impl<R> std::fmt::Debug for Group<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").finish_non_exhaustive()
    }
}

impl<R> Group<R> {
    /// A log of which everything up to `last` is durable. `publish` makes a root visible; it is called in order, under a lock.
    pub(crate) fn new(file: Arc<dyn File>, path: PathBuf, last: TxnId, publish: Box<dyn Fn(R) + Send + Sync>) -> Self {
        let state = State {
            file,
            path,
            appended: last,
            synced: last,
            wanted: last,
            syncing: false,
            pending: VecDeque::new(),
            poison: None,
            arrived: 0,
            answered: 0,
            misses: 0,
            rest: 0,
            syncs: 0,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), publish }
    }

    /// Refuses everything from now on.
    pub(crate) fn poison(&self, cause: &Error) {
        let mut state = self.state.lock();
        if state.poison.is_none() {
            state.poison = Some(cause.to_string().into());
        }
        self.changed.notify_all();
    }

    pub(crate) fn check(&self) -> Result<()> {
        Self::check_state(&self.state.lock())
    }

    fn check_state(state: &State<R>) -> Result<()> {
        match &state.poison {
            Some(cause) => Err(Error::Poisoned { cause: Arc::clone(cause) }),
            None => Ok(()),
        }
    }

    pub(crate) fn usage(&self) -> GroupUse {
        let state = self.state.lock();
        GroupUse { appended: state.appended, durable: state.synced, syncs: state.syncs }
    }

    /// Everything up to this is durable.
    pub(crate) fn durable(&self) -> TxnId {
        self.state.lock().synced
    }

    /// Takes in the root of a record that was just appended. Called in the order of records. Returns what to wait for.
    pub(crate) fn enqueue(&self, txn: TxnId, root: R, durable: bool) -> TxnId {
        let mut state = self.state.lock();
        state.appended = txn;
        if durable {
            state.wanted = txn;
            state.arrived += 1;
        }
        let barrier = state.wanted;
        state.pending.push_back(Pending { barrier, root });
        self.publish_ready(&mut state);
        barrier
    }

    fn publish_ready(&self, state: &mut State<R>) {
        let synced = state.synced;
        let mut newest = None;
        while state.pending.front().is_some_and(|pending| pending.barrier <= synced) {
            newest = state.pending.pop_front();
        }
        if let Some(pending) = newest {
            (self.publish)(pending.root);
        }
    }

    /// Waits until everything up to `barrier` is durable, and leads a sync if none is under way.
    pub(crate) fn wait(&self, barrier: TxnId) -> Result<()> {
        let mut state = self.state.lock();
        loop {
            if state.synced >= barrier {
                return Ok(());
            }
            Self::check_state(&state)?;
            if state.syncing {
                self.changed.wait(&mut state);
            } else {
                state = self.lead(state);
            }
        }
    }

    /// Makes everything durable that was appended so far.
    pub(crate) fn sync_all(&self) -> Result<()> {
        let appended = self.state.lock().appended;
        self.wait(appended)
    }

    /// Syncs the log, whether or not anything was appended: for a cut.
    pub(crate) fn sync_cut(&self) -> Result<()> {
        let mut state = self.state.lock();
        while state.syncing {
            self.changed.wait(&mut state);
        }
        Self::check_state(&state)?;
        Self::check_state(&self.lead(state))
    }

    fn lead<'a>(&'a self, mut state: MutexGuard<'a, State<R>>) -> MutexGuard<'a, State<R>> {
        state.syncing = true;
        state = self.gather(state);
        let (target, file) = (state.appended, Arc::clone(&state.file));
        let group = std::mem::take(&mut state.arrived);
        drop(state);
        let synced = file.sync_data();
        let mut state = self.state.lock();
        state.syncing = false;
        state.answered = group;
        state.syncs += 1;
        match synced {
            Ok(()) => {
                state.synced = target;
                self.publish_ready(&mut state);
            }
            Err(error) => {
                let error = Error::sync(&state.path, error);
                state.poison.get_or_insert_with(|| error.to_string().into());
            }
        }
        self.changed.notify_all();
        state
    }

    /// Lets the writers of the last group come back before the next sync begins: they share it instead of waiting for it and then for their
    /// own. Where nobody comes, it is tried less and less often.
    fn gather<'a>(&'a self, mut state: MutexGuard<'a, State<R>>) -> MutexGuard<'a, State<R>> {
        if state.answered <= 1 {
            return state;
        }
        if state.rest > 0 {
            state.rest -= 1;
            return state;
        }
        let (before, mut seen, mut quiet) = (state.arrived, state.arrived, 0);
        while seen < state.answered && quiet < QUIET_YIELDS {
            MutexGuard::unlocked(&mut state, std::thread::yield_now);
            quiet = if state.arrived == seen { quiet + 1 } else { 0 };
            seen = state.arrived;
        }
        if seen == before && before < state.answered {
            state.misses = (state.misses + 1).min(MISSES_MAX);
            state.rest = 1 << state.misses;
        } else {
            state.misses = 0;
        }
        state
    }

    /// Records go to another file from now on. Everything in the old one is durable, and nothing was appended since.
    pub(crate) fn switch_file(&self, file: Arc<dyn File>) {
        self.state.lock().file = file;
    }
}
