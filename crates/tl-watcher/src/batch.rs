//! What the watcher hands to its consumer.

use std::path::PathBuf;

use crate::path::RelPath;

/// What may have changed since the last batch. Everything in it is a hint to look: a path may turn out to be gone, to be another kind of
/// thing than before, or not to have changed at all.
///
/// Nothing is named twice: what lies in a subtree stands neither in `paths` nor in `listings`, and a path whose directory stands in
/// `listings` is not repeated. Each list is sorted by bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Single entries: compare each with what is recorded. One that is gone takes everything recorded beneath it along. One that is now a
    /// directory stands for the directory entry; its content is reported apart.
    pub paths: Vec<RelPath>,
    /// Directories of which any entry may have changed: compare the listing, each entry by `lstat`, without going into those
    /// subdirectories that are recorded already. A subdirectory that is not recorded is new and is taken as a whole.
    pub listings: Vec<RelPath>,
    /// Directories beneath which anything may have changed: compare everything beneath.
    pub subtrees: Vec<RelPath>,
    /// Everything may have changed: compare the whole tree. `paths`, `listings` and `subtrees` are then what is known, to be looked at first.
    pub rescan: Option<RescanReason>,
    /// Something happened to the root itself.
    pub root: Option<RootEvent>,
    /// Entries that are neither file, directory nor symlink. They are not opened and stand nowhere else in the batch.
    pub skipped: Vec<Skipped>,
    /// The ignore rules changed. What they no longer hide stands in `subtrees` (or `rescan` is set); what they hide now must not be
    /// taken for deleted.
    pub rules_changed: bool,
    /// The marker of the store in the root (`.tl`) was created, changed or removed.
    pub marker_changed: bool,
}

impl Batch {
    /// True if there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Why the whole tree must be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RescanReason {
    /// The watcher has just started: what changed while nobody watched is unknown. The first batch says so.
    Started,
    /// The kernel's queue overflowed and events were lost.
    Overflow,
    /// More changed than the dirty set may hold, in more directories than it may hold.
    DirtySetFull,
    /// Nothing tells about changes here, so that it is looked at from time to time, and at a drain.
    Periodic,
    /// Rules that hold for the whole tree changed.
    RulesChanged,
    /// The portable backend's barrier was not confirmed in time, or its backend reported an error.
    Uncertain,
}

/// What happened to the root.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RootEvent {
    /// It is gone. Nothing more will be reported; what was not handed out before is dropped, since a root that is gone is no empty state.
    Removed,
    /// The filesystem that holds it was unmounted. Nothing more will be reported.
    Unmounted,
    /// It stands elsewhere now, and is still watched. The path is where it was found, if that could be told.
    Moved(Option<PathBuf>),
    /// At the root's path stands another directory now, which is not watched. The one that is watched stands elsewhere or is gone.
    Replaced,
}

/// Something that has no content to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is.
    pub path: RelPath,
    /// What it is.
    pub kind: SpecialKind,
}

/// The kinds of entries that are never opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SpecialKind {
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character or block device.
    Device,
}
