//! What a user chooses.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use vfs::{DiskVfs, Vfs};

use crate::error::{Error, Result};
use crate::id::TxnId;
use crate::store::PAGE_SIZES;

/// The least memory that a database can work in.
pub const MIN_MEMORY_BUDGET: usize = 512 << 10;

/// When a commit is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// Once it would survive a loss of power. Concurrent writers share one sync.
    #[default]
    Sync,
    /// Once it would survive a death of the process. The next `Sync` commit, [`Database::sync`](crate::Database::sync) or checkpoint makes
    /// it durable, with all before it.
    Buffered,
}

/// Who writes checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Background {
    /// A thread of the database's own.
    #[default]
    Thread,
    /// The committing thread itself, whenever one is due: no thread, and every run with the same input does the same.
    Inline,
}

/// Which states of the past can be opened, beside those that are pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Retention {
    /// Every state younger than this ...
    pub time: Duration,
    /// ... and each of the newest so many transactions.
    pub transactions: u64,
}

/// A snapshot that keeps many pages from being used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LongReader {
    /// The state that it shows.
    pub txn: TxnId,
    /// How long ago that state was committed.
    pub age: Duration,
    /// Bytes of pages that wait for it.
    pub held_len: u64,
}

/// Called with a [`LongReader`], on the thread that committed, after its commit.
pub type LongReaderCallback = Arc<dyn Fn(LongReader) + Send + Sync>;

/// How a database is opened. Start from [`Options::new`].
#[derive(Clone)]
pub struct Options {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) create_if_missing: bool,
    pub(crate) page_size: usize,
    pub(crate) memory_budget: usize,
    pub(crate) durability: Durability,
    pub(crate) retention: Retention,
    pub(crate) background: Background,
    pub(crate) checkpoint_log_len: u64,
    pub(crate) segment_len: u64,
    pub(crate) transaction_len_max: usize,
    pub(crate) long_reader_len: u64,
    pub(crate) on_long_reader: Option<LongReaderCallback>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("page_size", &self.page_size)
            .field("memory_budget", &self.memory_budget)
            .field("durability", &self.durability)
            .field("retention", &self.retention)
            .field("background", &self.background)
            .finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// The defaults: the real disk, pages of 4 KiB, 64 MiB of memory, durable commits, no past, a thread for checkpoints.
    #[must_use]
    pub fn new() -> Self {
        Self {
            vfs: Arc::new(DiskVfs::new()),
            create_if_missing: true,
            page_size: 4096,
            memory_budget: 64 << 20,
            durability: Durability::Sync,
            retention: Retention::default(),
            background: Background::Thread,
            checkpoint_log_len: 4 << 20,
            segment_len: 8 << 20,
            transaction_len_max: 256 << 20,
            long_reader_len: 256 << 20,
            on_long_reader: None,
        }
    }

    /// The disk, clock and randomness to use. Default: the machine's own.
    #[must_use]
    pub fn vfs(mut self, vfs: Arc<dyn Vfs>) -> Self {
        self.vfs = vfs;
        self
    }

    /// Whether an absent file becomes a new database (default) or an error.
    #[must_use]
    pub const fn create_if_missing(mut self, create: bool) -> Self {
        self.create_if_missing = create;
        self
    }

    /// Bytes of a page in a database that is created: 4096 (default), 8192 or 16384. A key can have a quarter of a page, less 32 bytes.
    #[must_use]
    pub const fn page_size(mut self, bytes: usize) -> Self {
        self.page_size = bytes;
        self
    }

    /// Bytes of memory for pages, clean and not yet written ones together. Default 64 MiB, least [`MIN_MEMORY_BUDGET`].
    #[must_use]
    pub const fn memory_budget(mut self, bytes: usize) -> Self {
        self.memory_budget = bytes;
        self
    }

    /// The durability of commits that do not say it themselves. Default `Sync`.
    #[must_use]
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Which states of the past can be opened. Default: none but pinned ones.
    #[must_use]
    pub const fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Who writes checkpoints. Default: a thread.
    #[must_use]
    pub const fn background(mut self, background: Background) -> Self {
        self.background = background;
        self
    }

    /// Bytes of log after which a checkpoint is due. Default 4 MiB. More means fewer writes of pages and a longer recovery.
    #[must_use]
    pub const fn checkpoint_log_len(mut self, bytes: u64) -> Self {
        self.checkpoint_log_len = bytes;
        self
    }

    /// Bytes after which a segment of the log is closed, at the next checkpoint. Default 8 MiB.
    #[must_use]
    pub const fn segment_len(mut self, bytes: u64) -> Self {
        self.segment_len = bytes;
        self
    }

    /// Bytes of keys and values that one transaction can put. Default 256 MiB.
    #[must_use]
    pub const fn transaction_len_max(mut self, bytes: usize) -> Self {
        self.transaction_len_max = bytes;
        self
    }

    /// Calls `callback` when pages of more than `held_len` bytes wait for the oldest snapshot: its holder keeps the file growing. The
    /// callback runs on a committing thread. It can tell the holder to let go; nothing is taken away from a reader.
    #[must_use]
    pub fn on_long_reader(mut self, held_len: u64, callback: LongReaderCallback) -> Self {
        self.long_reader_len = held_len;
        self.on_long_reader = Some(callback);
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        let invalid = |what, reason: String| Err(Error::InvalidOption { what, reason });
        if !PAGE_SIZES.contains(&self.page_size) {
            return invalid("page size", format!("{} is none of 4096, 8192 and 16384", self.page_size));
        }
        if self.memory_budget < MIN_MEMORY_BUDGET {
            return invalid("memory budget", format!("{} bytes are less than {MIN_MEMORY_BUDGET}", self.memory_budget));
        }
        if self.transaction_len_max > (1 << 30) {
            return invalid("transaction limit", format!("{} bytes are more than 1 GiB", self.transaction_len_max));
        }
        Ok(())
    }
}
