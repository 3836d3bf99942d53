//! Memtables become tables.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::compaction::Plan;
use crate::compaction::run::Below;
use crate::db::DbCore;
use crate::error::Result;
use crate::install::Flushed;
use crate::key::Seq;
use crate::keyspace::KeyspaceCore;
use crate::tree::MemBuffer;
use crate::tree::merge::Source;

impl DbCore {
    /// Flushes everything that a keyspace has in memory now.
    pub(crate) fn flush_keyspace(&self, keyspace: &Arc<KeyspaceCore>) -> Result<()> {
        self.check_writable()?;
        {
            let _applying = self.apply.lock();
            if !keyspace.view().active.buffer.is_empty() {
                keyspace.rotate(self.visible());
            }
        }
        let flushed = self.flush_immutables(keyspace);
        self.update_brake();
        // Writers may be waiting for just this. The workers passed the keyspace over meanwhile, whatever was put aside in it.
        self.scheduler.notify_progress();
        self.scheduler.notify_work();
        flushed
    }

    /// Merges the full memtables of a keyspace into one table of level 0.
    pub(crate) fn flush_immutables(&self, keyspace: &Arc<KeyspaceCore>) -> Result<()> {
        let _one = keyspace.flushing.lock();
        let view = keyspace.view_full();
        let memtables: Vec<Arc<MemBuffer>> = view.immutables.clone();
        if memtables.is_empty() {
            return Ok(());
        }
        let span = tracing::info_span!("flush", keyspace = %keyspace.name, memtables = memtables.len());
        let _entered = span.enter();
        let begun = self.context.vfs.monotonic();
        let bounds = memtables.iter().filter_map(|memory| memory.buffer.seq_bounds());
        let persisted = bounds.map(|(_, max)| max).max().unwrap_or(Seq::ZERO);
        // A table must not be durable before the log is: neither the values it points to nor the writes before its own could be
        // missing after a crash.
        self.ensure_durable(persisted)?;
        let tombstones = memtables.iter().flat_map(|memory| memory.buffer.range_tombstones().to_vec()).collect();
        let plan = Plan {
            inputs: Vec::new(),
            output_level: 0,
            move_only: false,
            newest: Seq::MAX,
            table_len: u64::MAX,
            evacuate: BTreeSet::new(),
        };
        let below = Below::new(&view.version, &[], 0);
        let sources = memtables.iter().map(Source::memory).collect();
        let merged = self.merge_into_tables(keyspace, sources, tombstones, &below, &plan)?;
        let bytes: u64 = merged.tables.iter().map(|table| table.file_len).sum();
        self.install_flush(keyspace, Flushed { memtables: &memtables, persisted, added: merged.tables })?;
        self.stats.flushes.add(1);
        self.stats.flush_bytes.add(bytes);
        self.stats.flush_latency.record(self.context.vfs.monotonic().saturating_sub(begun));
        Ok(())
    }
}
