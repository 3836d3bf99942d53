//! What a user chooses: for the database, for a keyspace, for one write.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use vfs::{DiskVfs, Vfs};

use crate::error::{Error, Result};
use crate::key::MAX_KEY_LEN;
use crate::table::{Codec, FilterPolicy};

/// The least memory that a database can work in.
pub const MIN_MEMORY_BUDGET: usize = 1 << 20;

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// Once it would survive a loss of power. Concurrent writers share one sync.
    #[default]
    Sync,
    /// Once it would survive a death of the process. The next `Sync` write, [`Db::sync`](crate::Db::sync) or periodic sync makes it durable.
    Buffered,
}

/// What to do with a log that does not end cleanly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RecoveryMode {
    /// Refuse anything but a clean end.
    Strict,
    /// Drop a torn tail, which was never acknowledged as durable; refuse damage before it.
    #[default]
    Tail,
    /// Keep every batch that is intact, wherever it stands. What was lost is in [`Db::recovery`](crate::Db::recovery).
    Salvage,
}

/// Who flushes and compacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Background {
    /// This many threads of the database's own.
    Threads(usize),
    /// The writing thread itself, whenever there is something to do: no threads, and every run with the same input does the same.
    Inline,
}

/// How keys are laid out in tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum KeyLayout {
    /// Any keys; common prefixes are stored once.
    #[default]
    Plain,
    /// Random keys of this one width in bytes: no prefix compression, found through a hash index in each block.
    Hash {
        /// Width in bytes.
        width: u8,
    },
}

/// Which tables are merged when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CompactionPolicy {
    /// Levels of growing size, each sorted: fast reads and little space.
    #[default]
    Leveled,
    /// Runs of similar size merged together: fewer bytes written, more space and slower reads.
    Tiered,
}

/// How a database is opened. Start from [`Options::new`].
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) create_if_missing: bool,
    pub(crate) memory_budget: usize,
    pub(crate) write_buffer: Option<usize>,
    pub(crate) durability: Durability,
    pub(crate) sync_interval: Option<Duration>,
    pub(crate) recovery: RecoveryMode,
    pub(crate) background: Background,
    pub(crate) segment_len: u64,
    pub(crate) log_len_max: u64,
    pub(crate) recycle_segments: bool,
    pub(crate) table_len: u64,
    pub(crate) open_tables_max: usize,
    pub(crate) value_gc_share: f64,
    pub(crate) manual_compaction_only: bool,
    pub(crate) warm_up: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// The defaults: the real disk, 64 MiB of memory, durable writes, two background threads.
    #[must_use]
    pub fn new() -> Self {
        Self {
            vfs: Arc::new(DiskVfs::new()),
            create_if_missing: true,
            memory_budget: 64 << 20,
            write_buffer: None,
            durability: Durability::Sync,
            sync_interval: None,
            recovery: RecoveryMode::Tail,
            background: Background::Threads(2),
            segment_len: 64 << 20,
            log_len_max: 256 << 20,
            recycle_segments: true,
            table_len: 32 << 20,
            open_tables_max: 512,
            value_gc_share: 0.5,
            manual_compaction_only: false,
            warm_up: true,
        }
    }

    /// The disk, clock and randomness to use. Default: the machine's own.
    #[must_use]
    pub fn vfs(mut self, vfs: Arc<dyn Vfs>) -> Self {
        self.vfs = vfs;
        self
    }

    /// Whether an empty or absent directory becomes a new database (default) or an error.
    #[must_use]
    pub const fn create_if_missing(mut self, create: bool) -> Self {
        self.create_if_missing = create;
        self
    }

    /// Bytes of memory for write buffers, caches, filters, indexes and replay together. Default 64 MiB, least [`MIN_MEMORY_BUDGET`].
    #[must_use]
    pub const fn memory_budget(mut self, bytes: usize) -> Self {
        self.memory_budget = bytes;
        self
    }

    /// Bytes of the budget for write buffers (memtables, also those being flushed). Default: a half.
    #[must_use]
    pub const fn write_buffer(mut self, bytes: usize) -> Self {
        self.write_buffer = Some(bytes);
        self
    }

    /// The durability of `put`, `delete` and the like, which do not say it themselves. Default `Sync`.
    #[must_use]
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sync buffered writes at least this often, in the background. Default: never.
    /// With [`Background::Inline`] it is checked at each write.
    #[must_use]
    pub const fn sync_interval(mut self, interval: Option<Duration>) -> Self {
        self.sync_interval = interval;
        self
    }

    /// What to do with a log that does not end cleanly. Default `Tail`.
    #[must_use]
    pub const fn recovery(mut self, mode: RecoveryMode) -> Self {
        self.recovery = mode;
        self
    }

    /// Who flushes and compacts. Default: two threads.
    #[must_use]
    pub const fn background(mut self, background: Background) -> Self {
        self.background = background;
        self
    }

    /// Length in bytes at which a log segment is closed and the next begun. Default 64 MiB.
    #[must_use]
    pub const fn segment_len(mut self, bytes: u64) -> Self {
        self.segment_len = bytes;
        self
    }

    /// Bytes of log, values included, that a recovery may have to read: beyond it, write buffers are flushed. Default 256 MiB.
    #[must_use]
    pub const fn log_len_max(mut self, bytes: u64) -> Self {
        self.log_len_max = bytes;
        self
    }

    /// Whether log segments without separated values are written over again (default), which syncs faster than growing a new one.
    #[must_use]
    pub const fn recycle_segments(mut self, recycle: bool) -> Self {
        self.recycle_segments = recycle;
        self
    }

    /// Length in bytes at which a compaction closes a table and begins the next. Default 32 MiB.
    #[must_use]
    pub const fn table_len(mut self, bytes: u64) -> Self {
        self.table_len = bytes;
        self
    }

    /// Files that are kept open at once. Default 512.
    #[must_use]
    pub const fn open_tables_max(mut self, count: usize) -> Self {
        self.open_tables_max = count;
        self
    }

    /// Share of live bytes in a value segment, 0 to 1, below which compactions move what they meet out of it. Default 0.5.
    #[must_use]
    pub const fn value_gc_share(mut self, share: f64) -> Self {
        self.value_gc_share = share;
        self
    }

    /// Compact only when asked to (`compact`, `compact_range`). Flushes still happen. Default false.
    #[must_use]
    pub const fn manual_compaction_only(mut self, manual: bool) -> Self {
        self.manual_compaction_only = manual;
        self
    }

    /// Whether a background thread reads filters and indexes into the cache after the start, newest tables first, up to a quarter of it.
    /// Default true; without threads it never happens.
    #[must_use]
    pub const fn warm_up(mut self, warm_up: bool) -> Self {
        self.warm_up = warm_up;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        let invalid = |what, reason: String| Err(Error::InvalidOption { what, reason });
        if self.memory_budget < MIN_MEMORY_BUDGET {
            return invalid(
                "memory_budget",
                format!("{} bytes, at least {MIN_MEMORY_BUDGET} are needed", self.memory_budget),
            );
        }
        if self.write_buffer.is_some_and(|bytes| bytes < 4096 || bytes > self.memory_budget) {
            return invalid("write_buffer", "it must be between 4096 bytes and the memory budget".into());
        }
        if !(4096..=1 << 40).contains(&self.segment_len) {
            return invalid("segment_len", format!("{} bytes, 4 KiB to 1 TiB are possible", self.segment_len));
        }
        if !(4096..=1 << 40).contains(&self.table_len) {
            return invalid("table_len", format!("{} bytes, 4 KiB to 1 TiB are possible", self.table_len));
        }
        if !(0.0..=1.0).contains(&self.value_gc_share) {
            return invalid("value_gc_share", format!("{}, a share is between 0 and 1", self.value_gc_share));
        }
        if let Background::Threads(count) = self.background
            && !(1..=64).contains(&count)
        {
            return invalid("background", format!("{count} threads, 1 to 64 are possible"));
        }
        Ok(())
    }

    pub(crate) fn write_buffer_len(&self) -> usize {
        self.write_buffer.unwrap_or(self.memory_budget / 2)
    }

    /// What is left of the budget for cached blocks, after write buffers and a reserve for tables' heads and working space.
    pub(crate) fn cache_len(&self) -> usize {
        let rest = self.memory_budget.saturating_sub(self.write_buffer_len());
        rest - rest / 8
    }
}

/// How a keyspace stores its data. Fixed when the keyspace is created.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyspaceOptions {
    pub(crate) key_layout: KeyLayout,
    pub(crate) separation_threshold: Option<u32>,
    pub(crate) codec: Codec,
    pub(crate) filter: FilterPolicy,
    pub(crate) block_len: u32,
    pub(crate) compaction: CompactionPolicy,
}

impl Default for KeyspaceOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl KeyspaceOptions {
    /// The defaults: any keys, values of 1 KiB and more separated, LZ4, Bloom filters of 10 bits a key, blocks of 16 KiB, leveled.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            key_layout: KeyLayout::Plain,
            separation_threshold: Some(1024),
            codec: Codec::Lz4,
            filter: FilterPolicy::Bloom { bits_per_key: 10 },
            block_len: 16 << 10,
            compaction: CompactionPolicy::Leveled,
        }
    }

    /// How keys are laid out.
    #[must_use]
    pub const fn key_layout(mut self, layout: KeyLayout) -> Self {
        self.key_layout = layout;
        self
    }

    /// Values of at least this many bytes stay in the log and are written once; `None` keeps all values in the tables.
    #[must_use]
    pub const fn separation_threshold(mut self, bytes: Option<u32>) -> Self {
        self.separation_threshold = bytes;
        self
    }

    /// Compression of table blocks. Separated values are stored as they are.
    #[must_use]
    pub const fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// The filter that spares look-ups of absent keys.
    #[must_use]
    pub const fn filter(mut self, filter: FilterPolicy) -> Self {
        self.filter = filter;
        self
    }

    /// Length of a data block in bytes before compression, 4 KiB to 64 KiB in use, less in tests.
    #[must_use]
    pub const fn block_len(mut self, bytes: u32) -> Self {
        self.block_len = bytes;
        self
    }

    /// Which tables are merged when.
    #[must_use]
    pub const fn compaction(mut self, policy: CompactionPolicy) -> Self {
        self.compaction = policy;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        let invalid = |what, reason: String| Err(Error::InvalidOption { what, reason });
        if !(64..=1 << 20).contains(&self.block_len) {
            return invalid("block_len", format!("{} bytes, 64 to 1048576 are possible", self.block_len));
        }
        if matches!(self.key_layout, KeyLayout::Hash { width: 0 }) {
            return invalid("key_layout", "a hash key has at least one byte".into());
        }
        if self.separation_threshold.is_some_and(|bytes| bytes < 16) {
            return invalid(
                "separation_threshold",
                "a pointer takes up to 16 bytes: separate values of at least that".into(),
            );
        }
        if let FilterPolicy::Bloom { bits_per_key } = self.filter
            && !(1..=64).contains(&bits_per_key)
        {
            return invalid("filter", format!("{bits_per_key} bits a key, 1 to 64 are possible"));
        }
        Ok(())
    }

    /// Checks a key against the layout and the limits.
    #[inline]
    pub(crate) fn check_key(&self, key: &[u8]) -> Result<()> {
        if key.is_empty() {
            return Err(Error::EmptyKey);
        }
        match self.key_layout {
            KeyLayout::Hash { width } if key.len() != usize::from(width) => Err(Error::KeyLength {
                len: key.len(),
                limit: format!("this keyspace takes keys of exactly {width} bytes"),
            }),
            _ if key.len() > MAX_KEY_LEN => {
                Err(Error::KeyLength { len: key.len(), limit: format!("the limit is {MAX_KEY_LEN} bytes") })
            }
            _ => Ok(()),
        }
    }
}

/// One line for people.
impl fmt::Display for KeyspaceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key_layout {
            KeyLayout::Plain => f.write_str("any keys")?,
            KeyLayout::Hash { width } => write!(f, "hashes of {width} bytes as keys")?,
        }
        match self.separation_threshold {
            Some(bytes) => write!(f, ", values from {bytes} bytes on separated")?,
            None => f.write_str(", no values separated")?,
        }
        write!(f, ", blocks of {} bytes, ", self.block_len)?;
        match self.codec {
            Codec::None => f.write_str("no compression")?,
            Codec::Lz4 => f.write_str("LZ4")?,
            Codec::Zstd { level } => write!(f, "Zstandard at level {level}")?,
        }
        match self.filter {
            FilterPolicy::None => f.write_str(", no filters")?,
            FilterPolicy::Bloom { bits_per_key } => write!(f, ", Bloom filters of {bits_per_key} bits a key")?,
        }
        f.write_str(match self.compaction {
            CompactionPolicy::Leveled => ", leveled",
            CompactionPolicy::Tiered => ", tiered",
        })
    }
}
