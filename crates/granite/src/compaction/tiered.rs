//! The tiered policy: sorted runs of similar size are merged into one, so that an entry is rewritten a few times only.
//!
//! Every table of level 0 is a run, and so is every deeper level. Runs are ordered by age; only neighbours are merged. The result goes
//! into the deepest level that is free above the next older run.

use std::sync::Arc;

use super::plan::{LEVEL0_TABLES, Limits, Plan};
use crate::key::Seq;
use crate::manifest::format::LEVEL_COUNT;
use crate::tree::{TableHandle, Version};

const LAST: usize = LEVEL_COUNT - 1;
/// A run joins the newer ones if it is at most this many times as long as they are together, in percent.
const RATIO_PERCENT: u64 = 120;
/// All runs are merged when everything but the oldest is this share of it, in percent: the space that old versions may take.
const SPACE_PERCENT_MAX: u64 = 100;
/// Runs at which some are merged in any case.
const RUNS_MAX: usize = 10;

struct Run {
    level: usize,
    tables: Vec<Arc<TableHandle>>,
    len: u64,
}

/// The runs of a version, newest first.
fn runs(version: &Version) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for table in version.level(0) {
        runs.push(Run { level: 0, tables: vec![Arc::clone(table)], len: table.meta.file_len });
    }
    for level in 1..LEVEL_COUNT {
        let tables = version.level(level);
        if !tables.is_empty() {
            runs.push(Run { level, tables: tables.to_vec(), len: version.level_len(level) });
        }
    }
    runs
}

pub(crate) fn pick(version: &Version, limits: &Limits) -> Option<Plan> {
    let runs = runs(version);
    if runs.len() < LEVEL0_TABLES {
        return None;
    }
    let oldest_len = runs.last().map_or(0, |run| run.len);
    let newer_len: u64 = runs.iter().rev().skip(1).map(|run| run.len).sum();
    if newer_len.saturating_mul(100) >= oldest_len.saturating_mul(SPACE_PERCENT_MAX) {
        return Some(merge(&runs, runs.len(), limits));
    }
    let mut count = 1;
    let mut len = runs.first().map_or(0, |run| run.len);
    while let Some(next) = runs.get(count) {
        if next.len.saturating_mul(100) > len.saturating_mul(RATIO_PERCENT) {
            break;
        }
        len += next.len;
        count += 1;
    }
    // All of level 0 goes together: its tables keep no order against a deeper level otherwise.
    let level0 = version.level(0).len();
    let count = count.max(level0);
    if count >= 2 && (count >= LEVEL0_TABLES || runs.len() >= RUNS_MAX) {
        return Some(merge(&runs, count, limits));
    }
    (runs.len() >= RUNS_MAX).then(|| merge(&runs, count.max(2), limits))
}

/// Merges the `count` newest runs.
fn merge(runs: &[Run], mut count: usize, limits: &Limits) -> Plan {
    // Where no level is free between the merged runs and the next older one, that one joins.
    let mut output_level = LAST;
    while let Some(older) = runs.get(count) {
        let newest_merged = runs.get(count - 1).map_or(0, |run| run.level);
        output_level = older.level - 1;
        if output_level >= 1 && output_level >= newest_merged {
            break;
        }
        output_level = LAST;
        count += 1;
    }
    let merged = runs.get(..count).unwrap_or(runs);
    let inputs = merged.iter().flat_map(|run| run.tables.iter().map(|table| (run.level, Arc::clone(table)))).collect();
    Plan {
        inputs,
        output_level,
        move_only: false,
        newest: Seq::MAX,
        table_len: limits.table_len,
        evacuate: limits.stale_segments.clone(),
    }
}
