//! Counts and sizes that tell how a database is doing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use std::sync::Arc;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use crate::db::DbCore;
use crate::keyspace::KeyspaceCore;
use crate::tree::TableHandle;

/// A count that only rises.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[inline]
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Durations in microseconds, two significant digits.
#[derive(Debug)]
pub(crate) struct Latency(Mutex<Option<Histogram<u32>>>);

/// Longest duration that is told apart: one hour, in microseconds.
const LATENCY_MAX: u64 = 3_600_000_000;

impl Latency {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    pub(crate) fn record(&self, duration: std::time::Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).clamp(1, LATENCY_MAX);
        let mut slot = self.0.lock();
        if slot.is_none() {
            *slot = Histogram::new_with_bounds(1, LATENCY_MAX, 2).ok();
        }
        if let Some(histogram) = &mut *slot {
            histogram.saturating_record(micros);
        }
    }

    fn summary(&self) -> LatencySummary {
        let slot = self.0.lock();
        let Some(histogram) = &*slot else { return LatencySummary::default() };
        LatencySummary {
            count: histogram.len(),
            p50_us: histogram.value_at_quantile(0.5),
            p95_us: histogram.value_at_quantile(0.95),
            p99_us: histogram.value_at_quantile(0.99),
            max_us: histogram.max(),
        }
    }
}

/// A distribution of durations, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LatencySummary {
    /// How many there were.
    pub count: u64,
    /// Half of them took at most this.
    pub p50_us: u64,
    /// 95 of 100 took at most this.
    pub p95_us: u64,
    /// 99 of 100 took at most this.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// The counters of one database.
#[derive(Debug)]
pub(crate) struct Stats {
    pub(crate) gets: Counter,
    pub(crate) scans: Counter,
    pub(crate) commits: Counter,
    pub(crate) operations: Counter,
    pub(crate) groups: Counter,
    pub(crate) log_bytes: Counter,
    pub(crate) log_syncs: Counter,
    pub(crate) separated_bytes: Counter,
    pub(crate) flushes: Counter,
    pub(crate) flush_bytes: Counter,
    pub(crate) compactions: Counter,
    pub(crate) compaction_bytes_read: Counter,
    pub(crate) compaction_bytes_written: Counter,
    pub(crate) moved_value_bytes: Counter,
    pub(crate) slowdowns: Counter,
    pub(crate) slowdown_us: Counter,
    pub(crate) stalls: Counter,
    pub(crate) stall_us: Counter,
    pub(crate) background_errors: Counter,
    pub(crate) commit_latency: Latency,
    pub(crate) sync_latency: Latency,
    pub(crate) flush_latency: Latency,
    pub(crate) compaction_latency: Latency,
}

impl Stats {
    pub(crate) const fn new() -> Self {
        Self {
            gets: Counter::new(),
            scans: Counter::new(),
            commits: Counter::new(),
            operations: Counter::new(),
            groups: Counter::new(),
            log_bytes: Counter::new(),
            log_syncs: Counter::new(),
            separated_bytes: Counter::new(),
            flushes: Counter::new(),
            flush_bytes: Counter::new(),
            compactions: Counter::new(),
            compaction_bytes_read: Counter::new(),
            compaction_bytes_written: Counter::new(),
            moved_value_bytes: Counter::new(),
            slowdowns: Counter::new(),
            slowdown_us: Counter::new(),
            stalls: Counter::new(),
            stall_us: Counter::new(),
            background_errors: Counter::new(),
            commit_latency: Latency::new(),
            sync_latency: Latency::new(),
            flush_latency: Latency::new(),
            compaction_latency: Latency::new(),
        }
    }

    pub(crate) fn counters(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("gets", self.gets.get()),
            ("scans", self.scans.get()),
            ("commits", self.commits.get()),
            ("operations", self.operations.get()),
            ("commit_groups", self.groups.get()),
            ("log_bytes", self.log_bytes.get()),
            ("log_syncs", self.log_syncs.get()),
            ("separated_bytes", self.separated_bytes.get()),
            ("flushes", self.flushes.get()),
            ("flush_bytes", self.flush_bytes.get()),
            ("compactions", self.compactions.get()),
            ("compaction_bytes_read", self.compaction_bytes_read.get()),
            ("compaction_bytes_written", self.compaction_bytes_written.get()),
            ("moved_value_bytes", self.moved_value_bytes.get()),
            ("slowdowns", self.slowdowns.get()),
            ("slowdown_us", self.slowdown_us.get()),
            ("stalls", self.stalls.get()),
            ("stall_us", self.stall_us.get()),
            ("background_errors", self.background_errors.get()),
        ]
    }

    pub(crate) fn latencies(&self) -> Vec<(&'static str, LatencySummary)> {
        vec![
            ("commit", self.commit_latency.summary()),
            ("sync", self.sync_latency.summary()),
            ("flush", self.flush_latency.summary()),
            ("compaction", self.compaction_latency.summary()),
        ]
    }
}

/// The tables of one level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LevelStats {
    /// Number of tables.
    pub tables: u64,
    /// Their length in bytes.
    pub bytes: u64,
    /// Entries in them, deletes and old versions included.
    pub entries: u64,
}

/// One keyspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyspaceStats {
    /// Its name.
    pub name: String,
    /// From level 0 on.
    pub levels: Vec<LevelStats>,
    /// Bytes of memory in memtables.
    pub memtable_bytes: u64,
    /// Entries in memtables.
    pub memtable_entries: u64,
    /// Full memtables that wait for their flush.
    pub immutable_memtables: u64,
}

/// A reading of a database's state, by [`Db::stats`](crate::Db::stats).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DbStats {
    /// Every keyspace, by name.
    pub keyspaces: Vec<KeyspaceStats>,
    /// Counts since the database was opened, by name.
    pub counters: Vec<(&'static str, u64)>,
    /// Durations since the database was opened, by name. `commit` is of durable commits only.
    pub latencies: Vec<(&'static str, LatencySummary)>,
    /// Sizes at this moment, by name.
    pub gauges: Vec<(&'static str, u64)>,
    /// Value segments with their length and the bytes in them that tables point to.
    pub segments: Vec<(u64, u64, u64)>,
}

impl DbCore {
    pub(crate) fn read_stats(&self) -> DbStats {
        let keyspaces: Vec<KeyspaceStats> =
            self.all_keyspaces().iter().map(|keyspace| keyspace_stats(keyspace)).collect();
        let cache = self.context.cache.stats();
        let (log_bytes, log_segments) = {
            let log = self.log.lock();
            (log.bytes, log.segments.len() as u64 + u64::from(log.writer.active().is_some()))
        };
        let views: Vec<_> = self.all_keyspaces().iter().map(|keyspace| keyspace.view_full()).collect();
        let open_bytes = views.iter().flat_map(|view| view.version.tables()).map(|(_, table)| table.open_bytes()).sum();
        let manifest = self.manifest.lock();
        let live = manifest.state().live_bytes();
        let segments: Vec<_> = manifest
            .state()
            .segments
            .iter()
            .map(|(number, len)| (*number, *len, live.get(number).copied().unwrap_or(0)))
            .collect();
        let manifest_bytes = manifest.len();
        drop(manifest);
        let memtable_bytes = keyspaces.iter().map(|keyspace| keyspace.memtable_bytes).sum();
        let table_bytes = keyspaces.iter().flat_map(|keyspace| &keyspace.levels).map(|level| level.bytes).sum();
        let mut counters = self.stats.counters();
        counters.push(("cache_hits", cache.hits));
        counters.push(("cache_misses", cache.misses));
        counters.push(("file_opens", self.context.handles.opens()));
        DbStats {
            gauges: vec![
                ("memory_budget_bytes", self.options.memory_budget as u64),
                ("memtable_bytes", memtable_bytes),
                ("cache_bytes", cache.used_bytes),
                ("open_table_bytes", open_bytes),
                ("table_bytes", table_bytes),
                ("segment_bytes", segments.iter().map(|(_, len, _)| len).sum()),
                ("segment_live_bytes", segments.iter().map(|(_, _, live)| live).sum()),
                ("log_bytes", log_bytes),
                ("log_segments", log_segments),
                ("manifest_bytes", manifest_bytes),
                ("visible_seq", self.visible().get()),
                ("durable_seq", self.durable().get()),
                ("snapshots", self.snapshots.pinned().len() as u64),
            ],
            keyspaces,
            counters,
            latencies: self.stats.latencies(),
            segments,
        }
    }
}

fn keyspace_stats(keyspace: &KeyspaceCore) -> KeyspaceStats {
    let view = keyspace.view_full();
    let level = |tables: &Vec<Arc<TableHandle>>| LevelStats {
        tables: tables.len() as u64,
        bytes: tables.iter().map(|table| table.meta.file_len).sum(),
        entries: tables.iter().map(|table| table.meta.entries).sum(),
    };
    KeyspaceStats {
        name: keyspace.name.clone(),
        levels: view.version.levels().iter().map(level).collect(),
        memtable_bytes: view.memory().map(|memory| memory.allocated_bytes() as u64).sum(),
        memtable_entries: view.memory().map(|memory| memory.buffer.len() as u64).sum(),
        immutable_memtables: view.immutables.len() as u64,
    }
}
