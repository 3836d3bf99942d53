//! The handle that users hold.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::snapshot::Snapshot;
use super::worker::Worker;
use super::write::WriteTxn;
use super::{Inner, Tree, open};
use crate::error::{Error, Result};
use crate::id::TxnId;
use crate::options::{Background, Durability, Options};
use crate::tree::{self, Value, View, survey};

/// An open database. Cloning is cheap: clones are the same database.
///
/// ```
/// use northstar::{Database, Options, Tree};
///
/// # fn main() -> northstar::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// let db = Database::open(dir.path().join("people"), Options::new())?;
/// let ages = db.write(|txn| {
///     let ages = txn.create_tree("ages")?;
///     txn.put(ages, b"ada", &[36])?;
///     Ok(ages)
/// })?;
/// let before = db.snapshot();
/// db.write(|txn| txn.put(ages, b"ada", &[37]))?;
///
/// assert_eq!(before.get(ages, b"ada")?.unwrap(), [36]);
/// assert_eq!(db.get(ages, b"ada")?.unwrap(), [37]);
/// db.close()
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Database {
    /// Dropped first: it stands on the rest.
    worker: Option<Arc<Worker>>,
    pub(super) inner: Arc<Inner>,
}

/// What a database has done and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The newest transaction that readers see.
    pub txn: TxnId,
    /// The newest transaction that would survive a loss of power.
    pub durable: TxnId,
    /// The transaction of the newest durable checkpoint.
    pub checkpoint: TxnId,
    /// Bytes of a page.
    pub page_size: usize,
    /// Pages that the file has.
    pub file_pages: u64,
    /// Pages that are free.
    pub free_pages: u64,
    /// Pages that wait for a snapshot, a retained or pinned state, or the next checkpoint.
    pub waiting_pages: u64,
    /// Bytes of pages in memory.
    pub resident_len: u64,
    /// Bytes of pages that the file does not have yet.
    pub unwritten_len: u64,
    /// Reads of pages from the file.
    pub page_reads: u64,
    /// Syncs of the log since the database was opened.
    pub log_syncs: u64,
    /// Bytes appended to the log since the database was opened, the replayed tail included.
    pub log_len: u64,
    /// Checkpoints since the database was opened.
    pub checkpoints: u64,
    /// States that snapshots hold, or may hold.
    pub live_states: u64,
}

/// The shape of one tree. Counting it reads all its pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeStats {
    /// Entries.
    pub len: u64,
    /// Levels, 0 for an empty tree.
    pub depth: usize,
    /// Pages with entries.
    pub leaf_pages: u64,
    /// Pages above them.
    pub internal_pages: u64,
    /// Pages of large values.
    pub value_pages: u64,
    /// Bytes of keys and values.
    pub content_len: u64,
    /// Bytes in use in leaf and internal pages, headers included.
    pub used_len: u64,
}

impl Database {
    /// Opens the database at `path`, a file beside which `path.log`, its complete segments and `path-shm` stand. Makes one if there is none
    /// and [`Options::create_if_missing`] says so. The cost is that of the part of the log that the newest checkpoint lacks.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::NotADatabase`], [`Error::NewerFormat`], [`Error::Corrupt`], [`Error::InvalidOption`], or an error of the disk.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        let background = options.background;
        let inner = open::open(path.as_ref(), options)?;
        let worker = match background {
            Background::Thread => Some(Arc::new(Worker::start(&inner)?)),
            Background::Inline => None,
        };
        let db = Self { worker, inner };
        let due = db.inner.checkpoint_due(&db.inner.writer.lock());
        db.inner.after_commit(due)?;
        Ok(db)
    }

    /// The newest committed state. Waits for nobody.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { store: Arc::clone(&self.inner.store), root: self.inner.visible.load_full() }
    }

    /// The newest value of a key: as [`Snapshot::get`] on a snapshot that is dropped at once, and cheaper.
    ///
    /// # Errors
    /// As for [`Snapshot::get`].
    #[inline]
    pub fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Value>> {
        let root = self.inner.visible.load();
        let state = super::snapshot::state_of(&root.directory, tree)?;
        tree::get(&View::of(&self.inner.store), state.root, key)
    }

    /// Begins the write transaction, once the one before has ended. A thread that has one already would wait for ever: for itself.
    ///
    /// # Errors
    /// [`Error::Poisoned`] or [`Error::Closed`].
    pub fn begin(&self) -> Result<WriteTxn<'_>> {
        WriteTxn::new(&self.inner, self.inner.writer.lock())
    }

    /// Begins the write transaction if there is none.
    ///
    /// # Errors
    /// [`Error::WriteBusy`] if there is one; else as for [`begin`](Self::begin).
    pub fn try_begin(&self) -> Result<WriteTxn<'_>> {
        WriteTxn::new(&self.inner, self.inner.writer.try_lock().ok_or(Error::WriteBusy)?)
    }

    /// Runs `body` in a write transaction and commits it with the database's durability. If `body` returns an error, nothing is committed.
    ///
    /// # Errors
    /// Those of `body`, of [`begin`](Self::begin) and of [`WriteTxn::commit`].
    pub fn write<T>(&self, body: impl FnOnce(&mut WriteTxn<'_>) -> Result<T>) -> Result<T> {
        self.write_with(self.inner.options.durability, body)
    }

    /// As [`write`](Self::write), with a durability of its own.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn write_with<T>(
        &self,
        durability: Durability,
        body: impl FnOnce(&mut WriteTxn<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut txn = self.begin()?;
        let answer = body(&mut txn)?;
        txn.commit_with(durability)?;
        Ok(answer)
    }

    /// Makes all that was committed durable. Concurrent callers share one sync.
    ///
    /// # Errors
    /// An error of the disk, after which the handle is poisoned.
    pub fn sync(&self) -> Result<()> {
        self.inner.group.sync_all()
    }

    /// Brings all that was committed into the data file, so that a start need not replay it. It happens by itself; this is for the moment
    /// before a copy is taken, or before a long silence.
    ///
    /// # Errors
    /// [`Error::StorageFull`]: nothing is lost, and the same can succeed later. Another error of the disk poisons the handle.
    pub fn checkpoint(&self) -> Result<()> {
        self.inner.checkpoint()
    }

    /// Writes a checkpoint and ends all work. Other clones can still read, and no more write. Without it nothing is lost: the log has it.
    ///
    /// # Errors
    /// As for [`checkpoint`](Self::checkpoint).
    pub fn close(self) -> Result<()> {
        if let Some(worker) = &self.worker {
            worker.stop();
        }
        let written = self.inner.checkpoint();
        self.inner.writer.lock().closed = true;
        self.inner.commits.changed.notify_all();
        written
    }

    /// The disk and the clock that it works with.
    pub(crate) fn vfs(&self) -> &Arc<dyn vfs::Vfs> {
        &self.inner.vfs
    }

    /// What it has done and holds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let inner = &*self.inner;
        let (group, usage) = (inner.group.usage(), inner.store.usage());
        let writer = inner.writer.lock();
        let space = writer.space.usage();
        Stats {
            txn: inner.visible.load().txn,
            durable: group.durable,
            checkpoint: writer.meta.root.txn,
            page_size: inner.store.page_size(),
            file_pages: space.file_pages,
            free_pages: space.free_pages,
            waiting_pages: space.waiting_pages,
            resident_len: usage.resident as u64,
            unwritten_len: usage.unwritten as u64,
            page_reads: usage.reads,
            log_syncs: group.syncs,
            log_len: writer.appended_len,
            checkpoints: inner.checkpoints.load(Ordering::Relaxed),
            live_states: writer.live.len() as u64,
        }
    }
}

impl Snapshot {
    /// The shape of a tree. Reads all its pages.
    ///
    /// # Errors
    /// [`Error::UnknownTree`]; [`Error::Corrupt`] at the first fault: [`Database::verify`] tells of all.
    pub fn tree_stats(&self, tree: Tree) -> Result<TreeStats> {
        let state = self.state(tree)?;
        let found = survey(View::of(&self.store), state, self.root.txn, false);
        if let Some((id, what)) = found.faults.first() {
            return Err(self.store.damaged(*id, what));
        }
        Ok(TreeStats {
            len: state.len,
            depth: found.depth,
            leaf_pages: found.leaf_pages,
            internal_pages: found.internal_pages,
            value_pages: found.value_pages,
            content_len: found.content_len,
            used_len: found.used_len,
        })
    }
}
