//! Opens a table and reads from it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vfs::File;

use super::Malformed;
use super::block::{Block, ValueRange};
use super::filter::{Filter, KeyHash};
use super::format::{BlockHandle, BlockKind, FOOTER_LEN, Footer, Metaindex};
use super::frame::{self, Place};
use super::index::{Index, Partition, TopIndex};
use super::properties::Properties;
use super::range_tombstone_block;
use crate::cache::{BlockCache, BlockKey, CachedBlock};
use crate::error::{Error, Result};
use crate::key::{Seq, Trailer};
use crate::range_tombstone::RangeTombstone;

/// Whether a read leaves its blocks in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CacheUse {
    /// Look there, and keep what had to be read.
    Fill,
    /// Look there without a trace, and keep nothing.
    Bypass,
}

/// A table that is open for reading. In memory are its top index, range tombstones and properties.
#[derive(Debug)]
pub(crate) struct Table {
    file: Arc<dyn File>,
    path: PathBuf,
    file_number: u64,
    file_id: u64,
    /// Where the footer begins.
    blocks_end: u64,
    cache: Arc<BlockCache>,
    top: TopIndex,
    range_tombstones: Box<[RangeTombstone]>,
    properties: Properties,
    metaindex: (BlockHandle, Metaindex),
}

/// An entry that a lookup found; keeps its block in memory.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    trailer: Trailer,
    block: Arc<Block>,
    value: ValueRange,
}

impl Found {
    pub(crate) const fn trailer(&self) -> Trailer {
        self.trailer
    }

    pub(crate) fn value(&self) -> &[u8] {
        self.block.value(self.value)
    }
}

impl Table {
    /// Opens the file at `path`, of `file_len` bytes. The file number names the table in the cache.
    ///
    /// Reads footer, metaindex, top index, properties and range tombstones; everything else when it is needed.
    pub(crate) fn open(
        file: Arc<dyn File>,
        path: &Path,
        file_number: u64,
        file_len: u64,
        cache: Arc<BlockCache>,
    ) -> Result<Self> {
        let Some(blocks_end) = file_len.checked_sub(FOOTER_LEN as u64) else {
            return Err(Error::corrupt(path, 0, "a table is longer than this"));
        };
        let mut footer = [0; FOOTER_LEN];
        file.read_exact_at(blocks_end, &mut footer).map_err(|error| read_error(path, blocks_end, error))?;
        let footer = Footer::decode(&footer, path, file_len)?;
        let read = |handle: BlockHandle, kind| {
            read_block(&*file, path, handle, blocks_end, Place { kind, file_id: footer.file_id, offset: handle.offset })
        };
        let parsed = |handle: BlockHandle, malformed: Malformed| malformed.at(path, handle.offset);

        let metaindex = Metaindex::decode(&read(footer.metaindex, BlockKind::Metaindex)?)
            .map_err(|malformed| parsed(footer.metaindex, malformed))?;
        let properties = Properties::decode(&read(metaindex.properties, BlockKind::Properties)?)
            .map_err(|malformed| parsed(metaindex.properties, malformed))?;
        let top = Block::parse(read(metaindex.top_index, BlockKind::TopIndex)?, 0)
            .and_then(|block| TopIndex::parse(&block, blocks_end))
            .map_err(|malformed| parsed(metaindex.top_index, malformed))?;
        let range_tombstones = match metaindex.range_tombstones {
            None => Vec::new(),
            Some(handle) => range_tombstone_block::decode(&read(handle, BlockKind::RangeTombstones)?)
                .map_err(|malformed| parsed(handle, malformed))?,
        };
        Ok(Self {
            path: path.to_owned(),
            file_number,
            file_id: footer.file_id,
            blocks_end,
            cache,
            top,
            range_tombstones: range_tombstones.into_boxed_slice(),
            properties,
            metaindex: (footer.metaindex, metaindex),
            file,
        })
    }

    /// The newest entry of `key` at or below the sequence `at`, be it a value or a delete. Range tombstones are not applied.
    pub(crate) fn get(&self, key: &[u8], hash: KeyHash, at: Seq) -> Result<Option<Found>> {
        let target = Trailer::at(at);
        // The separators are internal keys: the partition and the block found are those with the first entry at or after the
        // target. If the key's versions begin before, the target is past those; if they run on, the target is met here.
        let Some(partition) = self.top.get(self.top.find(key, target)) else { return Ok(None) };
        if !self.filter_passes(partition, hash)? {
            return Ok(None);
        }
        let index = self.index(partition.index, CacheUse::Fill)?;
        let Some(handle) = index.get(index.find(key, target)) else { return Ok(None) };
        let (block, _) = self.data(handle, CacheUse::Fill)?;
        let found = block.get(key, hash, target).map_err(|malformed| malformed.at(&self.path, handle.offset))?;
        let Some((stored, value)) = found else { return Ok(None) };
        let trailer = self.trailer(stored);
        // In a stamped table the search cannot tell an entry from after `at`.
        Ok((trailer.seq() <= at).then_some(Found { trailer, block, value }))
    }

    /// The trailer of an entry in whose block `stored` stands.
    #[inline]
    pub(super) fn trailer(&self, stored: Trailer) -> Trailer {
        if self.properties.stamped { Trailer::new(self.properties.max_seq, stored.kind()) } else { stored }
    }

    /// What to look for in the blocks to find the first entry at or after `trailer`.
    #[inline]
    pub(super) fn stored_target(&self, trailer: Trailer) -> Trailer {
        match self.properties.stamped {
            false => trailer,
            // Every key of a stamped table has one version, which is at the target, or before it altogether.
            true if trailer.seq() >= self.properties.max_seq => Trailer::NEWEST,
            true => Trailer::OLDEST,
        }
    }

    /// Deletions of ranges, by start and then from new to old.
    pub(crate) fn range_tombstones(&self) -> &[RangeTombstone] {
        &self.range_tombstones
    }

    pub(crate) const fn properties(&self) -> &Properties {
        &self.properties
    }

    /// Bytes of the file before the first entry at or after `key`, to the start of a partition. Reads nothing.
    pub(crate) fn approximate_offset(&self, key: &[u8]) -> u64 {
        let end = self.metaindex.1.range_tombstones.unwrap_or(self.metaindex.1.top_index).offset;
        self.top.get(self.top.find(key, Trailer::NEWEST)).map_or(end, |partition| partition.start)
    }

    /// Memory that the open table holds, without the cache.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of::<Self>()
            + self.path.capacity()
            + self.top.heap_bytes()
            + self.range_tombstones.iter().map(range_tombstone_block::heap_bytes).sum::<usize>()
            + self.properties.smallest.capacity()
            + self.properties.largest.capacity()
    }

    /// Reads filters and indexes into the cache, up to about `room` bytes of them. Returns how many bytes were taken.
    pub(crate) fn warm_up(&self, room: u64) -> Result<u64> {
        let mut taken = 0;
        for partition in (0..).map_while(|number| self.top.get(number)) {
            let filter_len = partition.filter.map_or(0, |handle| handle.len);
            if taken + filter_len + partition.index.len > room {
                break;
            }
            if let Some(handle) = partition.filter {
                self.filter(handle, CacheUse::Fill)?;
            }
            self.index(partition.index, CacheUse::Fill)?;
            taken += filter_len + partition.index.len;
        }
        Ok(taken)
    }

    pub(super) const fn top(&self) -> &TopIndex {
        &self.top
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn blocks_end(&self) -> u64 {
        self.blocks_end
    }

    /// The metaindex, with its own handle.
    pub(super) const fn metaindex(&self) -> &(BlockHandle, Metaindex) {
        &self.metaindex
    }

    #[inline]
    fn filter_passes(&self, partition: &Partition, hash: KeyHash) -> Result<bool> {
        match partition.filter {
            Some(handle) => Ok(self.filter(handle, CacheUse::Fill)?.may_contain(hash)),
            None => Ok(true),
        }
    }

    pub(super) fn filter(&self, handle: BlockHandle, cache_use: CacheUse) -> Result<Arc<Filter>> {
        match self.block(handle, BlockKind::Filter, cache_use)? {
            (CachedBlock::Filter(filter), _) => Ok(filter),
            _ => Err(self.mixed_up(handle)),
        }
    }

    pub(super) fn index(&self, handle: BlockHandle, cache_use: CacheUse) -> Result<Arc<Index>> {
        match self.block(handle, BlockKind::Index, cache_use)? {
            (CachedBlock::Index(index), _) => Ok(index),
            _ => Err(self.mixed_up(handle)),
        }
    }

    /// A data block, and whether it had to be read.
    pub(super) fn data(&self, handle: BlockHandle, cache_use: CacheUse) -> Result<(Arc<Block>, bool)> {
        match self.block(handle, BlockKind::Data, cache_use)? {
            (CachedBlock::Data(block), read) => Ok((block, read)),
            _ => Err(self.mixed_up(handle)),
        }
    }

    pub(super) fn prefetch(&self, offset: u64, len: u64) {
        let len = len.min(self.blocks_end.saturating_sub(offset));
        if len > 0 {
            self.file.prefetch(offset, len);
        }
    }

    fn mixed_up(&self, handle: BlockHandle) -> Error {
        Error::corrupt(&self.path, handle.offset, "two handles take one block for different kinds")
    }

    #[inline]
    fn block(&self, handle: BlockHandle, kind: BlockKind, cache_use: CacheUse) -> Result<(CachedBlock, bool)> {
        let key = BlockKey { file_number: self.file_number, offset: handle.offset };
        let cached = match cache_use {
            CacheUse::Fill => self.cache.get(&key),
            CacheUse::Bypass => self.cache.peek(&key),
        };
        if let Some(block) = cached {
            return Ok((block, false));
        }
        let block = self.load(handle, kind)?;
        if cache_use == CacheUse::Fill {
            self.cache.insert(key, block.clone());
        }
        Ok((block, true))
    }

    /// Reads a block from the file, whatever the cache holds.
    pub(super) fn load(&self, handle: BlockHandle, kind: BlockKind) -> Result<CachedBlock> {
        let bytes = self.read(handle, kind)?;
        let parsed = match kind {
            BlockKind::Data => {
                Block::parse(bytes, self.properties.key_layout.width()).map(|block| CachedBlock::Data(Arc::new(block)))
            }
            BlockKind::Filter => Filter::parse(&bytes).map(|filter| CachedBlock::Filter(Arc::new(filter))),
            _ => Block::parse(bytes, 0)
                .and_then(|block| Index::parse(&block, self.blocks_end))
                .map(|index| CachedBlock::Index(Arc::new(index))),
        };
        parsed.map_err(|malformed| malformed.at(&self.path, handle.offset))
    }

    pub(super) fn read(&self, handle: BlockHandle, kind: BlockKind) -> Result<Vec<u8>> {
        let place = Place { kind, file_id: self.file_id, offset: handle.offset };
        read_block(&*self.file, &self.path, handle, self.blocks_end, place)
    }
}

/// Reads and checks a block; what comes back is neither compressed nor has a trailer.
pub(super) fn read_block(
    file: &dyn File,
    path: &Path,
    handle: BlockHandle,
    blocks_end: u64,
    place: Place,
) -> Result<Vec<u8>> {
    let malformed = |malformed: Malformed| malformed.at(path, handle.offset);
    handle.check(blocks_end).map_err(malformed)?;
    let len = usize::try_from(handle.len).map_err(|_| malformed(Malformed("a block does not fit into memory")))?;
    let mut bytes = vec![0; len + frame::TRAILER_LEN];
    file.read_exact_at(handle.offset, &mut bytes).map_err(|error| read_error(path, handle.offset, error))?;
    frame::open(bytes, place).map_err(malformed)
}

/// A file that ends before the length that it should have is damaged; other errors are the disk's.
fn read_error(path: &Path, offset: u64, error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        Error::corrupt(path, offset, "the file ends before the length that is recorded for it")
    } else {
        Error::io("read", path, error)
    }
}
