//! The tables of a keyspace at one moment.

use std::sync::Arc;

use super::table_handle::TableHandle;
use crate::manifest::format::LEVEL_COUNT;

/// Levels of tables. Level 0 holds whole flushed memtables, newest first, which may overlap; the tables of every other level
/// are sorted by key and disjoint, and everything in a level is newer than what the same key has in the next.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    levels: [Vec<Arc<TableHandle>>; LEVEL_COUNT],
    has_range_deletes: bool,
}

impl Version {
    pub(crate) fn new(levels: [Vec<Arc<TableHandle>>; LEVEL_COUNT]) -> Self {
        let has_range_deletes = levels.iter().flatten().any(|table| table.meta.range_deletes > 0);
        Self { levels, has_range_deletes }
    }

    pub(crate) fn empty() -> Self {
        Self::new(Default::default())
    }

    pub(crate) fn level(&self, level: usize) -> &[Arc<TableHandle>] {
        self.levels.get(level).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn levels(&self) -> &[Vec<Arc<TableHandle>>; LEVEL_COUNT] {
        &self.levels
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = (usize, &Arc<TableHandle>)> {
        self.levels.iter().enumerate().flat_map(|(level, tables)| tables.iter().map(move |table| (level, table)))
    }

    /// True if any table may hold a range delete.
    pub(crate) const fn has_range_deletes(&self) -> bool {
        self.has_range_deletes
    }

    pub(crate) fn level_len(&self, level: usize) -> u64 {
        self.level(level).iter().map(|table| table.meta.file_len).sum()
    }

    /// The one table of a sorted level that can hold `key`.
    #[inline]
    pub(crate) fn table_for(&self, level: usize, key: &[u8]) -> Option<&Arc<TableHandle>> {
        let tables = self.level(level);
        let at = tables.partition_point(|table| table.meta.largest.as_slice() < key);
        tables.get(at).filter(|table| table.meta.smallest.as_slice() <= key)
    }

    /// The tables of a level that overlap the bounds (both inclusive).
    pub(crate) fn overlapping(&self, level: usize, smallest: &[u8], largest: &[u8]) -> Vec<Arc<TableHandle>> {
        self.level(level).iter().filter(|table| table.overlaps(smallest, largest)).cloned().collect()
    }

    /// The deepest level with a table.
    pub(crate) fn deepest(&self) -> Option<usize> {
        self.levels.iter().rposition(|tables| !tables.is_empty())
    }

    /// This version without the tables in `removed` (by number) and with `added` (with their level).
    pub(crate) fn changed(&self, removed: &[u64], added: &[(usize, Arc<TableHandle>)]) -> Self {
        let mut levels = self.levels.clone();
        for tables in &mut levels {
            tables.retain(|table| !removed.contains(&table.meta.number));
        }
        for (level, table) in added {
            if let Some(tables) = levels.get_mut(*level) {
                tables.push(Arc::clone(table));
            }
        }
        let mut rest = levels.iter_mut();
        if let Some(newest) = rest.next() {
            newest.sort_by(|a, b| b.meta.seq_max.cmp(&a.meta.seq_max).then(b.meta.number.cmp(&a.meta.number)));
        }
        for tables in rest {
            tables.sort_by(|a, b| a.meta.smallest.cmp(&b.meta.smallest));
            debug_assert!(
                tables.windows(2).all(|pair| match pair {
                    [a, b] => a.meta.largest < b.meta.smallest,
                    _ => true,
                }),
                "tables of a sorted level overlap"
            );
        }
        Self::new(levels)
    }
}
