//! `stats`

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use granite::{Db, DbStats, KeyspaceStats, Recovery};
use serde::Serialize;

use crate::output::human_bytes;
use crate::session::Session;

/// Print sizes of keyspaces, levels, log and values, and what opening the database met.
#[derive(Debug, Args)]
pub struct Stats {}

impl Stats {
    pub fn run(&self, session: &mut Session) -> Result<()> {
        let db = session.open_to_read()?;
        let report = Report::of(&db);
        if session.settings.json { session.out.json(&report) } else { report.print(session) }
    }
}

/// The value of a counter; 0 if there is none of that name.
pub fn counter(stats: &DbStats, name: &str) -> u64 {
    find(&stats.counters, name)
}

/// The value of a gauge; 0 if there is none of that name.
pub fn gauge(stats: &DbStats, name: &str) -> u64 {
    find(&stats.gauges, name)
}

fn find(values: &[(&'static str, u64)], name: &str) -> u64 {
    values.iter().find(|(known, _)| *known == name).map_or(0, |(_, value)| *value)
}

/// The schema of `stats --json`, and a part of that of `diag --json`. Documented in the book: fields may be added, not changed.
#[derive(Debug, Serialize)]
pub struct Report {
    keyspaces: Vec<KeyspaceReport>,
    gauges: BTreeMap<&'static str, u64>,
    counters: BTreeMap<&'static str, u64>,
    latencies_us: BTreeMap<&'static str, LatencyReport>,
    value_segments: Vec<SegmentReport>,
    recovery: RecoveryReport,
}

#[derive(Debug, Serialize)]
struct KeyspaceReport {
    name: String,
    levels: Vec<LevelReport>,
    memtable_bytes: u64,
    memtable_entries: u64,
    immutable_memtables: u64,
}

#[derive(Debug, Serialize)]
struct LevelReport {
    level: usize,
    tables: u64,
    bytes: u64,
    entries: u64,
}

#[derive(Debug, Serialize)]
struct LatencyReport {
    count: u64,
    p50: u64,
    p95: u64,
    p99: u64,
    max: u64,
}

#[derive(Debug, Serialize)]
struct SegmentReport {
    number: u64,
    bytes: u64,
    live_bytes: u64,
}

#[derive(Debug, Serialize)]
struct RecoveryReport {
    batches: u64,
    bytes: u64,
    torn: Option<Place>,
    lost: Vec<LostReport>,
    orphans_removed: u64,
}

#[derive(Debug, Serialize)]
struct Place {
    segment: u64,
    offset: u64,
}

#[derive(Debug, Serialize)]
struct LostReport {
    first_seq: u64,
    last_seq: Option<u64>,
    segment: u64,
    offset: u64,
}

impl Report {
    pub fn of(db: &Db) -> Self {
        let stats = db.stats();
        Self {
            keyspaces: stats.keyspaces.iter().map(keyspace_report).collect(),
            gauges: stats.gauges.iter().copied().collect(),
            counters: stats.counters.iter().copied().collect(),
            latencies_us: stats
                .latencies
                .iter()
                .map(|(name, latency)| {
                    let report = LatencyReport {
                        count: latency.count,
                        p50: latency.p50_us,
                        p95: latency.p95_us,
                        p99: latency.p99_us,
                        max: latency.max_us,
                    };
                    (*name, report)
                })
                .collect(),
            value_segments: stats
                .segments
                .iter()
                .map(|&(number, bytes, live_bytes)| SegmentReport { number, bytes, live_bytes })
                .collect(),
            recovery: recovery_report(&db.recovery()),
        }
    }

    fn print(&self, session: &mut Session) -> Result<()> {
        let out = &mut session.out;
        for keyspace in &self.keyspaces {
            out.line(format_args!("keyspace {}", keyspace.name))?;
            for level in keyspace.levels.iter().filter(|level| level.tables > 0) {
                out.line(format_args!(
                    "  level {}: {} tables, {} entries, {}",
                    level.level,
                    level.tables,
                    level.entries,
                    human_bytes(level.bytes)
                ))?;
            }
            out.line(format_args!(
                "  in memory: {} entries, {}",
                keyspace.memtable_entries,
                human_bytes(keyspace.memtable_bytes)
            ))?;
        }
        let gauge = |name| self.gauges.get(name).copied().unwrap_or(0);
        let (bytes, live) = (gauge("segment_bytes"), gauge("segment_live_bytes"));
        out.line(format_args!("tables: {}", human_bytes(gauge("table_bytes"))))?;
        out.line(format_args!(
            "values: {} in {} segments, {} of it in use by tables",
            human_bytes(bytes),
            self.value_segments.len(),
            human_bytes(live)
        ))?;
        out.line(format_args!(
            "log: {} in {} segments, read when the database was opened: {} batches",
            human_bytes(gauge("log_bytes")),
            gauge("log_segments"),
            self.recovery.batches
        ))?;
        out.line(format_args!("sequence: {}, durable: {}", gauge("visible_seq"), gauge("durable_seq")))?;
        if let Some(torn) = &self.recovery.torn {
            out.line(format_args!(
                "torn tail: dropped from segment {} at byte {}; it had not been acknowledged as durable",
                torn.segment, torn.offset
            ))?;
        }
        Ok(())
    }
}

fn keyspace_report(keyspace: &KeyspaceStats) -> KeyspaceReport {
    let levels = keyspace.levels.iter().enumerate();
    KeyspaceReport {
        name: keyspace.name.clone(),
        levels: levels
            .map(|(level, stats)| LevelReport {
                level,
                tables: stats.tables,
                bytes: stats.bytes,
                entries: stats.entries,
            })
            .collect(),
        memtable_bytes: keyspace.memtable_bytes,
        memtable_entries: keyspace.memtable_entries,
        immutable_memtables: keyspace.immutable_memtables,
    }
}

fn recovery_report(recovery: &Recovery) -> RecoveryReport {
    let lost = recovery.lost.iter().map(|lost| LostReport {
        first_seq: lost.first.get(),
        last_seq: lost.last.map(granite::Seq::get),
        segment: lost.segment,
        offset: lost.offset,
    });
    RecoveryReport {
        batches: recovery.batches,
        bytes: recovery.bytes,
        torn: recovery.torn.map(|(segment, offset)| Place { segment, offset }),
        lost: lost.collect(),
        orphans_removed: recovery.orphans_removed,
    }
}
