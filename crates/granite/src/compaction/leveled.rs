//! The leveled policy: each level is a sorted run about ten times as long as the one above it.
//!
//! The targets are counted back from the deepest level, so that nearly all data is in it and little space is wasted on old versions
//! (RocksDB calls this `level_compaction_dynamic_level_bytes`).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::plan::{LEVEL0_TABLES, LEVEL0_TABLES_PATIENT, Limits, Plan};
use crate::key::Seq;
use crate::manifest::format::LEVEL_COUNT;
use crate::tree::{TableHandle, Version};

const LAST: usize = LEVEL_COUNT - 1;
const FANOUT: u64 = 10;

/// The first level below level 0 that is in use or would be.
pub(crate) fn base_level(version: &Version, limits: &Limits) -> usize {
    targets(version, limits).0
}

/// The base level, and the target length of each level.
fn targets(version: &Version, limits: &Limits) -> (usize, [u64; LEVEL_COUNT]) {
    let mut targets = [0; LEVEL_COUNT];
    let mut target = (1..LEVEL_COUNT).map(|level| version.level_len(level)).max().unwrap_or(0).max(limits.base_len);
    let mut base = LAST;
    for level in (1..=LAST).rev() {
        if let Some(slot) = targets.get_mut(level) {
            *slot = target;
        }
        base = level;
        if target <= limits.base_len {
            break;
        }
        target = (target / FANOUT).max(limits.base_len);
    }
    // A level above that still holds tables stays in use until they have moved on.
    let in_use = (1..base).find(|&level| !version.level(level).is_empty());
    (in_use.unwrap_or(base), targets)
}

pub(crate) fn pick(version: &Version, limits: &Limits) -> Option<Plan> {
    let (base, targets) = targets(version, limits);
    let level0 = version.level(0);
    let mut best: Option<(u64, usize)> = None;
    let is_short = version.level_len(0).saturating_mul(2) < version.level_len(base);
    let enough = if is_short { LEVEL0_TABLES_PATIENT } else { LEVEL0_TABLES };
    if level0.len() >= enough {
        // Scores are in thousandths, so that they can be compared exactly.
        best = Some((level0.len() as u64 * 1000 / enough as u64, 0));
    }
    for level in 1..LAST {
        let len = version.level_len(level);
        let target = targets.get(level).copied().unwrap_or(0).max(1);
        let score = len.saturating_mul(1000) / target;
        if len > 0 && score > 1000 && best.is_none_or(|(most, _)| score > most) {
            best = Some((score, level));
        }
    }
    match best? {
        (_, 0) => Some(merge_level0(version, base, limits)),
        (_, level) => push_down(version, level, limits),
    }
}

fn bounds(tables: &[(usize, Arc<TableHandle>)]) -> Option<(Vec<u8>, Vec<u8>)> {
    let smallest = tables.iter().map(|(_, table)| &table.meta.smallest).min()?;
    let largest = tables.iter().map(|(_, table)| &table.meta.largest).max()?;
    Some((smallest.clone(), largest.clone()))
}

fn merge_level0(version: &Version, base: usize, limits: &Limits) -> Plan {
    let mut inputs: Vec<_> = version.level(0).iter().map(|table| (0, Arc::clone(table))).collect();
    let mut disjoint: Vec<_> = inputs.iter().map(|(_, table)| table).collect();
    disjoint.sort_by(|a, b| a.meta.smallest.cmp(&b.meta.smallest));
    let is_disjoint = disjoint.windows(2).all(|pair| match pair {
        [a, b] => a.meta.largest < b.meta.smallest,
        _ => true,
    });
    let below = bounds(&inputs).map(|(smallest, largest)| version.overlapping(base, &smallest, &largest));
    let below = below.unwrap_or_default();
    let move_only = is_disjoint && below.is_empty() && limits.stale_segments.is_empty();
    inputs.extend(below.into_iter().map(|table| (base, table)));
    plan(inputs, base, move_only, limits)
}

/// Moves one table of `level` a level down: the one that overlaps the least there, for its size.
fn push_down(version: &Version, level: usize, limits: &Limits) -> Option<Plan> {
    let cost = |table: &Arc<TableHandle>| -> u64 {
        let below = version.overlapping(level + 1, &table.meta.smallest, &table.meta.largest);
        let bytes: u64 = below.iter().map(|table| table.meta.file_len).sum();
        bytes.saturating_mul(1000) / table.meta.file_len.max(1)
    };
    let table = version.level(level).iter().min_by_key(|table| cost(table))?;
    let below = version.overlapping(level + 1, &table.meta.smallest, &table.meta.largest);
    let move_only = below.is_empty();
    let mut inputs = vec![(level, Arc::clone(table))];
    inputs.extend(below.into_iter().map(|table| (level + 1, table)));
    Some(plan(inputs, level + 1, move_only, limits))
}

fn plan(inputs: Vec<(usize, Arc<TableHandle>)>, output_level: usize, move_only: bool, limits: &Limits) -> Plan {
    let evacuate = if move_only { BTreeSet::new() } else { limits.stale_segments.clone() };
    Plan { inputs, output_level, move_only, newest: Seq::MAX, table_len: limits.table_len, evacuate }
}
