//! Everything that can go wrong, and what the caller should do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::{CheckpointId, InvalidRecord};

/// The result of an operation on a repository.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller should do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The same call can succeed later.
    Retry,
    /// The call itself is wrong and will never succeed as it is.
    FixInput,
    /// The store is damaged: `verify` shows where, `repair` keeps what is intact.
    Repair,
    /// This handle is of no further use: close the repository and open it again.
    Stop,
}

/// Everything that can go wrong in a repository.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The storage engine failed.
    #[error(transparent)]
    Engine(#[from] granite::Error),
    /// The object store failed.
    #[error(transparent)]
    Objects(#[from] tl_core::Error),
    /// The history of paths could not be built. Nothing else depends on it.
    #[error("the history of paths: {0}")]
    Cartridge(#[from] northstar::cartridge::Error),
    /// The operating system refused an operation on a file.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        source: Arc<io::Error>,
    },
    /// The working directory is not there any more. Nothing is recorded: an absent directory is not an empty one.
    #[error("the working directory {} is gone; its history is kept", path.display())]
    RootGone {
        /// Where it was.
        path: PathBuf,
    },
    /// A checkpoint that is not in the journal, or not any more.
    #[error("there is no checkpoint {id}")]
    NoCheckpoint {
        /// The id asked for.
        id: CheckpointId,
    },
    /// A checkpoint that something still needs was to be deleted.
    #[error("checkpoint {id} cannot be deleted: {reason}")]
    Kept {
        /// Which one.
        id: CheckpointId,
        /// What needs it.
        reason: &'static str,
    },
    /// A record, a reference or an entry of the index is not what the format says.
    #[error("the journal is damaged: {what} ({reason}); run `tl repair`")]
    Damaged {
        /// Which one.
        what: String,
        /// What does not fit.
        reason: String,
    },
    /// A newer program wrote the journal.
    #[error("{what} was written by a newer program ({reason}): update this one")]
    Newer {
        /// What was met.
        what: String,
        /// Its version.
        reason: String,
    },
    /// An argument cannot be used.
    #[error("invalid {what}: {reason}")]
    Invalid {
        /// Which one.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Whoever watches a restore told it to stop. What was begun is finished or taken back as after a crash.
    #[error("the restore was interrupted; it will be finished or taken back before anything else")]
    Interrupted,
    /// A restore was cut short, and nothing else may happen to the working directory before it is finished or taken back.
    #[error("a restore was cut short: it has to be finished or taken back first")]
    RestoreCutShort,
    /// A restore failed, and the state before it was brought back.
    #[error("the restore failed and was taken back: {source}")]
    RolledBack {
        /// Why it failed.
        source: Box<Error>,
    },
    /// What is to be written does not fit. Nothing was touched.
    #[error("{} has {free} bytes free, and the restore needs {needed}", path.display())]
    NoRoom {
        /// The directory that was to be written to.
        path: PathBuf,
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// There is no restore to undo or redo.
    #[error("there is nothing to {what}")]
    NothingToUndo {
        /// What was asked for: undo or redo.
        what: &'static str,
    },
    /// Something of which there is one at a time is under way.
    #[error("{what} is under way already")]
    Busy {
        /// What it is.
        what: &'static str,
    },
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Engine(error) => match error.kind() {
                granite::ErrorKind::Retry => ErrorKind::Retry,
                granite::ErrorKind::FixInput => ErrorKind::FixInput,
                granite::ErrorKind::Repair => ErrorKind::Repair,
                _ => ErrorKind::Stop,
            },
            Self::Objects(error) => match error.kind() {
                tl_core::ErrorKind::Retry => ErrorKind::Retry,
                tl_core::ErrorKind::FixInput => ErrorKind::FixInput,
                tl_core::ErrorKind::Repair => ErrorKind::Repair,
                _ => ErrorKind::Stop,
            },
            Self::Cartridge(error) => match error.kind() {
                northstar::cartridge::ErrorKind::FixInput => ErrorKind::FixInput,
                // Built again, it is whole.
                _ => ErrorKind::Retry,
            },
            Self::Busy { .. } | Self::Io { .. } | Self::Interrupted | Self::RestoreCutShort | Self::NoRoom { .. } => {
                ErrorKind::Retry
            }
            Self::RolledBack { source } => source.kind(),
            Self::NothingToUndo { .. } => ErrorKind::FixInput,
            Self::NoCheckpoint { .. } | Self::Kept { .. } | Self::Invalid { .. } | Self::Newer { .. } => {
                ErrorKind::FixInput
            }
            Self::Damaged { .. } => ErrorKind::Repair,
            Self::RootGone { .. } => ErrorKind::Stop,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { action, path: path.to_owned(), source: Arc::new(source.into()) }
    }

    pub(crate) fn record(id: CheckpointId, error: InvalidRecord) -> Self {
        let (what, reason) = (format!("the record of checkpoint {id}"), error.to_string());
        match error {
            InvalidRecord::NewerVersion(_) => Self::Newer { what, reason },
            InvalidRecord::Malformed => Self::Damaged { what, reason },
        }
    }

    pub(crate) fn damaged(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Damaged { what: what.into(), reason: reason.into() }
    }
}
