//! What a compaction is to do.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::key::Seq;
use crate::options::{CompactionPolicy, Options};
use crate::tree::{TableHandle, Version};

/// Tables to be replaced by tables of one level.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Each with its present level.
    pub(crate) inputs: Vec<(usize, Arc<TableHandle>)>,
    pub(crate) output_level: usize,
    /// The tables can change their level as they are.
    pub(crate) move_only: bool,
    /// Length in bytes at which an output is closed.
    pub(crate) table_len: u64,
    /// Segments whose values are to be moved elsewhere.
    pub(crate) evacuate: BTreeSet<u64>,
    /// Entries after this one are left out: their commits failed.
    pub(crate) newest: Seq,
}

/// What a policy needs to know beside the version.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) table_len: u64,
    /// Target length in bytes of the first level that level 0 is merged into.
    pub(crate) base_len: u64,
    /// Segments with a small live share.
    pub(crate) stale_segments: BTreeSet<u64>,
}

impl Limits {
    pub(crate) fn new(options: &Options, stale_segments: BTreeSet<u64>) -> Self {
        let base_len = (options.write_buffer_len() as u64 * 8).max(options.table_len / 2).max(64 << 10);
        Self { table_len: options.table_len, base_len, stale_segments }
    }
}

/// Tables in level 0 at which they are merged away.
pub(crate) const LEVEL0_TABLES: usize = 4;
/// The same while the level that they are merged into is long beside them: each merge rewrites that level, so it waits for more.
pub(crate) const LEVEL0_TABLES_PATIENT: usize = 8;

/// The most urgent plan of the keyspace's policy, if anything is to be done.
pub(crate) fn pick(policy: CompactionPolicy, version: &Version, limits: &Limits) -> Option<Plan> {
    let merge = match policy {
        CompactionPolicy::Leveled => super::leveled::pick(version, limits),
        CompactionPolicy::Tiered => super::tiered::pick(version, limits),
    };
    merge.or_else(|| evacuation(version, limits))
}

/// Rewrites, in its level, the table that points to the most bytes in stale segments.
fn evacuation(version: &Version, limits: &Limits) -> Option<Plan> {
    if limits.stale_segments.is_empty() {
        return None;
    }
    let stale_bytes = |table: &TableHandle| -> u64 {
        let stale = table.meta.segments.iter().filter(|(number, _)| limits.stale_segments.contains(number));
        stale.map(|&(_, bytes)| bytes).sum()
    };
    // A table in level 0 goes on soon anyway, and its place among its neighbours matters.
    let sorted = version.tables().filter(|(level, _)| *level > 0);
    let (level, table) = sorted.max_by_key(|(_, table)| stale_bytes(table))?;
    if stale_bytes(table) == 0 {
        return None;
    }
    Some(Plan {
        inputs: vec![(level, Arc::clone(table))],
        output_level: level,
        move_only: false,
        newest: Seq::MAX,
        table_len: limits.table_len,
        evacuate: limits.stale_segments.clone(),
    })
}

/// Everything in the given bounds down to the deepest level that holds any of it; for compactions by hand.
pub(crate) fn everything(
    version: &Version,
    limits: &Limits,
    policy: CompactionPolicy,
    within: impl Fn(&TableHandle) -> bool,
) -> Option<Plan> {
    let mut inputs: Vec<(usize, Arc<TableHandle>)> = Vec::new();
    for (level, table) in version.tables() {
        if within(table) {
            inputs.push((level, Arc::clone(table)));
        }
    }
    if inputs.is_empty() {
        return None;
    }
    // Everything that overlaps the chosen tables comes along, so that no older version is left above a newer one.
    loop {
        let smallest = inputs.iter().map(|(_, table)| &table.meta.smallest).min()?.clone();
        let largest = inputs.iter().map(|(_, table)| &table.meta.largest).max()?.clone();
        let before = inputs.len();
        for (level, table) in version.tables() {
            let known = inputs.iter().any(|(_, known)| known.meta.number == table.meta.number);
            if !known && table.overlaps(&smallest, &largest) {
                inputs.push((level, Arc::clone(table)));
            }
        }
        if inputs.len() == before {
            break;
        }
    }
    let deepest = version.deepest()?;
    let output_level = match policy {
        CompactionPolicy::Leveled => deepest.max(super::leveled::base_level(version, limits)).max(1),
        CompactionPolicy::Tiered => crate::manifest::format::LEVEL_COUNT - 1,
    };
    Some(Plan {
        inputs,
        output_level,
        move_only: false,
        newest: Seq::MAX,
        table_len: limits.table_len,
        evacuate: limits.stale_segments.clone(),
    })
}
