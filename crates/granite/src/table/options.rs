//! What a writer is told about the table to write.

use super::{Codec, FilterPolicy};

/// How the keys of a table are laid out in its data blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyLayout {
    /// Keys of any length, each stored as its difference to the one before.
    Plain,
    /// Keys of exactly `width` bytes without common prefixes, such as hashes: stored whole.
    Hash { width: u16 },
}

impl KeyLayout {
    /// The key width that stands in every block: 0 for [`KeyLayout::Plain`].
    pub(super) const fn width(self) -> u16 {
        match self {
            Self::Plain => 0,
            Self::Hash { width } => width,
        }
    }

    pub(super) const fn from_width(width: u16) -> Self {
        match width {
            0 => Self::Plain,
            width => Self::Hash { width },
        }
    }
}

/// How a table is written. A reader finds all it needs in the file.
#[derive(Debug, Clone)]
pub(crate) struct TableOptions {
    /// Size at which a data block is closed, in bytes before compression.
    pub(crate) block_size: u32,
    /// Entries from one restart point to the next.
    pub(crate) restart_interval: u32,
    pub(crate) codec: Codec,
    pub(crate) filter: FilterPolicy,
    pub(crate) key_layout: KeyLayout,
    /// Distinct keys at which a partition is closed.
    pub(crate) partition_keys: u32,
    /// Data blocks at which a partition is closed.
    pub(crate) partition_blocks: u32,
    /// A random number that ties every block to this file.
    pub(crate) file_id: u64,
    /// The keyspace that the table belongs to.
    pub(crate) keyspace: u32,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            block_size: 16 << 10,
            restart_interval: 16,
            codec: Codec::Lz4,
            filter: FilterPolicy::default(),
            key_layout: KeyLayout::Plain,
            partition_keys: 4096,
            partition_blocks: 128,
            file_id: 0,
            keyspace: 0,
        }
    }
}
