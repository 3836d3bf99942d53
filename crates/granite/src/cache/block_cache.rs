//! Parsed blocks of all tables, bounded by the bytes they take.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};

use crate::table::{Block, Filter, Index};

/// What the cache takes for an entry beside the block itself: its slot, its place in the table, the counts of the `Arc`.
const ENTRY_BYTES: u64 = 128;

/// What a block takes on average, to guess the number of blocks that fit.
const BLOCK_BYTES: u64 = 8 << 10;

const COUNTER_STRIPES: usize = 8;

/// Names a block of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BlockKey {
    pub(crate) file_number: u64,
    pub(crate) offset: u64,
}

/// A block as it is used.
#[derive(Debug, Clone)]
pub(crate) enum CachedBlock {
    Data(Arc<Block>),
    Index(Arc<Index>),
    Filter(Arc<Filter>),
}

impl CachedBlock {
    /// Bytes that dropping it from the cache frees.
    fn heap_bytes(&self) -> u64 {
        let bytes = match self {
            Self::Data(block) => size_of::<Block>() + block.heap_bytes(),
            Self::Index(index) => size_of::<Index>() + index.heap_bytes(),
            Self::Filter(filter) => size_of::<Filter>() + filter.heap_bytes(),
        };
        bytes as u64 + ENTRY_BYTES
    }
}

#[derive(Debug, Clone)]
struct HeapBytes;

impl Weighter<BlockKey, CachedBlock> for HeapBytes {
    fn weight(&self, _: &BlockKey, block: &CachedBlock) -> u64 {
        block.heap_bytes()
    }
}

/// Mixes the two numbers of a [`BlockKey`]; they are not in an attacker's hand.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
        self.0 = product as u64 ^ (product >> 64) as u64 ^ 0x2545_f491_4f6c_dd1d;
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0.wrapping_mul(0xff51_afd7_ed55_8ccd) ^ self.0 >> 32
    }
}

/// What happened in the cache since it was made, and what is in it. Hits and misses at the same moment may count as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CacheStats {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) inserted_bytes: u64,
    pub(crate) used_bytes: u64,
    pub(crate) capacity_bytes: u64,
}

/// Counters on a cache line of their own, so that threads do not wait for each other.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    inserted_bytes: AtomicU64,
}

/// A cache of blocks, shared by all tables. Memory is taken as blocks come in.
pub(crate) struct BlockCache {
    blocks: Cache<BlockKey, CachedBlock, HeapBytes, BuildHasherDefault<KeyHasher>>,
    counters: [Counters; COUNTER_STRIPES],
}

impl std::fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockCache").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl BlockCache {
    /// A cache of at most `capacity` bytes. With 0 it holds nothing.
    pub(crate) fn new(capacity: u64) -> Self {
        let mut options = OptionsBuilder::new();
        options.weight_capacity(capacity).estimated_items_capacity((capacity / BLOCK_BYTES) as usize);
        #[expect(clippy::expect_used, reason = "it fails only where one of the two capacities is not set")]
        let options = options.build().expect("both capacities are set");
        let blocks =
            Cache::with_options(options, HeapBytes, BuildHasherDefault::default(), DefaultLifecycle::default());
        Self { blocks, counters: Default::default() }
    }

    /// The block, if it is here; counts and remembers the access.
    #[inline]
    pub(crate) fn get(&self, key: &BlockKey) -> Option<CachedBlock> {
        let found = self.blocks.get(key);
        if let Some(counters) = self.stripe(key) {
            let counter = if found.is_some() { &counters.hits } else { &counters.misses };
            // No atomic addition: that would cost more than the rest of the count is worth.
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
        found
    }

    /// The block, if it is here, without a trace of the access: for those who read everything once.
    pub(crate) fn peek(&self, key: &BlockKey) -> Option<CachedBlock> {
        self.blocks.peek(key)
    }

    /// Puts a block in, in whose place others may have to go. A block larger than a share of the cache is not kept.
    pub(crate) fn insert(&self, key: BlockKey, block: CachedBlock) {
        if let Some(counters) = self.stripe(&key) {
            counters.inserted_bytes.fetch_add(block.heap_bytes(), Ordering::Relaxed);
        }
        self.blocks.insert(key, block);
    }

    /// Drops every block.
    pub(crate) fn clear(&self) {
        self.blocks.clear();
    }

    pub(crate) fn stats(&self) -> CacheStats {
        let sum = |field: fn(&Counters) -> &AtomicU64| {
            self.counters.iter().map(|counters| field(counters).load(Ordering::Relaxed)).sum()
        };
        CacheStats {
            hits: sum(|counters| &counters.hits),
            misses: sum(|counters| &counters.misses),
            inserted_bytes: sum(|counters| &counters.inserted_bytes),
            used_bytes: self.blocks.weight(),
            capacity_bytes: self.blocks.capacity(),
        }
    }

    fn stripe(&self, key: &BlockKey) -> Option<&Counters> {
        // Blocks are some KiB apart.
        self.counters.get((key.offset >> 12) as usize % COUNTER_STRIPES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(len: usize) -> CachedBlock {
        // One key of one byte under a value, and a tail that says so.
        let keys_at = (len - 16 - 13) as u32;
        let mut bytes = vec![0; keys_at as usize + 13];
        for number in [1, keys_at, 1, 1 << 16] {
            bytes.extend_from_slice(&u32::to_le_bytes(number));
        }
        CachedBlock::Data(Arc::new(Block::parse(bytes, 1).unwrap()))
    }

    fn key(offset: u64) -> BlockKey {
        BlockKey { file_number: 1, offset: offset << 14 }
    }

    #[test]
    fn the_cache_stays_within_its_capacity() {
        let cache = BlockCache::new(1 << 20);
        for number in 0..1000 {
            cache.insert(key(number), block(16 << 10));
            assert!(cache.stats().used_bytes <= 1 << 20);
        }
        assert!(cache.stats().used_bytes > 1 << 19, "a full cache is used");
        cache.clear();
        assert_eq!(cache.stats().used_bytes, 0);
        cache.insert(key(1), block(1000));
        assert!(cache.get(&key(1)).is_some());
    }

    #[test]
    fn hits_misses_and_inserted_bytes_are_counted_and_a_peek_is_not() {
        let cache = BlockCache::new(1 << 20);
        assert!(cache.get(&key(1)).is_none());
        cache.insert(key(1), block(1000));
        assert!(matches!(cache.get(&key(1)), Some(CachedBlock::Data(_))));
        assert!(cache.get(&BlockKey { file_number: 2, ..key(1) }).is_none());
        assert!(cache.peek(&key(1)).is_some() && cache.peek(&key(2)).is_none());
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses), (1, 2));
        assert!(stats.inserted_bytes >= 1000 && stats.inserted_bytes == stats.used_bytes);
    }

    #[test]
    fn a_cache_of_nothing_keeps_nothing() {
        let cache = BlockCache::new(0);
        cache.insert(key(1), block(1000));
        assert!(cache.get(&key(1)).is_none());
    }
}
