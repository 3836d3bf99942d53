//! `diag`

use anyhow::Result;
use clap::Args;
use granite::{Db, DbStats, Recovery};
use serde::Serialize;

use crate::commands::stats::{self, counter, gauge};
use crate::output::{Output, human_bytes};
use crate::session::Session;

/// Tables in level 0 from which on reads suffer: each is looked into one after the other.
const LEVEL_0_TABLES_WARN: u64 = 8;
/// Bytes of log from which on an open takes noticeably long.
const LOG_BYTES_WARN: u64 = 256 << 20;
/// Bytes of values below which their live share does not matter.
const SEGMENT_BYTES_WARN: u64 = 64 << 20;
/// Live share of the values, in percent, below which space is wasted.
const LIVE_PERCENT_WARN: u64 = 50;

/// Print a page on the health of the database: options, levels, log, space, and warnings with advice.
#[derive(Debug, Args)]
pub struct Diag {}

#[derive(Debug, Serialize)]
struct Report {
    options: Options,
    /// Options of each keyspace, as it was created with.
    keyspace_options: Vec<KeyspaceOptionsReport>,
    /// Bytes written to disk for each byte of log since the database was opened; none if nothing was written.
    write_amplification: Option<f64>,
    /// Live bytes of each hundred in value segments; none if there are no such segments.
    value_live_percent: Option<u64>,
    stalls: u64,
    stall_us: u64,
    slowdowns: u64,
    warnings: Vec<Warning>,
    stats: stats::Report,
}

#[derive(Debug, Serialize)]
struct Options {
    memory_budget_bytes: usize,
    durability: String,
    recovery: String,
}

#[derive(Debug, Serialize)]
struct KeyspaceOptionsReport {
    name: String,
    options: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Warning {
    what: String,
    advice: String,
}

impl Diag {
    pub fn run(&self, session: &mut Session) -> Result<()> {
        let db = session.open_to_read()?;
        let report = Report::of(&db, session)?;
        if session.settings.json { session.out.json(&report) } else { report.print(&db.stats(), &mut session.out) }
    }
}

impl Report {
    fn of(db: &Db, session: &Session) -> Result<Self> {
        let stats = db.stats();
        let mut keyspace_options = Vec::new();
        for name in db.keyspace_names() {
            let options = db.existing_keyspace(&name)?.options().to_string();
            keyspace_options.push(KeyspaceOptionsReport { name, options });
        }
        Ok(Self {
            options: Options {
                memory_budget_bytes: session.settings.memory,
                durability: format!("{:?}", session.settings.durability).to_lowercase(),
                recovery: format!("{:?}", session.settings.recovery).to_lowercase(),
            },
            keyspace_options,
            write_amplification: write_amplification(&stats),
            value_live_percent: live_percent(&stats),
            stalls: counter(&stats, "stalls"),
            stall_us: counter(&stats, "stall_us"),
            slowdowns: counter(&stats, "slowdowns"),
            warnings: warnings(&stats, &db.recovery()),
            stats: stats::Report::of(db),
        })
    }

    fn print(&self, stats: &DbStats, out: &mut Output) -> Result<()> {
        out.line(format_args!(
            "options     memory budget {}, durability {}, recovery {}",
            human_bytes(self.options.memory_budget_bytes as u64),
            self.options.durability,
            self.options.recovery
        ))?;
        for (keyspace, options) in stats.keyspaces.iter().zip(&self.keyspace_options) {
            out.line(format_args!("keyspace    {}", keyspace.name))?;
            out.line(format_args!("            {}", options.options))?;
            for (level, tables) in keyspace.levels.iter().enumerate().filter(|(_, tables)| tables.tables > 0) {
                out.line(format_args!(
                    "  level {level}   {:>6} tables {:>12} entries {:>12}",
                    tables.tables,
                    tables.entries,
                    human_bytes(tables.bytes)
                ))?;
            }
            out.line(format_args!(
                "  memory    {:>6} waiting {:>11} entries {:>12}",
                keyspace.immutable_memtables,
                keyspace.memtable_entries,
                human_bytes(keyspace.memtable_bytes)
            ))?;
        }
        out.line(format_args!(
            "log         {} in {} segments",
            human_bytes(gauge(stats, "log_bytes")),
            gauge(stats, "log_segments")
        ))?;
        let live = self.value_live_percent.map_or_else(|| "none".to_owned(), |percent| format!("{percent} % live"));
        out.line(format_args!("values      {}, {live}", human_bytes(gauge(stats, "segment_bytes"))))?;
        match self.write_amplification {
            Some(factor) => out.line(format_args!("written     {factor:.2} bytes to disk for each byte of log"))?,
            None => out.line("written     nothing since the database was opened")?,
        }
        out.line(format_args!(
            "stalls      {} ({} us), slow-downs {}, since the database was opened",
            self.stalls, self.stall_us, self.slowdowns
        ))?;
        if self.warnings.is_empty() {
            return out.line("\nNothing to worry about.");
        }
        for warning in &self.warnings {
            out.line(format_args!("\nwarning: {}\n  advice: {}", warning.what, warning.advice))?;
        }
        Ok(())
    }
}

/// Bytes written for each byte that commits put into the log.
pub fn write_amplification(stats: &DbStats) -> Option<f64> {
    let log = counter(stats, "log_bytes");
    let all = log
        + counter(stats, "flush_bytes")
        + counter(stats, "compaction_bytes_written")
        + counter(stats, "moved_value_bytes");
    (log > 0).then(|| all as f64 / log as f64)
}

fn live_percent(stats: &DbStats) -> Option<u64> {
    let bytes = gauge(stats, "segment_bytes");
    (gauge(stats, "segment_live_bytes") * 100).checked_div(bytes)
}

fn warnings(stats: &DbStats, recovery: &Recovery) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |what: String, advice: &str| warnings.push(Warning { what, advice: advice.to_owned() });
    for lost in &recovery.lost {
        warn(
            format!("operations from {} on were lost in segment {} at byte {}", lost.first, lost.segment, lost.offset),
            "copy what is left into a new database, and look at the disk",
        );
    }
    if let Some((segment, offset)) = recovery.torn {
        warn(
            format!("the log has a torn tail in segment {segment} at byte {offset}"),
            "none: a program was killed or lost power while it wrote; nothing acknowledged as durable is in it",
        );
    }
    for keyspace in &stats.keyspaces {
        let tables = keyspace.levels.first().map_or(0, |level| level.tables);
        if tables >= LEVEL_0_TABLES_WARN {
            warn(
                format!(
                    "keyspace {} has {tables} tables in level 0, each of which a read may have to look into",
                    keyspace.name
                ),
                "compaction is behind: run `kvd compact`, or give the program's database more background threads",
            );
        }
    }
    let log = gauge(stats, "log_bytes");
    if log >= LOG_BYTES_WARN {
        warn(
            format!("the log holds {}, all of which is read at open", human_bytes(log)),
            "lower `log_len_max` for faster opens; `kvd compact` moves it into tables now",
        );
    }
    let bytes = gauge(stats, "segment_bytes");
    if bytes >= SEGMENT_BYTES_WARN
        && let Some(percent) = live_percent(stats)
        && percent < LIVE_PERCENT_WARN
    {
        warn(
            format!("only {percent} % of {} of separated values are live", human_bytes(bytes)),
            "run `kvd compact`; raise `value_gc_share` to get space back earlier",
        );
    }
    if counter(stats, "background_errors") > 0 {
        warn("flushes or compactions failed".into(), "run `kvd verify`, and look for a full or failing disk");
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use granite::{KeyspaceStats, LevelStats};

    fn healthy() -> DbStats {
        let levels = vec![LevelStats { tables: 1, bytes: 10, entries: 1 }];
        DbStats {
            keyspaces: vec![KeyspaceStats {
                name: "default".into(),
                levels,
                memtable_bytes: 0,
                memtable_entries: 0,
                immutable_memtables: 0,
            }],
            counters: Vec::new(),
            latencies: Vec::new(),
            gauges: Vec::new(),
            segments: Vec::new(),
        }
    }

    #[test]
    fn a_healthy_database_gets_no_warning() {
        assert_eq!(warnings(&healthy(), &Recovery::default()), []);
    }

    /// If it fails, the page says that all is well when it is not.
    #[test]
    fn each_sign_of_trouble_is_told() {
        let mut crowded = healthy();
        crowded.keyspaces[0].levels[0].tables = LEVEL_0_TABLES_WARN;
        let long_log = DbStats { gauges: vec![("log_bytes", LOG_BYTES_WARN)], ..healthy() };
        let wasted = DbStats {
            gauges: vec![("segment_bytes", SEGMENT_BYTES_WARN), ("segment_live_bytes", SEGMENT_BYTES_WARN / 4)],
            ..healthy()
        };
        let failing = DbStats { counters: vec![("background_errors", 1)], ..healthy() };
        for stats in [crowded, long_log, wasted, failing] {
            assert_eq!(warnings(&stats, &Recovery::default()).len(), 1, "{stats:?}");
        }
        let torn = Recovery { torn: Some((1, 64)), ..Recovery::default() };
        assert_eq!(warnings(&healthy(), &torn).len(), 1);
    }

    #[test]
    fn write_amplification_counts_everything_that_is_written_after_the_log() {
        let counters =
            vec![("log_bytes", 100), ("flush_bytes", 50), ("compaction_bytes_written", 100), ("moved_value_bytes", 50)];
        assert_eq!(write_amplification(&DbStats { counters, ..healthy() }), Some(3.0));
        assert_eq!(write_amplification(&healthy()), None);
    }
}
