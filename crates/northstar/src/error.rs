//! Everything that can go wrong, and what the caller should do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::id::{CommitTime, TxnId};

/// The result of an operation on a database.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller should do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The same call can succeed later: somebody else writes, or the disk is full for now.
    Retry,
    /// The call itself is wrong and will never succeed as it is.
    FixInput,
    /// What is on disk is damaged: look at it with `verify`, restore a backup.
    Repair,
    /// This handle is of no further use: close it and open the database again.
    Stop,
}

/// Everything that can go wrong in northstar.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation on a file.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb: "read", "write", "sync", "create" and the like.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        source: Arc<io::Error>,
    },
    /// There is no room left on the disk. What was acknowledged is kept; writes succeed again once there is room.
    #[error("no room left on the disk to {action} {}: free some space and try again", path.display())]
    StorageFull {
        /// What was attempted.
        action: &'static str,
        /// The file that could not grow.
        path: PathBuf,
    },
    /// Bytes on disk are not what was written.
    #[error("{} is damaged at byte {offset}: {what}; run `ns verify` to see the extent, and restore from a backup", path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where in the file the damage was noticed.
        offset: u64,
        /// What does not fit.
        what: String,
    },
    /// A sync failed earlier: nothing more is accepted through this handle.
    #[error(
        "the database refuses further writes because an earlier write to disk failed ({cause}): close it and open it again"
    )]
    Poisoned {
        /// The failure that started it.
        cause: Arc<str>,
    },
    /// Another process (or another handle in this one) has the database open for writing.
    #[error("the database {} is open for writing elsewhere: close it there, or open it read-only", path.display())]
    Locked {
        /// The database's file.
        path: PathBuf,
    },
    /// There is a write transaction already, and the caller did not want to wait for its end.
    #[error("another write transaction is open: wait for its end, or try again")]
    WriteBusy,
    /// The file is no northstar database, or there is none and none was to be created.
    #[error("{} is no northstar database: check the path, or open with `create_if_missing`", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// A newer version of northstar wrote the database.
    #[error("{} has format version {found}, this program reads up to {supported}: use a newer program", path.display())]
    NewerFormat {
        /// The file that says so.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that this program reads.
        supported: u32,
    },
    /// No tree of that name exists.
    #[error("there is no tree named {name:?}: create it first, or check the name")]
    UnknownTree {
        /// The name asked for.
        name: String,
    },
    /// A name or an option cannot be used.
    #[error("invalid {what}: {reason}")]
    InvalidOption {
        /// Which one.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A key over the limit.
    #[error(
        "a key of {len} bytes is over the limit of {max} bytes: shorten it, or create the database with larger pages"
    )]
    KeyTooLarge {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A value over the limit.
    #[error("a value of {len} bytes is over the limit of {max} bytes: split it")]
    ValueTooLarge {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A transaction over the limit.
    #[error("a transaction of {len} bytes is over the limit of {max} bytes: commit it in parts")]
    TransactionTooLarge {
        /// Its size in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A key handed to a bulk append is not greater than the last key of the tree.
    #[error("the key at position {position} is not greater than the one before it: sort the input and drop duplicates")]
    UnsortedKeys {
        /// Position in the input, from 0.
        position: u64,
    },
    /// The state asked for is not kept (any more).
    #[error(
        "transaction {txn} is outside of what is kept ({oldest} to {newest}): raise the retention, or pin what must stay"
    )]
    OutsideWindow {
        /// What was asked for.
        txn: TxnId,
        /// The oldest state that can be opened.
        oldest: TxnId,
        /// The newest.
        newest: TxnId,
    },
    /// There was no commit yet at the time asked for, or what there was is not kept any more.
    #[error("nothing is kept of the time {} us after 1970: raise the retention, or pin what must stay", time.0)]
    BeforeWindow {
        /// What was asked for.
        time: CommitTime,
    },
    /// A pin of that name exists, or none exists that was to be removed.
    #[error("the pin {name:?} {what}")]
    Pin {
        /// The name.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
    /// All places for readers of other processes are taken.
    #[error("{max} readers of other processes are open already: close one")]
    TooManyReaders {
        /// How many there can be.
        max: usize,
    },
    /// A file that is to be written exists already.
    #[error("{} exists already: choose another path", path.display())]
    TargetExists {
        /// The file.
        path: PathBuf,
    },
    /// A write through a handle that was opened for reading.
    #[error("the database is open read-only")]
    ReadOnly,
    /// The database was closed.
    #[error("the database is closed")]
    Closed,
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::StorageFull { .. } | Self::Locked { .. } | Self::WriteBusy | Self::TooManyReaders { .. } => {
                ErrorKind::Retry
            }
            Self::Corrupt { .. } => ErrorKind::Repair,
            Self::Io { .. } | Self::Poisoned { .. } | Self::Closed => ErrorKind::Stop,
            Self::NotADatabase { .. }
            | Self::NewerFormat { .. }
            | Self::UnknownTree { .. }
            | Self::InvalidOption { .. }
            | Self::KeyTooLarge { .. }
            | Self::ValueTooLarge { .. }
            | Self::TransactionTooLarge { .. }
            | Self::UnsortedKeys { .. }
            | Self::OutsideWindow { .. }
            | Self::BeforeWindow { .. }
            | Self::Pin { .. }
            | Self::TargetExists { .. }
            | Self::ReadOnly => ErrorKind::FixInput,
        }
    }

    /// An [`Error::Io`], or [`Error::StorageFull`] where that is what the system says.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::StorageFull { action, path: path.to_owned() }
            }
            _ => Self::Io { action, path: path.to_owned(), source: Arc::new(source) },
        }
    }

    /// A sync that failed. Never [`Error::StorageFull`], which says that nothing has changed: what was to be made durable may be there or not.
    pub(crate) fn sync(path: &Path, source: io::Error) -> Self {
        Self::Io { action: "sync", path: path.to_owned(), source: Arc::new(source) }
    }

    pub(crate) fn corrupt(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), offset, what: what.into() }
    }
}
