//! The database: what its parts share, and the order of its locks.
//!
//! Locks, in the order in which they are taken: the checkpoint's, the writer's, the commit group's, those within the page store. Readers
//! take none of them: the visible root stands behind one atomic pointer, and pages are found without a lock.

mod checkpoint;
mod copy;
mod database;
mod install;
#[cfg(test)]
mod lying_pages;
mod open;
mod past;
mod reader;
mod replay;
mod root;
mod scan;
mod snapshot;
mod verify;
mod watch;
mod worker;
mod write;

pub use copy::{Backup, Compaction};
pub use database::{Database, Stats, TreeStats};
pub use past::{At, Pin, RetainedState};
pub use reader::Reader;
pub use scan::{Cursor, Entry, Scan};
pub use snapshot::Snapshot;
pub use verify::{Fault, Verification};
pub use watch::{Change, Commit, Watch};
pub use write::{Savepoint, WriteTxn};

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use arc_swap::ArcSwap;
use parking_lot::{Condvar, Mutex};
use vfs::Vfs;

use crate::commit::Group;
use crate::id::TxnId;
use crate::log::{LogFiles, LogWriter};
use crate::options::Options;
use crate::shared::SharedState;
use crate::store::{Meta, PageStore, RootRecord, Run, Space};
use crate::tree::VirtualPages;
use root::Root;

/// A tree of a database, by its number: cheap to copy, and the same in all states and transactions. From
/// [`WriteTxn::create_tree`] or [`Snapshot::tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tree(pub(crate) u32);

impl Tree {
    /// The tree named `default`, which every database has from the start.
    pub const DEFAULT: Self = Self(1);

    /// Its number, which the commit stream names it by.
    #[must_use]
    pub const fn id(self) -> u32 {
        self.0
    }
}

/// A state that is on disk as a whole, and who needs it.
#[derive(Debug, Clone)]
struct Retained {
    record: RootRecord,
    /// Snapshots of the past hold a clone.
    lease: Arc<()>,
}

/// What changes with every commit or checkpoint, under the writer's lock.
#[derive(Debug)]
struct Writer {
    space: Space,
    log: LogWriter,
    /// The newest root, visible or not.
    latest: Arc<Root>,
    /// Roots that readers may hold, oldest first; the newest is `latest`.
    live: Vec<Arc<Root>>,
    /// Oldest first; the newest is that of `meta`.
    roots: Vec<Retained>,
    pins: Vec<(String, TxnId)>,
    /// Pins that no meta has yet.
    pins_changed: bool,
    /// The newest durable meta.
    meta: Meta,
    /// What the newest checkpoint, durable or not, has put into the file for its meta, with its birth.
    meta_runs: Vec<(Run, TxnId)>,
    /// Where the log stood at the last checkpoint.
    checkpointed_at: u64,
    /// Bytes appended to the log since the database was opened.
    appended_len: u64,
    closed: bool,
}

/// Everything that handles and snapshots share.
#[derive(Debug)]
struct Inner {
    path: PathBuf,
    vfs: Arc<dyn Vfs>,
    options: Options,
    store: Arc<PageStore>,
    virtuals: Arc<VirtualPages>,
    files: LogFiles,
    identity: [u64; 2],
    visible: Arc<ArcSwap<Root>>,
    group: Group<Arc<Root>>,
    writer: Mutex<Writer>,
    /// Held while a checkpoint is written: one at a time.
    checkpointing: Mutex<()>,
    /// Woken at each commit that becomes visible, for watchers.
    commits: Arc<Commits>,
    bell: Arc<worker::Bell>,
    checkpoints: AtomicU64,
    long_reader_told: AtomicBool,
    shared: Arc<SharedState>,
    _lock: Box<dyn vfs::Lock>,
}

/// Tells watchers that there is something new.
#[derive(Debug, Default)]
struct Commits {
    visible: Mutex<TxnId>,
    changed: Condvar,
}
