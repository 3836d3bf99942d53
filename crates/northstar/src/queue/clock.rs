//! The queue's clock: the machine's, but that it never steps back.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use vfs::Vfs;

use crate::id::CommitTime;

/// How far the queue's clock must be ahead of the machine's before that is written down, in microseconds. The two drift apart by less all the time.
const LEAD_US: u64 = 1_000_000;

/// A reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// Microseconds since the Unix epoch.
    pub(super) now_us: u64,
    /// The machine's clock has stepped back: whoever opens the queue next could not know this time.
    pub(super) is_ahead: bool,
}

/// Follows the machine's clock forward. When that one steps back, time goes on at its pace, so leases still expire and delays still end.
#[derive(Debug)]
pub(super) struct Clock {
    vfs: Arc<dyn Vfs>,
    last: Mutex<Last>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    now_us: u64,
    monotonic: Duration,
}

impl Clock {
    /// A clock that shows `reached_us` at least.
    pub(super) fn new(vfs: Arc<dyn Vfs>, reached_us: u64) -> Self {
        let monotonic = vfs.monotonic();
        Self { vfs, last: Mutex::new(Last { now_us: reached_us, monotonic }) }
    }

    pub(super) fn read(&self) -> Reading {
        let mut last = self.last.lock();
        let monotonic = self.vfs.monotonic();
        let machine_us = CommitTime::from_clock(self.vfs.now()).0;
        let passed_us = CommitTime::from_clock(monotonic.saturating_sub(last.monotonic)).0;
        let now_us = machine_us.max(last.now_us.saturating_add(passed_us));
        *last = Last { now_us, monotonic };
        Reading { now_us, is_ahead: now_us.saturating_sub(machine_us) > LEAD_US }
    }
}
