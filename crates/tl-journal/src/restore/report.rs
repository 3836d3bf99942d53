//! What a restore tells: what it will do, what it did, and what it left alone.

use tl_core::{Entry, EntryKind, ObjectId, RepoPathBuf};

use crate::checkpoint::Checkpoint;

/// Why a path was left as it is. Everything else is restored nevertheless.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A name in it means `.git`, `.jj` or `.tl` to some filesystem.
    ReservedName,
    /// The filesystem takes it for another path of the same state.
    Collision {
        /// That path.
        with: RepoPathBuf,
    },
    /// A FIFO, socket or device stands there, whose content cannot be kept.
    Special,
    /// A directory with a repository of its own stands there.
    NestedRepository,
    /// Something of another kind came there after the restore began.
    InTheWay,
    /// Something on the way to it is a symbolic link or no directory.
    Unreachable,
    /// What stands there is being written faster than it can be read.
    Changing,
    /// What stands there cannot be read, so it cannot be kept.
    Unreadable,
    /// The system does not let it be written.
    Denied,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ReservedName => f.write_str("some filesystems take this name for .git, .jj or .tl"),
            Self::Collision { with } => write!(f, "this filesystem takes it for {with}"),
            Self::Special => f.write_str("a FIFO, socket or device stands there"),
            Self::NestedRepository => f.write_str("a directory with a repository of its own stands there"),
            Self::InTheWay => f.write_str("something else came there meanwhile"),
            Self::Unreachable => f.write_str("something on the way to it is a link or no directory"),
            Self::Changing => f.write_str("what stands there is being written"),
            Self::Unreadable => f.write_str("what stands there cannot be read and so cannot be kept"),
            Self::Denied => f.write_str("the system does not allow it"),
        }
    }
}

/// A path that was left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which one.
    pub path: RepoPathBuf,
    /// Why.
    pub why: Refusal,
}

/// What happens to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It is written where nothing is.
    Create,
    /// It takes the place of something else.
    Replace,
    /// Its permissions change.
    ChangeMode,
    /// It is removed. A directory stays if something is in it that is not recorded.
    Remove,
}

impl Action {
    /// The name for people and for scripts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Replace => "replace",
            Self::ChangeMode => "change-mode",
            Self::Remove => "remove",
        }
    }
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedChange {
    /// The path.
    pub path: RepoPathBuf,
    /// What happens to it.
    pub action: Action,
    /// What is there as far as is known: recorded, or saved before it is replaced.
    pub before: Option<Entry>,
    /// What will be there.
    pub after: Option<Entry>,
    /// It is not recorded: its content goes into the tree `saved` first.
    pub saves: bool,
}

/// What a restore would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestorePlan {
    /// Each path that would change, in order.
    pub changes: Vec<PlannedChange>,
    /// Paths that would be left as they are.
    pub refused: Vec<Refused>,
    /// Bytes that would be written.
    pub bytes: u64,
}

/// How much was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RestoreCounts {
    /// Files and links written.
    pub written: u64,
    /// Files and links removed.
    pub removed: u64,
    /// Files whose permissions alone changed.
    pub modes_changed: u64,
    /// Directories made.
    pub directories_made: u64,
    /// Directories removed.
    pub directories_removed: u64,
    /// Bytes of the files written.
    pub bytes: u64,
    /// Files that had changed since the safety checkpoint and were kept in the store before they were replaced or removed.
    pub captured_late: u64,
}

/// What was read back after a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The tree that was wanted.
    pub wanted: ObjectId,
    /// The tree that is there: each path that was to change was read from the disk again, the others are as they were recorded.
    pub found: ObjectId,
    /// Paths that are not as wanted, in order; the refused ones are among them.
    pub differing: Vec<RepoPathBuf>,
}

impl Receipt {
    /// True if everything is as wanted.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.wanted == self.found && self.differing.is_empty()
    }
}

/// What a restore did.
#[derive(Debug, Clone)]
pub struct RestoreReport {
    /// The state before, with everything that was overwritten. `None` if nothing had to be done, or another directory was written to.
    pub safety: Option<Checkpoint>,
    /// The state after. `None` as for `safety`.
    pub restored: Option<Checkpoint>,
    /// How much was done.
    pub counts: RestoreCounts,
    /// Paths that were left as they are.
    pub refused: Vec<Refused>,
    /// Directories that are not in the wanted state and stay because something is in them that is not recorded.
    pub directories_kept: Vec<RepoPathBuf>,
    /// What was read back.
    pub receipt: Receipt,
}

/// Where a restore is. Told to whoever watches it; every point at which a crash would leave something else on disk is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// The safety checkpoint and the intent are durable; nothing was touched yet.
    Begun {
        /// Paths that will change.
        paths: usize,
    },
    /// The new content of a path is complete under another name.
    Staged(&'a RepoPathBuf),
    /// A path's former content stands under another name.
    Displaced(&'a RepoPathBuf),
    /// A path is as it is to be.
    Done(&'a RepoPathBuf),
    /// All paths are written.
    Written,
    /// The checkpoint of the restored state is recorded.
    Recorded,
    /// The filesystem is synced; the intent is still there.
    Synced,
}

/// How a restore that was cut short ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Recovered {
    /// It was carried to its end.
    Finished,
    /// The state before it was brought back.
    RolledBack,
}

impl Recovered {
    /// The name for people and for scripts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::RolledBack => "rolled back",
        }
    }
}

pub(super) fn is_file_like(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::File | EntryKind::Symlink)
}
