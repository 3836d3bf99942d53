//! Walks a whole table, both ways.

use std::sync::Arc;

use super::Malformed;
use super::block_cursor::BlockCursor;
use super::format::BlockHandle;
use super::index::Index;
use super::reader::{CacheUse, Table};
use crate::cursor::Cursor;
use crate::error::Result;
use crate::key::Trailer;

/// Consecutive forward steps from block to block, read from the file, that make a walk sequential.
const SEQUENTIAL_READS: u32 = 2;
/// How far a sequential walk reads ahead at first and at most, in bytes.
const READAHEAD_MIN: u64 = 64 << 10;
const READAHEAD_MAX: u64 = 1 << 20;

/// A position in a table.
#[derive(Debug)]
pub(crate) struct TableCursor {
    table: Arc<Table>,
    cache_use: CacheUse,
    /// The current partition and its index.
    partition: Option<(usize, Arc<Index>)>,
    /// The current block's place in that index, and the block in `data`.
    block: Option<(usize, BlockHandle)>,
    data: BlockCursor,
    readahead: Readahead,
}

#[derive(Debug, Default)]
struct Readahead {
    sequential: u32,
    len: u64,
    until: u64,
}

impl Table {
    /// A cursor over all entries. Without `fill_cache` it leaves no trace in the cache, as suits who reads everything once.
    pub(crate) fn cursor(self: &Arc<Self>, fill_cache: bool) -> TableCursor {
        TableCursor {
            table: Arc::clone(self),
            cache_use: if fill_cache { CacheUse::Fill } else { CacheUse::Bypass },
            partition: None,
            block: None,
            data: BlockCursor::new(),
            readahead: Readahead::default(),
        }
    }
}

impl TableCursor {
    /// Makes `at` the current partition and returns its index, or `None` past the last one.
    fn enter_partition(&mut self, at: usize) -> Result<Option<Arc<Index>>> {
        match &self.partition {
            Some((current, index)) if *current == at => return Ok(Some(Arc::clone(index))),
            _ => {}
        }
        let Some(partition) = self.table.top().get(at) else { return Ok(None) };
        let handle = partition.index;
        let index = self.table.index(handle, self.cache_use)?;
        if index.len() == 0 {
            return Err(Malformed("a partition has no data block").at(self.table.path(), handle.offset));
        }
        self.block = None;
        self.partition = Some((at, Arc::clone(&index)));
        Ok(Some(index))
    }

    /// Makes block `at` of the current partition the current block, without a position in it.
    fn enter_block(&mut self, index: &Index, at: usize) -> Result<()> {
        self.data.invalidate();
        if self.block.is_some_and(|(current, _)| current == at) {
            return Ok(());
        }
        self.block = None;
        let Some(handle) = index.get(at) else { return Ok(()) };
        let (block, read) = self.table.data(handle, self.cache_use)?;
        if read {
            self.readahead.after_read(&self.table, handle);
        }
        self.data.enter(block);
        self.block = Some((at, handle));
        Ok(())
    }

    /// Goes to the block with the first entry at or after the internal key. False if there is none.
    fn enter_block_of(&mut self, key: &[u8], trailer: Trailer) -> Result<bool> {
        self.data.invalidate();
        self.readahead.sequential = 0;
        let Some(index) = self.enter_partition(self.table.top().find(key, trailer))? else { return Ok(false) };
        // The partition's separator is that of its last block: where it was found, a block is.
        let at = index.find(key, trailer);
        if at >= index.len() {
            let offset = self.table.top().find(key, trailer);
            let offset = self.table.top().get(offset).map_or(0, |partition| partition.index.offset);
            return Err(Malformed("an index ends before its partition").at(self.table.path(), offset));
        }
        self.enter_block(&index, at)?;
        Ok(true)
    }

    /// Goes to the first entry after the current block, which has no more.
    fn forward(&mut self) -> Result<()> {
        while !self.data.valid() {
            let (Some((partition, index)), Some((block, _))) = (self.partition.clone(), self.block) else {
                return Ok(());
            };
            self.readahead.sequential += 1;
            if block + 1 < index.len() {
                self.enter_block(&index, block + 1)?;
            } else {
                let Some(index) = self.enter_partition(partition + 1)? else { return Ok(()) };
                self.enter_block(&index, 0)?;
            }
            self.in_block(BlockCursor::seek_to_first)?;
        }
        Ok(())
    }

    /// Goes to the last entry before the current block, which has none before.
    fn backward(&mut self) -> Result<()> {
        self.readahead.sequential = 0;
        while !self.data.valid() {
            let (Some((partition, index)), Some((block, _))) = (self.partition.clone(), self.block) else {
                return Ok(());
            };
            if let Some(before) = block.checked_sub(1) {
                self.enter_block(&index, before)?;
            } else {
                let Some(before) = partition.checked_sub(1) else { return Ok(()) };
                let Some(index) = self.enter_partition(before)? else { return Ok(()) };
                self.enter_block(&index, index.len() - 1)?;
            }
            self.in_block(BlockCursor::seek_to_last)?;
        }
        Ok(())
    }

    /// Moves within the block; what is malformed there gets its place.
    #[inline]
    fn in_block(&mut self, step: impl FnOnce(&mut BlockCursor) -> Result<(), Malformed>) -> Result<()> {
        step(&mut self.data).map_err(|malformed| {
            self.data.invalidate();
            malformed.at(self.table.path(), self.block.map_or(0, |(_, handle)| handle.offset))
        })
    }
}

impl Readahead {
    /// Asks for what comes after a block that was read from the file, once the walk is sequential.
    fn after_read(&mut self, table: &Table, handle: BlockHandle) {
        if self.sequential < SEQUENTIAL_READS {
            self.len = READAHEAD_MIN;
            self.until = 0;
            return;
        }
        let from = handle.end().max(self.until);
        if from < handle.end() + self.len / 2 {
            table.prefetch(from, self.len);
            self.until = from + self.len;
            self.len = (self.len * 2).min(READAHEAD_MAX);
        }
    }
}

impl Cursor for TableCursor {
    #[inline]
    fn valid(&self) -> bool {
        self.data.valid()
    }

    fn seek_to_first(&mut self) -> Result<()> {
        self.data.invalidate();
        self.readahead.sequential = 0;
        let Some(index) = self.enter_partition(0)? else { return Ok(()) };
        self.enter_block(&index, 0)?;
        self.in_block(BlockCursor::seek_to_first)?;
        self.forward()
    }

    fn seek_to_last(&mut self) -> Result<()> {
        self.data.invalidate();
        let Some(last) = self.table.top().len().checked_sub(1) else { return Ok(()) };
        let Some(index) = self.enter_partition(last)? else { return Ok(()) };
        self.enter_block(&index, index.len() - 1)?;
        self.in_block(BlockCursor::seek_to_last)?;
        self.backward()
    }

    fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        let trailer = self.table.stored_target(trailer);
        if !self.enter_block_of(key, trailer)? {
            return Ok(());
        }
        self.in_block(|data| data.seek(key, trailer))?;
        self.forward()
    }

    fn seek_before(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        let trailer = self.table.stored_target(trailer);
        if !self.enter_block_of(key, trailer)? {
            return self.seek_to_last();
        }
        self.in_block(|data| data.seek_before(key, trailer))?;
        self.backward()
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        self.in_block(BlockCursor::next)?;
        if self.data.valid() { Ok(()) } else { self.forward() }
    }

    fn prev(&mut self) -> Result<()> {
        self.in_block(BlockCursor::prev)?;
        if self.data.valid() { Ok(()) } else { self.backward() }
    }

    #[inline]
    fn key(&self) -> &[u8] {
        self.data.key()
    }

    #[inline]
    fn trailer(&self) -> Trailer {
        self.table.trailer(self.data.trailer())
    }

    #[inline]
    fn value(&self) -> &[u8] {
        self.data.value()
    }
}
