//! What a checkpoint is: its id, its parts, and how its record is encoded. Nothing here touches a disk.

mod id;
mod record;

use std::fmt;
use std::time::Duration;

use tl_core::{ObjectId, RepoPathBuf};

pub use id::{CheckpointId, InvalidId};
pub use record::InvalidRecord;
pub(crate) use record::micros;

/// Most parents of one checkpoint.
pub const PARENTS_MAX: usize = 16;
/// Most paths, and most gaps, that a record lists.
pub const LISTED_MAX: usize = 16;
/// Longest session, actor or label in bytes.
pub const NAME_LEN_MAX: usize = 256;
/// Longest message in bytes.
pub const MESSAGE_LEN_MAX: usize = 16 << 10;

/// Why a checkpoint was made. The numbers are on disk: do not change them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// Files changed.
    FsBatch = 0,
    /// Somebody asked for it.
    Manual = 1,
    /// A restore wrote the working directory.
    Restore = 2,
    /// A restore is about to write it.
    BeforeRestore = 3,
    /// The program started and found changes.
    Startup = 4,
    /// It was published.
    Publish = 5,
    /// It came from elsewhere and was never a state of the working directory.
    Import = 6,
    /// The collector made it.
    GcCompact = 7,
}

impl Reason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::FsBatch,
        Self::Manual,
        Self::Restore,
        Self::BeforeRestore,
        Self::Startup,
        Self::Publish,
        Self::Import,
        Self::GcCompact,
    ];

    /// The name for people and for scripts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FsBatch => "fs-batch",
            Self::Manual => "manual",
            Self::Restore => "restore",
            Self::BeforeRestore => "before-restore",
            Self::Startup => "startup",
            Self::Publish => "publish",
            Self::Import => "import",
            Self::GcCompact => "gc-compact",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Who made a change, as far as is known. Texts over the limits are cut at a character.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// Name of the session, such as that of a `tl run` or of an agent.
    pub session: Option<String>,
    /// Who or what wrote: a user, an agent, a command.
    pub actor: Option<String>,
    /// A short text for lists.
    pub label: Option<String>,
    /// A text of any kind.
    pub message: Option<String>,
}

/// How much a checkpoint differs from its first parent. Files and symbolic links count, directories do not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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

impl ChangeStats {
    /// Files that differ.
    #[must_use]
    pub const fn files(&self) -> u64 {
        self.files_added + self.files_changed + self.files_removed
    }
}

/// Why a path is not as it is on disk. The numbers are on disk: do not change them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum GapCause {
    /// It may not be read.
    PermissionDenied = 0,
    /// Reading it failed.
    ReadError = 1,
    /// It changed while it was read.
    Changing = 2,
    /// Its name or path cannot be recorded.
    Unrecordable = 3,
    /// A FIFO, socket or device: skipped on purpose, and no lack of completeness.
    Special = 4,
    /// It is larger than a store can hold.
    TooLarge = 5,
}

impl GapCause {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::PermissionDenied, Self::ReadError, Self::Changing, Self::Unrecordable, Self::Special, Self::TooLarge];

    /// The name for people and for scripts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PermissionDenied => "permission-denied",
            Self::ReadError => "read-error",
            Self::Changing => "changing",
            Self::Unrecordable => "unrecordable",
            Self::Special => "special",
            Self::TooLarge => "too-large",
        }
    }

    /// True if the path ought to be in the tree as it is on disk, and is not.
    #[must_use]
    pub const fn is_missing(self) -> bool {
        !matches!(self, Self::Special)
    }
}

impl fmt::Display for GapCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A path whose state on disk is not in the tree: the tree has its former state, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    /// Which one.
    pub path: RepoPathBuf,
    /// Why.
    pub cause: GapCause,
}

/// What a checkpoint's tree lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Completeness {
    /// Paths that are missing or stale; none means complete.
    pub missing: u64,
    /// Special files that were met and skipped.
    pub skipped: u64,
    /// The first of both, at most [`LISTED_MAX`], in order of their paths.
    pub listed: Vec<Gap>,
}

impl Completeness {
    /// What `gaps` come to.
    #[must_use]
    pub fn of(gaps: &[Gap]) -> Self {
        let missing = gaps.iter().filter(|gap| gap.cause.is_missing()).count() as u64;
        let mut listed = gaps.to_vec();
        // What is missing is named before what was skipped.
        listed.sort_by(|a, b| (!a.cause.is_missing(), a).cmp(&(!b.cause.is_missing(), b)));
        listed.truncate(LISTED_MAX);
        listed.sort();
        Self { missing, skipped: gaps.len() as u64 - missing, listed }
    }

    /// True if nothing is missing.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.missing == 0
    }
}

/// The paths that a checkpoint touched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// The first of them, at most [`LISTED_MAX`], in order.
    pub listed: Vec<RepoPathBuf>,
    /// There are more: the difference of the trees has them all.
    pub more: bool,
}

/// One recorded state of the working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its id.
    pub id: CheckpointId,
    /// Its number in the journal, from 1.
    pub sequence: u64,
    /// What the clock said, since 1970, in whole microseconds. Unlike ids it may step back.
    pub time: Duration,
    /// Why it was made.
    pub reason: Reason,
    /// One more than the greatest generation among its parents; 0 without parents.
    pub generation: u64,
    /// The states it came from, the first one first. They may have been thinned since: [`Journal::parents`](crate::Journal::parents) says what stands for them.
    pub parents: Vec<CheckpointId>,
    /// The root tree.
    pub root: ObjectId,
    /// A tree of ignored and untracked files that a restore was about to overwrite.
    pub saved: Option<ObjectId>,
    /// How much it differs from its first parent.
    pub stats: ChangeStats,
    /// Which paths it touched.
    pub touched: Touched,
    /// What its tree lacks.
    pub completeness: Completeness,
    /// Who made the changes.
    pub provenance: Provenance,
}

impl Checkpoint {
    /// True if nothing but the listed paths, and what is below them, differs from the tree of the first parent that it was made from (from no tree, if it has none). If that parent is
    /// gone, the difference of the trees tells. A start lists what it found, which may have been compared with nothing.
    #[must_use]
    pub const fn lists_all(&self) -> bool {
        !self.touched.more && !matches!(self.reason, Reason::Startup)
    }

    /// True if in addition each listed path does differ: updates found it so.
    #[must_use]
    pub const fn lists_exactly(&self) -> bool {
        self.lists_all() && matches!(self.reason, Reason::FsBatch | Reason::Manual | Reason::BeforeRestore)
    }
}

/// A checkpoint before the journal gives it id, sequence number and generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// As in [`Checkpoint`].
    pub reason: Reason,
    /// As in [`Checkpoint`]; each must be in the journal.
    pub parents: Vec<CheckpointId>,
    /// As in [`Checkpoint`].
    pub root: ObjectId,
    /// As in [`Checkpoint`].
    pub saved: Option<ObjectId>,
    /// As in [`Checkpoint`].
    pub stats: ChangeStats,
    /// As in [`Checkpoint`].
    pub touched: Touched,
    /// As in [`Checkpoint`].
    pub completeness: Completeness,
    /// As in [`Checkpoint`].
    pub provenance: Provenance,
}

impl Draft {
    /// A draft without parents and without anything to tell.
    #[must_use]
    pub fn new(reason: Reason, root: ObjectId) -> Self {
        Self {
            reason,
            parents: Vec::new(),
            root,
            saved: None,
            stats: ChangeStats::default(),
            touched: Touched::default(),
            completeness: Completeness::default(),
            provenance: Provenance::default(),
        }
    }
}
