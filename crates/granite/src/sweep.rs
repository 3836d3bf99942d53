//! Dropping what a collector no longer wants, without writing a delete for each key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::compaction::output::{TableOutput, TableRules};
use crate::cursor::Cursor;
use crate::db::DbCore;
use crate::error::Result;
use crate::install::Change;
use crate::key::{Kind, Seq, Trailer};
use crate::keyspace::{Keyspace, KeyspaceCore};
use crate::log::pointer::ValuePointer;
use crate::tree::TableHandle;

/// Tells of a key whether it is still wanted.
type Keep = Box<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// A sweep that is going on.
pub(crate) struct Sweep {
    bound: Seq,
    keep: Keep,
}

impl fmt::Debug for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sweep").field("bound", &self.bound).finish_non_exhaustive()
    }
}

impl Sweep {
    /// True if the sweep drops this version of `key`.
    #[inline]
    pub(crate) fn rejects(&self, key: &[u8], seq: Seq) -> bool {
        seq <= self.bound && !(self.keep)(key)
    }
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Entries looked at.
    pub entries: u64,
    /// Entries dropped.
    pub dropped: u64,
    /// Bytes of keys and values dropped, separated values included.
    pub dropped_bytes: u64,
    /// Entries that would have been dropped but for a snapshot.
    pub kept_for_snapshots: u64,
    /// Tables written anew.
    pub tables_rewritten: u64,
}

impl Keyspace {
    /// Drops every entry written at or before `bound` whose key `keep` rejects. Nothing else changes; no deletes are written.
    ///
    /// From the moment the sweep begins, `put_if_absent` counts a rejected key as absent and writes it again, so a collector
    /// beside a live writer loses nothing as long as it decides on keys that were unused at `bound`. Reads may or may not see a rejected key until the
    /// sweep is over. What a snapshot can see stays. A sweep that a crash cuts short has dropped a part; no older value comes back.
    ///
    /// `keep` is called from several threads and must give the same answer each time.
    ///
    /// # Errors
    /// [`Error::StorageFull`](crate::Error::StorageFull), damage, or another failure of the disk; a part may have been dropped.
    pub fn sweep(&self, bound: Seq, keep: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Result<SweepReport> {
        self.db.sweep(&self.core, &Arc::new(Sweep { bound, keep: Box::new(keep) }))
    }
}

impl DbCore {
    fn sweep(self: &Arc<Self>, keyspace: &Arc<KeyspaceCore>, sweep: &Arc<Sweep>) -> Result<SweepReport> {
        self.check_writable()?;
        // One sweep at a time, so that one rule decides over presence.
        let _one = self.sweeping.lock();
        {
            let _no_commit_under_way = self.sweep_gate.write();
            keyspace.sweep.store(Some(Arc::clone(sweep)));
        }
        let swept = self.sweep_tables(keyspace, sweep);
        keyspace.sweep.store(None);
        swept
    }

    fn sweep_tables(self: &Arc<Self>, keyspace: &Arc<KeyspaceCore>, sweep: &Sweep) -> Result<SweepReport> {
        self.flush_keyspace(keyspace)?;
        let _compacting = self.compact_by_hand(keyspace);
        let mut report = SweepReport::default();
        let mut kept = Kept::new();
        // From the bottom up: a version never goes before the older ones that it hides.
        for level in (0..crate::manifest::format::LEVEL_COUNT).rev() {
            let version = Arc::clone(&keyspace.view().version);
            let mut tables: Vec<_> = version.level(level).to_vec();
            if level == 0 {
                tables.reverse();
            }
            for table in tables.iter().filter(|table| table.meta.seq_min <= sweep.bound) {
                self.sweep_table(keyspace, level, table, sweep, &mut kept, &mut report)?;
            }
        }
        Ok(report)
    }

    fn sweep_table(
        self: &Arc<Self>,
        keyspace: &Arc<KeyspaceCore>,
        level: usize,
        handle: &Arc<TableHandle>,
        sweep: &Sweep,
        kept: &mut Kept,
        report: &mut SweepReport,
    ) -> Result<()> {
        let pinned = self.snapshots.pinned();
        let table = handle.table()?;
        let mut cursor = table.cursor(false);
        let mut rejected: u64 = 0;
        cursor.seek_to_first()?;
        while cursor.valid() {
            report.entries += 1;
            let trailer = cursor.trailer();
            if is_value(trailer) && sweep.rejects(cursor.key(), trailer.seq()) {
                if is_pinned(&pinned, trailer.seq()) {
                    report.kept_for_snapshots += 1;
                    kept.insert(cursor.key().to_vec());
                } else {
                    rejected += 1;
                }
            }
            cursor.next()?;
        }
        if rejected == 0 {
            return Ok(());
        }
        let segments: BTreeMap<_, _> =
            handle.segments().iter().map(|segment| (segment.number, Arc::clone(segment))).collect();
        let rules = TableRules { table_len: u64::MAX, tombstones: table.range_tombstones().to_vec() };
        let mut output = TableOutput::new(self, keyspace, rules);
        cursor.seek_to_first()?;
        while cursor.valid() {
            let (key, trailer) = (cursor.key(), cursor.trailer());
            let rejected = is_value(trailer) && sweep.rejects(key, trailer.seq()) && !is_pinned(&pinned, trailer.seq());
            let hides_kept = rejected && kept.contains(key);
            report.kept_for_snapshots += u64::from(hides_kept);
            if rejected && !hides_kept {
                let value_len = match trailer.kind() {
                    Kind::Separated => ValuePointer::decode(cursor.value()).map_or(0, |pointer| u64::from(pointer.len)),
                    _ => cursor.value().len() as u64,
                };
                report.dropped += 1;
                report.dropped_bytes += key.len() as u64 + value_len;
            } else {
                output.add(key, trailer, cursor.value())?;
            }
            cursor.next()?;
        }
        let added = output.finish()?;
        report.tables_rewritten += 1;
        let change = Change { removed: std::slice::from_ref(handle), added, level, moved: BTreeMap::new() };
        self.install(keyspace, change, &segments)
    }
}

/// Keys of which a version stays for a snapshot: newer ones stay with it, or it would be read in their place.
type Kept = BTreeSet<Vec<u8>>;

fn is_value(trailer: Trailer) -> bool {
    matches!(trailer.kind(), Kind::Inline | Kind::Separated)
}

/// True if some snapshot is at or after the write: it may see it.
fn is_pinned(pinned: &[Seq], seq: Seq) -> bool {
    pinned.last().is_some_and(|&newest| newest >= seq)
}
