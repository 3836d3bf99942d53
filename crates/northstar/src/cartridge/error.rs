//! What can go wrong with a cartridge, and what the caller should do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The result of an operation on cartridges.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller should do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The same call can succeed later.
    Retry,
    /// The call itself is wrong and will never succeed as it is.
    FixInput,
    /// The cartridge is of no use: build it again. Nothing else is lost, since it is derived.
    Rebuild,
}

/// Everything that can go wrong with a cartridge.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
    /// Bytes of the file are not what was written.
    #[error("the cartridge {} is damaged at byte {offset}: {what}; build it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in the file it was noticed.
        offset: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// The file is none.
    #[error("{} is no cartridge", path.display())]
    NotACartridge {
        /// The file.
        path: PathBuf,
    },
    /// A newer program wrote the file.
    #[error("the cartridge {} has format {found}, this program reads up to {supported}: update it, or build the cartridge again", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that this program reads.
        supported: u32,
    },
    /// The cartridge is of another kind, or of another version of it, than the one asked for.
    #[error("the cartridge {} is of the kind {found}, and {expected} is wanted: build it again", path.display())]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// Its kind and version.
        found: String,
        /// Those asked for.
        expected: String,
    },
    /// The cartridge covers more than the stream has, or another stream, or the same numbers with other changes.
    #[error("the cartridge {} is not of this stream: build it again", path.display())]
    OtherStream {
        /// The file.
        path: PathBuf,
    },
    /// A key, value or cartridge over its limit.
    #[error("{what} of {len} bytes is over the limit of {max}")]
    TooLarge {
        /// Which one.
        what: &'static str,
        /// Its length in bytes, or its number.
        len: u64,
        /// The limit.
        max: u64,
    },
    /// A change that a kind cannot index.
    #[error("the change cannot be indexed: {what}")]
    InvalidChange {
        /// What does not fit.
        what: &'static str,
    },
    /// An entry that the rules of its kind never make.
    #[error("an entry of the cartridge {kind} is none of its kind: build it again")]
    InvalidEntry {
        /// The kind.
        kind: &'static str,
    },
    /// Changes came in another order than that of their stream, or keys of a base in another one than that of bytes.
    #[error("changes out of order: {given} after {last}")]
    OutOfOrder {
        /// What came last.
        last: u64,
        /// What was given then.
        given: u64,
    },
    /// A view holds as many uncovered changes as it may: build the cartridge again.
    #[error("the changes behind the cartridge need more than {bytes_max} bytes: build it again")]
    TailFull {
        /// How many bytes they may take.
        bytes_max: usize,
    },
    /// Somebody else builds this cartridge.
    #[error("the cartridge {} is being built already", path.display())]
    Busy {
        /// The cartridge.
        path: PathBuf,
    },
    /// A name that no kind can have.
    #[error("{name:?} is no name of a kind: 1 to 32 of a to z, 0 to 9 and _")]
    InvalidName {
        /// The name.
        name: String,
    },
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::Busy { .. } => ErrorKind::Retry,
            Self::Damaged { .. }
            | Self::NotACartridge { .. }
            | Self::NewerFormat { .. }
            | Self::OtherKind { .. }
            | Self::OtherStream { .. }
            | Self::InvalidEntry { .. }
            | Self::TailFull { .. } => ErrorKind::Rebuild,
            Self::TooLarge { .. } | Self::InvalidChange { .. } | Self::OutOfOrder { .. } | Self::InvalidName { .. } => {
                ErrorKind::FixInput
            }
        }
    }

    /// True if there is no such file.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source: Arc::new(source) }
    }
}
