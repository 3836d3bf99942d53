//! Everything that can go wrong, and what the caller should do about it.

use std::io;
use std::path::PathBuf;

/// The result of an operation of the watcher.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller should do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The same call can succeed later: the system is short of something for now.
    Retry,
    /// The call itself is wrong and will never succeed as it is.
    FixInput,
    /// This watcher is of no further use: stop it, and start another once the cause is gone.
    Stop,
}

/// Everything that can go wrong in the watcher.
///
/// What a repository can live with is none of these: a limit of the system, a filesystem without events or an unreadable directory turn
/// into scanning, which [`Stats`](crate::Stats) reports with its reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The root is not a directory.
    #[error("{} is not a directory: give the directory to watch", path.display())]
    NotADirectory {
        /// What was given as the root.
        path: PathBuf,
    },
    /// A path that is not normalised or not relative.
    #[error("not a normalised relative path: \"{}\"", path.escape_ascii())]
    InvalidPath {
        /// The bytes.
        path: Vec<u8>,
    },
    /// An option outside its range.
    #[error("{option} must be {range}")]
    InvalidOption {
        /// The option's name.
        option: &'static str,
        /// What is allowed, in words.
        range: &'static str,
    },
    /// The backend that was asked for does not exist on this system, or the system refused it.
    #[error("this system cannot watch with the backend that was asked for: {why}; choose `Backend::Auto`")]
    BackendUnavailable {
        /// What is missing, or what the system said.
        why: String,
    },
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotADirectory { .. } | Self::InvalidPath { .. } | Self::InvalidOption { .. } => ErrorKind::FixInput,
            Self::BackendUnavailable { .. } => ErrorKind::FixInput,
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => ErrorKind::FixInput,
                io::ErrorKind::OutOfMemory | io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => ErrorKind::Retry,
                _ => ErrorKind::Stop,
            },
        }
    }
}
