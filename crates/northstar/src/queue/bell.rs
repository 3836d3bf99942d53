//! Wakes those who wait for work, when there is some.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::name::TaskType;
use super::rows::Offers;

#[derive(Debug)]
struct Waiter {
    types: Box<[TaskType]>,
    /// It wakes by itself at this time.
    until_us: u64,
    is_called: bool,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    waiters: BTreeMap<u64, Waiter>,
    is_closed: bool,
}

/// Where waiters are known.
#[derive(Debug, Default)]
pub(super) struct Bell {
    state: Mutex<State>,
    rung: Condvar,
}

/// Somebody who waits. From its making on no call is missed.
#[derive(Debug)]
pub(super) struct Ticket<'a> {
    bell: &'a Bell,
    number: u64,
}

impl Bell {
    /// Calls those who wait for one of these types and would sleep for longer.
    pub(super) fn ring(&self, offers: &Offers) {
        if offers.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        let mut has_called = false;
        for waiter in state.waiters.values_mut().filter(|waiter| !waiter.is_called) {
            let offered = |task_type| offers.get(task_type).is_some_and(|from_us| *from_us < waiter.until_us);
            waiter.is_called = waiter.types.iter().any(offered);
            has_called |= waiter.is_called;
        }
        drop(state);
        if has_called {
            self.rung.notify_all();
        }
    }

    /// Nobody waits from now on.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.rung.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    pub(super) fn register(&self, types: &[TaskType]) -> Ticket<'_> {
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        state.waiters.insert(number, Waiter { types: types.into(), until_us: u64::MAX, is_called: false });
        Ticket { bell: self, number }
    }
}

impl Ticket<'_> {
    /// Sleeps until it is called, the bell is closed, or `timeout` has passed; calls for `until_us` or later are not worth waking for. Says whether it was called.
    pub(super) fn wait(&self, until_us: u64, timeout: Duration) -> bool {
        let mut state = self.bell.state.lock();
        if let Some(waiter) = state.waiters.get_mut(&self.number) {
            waiter.until_us = until_us;
        }
        let number = self.number;
        let asleep =
            |state: &mut State| !state.is_closed && state.waiters.get(&number).is_some_and(|waiter| !waiter.is_called);
        // A call may come at the very end of the time: only the mark says.
        let _timed_out = self.bell.rung.wait_while_for(&mut state, asleep, timeout);
        let Some(waiter) = state.waiters.get_mut(&self.number) else { return false };
        waiter.until_us = u64::MAX;
        std::mem::take(&mut waiter.is_called)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.bell.state.lock().waiters.remove(&self.number);
    }
}
