//! What stays in memory of what was read from disk.

mod block_cache;

pub(crate) use block_cache::{BlockCache, BlockKey, CachedBlock};
