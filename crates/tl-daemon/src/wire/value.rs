//! What requests and answers are made of.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Declares an id of a fixed number of bytes.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(pub [u8; $len]);
    };
}

id!(
    /// The id of a checkpoint: the bytes of a ULID.
    CheckpointId,
    16
);
id!(
    /// The id of an object: the hash of its kind and content.
    ObjectId,
    32
);
id!(
    /// The id of a store: 128 random bits, shown as 32 lower-case hexadecimal digits.
    StoreId,
    16
);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that is no id of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the id of a store has 32 lower-case hexadecimal digits")]
pub struct InvalidStoreId;

impl FromStr for StoreId {
    type Err = InvalidStoreId;

    fn from_str(text: &str) -> Result<Self, InvalidStoreId> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(InvalidStoreId),
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 16 || !rest.is_empty() {
            return Err(InvalidStoreId);
        }
        let mut bytes = [0; 16];
        for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(high)? << 4 | digit(low)?;
        }
        Ok(Self(bytes))
    }
}

/// A path as the filesystem knows it: raw bytes. Below the root it is relative and its parts are separated by `/`; the root is empty.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct PathBytes(pub Vec<u8>);

impl fmt::Debug for PathBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Why a checkpoint was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// Files changed.
    FsBatch,
    /// Somebody asked for it.
    Manual,
    /// A restore wrote the working directory.
    Restore,
    /// A restore was about to write it.
    BeforeRestore,
    /// The program started and found changes.
    Startup,
    /// It was published.
    Publish,
    /// It came from elsewhere.
    Import,
    /// The collector made it.
    GcCompact,
}

/// Who made a change, as far as is known. Session, actor and label have at most 256 bytes, the message 16 KiB.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The session, such as that of a `tl run` or of an agent.
    pub session: Option<String>,
    /// Who or what wrote.
    pub actor: Option<String>,
    /// A short text for lists.
    pub label: Option<String>,
    /// A text of any kind.
    pub message: Option<String>,
}

/// How much a checkpoint differs from its first parent. Directories do not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeStats {
    /// Files that were not there before.
    pub files_added: u64,
    /// Files of another content, kind or mode.
    pub files_changed: u64,
    /// Files that are gone.
    pub files_removed: u64,
    /// Sizes of added and changed files together, in bytes.
    pub bytes_added: u64,
    /// Former sizes of changed and removed files together, in bytes.
    pub bytes_removed: u64,
}

/// Why a path is not in the tree as it is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GapCause {
    /// It may not be read.
    PermissionDenied,
    /// Reading it failed.
    ReadError,
    /// It changed while it was read.
    Changing,
    /// Its name or path cannot be recorded.
    Unrecordable,
    /// A FIFO, socket or device: skipped on purpose.
    Special,
    /// It is larger than a store can hold.
    TooLarge,
}

/// A path whose state on disk is not in the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Which one.
    pub path: PathBytes,
    /// Why.
    pub cause: GapCause,
}

/// What a checkpoint's tree lacks. Complete if nothing is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completeness {
    /// Paths that are missing or stale.
    pub missing: u64,
    /// Special files that were met and skipped.
    pub skipped: u64,
    /// The first of both.
    pub listed: Vec<Gap>,
}

/// One recorded state of the working directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Its id.
    pub id: CheckpointId,
    /// Its number in the journal, from 1.
    pub sequence: u64,
    /// What the clock said: microseconds since 1970.
    pub time_us: u64,
    /// Why it was made.
    pub reason: Reason,
    /// One more than the greatest generation of a parent, 0 without parents.
    pub generation: u64,
    /// The states it came from; they may have been thinned since.
    pub parents: Vec<CheckpointId>,
    /// The root tree.
    pub root: ObjectId,
    /// The tree of files that a restore was about to overwrite and that the root does not hold.
    pub saved: Option<ObjectId>,
    /// How much it differs from its first parent.
    pub stats: ChangeStats,
    /// The first paths that it touched.
    pub touched: Vec<PathBytes>,
    /// There are more: the difference of the trees has them all.
    pub touched_more: bool,
    /// What its tree lacks.
    pub completeness: Completeness,
    /// Who made the changes; the label is the one that it has now.
    pub provenance: Provenance,
}

/// A name that keeps a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The name.
    pub name: String,
    /// The checkpoint.
    pub id: CheckpointId,
    /// When it was set: microseconds since 1970.
    pub time_us: u64,
}

/// One setting of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name, such as `capture.window_ms`.
    pub key: String,
    /// Its value, as it stands in `config.toml`.
    pub value: String,
    /// True if it is the one that holds when nothing is said.
    pub is_default: bool,
    /// What it does, in one sentence.
    pub about: String,
}
