//! What a program can ask of the disk, and the record of what it asked.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// One kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum OpKind {
    /// An `open` or `lock` that creates the file.
    Create,
    /// `write_at`.
    Write,
    /// `set_len`.
    SetLen,
    /// `allocate`.
    Allocate,
    /// `sync_data`.
    SyncData,
    /// `sync_all`.
    SyncAll,
    /// `sync_dir`.
    SyncDir,
    /// `rename`.
    Rename,
    /// `hard_link`.
    HardLink,
    /// `remove_file`.
    Remove,
    /// One directory made by `create_dir_all`; each missing parent is a call of its own.
    CreateDir,
    /// An `open` of a file that exists.
    Open,
    /// `read_at`.
    Read,
    /// `len`.
    Len,
    /// `drop_cache`.
    DropCache,
    /// `read_dir`.
    ReadDir,
    /// `metadata`.
    Metadata,
    /// `lock` on a file that exists.
    Lock,
    /// `free_space`.
    FreeSpace,
}

impl OpKind {
    /// True for the kinds that change the disk, or what is durable of it: they have a running number, and each is a
    /// crash point.
    #[must_use]
    pub fn is_mutating(self) -> bool {
        !matches!(
            self,
            Self::Open
                | Self::Read
                | Self::Len
                | Self::DropCache
                | Self::ReadDir
                | Self::Metadata
                | Self::Lock
                | Self::FreeSpace
        )
    }

    /// True for `sync_data`, `sync_all` and `sync_dir`.
    #[must_use]
    pub fn is_sync(self) -> bool {
        matches!(self, Self::SyncData | Self::SyncAll | Self::SyncDir)
    }
}

/// How a recorded call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it said.
    Done,
    /// It returned an error of this kind.
    Failed(io::ErrorKind),
    /// A sync that reported success and made nothing durable: see
    /// [`ignore_syncs`](crate::SimDisk::ignore_syncs).
    Ignored,
}

/// One mutating call, as [`SimDisk::trace`](crate::SimDisk::trace) lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// Running number among the mutating calls, from 0.
    pub number: u64,
    /// What was called.
    pub kind: OpKind,
    /// The file or directory. For a call on an open file, the path it was opened under.
    pub path: Arc<Path>,
    /// The second path of a rename or a link.
    pub target: Option<Arc<Path>>,
    /// Where a write or an allocation starts; 0 for other calls.
    pub offset: u64,
    /// Bytes written or allocated, or the new length; 0 for other calls.
    pub len: u64,
    /// How it ended.
    pub outcome: Outcome,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>5} {:?} {}", self.number, self.kind, self.path.display())?;
        if let Some(target) = &self.target {
            write!(f, " -> {}", target.display())?;
        }
        match self.kind {
            OpKind::Write | OpKind::Allocate => write!(f, " {} B at {}", self.len, self.offset)?,
            OpKind::SetLen => write!(f, " {} B", self.len)?,
            _ => {}
        }
        match self.outcome {
            Outcome::Done => Ok(()),
            Outcome::Failed(kind) => write!(f, ": failed, {kind}"),
            Outcome::Ignored => f.write_str(": ignored"),
        }
    }
}

/// One sync, as the predicate of [`SimDisk::ignore_syncs`](crate::SimDisk::ignore_syncs) sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncCall {
    /// Which of the three syncs.
    pub kind: OpKind,
    /// The file, under the path it was opened by, or the directory.
    pub path: Arc<Path>,
    /// Running number among the syncs of all kinds, from 0.
    pub nth: u64,
    /// Running number among all mutating calls, from 0.
    pub op: u64,
}

impl fmt::Display for SyncCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sync {} (op {}, {:?} {})", self.nth, self.op, self.kind, self.path.display())
    }
}
