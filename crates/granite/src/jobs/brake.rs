//! When memtables are put aside, and how writers are kept from running ahead of flushes and compactions.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{DELAY_MAX_US, RETRY_AFTER, STOP};
use crate::db::DbCore;
use crate::error::{Error, Result};
use crate::key::Seq;
use crate::keyspace::KeyspaceCore;
use crate::options::Background;

/// Tables in level 0 from which writers are slowed down, and at which they stop.
const LEVEL0_SLOW: usize = 12;
const LEVEL0_STOP: usize = 24;

impl DbCore {
    /// Puts full memtables aside for flushing. The caller holds the right to apply; `applied` is the last operation applied.
    pub(crate) fn rotate_full_memtables(&self, applied: Seq, log_bytes: u64) {
        let limit = self.options.write_buffer_len() / 2;
        let keyspaces = self.keyspaces.load();
        let mut total = 0;
        let mut largest: Option<(usize, &Arc<KeyspaceCore>)> = None;
        let mut rotated = false;
        for keyspace in keyspaces.values() {
            let view = keyspace.view();
            let active = &view.active.buffer;
            let bytes = active.allocated_bytes();
            if active.is_empty() {
                continue;
            }
            if bytes >= limit {
                keyspace.rotate(applied);
                rotated = true;
                continue;
            }
            total += bytes;
            if largest.is_none_or(|(most, _)| bytes > most) {
                largest = Some((bytes, keyspace));
            }
        }
        if total >= limit
            && let Some((_, keyspace)) = largest
        {
            keyspace.rotate(applied);
            rotated = true;
        }
        if log_bytes > self.options.log_len_max {
            rotated |= self.rotate_laggards(applied);
        }
        if rotated {
            self.update_brake();
            self.scheduler.notify_work();
        } else {
            self.scheduler.active.store(total as u64, Ordering::Relaxed);
        }
    }

    /// Puts aside the memtables that keep the older half of the log from being released.
    fn rotate_laggards(&self, applied: Seq) -> bool {
        let keyspaces = self.keyspaces.load();
        let oldest = |keyspace: &KeyspaceCore| keyspace.first_unpersisted();
        let Some(first) = keyspaces.values().filter_map(|keyspace| oldest(keyspace)).min() else { return false };
        let middle = Seq::new(first.get() + (applied.get().saturating_sub(first.get())) / 2);
        let mut rotated = false;
        for keyspace in keyspaces.values() {
            let view = keyspace.view();
            let begins = view.active.buffer.seq_bounds().map(|(min, _)| min);
            // A memtable that waits for its flush already is on its way.
            if view.immutables.is_empty() && begins.is_some_and(|min| min <= middle) {
                keyspace.rotate(applied);
                rotated = true;
            }
        }
        rotated
    }

    /// Sets the brake by how far flushes and compactions are behind.
    pub(crate) fn update_brake(&self) {
        let keyspaces = self.keyspaces.load();
        let (mut waiting, mut active, mut level0) = (0, 0, 0);
        for keyspace in keyspaces.values() {
            let view = keyspace.view();
            waiting += view.immutables.iter().map(|memory| memory.allocated_bytes() as u64).sum::<u64>();
            if !view.active.buffer.is_empty() {
                active += view.active.allocated_bytes() as u64;
            }
            if !keyspace.compaction_stopped.load(Ordering::Relaxed) && !self.options.manual_compaction_only {
                level0 = level0.max(view.version.level(0).len());
            }
        }
        let tables = match level0 {
            LEVEL0_STOP.. => STOP,
            LEVEL0_SLOW.. => {
                let steps = (LEVEL0_STOP - LEVEL0_SLOW) as u64;
                ((level0 - LEVEL0_SLOW) as u64 + 1) * DELAY_MAX_US / steps
            }
            _ => 0,
        };
        self.scheduler.table_delay.store(tables, Ordering::Relaxed);
        self.scheduler.waiting.store(waiting, Ordering::Relaxed);
        self.scheduler.active.store(active, Ordering::Relaxed);
    }

    /// Delays a writer by what the brake says.
    pub(crate) fn throttle(self: &Arc<Self>) -> Result<()> {
        let delay = self.scheduler.delay();
        if delay == 0 {
            return Ok(());
        }
        if matches!(self.options.background, Background::Inline) {
            self.run_pending_jobs();
            let stopped = self.scheduler.delay() == STOP;
            return match self.scheduler.state.lock().error.clone() {
                Some(error) if stopped => Err(error),
                _ => Ok(()),
            };
        }
        if delay != STOP {
            self.stats.slowdowns.add(1);
            self.stats.slowdown_us.add(delay);
            std::thread::sleep(Duration::from_micros(delay));
            return Ok(());
        }
        self.stats.stalls.add(1);
        let begun = self.context.vfs.monotonic();
        let mut state = self.scheduler.state.lock();
        while self.scheduler.delay() == STOP {
            self.check_writable()?;
            // Two that measured at once may have left the older measure behind.
            self.update_brake();
            if self.scheduler.delay() != STOP {
                break;
            }
            if let Some(error @ Error::StorageFull { .. }) = &state.error {
                return Err(error.clone());
            }
            self.scheduler.progress.wait_for(&mut state, RETRY_AFTER);
        }
        drop(state);
        let waited = self.context.vfs.monotonic().saturating_sub(begun);
        self.stats.stall_us.add(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
        Ok(())
    }
}
