//! The database: what all its parts share, and the handle that users hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use vfs::{Lock, LockKind};

use crate::batch::{Committed, WriteBatch};
use crate::commit::Queue;
use crate::error::{Error, Result};
use crate::jobs::Scheduler;
use crate::key::Seq;
use crate::keyspace::{Keyspace, KeyspaceCore};
use crate::log::segment::SegmentRegistry;
use crate::log::writer::{LogSegment, LogWriter, Recycler};
use crate::manifest::{Edit, ManifestFile};
use crate::open::{OpenMode, Recovery};
use crate::options::{Durability, KeyspaceOptions, Options};
use crate::snapshot::{Snapshot, SnapshotGuard, SnapshotList};
use crate::stats::{DbStats, Stats};
use crate::tree::{TableContext, Version};

/// Longest name of a keyspace in bytes.
const KEYSPACE_NAME_MAX: usize = 255;
/// Log segments without separated values are half as long as the write buffers, as one memtable is, but not shorter than this, in bytes.
const PLAIN_SEGMENT_LEN_MIN: u64 = 1 << 20;

/// The log, and what it still has to keep.
#[derive(Debug)]
pub(crate) struct LogState {
    pub(crate) writer: LogWriter,
    /// Closed segments that a recovery would need, oldest first.
    pub(crate) segments: Vec<LogSegment>,
    pub(crate) next_seq: Seq,
    /// Bytes that a recovery would read.
    pub(crate) bytes: u64,
}

pub(crate) type KeyspaceMap = BTreeMap<u32, Arc<KeyspaceCore>>;

/// What every handle of one database shares.
///
/// Locks are taken in this order: `manifest`, `log`, `apply`, a keyspace's `change`. A keyspace's `compacting` and then its `flushing` come
/// before all of them.
pub(crate) struct DbCore {
    /// Tells databases of one process apart.
    pub(crate) id: u64,
    pub(crate) context: Arc<TableContext>,
    pub(crate) options: Options,
    pub(crate) read_only: bool,
    pub(crate) keyspaces: ArcSwap<KeyspaceMap>,
    pub(crate) queue: Queue,
    pub(crate) log: Mutex<LogState>,
    /// The right to put commits into memtables, in the order of their sequence numbers.
    pub(crate) apply: Mutex<()>,
    pub(crate) manifest: Mutex<ManifestFile>,
    pub(crate) segments: Arc<SegmentRegistry>,
    pub(crate) recycler: Arc<Recycler>,
    /// The newest write that readers see.
    pub(crate) visible: AtomicU64,
    /// The newest write that is known to survive a loss of power.
    pub(crate) durable: AtomicU64,
    next_file: AtomicU64,
    /// When the log was synced last, on the monotonic clock.
    pub(crate) last_sync_us: AtomicU64,
    pub(crate) snapshots: Arc<SnapshotList>,
    /// Held shared by conditional commits, exclusively by the beginning of a sweep.
    pub(crate) sweep_gate: RwLock<()>,
    pub(crate) sweeping: Mutex<()>,
    failure: OnceLock<Arc<str>>,
    closed: AtomicBool,
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) stats: Stats,
    pub(crate) recovery: OnceLock<Recovery>,
    /// Let go of when the database is closed, and taken out when it is reopened.
    pub(crate) lock: Mutex<Option<Box<dyn Lock>>>,
}

/// What users hold: when the last of them is dropped, the database is closed, whatever its own threads are doing.
#[derive(Debug)]
pub(crate) struct UserHandle {
    core: Arc<DbCore>,
}

impl UserHandle {
    pub(crate) fn new(core: Arc<DbCore>) -> Arc<Self> {
        Arc::new(Self { core })
    }
}

impl std::ops::Deref for UserHandle {
    type Target = Arc<DbCore>;

    fn deref(&self) -> &Arc<DbCore> {
        &self.core
    }
}

impl Drop for UserHandle {
    fn drop(&mut self) {
        if let Err(error) = self.core.close() {
            tracing::error!(%error, "the database could not be synced when it was closed");
        }
    }
}

impl std::fmt::Debug for DbCore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DbCore").field("dir", &self.context.dir).finish_non_exhaustive()
    }
}

/// What [`DbCore::new`] is made of.
pub(crate) struct Parts {
    pub(crate) context: Arc<TableContext>,
    pub(crate) options: Options,
    pub(crate) read_only: bool,
    pub(crate) keyspaces: KeyspaceMap,
    pub(crate) manifest: ManifestFile,
    pub(crate) segments: Arc<SegmentRegistry>,
    pub(crate) next_file: u64,
    pub(crate) next_seq: Seq,
    pub(crate) lock: Box<dyn Lock>,
}

impl DbCore {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let recycler = Arc::new(Recycler::default());
        let plain_segment_len = (parts.options.write_buffer_len() as u64 / 2).max(PLAIN_SEGMENT_LEN_MIN);
        let writer = LogWriter::new(&parts.segments, &recycler, parts.options.segment_len, plain_segment_len);
        let last = parts.next_seq.get().saturating_sub(1);
        Arc::new(Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            context: parts.context,
            scheduler: Scheduler::new(&parts.options),
            options: parts.options,
            read_only: parts.read_only,
            keyspaces: ArcSwap::from_pointee(parts.keyspaces),
            queue: Queue::new(),
            log: Mutex::new(LogState { writer, segments: Vec::new(), next_seq: parts.next_seq, bytes: 0 }),
            apply: Mutex::new(()),
            manifest: Mutex::new(parts.manifest),
            segments: parts.segments,
            recycler,
            visible: AtomicU64::new(last),
            durable: AtomicU64::new(last),
            next_file: AtomicU64::new(parts.next_file),
            last_sync_us: AtomicU64::new(0),
            snapshots: Arc::default(),
            sweep_gate: RwLock::new(()),
            sweeping: Mutex::new(()),
            failure: OnceLock::new(),
            closed: AtomicBool::new(false),
            stats: Stats::new(),
            recovery: OnceLock::new(),
            lock: Mutex::new(Some(parts.lock)),
        })
    }

    #[inline]
    pub(crate) fn visible(&self) -> Seq {
        Seq::new(self.visible.load(Ordering::Acquire))
    }

    pub(crate) fn durable(&self) -> Seq {
        Seq::new(self.durable.load(Ordering::Acquire))
    }

    pub(crate) fn take_file_number(&self) -> u64 {
        self.next_file.fetch_add(1, Ordering::AcqRel)
    }

    /// All file numbers handed out so far are below.
    pub(crate) fn next_file_number(&self) -> u64 {
        self.next_file.load(Ordering::Acquire)
    }

    pub(crate) fn all_keyspaces(&self) -> Vec<Arc<KeyspaceCore>> {
        self.keyspaces.load().values().cloned().collect()
    }

    pub(crate) fn pin_now(&self) -> SnapshotGuard {
        self.snapshots.pin(|| self.visible())
    }

    #[inline]
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    pub(crate) const fn lock_kind(&self) -> LockKind {
        if self.read_only { LockKind::Shared } else { LockKind::Exclusive }
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn check_failure(&self) -> Result<()> {
        match self.failure.get() {
            Some(cause) => Err(Error::Poisoned { cause: Arc::clone(cause) }),
            None => Ok(()),
        }
    }

    pub(crate) fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        if self.read_only { Err(Error::ReadOnly) } else { self.check_failure() }
    }

    /// Refuses all further writes through this handle.
    pub(crate) fn fail(&self, cause: &Arc<str>) {
        // Only the first cause counts.
        if self.failure.set(Arc::clone(cause)).is_ok() {
            tracing::error!(%cause, "the database refuses further writes");
            self.scheduler.notify_progress();
        }
    }

    pub(crate) fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.scheduler.shut_down();
        let mut synced = Ok(());
        if !self.read_only && self.check_failure().is_ok() {
            let mut log = self.log.lock();
            if self.durable().plus(1) < log.next_seq {
                synced = self.sync_log(&mut log);
            }
            drop(log);
            synced = synced.and_then(|()| self.note_durable());
        }
        for path in self.recycler.drain() {
            crate::log::segment::remove_obsolete(&*self.context.vfs, &path);
        }
        drop(self.lock.lock().take());
        synced
    }
}

impl DbCore {
    /// Notes in the manifest how far the log reaches: without that, damage of its last records cannot be told from a tail
    /// that a crash tore.
    fn note_durable(&self) -> Result<()> {
        let mut manifest = self.manifest.lock();
        if manifest.state().durable >= self.durable() {
            return Ok(());
        }
        match self.commit_manifest(&mut manifest, Vec::new()) {
            Err(Error::StorageFull { .. }) => {
                tracing::warn!("the disk is too full to note where the log ends; nothing is lost by that");
                Ok(())
            }
            noted => noted,
        }
    }
}

/// An open database. Cheap to clone; usable from any thread. It is closed when the last handle (keyspaces and iterators among
/// them) is dropped.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// use granite::{Db, KeyspaceOptions, Options};
///
/// let db = Db::open(dir.path(), &Options::new())?;
/// let fruit = db.keyspace("fruit", KeyspaceOptions::new())?;
/// fruit.put(b"apple", b"green")?;
/// assert_eq!(fruit.get(b"apple")?.as_deref(), Some(&b"green"[..]));
/// # Ok::<(), granite::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Db {
    pub(crate) core: Arc<UserHandle>,
}

impl Db {
    /// Opens the database in the directory `path`, or creates one.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::NotADatabase`], [`Error::NewerFormat`], [`Error::Corrupt`], [`Error::InvalidOption`], or an error of the disk.
    pub fn open(path: impl AsRef<Path>, options: &Options) -> Result<Self> {
        let core = crate::open::open(path.as_ref(), options, OpenMode::ReadWrite)?;
        Ok(Self { core: UserHandle::new(core) })
    }

    /// Opens the database for reading, beside any number of other readers. Nothing on disk is changed. What the log holds beyond the tables is
    /// read into memory, whatever the memory budget.
    ///
    /// # Errors
    /// As for [`Db::open`]; [`Error::Locked`] while a process has it open for writing.
    pub fn open_read_only(path: impl AsRef<Path>, options: &Options) -> Result<Self> {
        let core = crate::open::open(path.as_ref(), options, OpenMode::ReadOnly)?;
        Ok(Self { core: UserHandle::new(core) })
    }

    /// The keyspace `name`, created with `options` if there is none. The options of an existing one stay as they are.
    ///
    /// # Errors
    /// [`Error::InvalidOption`], or a failure to make the new keyspace durable.
    pub fn keyspace(&self, name: &str, options: KeyspaceOptions) -> Result<Keyspace> {
        self.core.check_open()?;
        if let Some(found) = self.find(name) {
            return Ok(found);
        }
        options.check()?;
        if name.is_empty() || name.len() > KEYSPACE_NAME_MAX {
            let reason = format!("{} bytes, 1 to {KEYSPACE_NAME_MAX} are possible", name.len());
            return Err(Error::InvalidOption { what: "keyspace name", reason });
        }
        self.core.check_writable()?;
        let mut manifest = self.core.manifest.lock();
        if let Some(found) = self.find(name) {
            return Ok(found);
        }
        let id = manifest.state().next_keyspace;
        let edit = Edit::CreateKeyspace { id, name: name.to_owned(), options: options.clone() };
        self.core.commit_manifest(&mut manifest, vec![edit])?;
        let floor = self.core.visible();
        let core = KeyspaceCore::new(id, name.to_owned(), options, Version::empty(), floor);
        let mut next = KeyspaceMap::clone(&self.core.keyspaces.load());
        next.insert(id, Arc::clone(&core));
        self.core.keyspaces.store(Arc::new(next));
        Ok(Keyspace { core, db: Arc::clone(&self.core) })
    }

    /// The keyspace `name`.
    ///
    /// # Errors
    /// [`Error::UnknownKeyspace`].
    pub fn existing_keyspace(&self, name: &str) -> Result<Keyspace> {
        self.core.check_open()?;
        self.find(name).ok_or_else(|| Error::UnknownKeyspace { name: name.to_owned() })
    }

    fn find(&self, name: &str) -> Option<Keyspace> {
        let keyspaces = self.core.keyspaces.load();
        let found = keyspaces.values().find(|keyspace| keyspace.name == name)?;
        Some(Keyspace { core: Arc::clone(found), db: Arc::clone(&self.core) })
    }

    /// The names of all keyspaces.
    #[must_use]
    pub fn keyspace_names(&self) -> Vec<String> {
        self.core.keyspaces.load().values().map(|keyspace| keyspace.name.clone()).collect()
    }

    /// Removes a keyspace with all that is in it. Its name can be used again at once.
    ///
    /// # Errors
    /// [`Error::UnknownKeyspace`], or a failure to make the change durable.
    pub fn drop_keyspace(&self, name: &str) -> Result<()> {
        self.core.check_writable()?;
        let keyspace = self.existing_keyspace(name)?;
        let _compacting = keyspace.core.compacting.lock();
        let _flushing = keyspace.core.flushing.lock();
        self.core.install_drop(&keyspace.core)
    }

    /// Commits a batch.
    ///
    /// # Errors
    /// The first operation that cannot be accepted; [`Error::StorageFull`]: nothing of the batch is written, and the same call can succeed later;
    /// [`Error::Poisoned`] after a failed sync: whether the batch is there is known after the next open.
    pub fn write(&self, batch: WriteBatch, durability: Durability) -> Result<Committed> {
        self.core.commit(batch, durability)
    }

    /// Makes every write so far durable.
    ///
    /// # Errors
    /// A failed sync, after which the database refuses writes.
    pub fn sync(&self) -> Result<()> {
        self.core.check_writable()?;
        self.core.ensure_durable(self.core.visible())
    }

    /// The database as it is now, kept readable.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { pin: self.core.pin_now() }
    }

    /// The newest write that readers see.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.core.visible()
    }

    /// The newest write that is known to survive a loss of power.
    #[must_use]
    pub fn durable_seq(&self) -> Seq {
        self.core.durable()
    }

    /// Moves everything in memory to tables, and waits for it.
    ///
    /// # Errors
    /// [`Error::StorageFull`] or another failure of the disk.
    pub fn flush(&self) -> Result<()> {
        for keyspace in self.core.all_keyspaces() {
            self.core.flush_keyspace(&keyspace)?;
        }
        Ok(())
    }

    /// Compacts every keyspace down to its deepest level, and waits for it.
    ///
    /// # Errors
    /// As for [`Db::flush`].
    pub fn compact(&self) -> Result<()> {
        for core in self.core.all_keyspaces() {
            Keyspace { core, db: Arc::clone(&self.core) }.compact()?;
        }
        Ok(())
    }

    /// Waits until nothing is left to flush or compact in the background.
    ///
    /// # Errors
    /// What keeps the background work from going on.
    pub fn wait_for_background(&self) -> Result<()> {
        self.core.wait_for_background()
    }

    /// Gives memory back that can be had again from the disk: flushes, empties the caches, closes files.
    ///
    /// # Errors
    /// As for [`Db::flush`].
    pub fn trim(&self) -> Result<()> {
        if !self.core.read_only {
            self.flush()?;
        }
        self.core.context.cache.clear();
        self.core.context.handles.close_all();
        Ok(())
    }

    /// Counts, sizes and durations at this moment.
    #[must_use]
    pub fn stats(&self) -> DbStats {
        self.core.read_stats()
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.core.context.dir.clone()
    }

    /// What opening the database met: how much log was read, and what was dropped or lost.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        self.core.recovery.get().cloned().unwrap_or_default()
    }

    /// Syncs and closes the database; every handle of it answers [`Error::Closed`] from then on. Dropping the last handle does the same,
    /// without a way to report a failure.
    ///
    /// # Errors
    /// A failed sync of buffered writes.
    pub fn close(self) -> Result<()> {
        self.core.close()
    }
}
