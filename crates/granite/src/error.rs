//! Everything that can go wrong, and what the caller should do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The result of an operation on a database.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller should do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The same call can succeed later: another process holds the database, or the disk is full for now.
    Retry,
    /// The call itself is wrong and will never succeed as it is.
    FixInput,
    /// What is on disk is damaged: look at it with `verify`, then `repair` or open in salvage mode.
    Repair,
    /// This handle is of no further use: close it and open the database again.
    Stop,
}

/// Everything that can go wrong in granite.
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
    #[error("{} is damaged at byte {offset}: {what}; run `kvd verify` to see the extent and `kvd repair` to keep what is intact", path.display())]
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
    /// Another process (or another handle in this one) has the database open.
    #[error("the database {} is open elsewhere: close it there, or open it read-only", path.display())]
    Locked {
        /// The database's directory.
        path: PathBuf,
    },
    /// The directory holds no database and none was to be created.
    #[error("{} holds no granite database: check the path, or open with `create_if_missing`", path.display())]
    NotADatabase {
        /// The directory.
        path: PathBuf,
    },
    /// A newer version of granite wrote the database.
    #[error("{} has format version {found}, this program reads up to {supported}: use a newer program", path.display())]
    NewerFormat {
        /// The file that says so.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that this program reads.
        supported: u32,
    },
    /// No keyspace of that name exists.
    #[error("there is no keyspace named {name:?}: create it first, or check the name")]
    UnknownKeyspace {
        /// The name asked for.
        name: String,
    },
    /// The name or the options of a keyspace, or the database's options, cannot be used.
    #[error("invalid {what}: {reason}")]
    InvalidOption {
        /// Which one.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A key of no bytes.
    #[error("a key must have at least one byte")]
    EmptyKey,
    /// A key over the limit, or of another width than its keyspace's fixed one.
    #[error("a key of {len} bytes does not fit: {limit}")]
    KeyLength {
        /// Its length in bytes.
        len: usize,
        /// What the keyspace takes.
        limit: String,
    },
    /// A value over the limit.
    #[error("a value of {len} bytes is over the limit of {max} bytes: split it")]
    ValueTooLarge {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A batch over the limit.
    #[error("a batch of {len} bytes is over the limit of {max} bytes: commit it in parts")]
    BatchTooLarge {
        /// Its size in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// Keys that are to be ingested do not rise strictly. Nothing was added.
    #[error("the key at position {position} is not greater than the one before it: sort the input and drop duplicates")]
    UnsortedKeys {
        /// Position in the input, from 0.
        position: u64,
    },
    /// A directory that is to be written to holds something already.
    #[error("{} is not empty: choose another directory", path.display())]
    TargetNotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// An entry of a typed keyspace is not of its types: it was written otherwise.
    #[error("the keyspace {keyspace:?} holds an entry that is not of the type asked for: read it as it was written")]
    WrongType {
        /// The keyspace's name.
        keyspace: String,
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
            Self::StorageFull { .. } | Self::Locked { .. } => ErrorKind::Retry,
            Self::Corrupt { .. } => ErrorKind::Repair,
            Self::Io { .. } | Self::Poisoned { .. } | Self::Closed => ErrorKind::Stop,
            Self::NotADatabase { .. }
            | Self::NewerFormat { .. }
            | Self::UnknownKeyspace { .. }
            | Self::InvalidOption { .. }
            | Self::EmptyKey
            | Self::KeyLength { .. }
            | Self::ValueTooLarge { .. }
            | Self::BatchTooLarge { .. }
            | Self::UnsortedKeys { .. }
            | Self::WrongType { .. }
            | Self::TargetNotEmpty { .. }
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
