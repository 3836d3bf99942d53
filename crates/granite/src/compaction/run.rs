//! Carries plans out.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::output::{TableOutput, TableRules};
use super::plan::Plan;
use super::retention::{Retention, Verdict};
use super::values::{MovedSegments, ValueMover};
use crate::cursor::Cursor;
use crate::db::DbCore;
use crate::error::Result;
use crate::install::Change;
use crate::key::Kind;
use crate::keyspace::KeyspaceCore;
use crate::log::segment::Segment;
use crate::manifest::TableMeta;
use crate::manifest::format::LEVEL_COUNT;
use crate::range_tombstone::RangeTombstone;
use crate::tree::level_cursor::LevelCursor;
use crate::tree::merge::{MergeCursor, Source};
use crate::tree::{TableHandle, Version};

/// What is left outside of a merge and may be older than it.
pub(crate) struct Below<'a> {
    version: &'a Version,
    inputs: &'a [(usize, Arc<TableHandle>)],
    output_level: usize,
}

impl<'a> Below<'a> {
    pub(crate) const fn new(
        version: &'a Version,
        inputs: &'a [(usize, Arc<TableHandle>)],
        output_level: usize,
    ) -> Self {
        Self { version, inputs, output_level }
    }

    fn is_input(&self, table: &TableHandle) -> bool {
        self.inputs.iter().any(|(_, input)| input.meta.number == table.meta.number)
    }

    /// Tables that may hold older entries: those of deeper levels, and what is not merged of the levels that are.
    fn tables(&self) -> impl Iterator<Item = &Arc<TableHandle>> {
        let first = self.inputs.iter().map(|(level, _)| *level).min().unwrap_or(0);
        let levels = first.min(self.output_level)..LEVEL_COUNT;
        levels.flat_map(|level| self.version.level(level)).filter(|table| !self.is_input(table))
    }

    fn holds(&self, key: &[u8]) -> bool {
        self.tables().any(|table| table.may_hold(key))
    }

    fn overlaps(&self, tombstone: &RangeTombstone) -> bool {
        self.tables().any(|table| table.overlaps(&tombstone.start, &tombstone.end))
    }
}

/// Range deletes of some sources that are still needed.
fn needed(tombstones: Vec<RangeTombstone>, retention: &Retention, below: &Below<'_>) -> Vec<RangeTombstone> {
    let keep = |tombstone: &RangeTombstone| !retention.is_in_oldest_stripe(tombstone) || below.overlaps(tombstone);
    tombstones.into_iter().filter(keep).collect()
}

/// What a merge wrote.
pub(crate) struct Merged {
    pub(crate) tables: Vec<TableMeta>,
    pub(crate) moved: MovedSegments,
}

impl DbCore {
    /// Merges `sources` into tables, without what nobody needs any more.
    pub(crate) fn merge_into_tables(
        &self,
        keyspace: &KeyspaceCore,
        sources: Vec<Source>,
        tombstones: Vec<RangeTombstone>,
        below: &Below<'_>,
        plan: &Plan,
    ) -> Result<Merged> {
        let mut retention = Retention::new(self.snapshots.pinned(), &tombstones);
        let tombstones = needed(tombstones, &retention, below);
        let rules = TableRules { table_len: plan.table_len, tombstones };
        let mut output = TableOutput::new(self, keyspace, rules);
        let mut mover = ValueMover::new(self, &plan.evacuate);
        let mut merge = MergeCursor::new(sources);
        let mut pointer_bytes = Vec::new();
        merge.seek_to_first()?;
        while merge.valid() {
            let (key, trailer) = (merge.key(), merge.trailer());
            if trailer.seq() > plan.newest {
                merge.next()?;
                continue;
            }
            let keep = match retention.judge(key, trailer) {
                Verdict::Keep => true,
                Verdict::Drop => false,
                Verdict::DropIfBottom => below.holds(key),
            };
            if keep && trailer.kind() == Kind::Separated && !plan.evacuate.is_empty() {
                let origin = merge.current().and_then(Source::origin);
                let resolved = origin.map(|origin| origin.resolve(merge.value())).transpose()?;
                let moved = match resolved {
                    Some((segment, pointer)) => mover.relocate(keyspace.id, key, &pointer, &segment)?,
                    None => None,
                };
                match moved {
                    Some(pointer) => {
                        pointer_bytes.clear();
                        pointer.encode(&mut pointer_bytes);
                        output.add(key, trailer, &pointer_bytes)?;
                    }
                    None => output.add(key, trailer, merge.value())?,
                }
            } else if keep {
                output.add(key, trailer, merge.value())?;
            }
            merge.next()?;
            if self.is_closing() {
                return Err(crate::error::Error::Closed);
            }
        }
        // Values first: their names are synced together with the tables'.
        let moved = mover.finish()?;
        let tables = output.finish().inspect_err(|_| {
            for (segment, _) in moved.values() {
                segment.mark_obsolete();
            }
        })?;
        Ok(Merged { tables, moved })
    }

    /// Runs a plan to its end. The caller holds the keyspace's right to compact.
    pub(crate) fn run_plan(&self, keyspace: &Arc<KeyspaceCore>, version: &Version, plan: &Plan) -> Result<()> {
        let inputs: Vec<Arc<TableHandle>> = plan.inputs.iter().map(|(_, table)| Arc::clone(table)).collect();
        let bytes_in: u64 = inputs.iter().map(|table| table.meta.file_len).sum();
        let span = tracing::info_span!(
            "compaction",
            keyspace = %keyspace.name,
            inputs = inputs.len(),
            bytes = bytes_in,
            level = plan.output_level,
        );
        let _entered = span.enter();
        let begun = self.context.vfs.monotonic();
        if plan.move_only {
            return self.move_tables(keyspace, &inputs, plan.output_level);
        }
        let below = Below::new(version, &plan.inputs, plan.output_level);
        let mut tombstones = Vec::new();
        for table in inputs.iter().filter(|table| table.meta.range_deletes > 0) {
            tombstones.extend_from_slice(table.table()?.range_tombstones());
        }
        let merged = self.merge_into_tables(keyspace, sources(&plan.inputs)?, tombstones, &below, plan)?;
        let mut segments: BTreeMap<u64, Arc<Segment>> = BTreeMap::new();
        for segment in inputs.iter().flat_map(|table| table.segments()) {
            segments.insert(segment.number, Arc::clone(segment));
        }
        let bytes_out: u64 = merged.tables.iter().map(|table| table.file_len).sum();
        for (number, (segment, _)) in &merged.moved {
            segments.insert(*number, Arc::clone(segment));
        }
        let change = Change { removed: &inputs, added: merged.tables, level: plan.output_level, moved: merged.moved };
        self.install(keyspace, change, &segments)?;
        self.stats.compactions.add(1);
        self.stats.compaction_bytes_read.add(bytes_in);
        self.stats.compaction_bytes_written.add(bytes_out);
        self.stats.compaction_latency.record(self.context.vfs.monotonic().saturating_sub(begun));
        Ok(())
    }
}

/// One source for each table of level 0, one for each run of tables of a deeper level.
fn sources(inputs: &[(usize, Arc<TableHandle>)]) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for (_, table) in inputs.iter().filter(|(level, _)| *level == 0) {
        sources.push(Source::table(table, false)?);
    }
    for level in 1..LEVEL_COUNT {
        let mut tables: Vec<Arc<TableHandle>> =
            inputs.iter().filter(|(of, _)| *of == level).map(|(_, table)| Arc::clone(table)).collect();
        tables.sort_by(|a, b| a.meta.smallest.cmp(&b.meta.smallest));
        if !tables.is_empty() {
            sources.push(Source::Level(LevelCursor::new(&tables, false)));
        }
    }
    Ok(sources)
}
