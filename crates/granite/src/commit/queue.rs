//! Group commit: concurrent writers form a queue, and the one at its head works for all that wait.
//!
//! Knows nothing of logs or databases, so that it can be model-checked by itself.

#[cfg(feature = "shuttle")]
use shuttle::sync::{Arc, Condvar, Mutex, MutexGuard, atomic::AtomicBool};
#[cfg(feature = "shuttle")]
use shuttle::thread::yield_now;
#[cfg(not(feature = "shuttle"))]
use std::sync::{Arc, Condvar, Mutex, MutexGuard, atomic::AtomicBool};
#[cfg(not(feature = "shuttle"))]
use std::thread::yield_now;

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

enum State<T, R> {
    Waiting(T),
    /// Told to lead: its own item comes first.
    Leading(T),
    /// Its item was taken by a leader.
    Taken,
    Done(R),
}

struct Waiter<T, R> {
    state: Mutex<Option<State<T, R>>>,
    /// Set once the state is one that ends the wait, for those that look before they sleep.
    called: AtomicBool,
    wake: Condvar,
}

impl<T, R> Waiter<T, R> {
    fn new(item: T) -> Self {
        Self { state: Mutex::new(Some(State::Waiting(item))), called: AtomicBool::new(false), wake: Condvar::new() }
    }

    /// Looks whether the wait is over, for about as long as falling asleep and being woken would take.
    fn look(&self) {
        for look in 0..LOOKS + YIELDS {
            if self.called.load(Ordering::Acquire) {
                return;
            }
            if look < LOOKS {
                std::hint::spin_loop();
            } else {
                yield_now();
            }
        }
    }

    /// Ends the wait.
    fn call(&self, mut state: MutexGuard<'_, Option<State<T, R>>>, next: Option<State<T, R>>) {
        *state = next;
        drop(state);
        self.called.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

/// How often a leader lets others through without anybody coming before it stops waiting for the writers of the last group.
const QUIET_YIELDS: u32 = if cfg!(feature = "shuttle") { 2 } else { 100 };
/// After so many misses in a row, only one group in 2 to the power of that many waits.
const MISSES_MAX: u32 = 6;

/// How a writer waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Groups take no longer than it takes to fall asleep and be woken: look for a while first.
    Brief,
    /// Groups wait for the disk.
    Long,
}

/// How often a brief wait looks without letting go of the processor: some microseconds, a tenth of what a sleep costs.
const LOOKS: u32 = if cfg!(feature = "shuttle") { 2 } else { 200 };
/// How often it looks after that, with others let through in between.
const YIELDS: u32 = if cfg!(feature = "shuttle") { 2 } else { 100 };

struct Inner<T, R> {
    waiting: std::collections::VecDeque<Arc<Waiter<T, R>>>,
    led: bool,
    /// Writers of the last group. Its answers wake them, and they may be back with their next items soon.
    grouped: usize,
    /// How often in a row a leader waited for them and none came, and for how many groups nobody will wait because of that.
    misses: u32,
    rest: u32,
}

/// A queue of items of which a leader takes as many as are there.
pub(crate) struct CommitQueue<T, R> {
    inner: Mutex<Inner<T, R>>,
}

impl<T, R> std::fmt::Debug for CommitQueue<T, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommitQueue").finish_non_exhaustive()
    }
}

/// A panic of another writer is that writer's: the queue's own state is changed in single steps only.
fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The items that a leader works for, its own first.
pub(crate) struct Group<'a, T, R> {
    queue: &'a CommitQueue<T, R>,
    waiters: Vec<Arc<Waiter<T, R>>>,
    handed_over: bool,
}

impl<T, R> CommitQueue<T, R> {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                waiting: std::collections::VecDeque::new(),
                led: false,
                grouped: 0,
                misses: 0,
                rest: 0,
            }),
        }
    }

    /// Puts `item` into the queue and returns what became of it. The caller may be made the leader of a group: then `lead` gets its items, as
    /// many as `fits` lets in behind the first, and returns a result for each, in order.
    ///
    /// Within `lead`, [`Group::hand_over`] lets the next group begin.
    pub(crate) fn submit(
        &self,
        item: T,
        wait: Wait,
        fits: impl Fn(&T, usize) -> bool,
        lead: impl FnOnce(&mut Group<'_, T, R>, Vec<T>) -> Vec<R>,
    ) -> Option<R> {
        let mut inner = lock(&self.inner);
        let found_led = inner.led;
        let own = if found_led {
            let waiter = Arc::new(Waiter::new(item));
            inner.waiting.push_back(Arc::clone(&waiter));
            drop(inner);
            match Self::wait(&waiter, wait) {
                Ok(item) => item,
                Err(done) => return done,
            }
        } else {
            inner.led = true;
            drop(inner);
            item
        };
        if wait == Wait::Long {
            // Who found nobody leading may be one of the last group.
            self.gather(usize::from(!found_led));
        }
        let mut items = vec![own];
        let mut group = Group { queue: self, waiters: Vec::new(), handed_over: false };
        let mut inner = lock(&self.inner);
        while let Some(next) = inner.waiting.front() {
            let mut state = lock(&next.state);
            match state.take() {
                Some(State::Waiting(item)) if fits(&item, items.len()) => {
                    *state = Some(State::Taken);
                    items.push(item);
                }
                other => {
                    *state = other;
                    break;
                }
            }
            drop(state);
            if let Some(taken) = inner.waiting.pop_front() {
                group.waiters.push(taken);
            }
        }
        inner.grouped = items.len();
        drop(inner);
        let mut results = lead(&mut group, items).into_iter();
        let own = results.next();
        for (waiter, result) in group.waiters.iter().zip(results) {
            waiter.call(lock(&waiter.state), Some(State::Done(result)));
        }
        own
    }

    /// Lets the writers of the last group come back, all but `known` of them, before the next group is closed: they share its wait for the disk
    /// instead of waiting for it and then for their own.
    fn gather(&self, known: usize) {
        let mut inner = lock(&self.inner);
        if inner.rest > 0 {
            inner.rest -= 1;
            return;
        }
        let before = inner.waiting.len();
        let complete = before + inner.grouped.saturating_sub(known);
        let (mut seen, mut quiet) = (before, 0);
        while seen < complete && quiet < QUIET_YIELDS {
            drop(inner);
            yield_now();
            inner = lock(&self.inner);
            quiet = if inner.waiting.len() == seen { quiet + 1 } else { 0 };
            seen = inner.waiting.len();
        }
        if complete > before && seen == before {
            inner.misses = (inner.misses + 1).min(MISSES_MAX);
            inner.rest = 1 << inner.misses;
        } else {
            inner.misses = 0;
        }
    }

    /// Waits until the item is done (`Err`) or the caller is to lead (`Ok`, with its item).
    fn wait(waiter: &Waiter<T, R>, wait: Wait) -> Result<T, Option<R>> {
        if wait == Wait::Brief {
            waiter.look();
        }
        let mut state = lock(&waiter.state);
        loop {
            match state.take() {
                Some(State::Leading(item)) => return Ok(item),
                Some(State::Done(result)) => return Err(Some(result)),
                None => return Err(None),
                other => *state = other,
            }
            state = waiter.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T, R> Group<'_, T, R> {
    /// Makes the first of those that wait the next leader, or leaves the queue without one.
    pub(crate) fn hand_over(&mut self) {
        if std::mem::replace(&mut self.handed_over, true) {
            return;
        }
        let mut inner = lock(&self.queue.inner);
        let Some(next) = inner.waiting.pop_front() else {
            inner.led = false;
            return;
        };
        drop(inner);
        let mut state = lock(&next.state);
        if let Some(State::Waiting(item)) = state.take() {
            next.call(state, Some(State::Leading(item)));
        }
    }
}

impl<T, R> Drop for Group<'_, T, R> {
    /// Whatever way a leader ends, the queue goes on, and nobody it worked for waits for ever.
    fn drop(&mut self) {
        self.hand_over();
        for waiter in &self.waiters {
            let state = lock(&waiter.state);
            if matches!(*state, Some(State::Taken)) {
                waiter.call(state, None);
            }
        }
    }
}

#[cfg(test)]
mod tests;
