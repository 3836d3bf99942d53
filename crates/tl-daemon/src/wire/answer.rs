//! What comes back for a request.

use serde::{Deserialize, Serialize};

use super::value::{Checkpoint, CheckpointId, ObjectId, PathBytes, Pin, Setting, StoreId};

/// What ends a request that was carried out. The order of the variants is part of the protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// It is done, and there is nothing to say about it.
    Done,
    /// How things are.
    Status(Box<Status>),
    /// A text.
    Text(String),
    /// A durable checkpoint that holds everything written before the request.
    Flushed {
        /// The checkpoint.
        checkpoint: Box<Checkpoint>,
        /// False if nothing had changed since it was made.
        changed: bool,
    },
    /// A checkpoint.
    Checkpoint(Box<Checkpoint>),
    /// A checkpoint, if there is one.
    MaybeCheckpoint(Option<Box<Checkpoint>>),
    /// The end of a page of the log.
    Page(Page),
    /// The id of something that was stored.
    Object {
        /// Its id.
        id: ObjectId,
        /// Length of its content in bytes.
        len: u64,
    },
    /// All pins, by name.
    Pins(Vec<Pin>),
    /// A restore, undo or redo.
    Restored(Box<Restored>),
    /// A collection.
    Collected(Collected),
    /// A verification.
    Verified(Verified),
    /// A repair.
    Repaired(Repaired),
    /// A purge.
    Purged(Purged),
    /// All settings.
    Settings(Vec<Setting>),
}

/// What comes before an [`Answer`]. The order of the variants is part of the protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Item {
    /// How far a long request is.
    Progress(Progress),
    /// Something happened.
    Event(Event),
    /// A checkpoint.
    Checkpoint(Box<Checkpoint>),
    /// An object; its bytes follow as data.
    Object(ObjectHead),
    /// A step of a restore.
    PlanStep(PlanStep),
    /// A checkpoint that is thinned.
    Evicted(Evicted),
    /// Something that is damaged.
    Damage(Damage),
}

/// How far a long request is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done, such as `marking`.
    pub phase: String,
    /// Units that are done.
    pub done: u64,
    /// Units that there are, if that is known.
    pub total: Option<u64>,
}

/// What a subscriber is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A checkpoint was made.
    Checkpoint(Box<Checkpoint>),
    /// The daemon's health changed.
    Health(Health),
    /// The subscriber was too slow and missed this many events; the log has the checkpoints among them.
    Missed {
        /// How many.
        events: u64,
    },
}

/// Whether changes are being captured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// The working directory is being compared with the newest checkpoint.
    Starting,
    /// Changes are captured as they happen.
    Healthy,
    /// Changes are captured, with the restrictions named.
    Degraded {
        /// In words.
        reasons: Vec<String>,
    },
    /// The working directory is gone. Nothing is recorded until it is back; its history stays.
    RootGone,
    /// The store cannot be written.
    Failed {
        /// In words.
        reason: String,
    },
}

/// One object of [`Request::Objects`](super::Request::Objects).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ObjectHead {
    /// It is there; this many bytes follow as data.
    Stored {
        /// Bytes, as they are stored.
        len: u64,
    },
    /// It is not there.
    Missing,
    /// It was purged. Nothing follows.
    Purged {
        /// Length of the content that it had, in bytes.
        len: u64,
    },
}

/// The end of a page of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Where the next page begins, if the journal was not looked through to its end. A page may be short, or empty, and yet have a next one.
    pub next: Option<CheckpointId>,
}

/// How things are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Process id of the daemon; none when the store is read without one.
    pub pid: Option<u32>,
    /// When the daemon began, in microseconds since 1970.
    pub started_us: u64,
    /// The store.
    pub store_id: StoreId,
    /// Its directory (absolute).
    pub store: PathBytes,
    /// The working directory (absolute).
    pub root: PathBytes,
    /// Whether changes are captured.
    pub health: Health,
    /// The newest checkpoint.
    pub head: Option<Box<Checkpoint>>,
    /// Checkpoints in the journal.
    pub checkpoints: u64,
    /// Files and links in the newest tree.
    pub entries: u64,
    /// Changed paths that wait to be captured.
    pub pending: u64,
    /// How changes are noticed; none without a daemon.
    pub watch: Option<WatchFigures>,
    /// The store's size.
    pub figures: StoreFigures,
    /// Memory of the daemon; none where it cannot be measured.
    pub memory: Option<MeasuredMemory>,
    /// The session to which changes are attributed at present.
    pub session: Option<String>,
    /// What a user should know, in sentences.
    pub notes: Vec<String>,
}

/// How changes are noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchFigures {
    /// `inotify` or `portable`, or `scan` where nothing tells about changes.
    pub backend: String,
    /// Directories that are watched.
    pub directories: u64,
    /// Memory that the kernel needs for that, in bytes, as an estimate.
    pub kernel_bytes: u64,
    /// Events since the start.
    pub events: u64,
    /// Times that the kernel's queue overflowed.
    pub overflows: u64,
    /// Directories that are looked at from time to time, since no events come from there. The root stands for everything.
    pub scanned: Vec<SkippedPath>,
    /// The first paths that are not in the newest tree as they are on disk: FIFOs, sockets, devices, and what cannot be read.
    pub skipped: Vec<SkippedPath>,
}

/// A path that is treated otherwise than the rest, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedPath {
    /// Where.
    pub path: PathBytes,
    /// Why, in words.
    pub why: String,
}

/// The store's size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreFigures {
    /// Bytes that the database takes on the disk.
    pub disk_bytes: u64,
    /// Bytes that it may take; none for any number.
    pub budget_bytes: Option<u64>,
    /// Bytes that are free on the filesystem, where that is known.
    pub free_bytes: Option<u64>,
}

/// Memory of the daemon, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredMemory {
    /// Anonymous memory.
    pub anonymous: u64,
    /// Shared memory.
    pub shared: u64,
    /// All that is resident, pages of the program itself included.
    pub resident: u64,
}

/// What a restore does to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PlanAction {
    /// It is written where nothing is.
    Create,
    /// It takes the place of something else.
    Replace,
    /// Only its mode is changed.
    SetMode,
    /// It is removed. A directory stays if something that is not recorded is in it.
    Remove,
    /// It is refused, and stays as it is.
    Refuse,
}

/// One step of a restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStep {
    /// The path.
    pub path: PathBytes,
    /// What is done.
    pub action: PlanAction,
    /// Length in bytes of what will be there.
    pub bytes: u64,
    /// What is there is not recorded: it is saved first.
    pub saves: bool,
    /// Why it is refused.
    pub note: Option<String>,
}

/// What a restore did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The state that is there now, or would be.
    pub state: CheckpointId,
    /// The checkpoint of what was there before; none for a dry run, or when nothing of the working directory was touched.
    pub safety: Option<CheckpointId>,
    /// The checkpoint of what is there now; none likewise.
    pub checkpoint: Option<CheckpointId>,
    /// Files and links that were written.
    pub written: u64,
    /// Entries of which only the mode changed.
    pub modes: u64,
    /// Files and links that were removed.
    pub removed: u64,
    /// Directories that were made.
    pub directories_made: u64,
    /// Directories that were removed.
    pub directories_removed: u64,
    /// Files that changed while the restore was at work, and were kept in the store before they were replaced.
    pub captured_late: u64,
    /// Paths that were refused; their steps say why.
    pub refused: u64,
    /// Bytes of the files that were written.
    pub bytes_written: u64,
    /// The receipt: true if what was written was read back and is what was asked for. None for a dry run.
    pub verified: Option<bool>,
    /// The first paths that are not as they were asked for, the refused ones among them.
    pub differing: Vec<PathBytes>,
    /// Whether it was only planned.
    pub dry_run: bool,
    /// What else there is to say, in sentences.
    pub notes: Vec<String>,
}

impl Restored {
    /// A plan for a state, still without anything in it.
    pub(crate) const fn planned(state: CheckpointId) -> Self {
        Self {
            state,
            safety: None,
            checkpoint: None,
            written: 0,
            modes: 0,
            removed: 0,
            directories_made: 0,
            directories_removed: 0,
            captured_late: 0,
            refused: 0,
            bytes_written: 0,
            verified: None,
            differing: Vec::new(),
            dry_run: true,
            notes: Vec::new(),
        }
    }
}

/// A checkpoint that is thinned, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evicted {
    /// Which one.
    pub id: CheckpointId,
    /// Why, in words.
    pub why: String,
}

/// What a collection did, or would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// Checkpoints that were thinned.
    pub checkpoints_removed: u64,
    /// Checkpoints that are left.
    pub checkpoints_kept: u64,
    /// Objects that something needs.
    pub objects_kept: u64,
    /// Objects that were removed.
    pub objects_removed: u64,
    /// Bytes that the store lost.
    pub bytes_freed: u64,
    /// Bytes that it takes now.
    pub bytes_left: u64,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// Whether it was only planned.
    pub dry_run: bool,
}

/// Something that is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// What, such as an object with its id, or a path of the index.
    pub what: String,
    /// What is wrong with it.
    pub reason: String,
    /// True if it was mended.
    pub mended: bool,
}

/// What a verification read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Objects that were read and hashed.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Checkpoints that were read.
    pub checkpoints: u64,
    /// Entries of the index that were compared with the newest tree.
    pub entries: u64,
    /// Damage that was found.
    pub damaged: u64,
}

/// What a repair did, or would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// Damage that was found.
    pub found: u64,
    /// Of that, what was mended.
    pub mended: u64,
    /// Of that, what is lost.
    pub lost: u64,
    /// Whether it was only planned.
    pub dry_run: bool,
}

/// What a purge did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
    /// Objects whose content was removed.
    pub objects: u64,
    /// Bytes of content that were removed.
    pub bytes: u64,
    /// Checkpoints that brought such content.
    pub checkpoints: u64,
    /// Other paths that hold the same content, which therefore stays.
    pub shared_with: Vec<PathBytes>,
    /// Files of the database that were read through afterwards, without finding the content. None for a dry run.
    pub scanned_files: Option<u64>,
    /// Paths that the newest checkpoint holds: if they still stand in the working directory and change, they are recorded again.
    pub still_recorded: Vec<PathBytes>,
    /// Somebody was reading the store: what they may see was kept. Purge again once they are done.
    pub kept_for_readers: bool,
    /// Checkpoints with such content that were published elsewhere, which no purge here reaches.
    pub published: u64,
    /// Whether it was only planned.
    pub dry_run: bool,
}
