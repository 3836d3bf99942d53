//! Reads every byte of a table and checks all that the format promises.

use std::sync::Arc;

use super::Malformed;
use super::block::Block;
use super::block_cursor::BlockCursor;
use super::filter::{Filter, KeyHash};
use super::format::{BlockHandle, BlockKind};
use super::index::{Index, Partition};
use super::properties::Properties;
use super::reader::Table;
use crate::cache::CachedBlock;
use crate::error::Result;
use crate::key::{self, Kind, Seq, Trailer};

impl Table {
    /// Reads every block from the file, past the cache, and checks checksums, order, filters, indexes and properties.
    pub(crate) fn verify(&self) -> Result<()> {
        let mut walk = Walk::new();
        for at in 0..self.top().len() {
            let Some(partition) = self.top().get(at) else { break };
            self.verify_partition(at, partition, &mut walk)?;
        }
        let (metaindex_handle, metaindex) = self.metaindex();
        let blocks = [metaindex.range_tombstones, Some(metaindex.top_index), Some(metaindex.properties)];
        for handle in blocks.into_iter().flatten().chain([*metaindex_handle]) {
            walk.follows(handle).map_err(|malformed| malformed.at(self.path(), handle.offset))?;
        }
        let misplaced = |malformed: Malformed| malformed.at(self.path(), metaindex.properties.offset);
        // These were read when the table was opened; what lies in the file now is to be checked.
        for (kind, handle) in [
            (BlockKind::RangeTombstones, metaindex.range_tombstones),
            (BlockKind::TopIndex, Some(metaindex.top_index)),
            (BlockKind::Properties, Some(metaindex.properties)),
            (BlockKind::Metaindex, Some(*metaindex_handle)),
        ] {
            if let Some(handle) = handle {
                self.read(handle, kind)?;
            }
        }
        if walk.end != self.blocks_end() {
            return Err(misplaced(Malformed("the blocks do not reach to the footer")));
        }
        self.verify_properties(&walk).map_err(misplaced)
    }

    fn verify_partition(&self, at: usize, partition: &Partition, walk: &mut Walk) -> Result<()> {
        let wrong = |handle: BlockHandle| move |malformed: Malformed| malformed.at(self.path(), handle.offset);
        let CachedBlock::Index(index) = self.load(partition.index, BlockKind::Index)? else { return Ok(()) };
        let filter = match partition.filter {
            None => None,
            Some(handle) => match self.load(handle, BlockKind::Filter)? {
                CachedBlock::Filter(filter) => Some(filter),
                _ => return Ok(()),
            },
        };
        if partition.start != walk.end || index.len() == 0 {
            return Err(wrong(partition.index)(Malformed("a partition does not begin where the one before ends")));
        }
        for block_at in 0..index.len() {
            let Some(handle) = index.get(block_at) else { break };
            walk.follows(handle).map_err(wrong(handle))?;
            let CachedBlock::Data(block) = self.load(handle, BlockKind::Data)? else { return Ok(()) };
            walk.block(&block, filter.as_deref(), index.separator(block_at)).map_err(wrong(handle))?;
        }
        if let Some(handle) = partition.filter {
            walk.follows(handle).map_err(wrong(handle))?;
        }
        walk.follows(partition.index).map_err(wrong(partition.index))?;
        if last_separator(&index) != self.top().separator(at) {
            return Err(wrong(partition.index)(Malformed("a partition does not end at its separator")));
        }
        Ok(())
    }

    fn verify_properties(&self, walk: &Walk) -> Result<(), Malformed> {
        let stated = self.properties();
        let tombstones = self.range_tombstones();
        let seqs = tombstones.iter().map(|tombstone| tombstone.seq);
        let min_seq = seqs.clone().fold(walk.min_seq, Seq::min);
        let max_seq = seqs.fold(walk.max_seq, Seq::max);
        let (min_seq, max_seq) = match stated.stamped {
            true if max_seq != Seq::ZERO => {
                return Err(Malformed("an entry of a stamped table has a sequence of its own"));
            }
            true => (stated.max_seq, stated.max_seq),
            false => (min_seq, max_seq),
        };
        let starts = tombstones.iter().map(|tombstone| &tombstone.start);
        let ends = tombstones.iter().map(|tombstone| &tombstone.end);
        let found = Properties {
            entries: walk.entries,
            deletes: walk.deletes,
            range_tombstones: tombstones.len() as u64,
            data_blocks: walk.blocks,
            partitions: self.top().len() as u64,
            raw_key_bytes: walk.raw_key_bytes,
            raw_value_bytes: walk.raw_value_bytes,
            min_seq: min_seq.min(max_seq),
            max_seq,
            smallest: starts.chain(walk.first.as_ref()).min().cloned().unwrap_or_default(),
            largest: ends.chain(walk.last.as_ref().map(|(key, _)| key)).max().cloned().unwrap_or_default(),
            ..stated.clone()
        };
        if found == *stated { Ok(()) } else { Err(Malformed("the properties do not agree with the entries")) }
    }
}

fn last_separator(index: &Index) -> (&[u8], Trailer) {
    index.separator(index.len().saturating_sub(1))
}

/// What has been seen so far.
struct Walk {
    /// Where the last block ended.
    end: u64,
    blocks: u64,
    entries: u64,
    deletes: u64,
    raw_key_bytes: u64,
    raw_value_bytes: u64,
    min_seq: Seq,
    max_seq: Seq,
    first: Option<Vec<u8>>,
    last: Option<(Vec<u8>, Trailer)>,
    separator: Option<(Vec<u8>, Trailer)>,
}

impl Walk {
    const fn new() -> Self {
        Self {
            end: 0,
            blocks: 0,
            entries: 0,
            deletes: 0,
            raw_key_bytes: 0,
            raw_value_bytes: 0,
            min_seq: Seq::MAX,
            max_seq: Seq::ZERO,
            first: None,
            last: None,
            separator: None,
        }
    }

    /// Every block begins where the one before ended.
    fn follows(&mut self, handle: BlockHandle) -> Result<(), Malformed> {
        if handle.offset != self.end {
            return Err(Malformed("a block does not begin where the one before ends"));
        }
        self.end = handle.end();
        Ok(())
    }

    fn block(
        &mut self,
        block: &Arc<Block>,
        filter: Option<&Filter>,
        separator: (&[u8], Trailer),
    ) -> Result<(), Malformed> {
        let mut cursor = BlockCursor::new();
        cursor.enter(Arc::clone(block));
        cursor.seek_to_first()?;
        let mut entries = 0;
        while cursor.valid() {
            self.entry(&cursor, block, filter)?;
            entries += 1;
            cursor.next()?;
        }
        if entries == 0 || entries != block.entries() {
            return Err(Malformed("a data block does not have the number of entries it states"));
        }
        verify_anchors(block)?;
        let (key, trailer) = separator;
        if self.last.as_ref().is_none_or(|(last, at)| key::compare(last, *at, key, trailer).is_gt()) {
            return Err(Malformed("a data block goes beyond its separator"));
        }
        self.separator = Some((key.to_vec(), trailer));
        self.blocks += 1;
        Ok(())
    }

    fn entry(&mut self, cursor: &BlockCursor, block: &Block, filter: Option<&Filter>) -> Result<(), Malformed> {
        let (key, trailer, value) = (cursor.key(), cursor.trailer(), cursor.value());
        let rises = |before: &Option<(Vec<u8>, Trailer)>| {
            before.as_ref().is_none_or(|(last, at)| key::compare(last, *at, key, trailer).is_lt())
        };
        if key.is_empty() || !rises(&self.last) || !rises(&self.separator) {
            return Err(Malformed("the entries of a data block do not rise"));
        }
        if trailer.kind() == Kind::Delete && !value.is_empty() {
            return Err(Malformed("a delete has a value"));
        }
        let hash = KeyHash::of(key);
        if filter.is_some_and(|filter| !filter.may_contain(hash)) {
            return Err(Malformed("a key is missing in the filter"));
        }
        match block.get(key, hash, trailer)? {
            Some((found, at)) if found == trailer && block.value(at) == value => {}
            _ => return Err(Malformed("a key is not found in its data block")),
        }
        self.entries += 1;
        self.deletes += u64::from(trailer.kind() == Kind::Delete);
        self.raw_key_bytes += key.len() as u64;
        self.raw_value_bytes += value.len() as u64;
        self.min_seq = self.min_seq.min(trailer.seq());
        self.max_seq = self.max_seq.max(trailer.seq());
        if self.first.is_none() {
            self.first = Some(key.to_vec());
        }
        let last = self.last.get_or_insert_with(|| (Vec::new(), trailer));
        last.0.clear();
        last.0.extend_from_slice(key);
        last.1 = trailer;
        Ok(())
    }
}

/// Every anchor is an entry, in rising order, the first entry's first; and the values fill their place.
fn verify_anchors(block: &Block) -> Result<(), Malformed> {
    const WRONG: Malformed = Malformed("the restart points of a data block are not at entries");
    let mut position = block.start();
    for at in 0..block.anchors() {
        let anchor = block.anchor(at)?;
        while position.key < anchor.key {
            position = block.entry_at(position)?.next;
        }
        let entry = block.entry_at(anchor)?;
        if position != anchor || (at == 0 && anchor != block.start()) || entry.shared != 0 {
            return Err(WRONG);
        }
        // The same place twice would be no rise.
        position = entry.next;
    }
    while position.key < block.end() {
        position = block.entry_at(position)?.next;
    }
    if position.value == block.values_end() {
        Ok(())
    } else {
        Err(Malformed("the values of a data block do not reach to its keys"))
    }
}
