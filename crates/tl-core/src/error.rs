//! Everything that can go wrong, and what the caller should do about it.

use std::io;
use std::sync::Arc;

use granite::ErrorKind;

use crate::id::{ObjectId, ObjectKind};
use crate::path::{PathError, RepoPathBuf};
use crate::tree::TreeError;

/// The result of an operation on a store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is wrong with a stored object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// It ends too early, or holds a malformed number.
    #[error("it is cut off or malformed")]
    Malformed,
    /// Its first byte names a kind that there is not.
    #[error("its kind {0} is unknown")]
    UnknownKind(u8),
    /// Its first byte names a codec that there is not.
    #[error("its codec {0} is unknown")]
    UnknownCodec(u8),
    /// It is a tree where a blob is expected, or the reverse.
    #[error("it is no {expected}")]
    WrongKind {
        /// What it should be.
        expected: ObjectKind,
    },
    /// It announces a length that it cannot have.
    #[error("it announces {len} bytes, which it cannot have")]
    Length {
        /// The announced length in bytes.
        len: u64,
    },
    /// Its compressed content does not yield what was announced.
    #[error("its compressed content cannot be read")]
    Compression,
    /// Its content belongs to another id.
    #[error("its content is that of {found}")]
    WrongContent {
        /// The id that the content has.
        found: ObjectId,
    },
    /// Its content is no tree.
    #[error("{0}")]
    Tree(#[from] TreeError),
    /// Its list of chunks contradicts itself.
    #[error("its list of chunks contradicts itself")]
    ChunkList,
    /// One of its chunks is not there.
    #[error("its chunk {chunk} is missing")]
    MissingChunk {
        /// The chunk.
        chunk: ObjectId,
    },
    /// One of its chunks is damaged itself.
    #[error("its chunk {chunk} is damaged")]
    DamagedChunk {
        /// The chunk.
        chunk: ObjectId,
    },
    /// The database cannot give it back.
    #[error("the database cannot read it: {0}")]
    Unreadable(String),
}

/// Everything that can go wrong in a store of objects.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database under the store failed.
    #[error(transparent)]
    Database(#[from] granite::Error),
    /// An object is not there.
    #[error("the object {id} is missing")]
    Missing {
        /// The object.
        id: ObjectId,
    },
    /// An object's content was purged.
    #[error("the content of the object {id} ({len} bytes) was purged")]
    Purged {
        /// The object.
        id: ObjectId,
        /// Length of the content in bytes.
        len: u64,
    },
    /// An object is there, and is not what was stored.
    #[error("the object {id} is damaged: {damage}")]
    Damaged {
        /// The object.
        id: ObjectId,
        /// What is wrong with it.
        damage: Damage,
    },
    /// A blob is larger than the caller or the format allows.
    #[error("a blob of {len} bytes is over the limit of {max} bytes")]
    BlobTooLarge {
        /// Its length in bytes, as far as it is known.
        len: u64,
        /// The limit in bytes.
        max: u64,
    },
    /// A reader that was to be stored failed.
    #[error("cannot read what is to be stored: {0}")]
    Source(#[source] Arc<io::Error>),
    /// Entries that are no tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A path that cannot be one.
    #[error(transparent)]
    Path(#[from] PathError),
    /// An edit is to be made in a directory that is not there.
    #[error("there is no directory {path}: add it before what is in it")]
    NoDirectory {
        /// The path of what should be a directory.
        path: RepoPathBuf,
    },
    /// The paths of an edit do not rise strictly, or one is the root.
    #[error("the edit of {path} comes after one of a later path, or twice, or is of the root")]
    UnsortedEdits {
        /// The path that is out of order.
        path: RepoPathBuf,
    },
    /// Whoever holds the objects did not hand one out.
    #[error("cannot get object {id}: {reason}")]
    Unavailable {
        /// The object.
        id: ObjectId,
        /// What went wrong there.
        reason: String,
    },
    /// Another collection is under way.
    #[error("a collection is under way already: wait for it")]
    CollectionBusy,
    /// The keyspaces hold something else than objects of Timelapse.
    #[error("the database holds no objects of Timelapse: {reason}")]
    NotAStore {
        /// What is there instead.
        reason: &'static str,
    },
    /// A newer version wrote the objects.
    #[error("the objects have format version {found}, this program reads up to {supported}: use a newer program")]
    NewerFormat {
        /// Their version.
        found: u32,
        /// The newest version that this program reads.
        supported: u32,
    },
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Database(error) => error.kind(),
            // The source can be another one the next time, and so can the collection.
            Self::Source(_) | Self::CollectionBusy | Self::Unavailable { .. } => ErrorKind::Retry,
            Self::Missing { .. } | Self::Damaged { .. } => ErrorKind::Repair,
            Self::Purged { .. }
            | Self::BlobTooLarge { .. }
            | Self::Tree(_)
            | Self::Path(_)
            | Self::NoDirectory { .. }
            | Self::UnsortedEdits { .. }
            | Self::NotAStore { .. }
            | Self::NewerFormat { .. } => ErrorKind::FixInput,
        }
    }
}
