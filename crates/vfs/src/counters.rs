//! Counts of what a disk was asked to do. They do not depend on the machine, so tests and gates can rely on them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A reading of [`Counters`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CounterSnapshot {
    /// Calls of `sync_data` and `sync_all` on files.
    pub file_syncs: u64,
    /// Calls of `sync_dir`.
    pub dir_syncs: u64,
    /// Calls of `write_at`.
    pub writes: u64,
    /// Bytes handed to `write_at`.
    pub bytes_written: u64,
    /// Calls of `read_at`.
    pub reads: u64,
    /// Bytes that `read_at` returned.
    pub bytes_read: u64,
}

impl CounterSnapshot {
    /// What was done between `earlier` and this reading.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            file_syncs: self.file_syncs.saturating_sub(earlier.file_syncs),
            dir_syncs: self.dir_syncs.saturating_sub(earlier.dir_syncs),
            writes: self.writes.saturating_sub(earlier.writes),
            bytes_written: self.bytes_written.saturating_sub(earlier.bytes_written),
            reads: self.reads.saturating_sub(earlier.reads),
            bytes_read: self.bytes_read.saturating_sub(earlier.bytes_read),
        }
    }

    /// File and directory syncs together.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.file_syncs + self.dir_syncs
    }
}

/// Counters that an implementation of [`Vfs`](crate::Vfs) keeps. Relaxed: exact once the counted work has been joined.
#[derive(Debug, Default)]
pub struct Counters {
    file_syncs: AtomicU64,
    dir_syncs: AtomicU64,
    writes: AtomicU64,
    bytes_written: AtomicU64,
    reads: AtomicU64,
    bytes_read: AtomicU64,
}

impl Counters {
    /// Counts one sync of a file.
    pub fn count_file_sync(&self) {
        self.file_syncs.fetch_add(1, Relaxed);
    }

    /// Counts one sync of a directory.
    pub fn count_dir_sync(&self) {
        self.dir_syncs.fetch_add(1, Relaxed);
    }

    /// Counts one write of `bytes` bytes.
    pub fn count_write(&self, bytes: usize) {
        self.writes.fetch_add(1, Relaxed);
        self.bytes_written.fetch_add(bytes as u64, Relaxed);
    }

    /// Counts one read that returned `bytes` bytes.
    pub fn count_read(&self, bytes: usize) {
        self.reads.fetch_add(1, Relaxed);
        self.bytes_read.fetch_add(bytes as u64, Relaxed);
    }

    /// The present values.
    #[must_use]
    pub fn snapshot(&self) -> CounterSnapshot {
        CounterSnapshot {
            file_syncs: self.file_syncs.load(Relaxed),
            dir_syncs: self.dir_syncs.load(Relaxed),
            writes: self.writes.load(Relaxed),
            bytes_written: self.bytes_written.load(Relaxed),
            reads: self.reads.load(Relaxed),
            bytes_read: self.bytes_read.load(Relaxed),
        }
    }
}
