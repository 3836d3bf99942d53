//! A repository: the store of one working directory, opened, with everything in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use granite::{Background, Db, Options};
use parking_lot::{Mutex, MutexGuard};
use tl_core::{ObjectId, Store, StoreOptions};
use vfs::Vfs;

use crate::error::{Error, ErrorKind, Result};
use crate::index::{Index, IndexChanges, IndexFinding, IndexState};
use crate::journal::Journal;
use crate::lease::Leases;
use crate::update::{Gaps, Links};
use crate::workdir::Dir;

/// The database in a store's directory.
pub(crate) const DB_DIR: &str = "db";
/// Where `tl-core` keeps objects, by their ids. Only what it has no call for is done here: measuring them, and removing damaged ones.
pub(crate) const OBJECTS: &str = "objects";
/// What is being made, and means nothing after a start.
const TMP_DIR: &str = "tmp";

/// Where a repository is and how it is opened. Start from [`RepositoryConfig::new`].
#[derive(Debug, Clone)]
pub struct RepositoryConfig {
    /// The store's directory; created if absent.
    pub store_dir: PathBuf,
    /// The working directory. Without one, nothing can be captured, and all that was can be read.
    pub root: Option<PathBuf>,
    /// Disk of the store, clock and randomness.
    pub vfs: Arc<dyn Vfs>,
    /// Bytes of memory for the storage engine: write buffers, caches, filters.
    pub memory_budget: usize,
    /// Bytes of memory for trees that were read.
    pub tree_cache_bytes: usize,
    /// Who does the engine's background work.
    pub background: Background,
    /// Threads that read and hash files when there are many; at least 1.
    pub threads: usize,
    /// Bytes of disk that are held back for a collection on a full disk; 0 for none.
    pub reserve_bytes: u64,
}

impl RepositoryConfig {
    /// The defaults: the real disk, 8 MiB for the engine and 2 MiB for trees, one background thread, two that read, 8 MiB in reserve.
    #[must_use]
    pub fn new(store_dir: impl Into<PathBuf>, root: Option<PathBuf>) -> Self {
        Self {
            store_dir: store_dir.into(),
            root,
            vfs: Arc::new(vfs::DiskVfs::new()),
            memory_budget: 8 << 20,
            tree_cache_bytes: 2 << 20,
            background: Background::Threads(1),
            threads: 2,
            reserve_bytes: 8 << 20,
        }
    }
}

/// The working directory, held open: it stays the same one wherever it is moved to.
#[derive(Debug)]
pub(crate) struct WorkingDirectory {
    pub(crate) dir: Arc<Dir>,
    /// Where it was opened.
    pub(crate) path: PathBuf,
}

/// What writers share; whoever holds it is the only one who writes.
#[derive(Debug)]
pub(crate) struct WriterState {
    /// What HEAD's tree lacks.
    pub(crate) gaps: Gaps,
    /// Files with several names.
    pub(crate) links: Links,
    /// The newest checkpoint is known to survive a loss of power.
    pub(crate) head_is_durable: bool,
    /// The index may be ahead of HEAD.
    pub(crate) index_unsettled: bool,
}

/// What opening a repository met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartReport {
    /// Leftovers in `tmp/` that were removed.
    pub leftovers_removed: u64,
    /// Entries of the index that were not of HEAD's tree, and were replaced.
    pub index_entries_replaced: u64,
}

/// The store of one working directory. Usable from any thread; updates take turns, readers wait for nobody.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let work = dir.path().join("work");
/// # std::fs::create_dir(&work)?;
/// use tl_core::RepoPath;
/// use tl_journal::{Dirty, Reason, Repository, RepositoryConfig, UpdateRequest};
///
/// std::fs::write(work.join("notes"), "first")?;
/// let repository = Repository::open(RepositoryConfig::new(dir.path().join("store"), Some(work.clone())))?;
/// let first = repository.reconcile(&UpdateRequest::new(Reason::Startup))?.checkpoint.ok_or("nothing recorded")?;
///
/// std::fs::write(work.join("notes"), "second")?;
/// let mut dirty = Dirty::new();
/// dirty.add_path(RepoPath::new(b"notes")?.to_owned());
/// let second = repository.update(&dirty, &UpdateRequest::new(Reason::FsBatch))?.checkpoint.ok_or("nothing changed")?;
/// assert_eq!(second.parents, [first.id]);
///
/// let before = repository.store().diff(&second.root, &first.root)?.next().ok_or("no difference")??;
/// let entry = before.after.ok_or("it was there")?;
/// assert_eq!(repository.store().get_blob(&entry.id, 100)?, b"first");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Repository {
    config: RepositoryConfig,
    db: Db,
    store: Store,
    journal: Journal,
    index: Index,
    working: Option<WorkingDirectory>,
    /// `None` if the repository is open for reading.
    writer: Option<Mutex<WriterState>>,
    leases: Arc<Mutex<Leases>>,
    /// Somebody found the history of paths damaged.
    path_history_damaged: Arc<AtomicBool>,
    start: StartReport,
}

impl Repository {
    /// Opens the store for writing, or creates one, and brings index and HEAD into line. What changed in the working directory meanwhile
    /// is found by the caller's first [`Repository::reconcile`].
    ///
    /// # Errors
    /// [`Error::Engine`] if another process has it, or it is damaged, or of a newer version; [`Error::Damaged`]; [`Error::RootGone`].
    pub fn open(config: RepositoryConfig) -> Result<Self> {
        let working = config.root.as_deref().map(WorkingDirectory::open).transpose()?;
        let db_dir = config.store_dir.join(DB_DIR);
        let vfs = &*config.vfs;
        create_durably(vfs, &db_dir, &config.store_dir)?;
        let db = Db::open(&db_dir, &engine_options(&config))?;
        // From here on the database's lock says that nobody else is at work in the store.
        let leftovers_removed = empty_tmp(vfs, &config.store_dir)?;
        let store = Store::open(&db, &StoreOptions { tree_cache_bytes: config.tree_cache_bytes })?;
        let journal = Journal::open(&db)?;
        let index = Index::open(&db)?;
        let writer =
            WriterState { gaps: Gaps::new(), links: Links::default(), head_is_durable: true, index_unsettled: true };
        let mut repository = Self {
            config,
            db,
            store,
            journal,
            index,
            working,
            writer: Some(Mutex::new(writer)),
            leases: Arc::default(),
            path_history_damaged: Arc::default(),
            start: StartReport::default(),
        };
        let settled = repository.settle_index(&mut *repository.lock_writer()?);
        let index_entries_replaced = match settled {
            // Without HEAD's trees no update can be made, and each says so; what is intact can still be read.
            Err(error) if error.kind() == ErrorKind::Repair => {
                tracing::error!(%error, "the index cannot be compared with the newest checkpoint");
                0
            }
            settled => settled?,
        };
        repository.start = StartReport { leftovers_removed, index_entries_replaced };
        repository.hold_reserve()?;
        Ok(repository)
    }

    /// Opens the store for reading, beside other readers. Nothing on the disk is changed.
    ///
    /// # Errors
    /// [`Error::Engine`] if a process has it open for writing, or there is none; otherwise as for [`Repository::open`].
    pub fn open_read_only(config: RepositoryConfig) -> Result<Self> {
        let db = Db::open_read_only(config.store_dir.join(DB_DIR), &engine_options(&config))?;
        let store = Store::open(&db, &StoreOptions { tree_cache_bytes: config.tree_cache_bytes })?;
        let journal = Journal::open_read_only(&db)?;
        let index = Index::open_read_only(&db)?;
        let start = StartReport::default();
        Ok(Self {
            config,
            db,
            store,
            journal,
            index,
            working: None,
            writer: None,
            leases: Arc::default(),
            path_history_damaged: Arc::default(),
            start,
        })
    }

    /// The checkpoints, and the names that point to them.
    #[must_use]
    pub const fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The objects.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The database under both.
    #[must_use]
    pub const fn db(&self) -> &Db {
        &self.db
    }

    /// What opening it met.
    #[must_use]
    pub const fn start_report(&self) -> &StartReport {
        &self.start
    }

    /// How it was opened.
    #[must_use]
    pub const fn config(&self) -> &RepositoryConfig {
        &self.config
    }

    /// Compares the index with HEAD's tree, entry by entry.
    ///
    /// # Errors
    /// A tree that cannot be read, or [`Error::Engine`].
    pub fn verify_index(&self) -> Result<Vec<IndexFinding>> {
        // An update between the two readings would look like damage.
        let _writer = self.writer.as_ref().map(Mutex::lock);
        let mut findings = Vec::new();
        self.index.compare(&self.store, &self.head_root(), |finding, _| {
            findings.push(finding);
            Ok(())
        })?;
        Ok(findings)
    }

    pub(crate) fn clock(&self) -> &dyn Vfs {
        &*self.config.vfs
    }

    pub(crate) const fn index(&self) -> &Index {
        &self.index
    }

    pub(crate) const fn leases(&self) -> &Arc<Mutex<Leases>> {
        &self.leases
    }

    pub(crate) const fn path_history_damaged(&self) -> &Arc<AtomicBool> {
        &self.path_history_damaged
    }

    pub(crate) fn threads(&self) -> usize {
        self.config.threads.max(1)
    }

    pub(crate) fn head_root(&self) -> ObjectId {
        self.journal.head().map_or(ObjectId::EMPTY_TREE, |head| head.root)
    }

    pub(crate) fn working_directory(&self) -> Result<&WorkingDirectory> {
        let missing =
            || Error::Invalid { what: "call", reason: "the repository was opened without a working directory".into() };
        self.working.as_ref().ok_or_else(missing)
    }

    /// The right to write.
    pub(crate) fn lock_writer(&self) -> Result<MutexGuard<'_, WriterState>> {
        self.writer.as_ref().map(Mutex::lock).ok_or(Error::Engine(granite::Error::ReadOnly))
    }

    /// Brings the index into line with HEAD if it may not be. Returns how many entries were replaced.
    pub(crate) fn settle_index(&self, writer: &mut WriterState) -> Result<u64> {
        if !writer.index_unsettled {
            return Ok(0);
        }
        let head = self.head_root();
        let state = self.index.state()?;
        let mut replaced = 0;
        if state != IndexState::Settled(head) && (state, head) != (IndexState::Absent, ObjectId::EMPTY_TREE) {
            let mut changes = IndexChanges::new(&self.index);
            let advanced = match state {
                IndexState::Settled(before) => self.index.advance(&self.store, &before, &head, &mut changes).map(Some),
                IndexState::Absent | IndexState::Ahead => Ok(None),
            };
            replaced = match advanced {
                Ok(Some(replaced)) => replaced,
                Ok(None) => self.index.align(&self.store, &head, &mut changes)?,
                // The tree that it was of is gone: only the whole index can be compared.
                Err(error) if error.kind() == ErrorKind::Repair => {
                    self.index.align(&self.store, &head, &mut changes)?
                }
                Err(error) => return Err(error),
            };
            let mut batch = granite::WriteBatch::new();
            changes.stage(&head, &mut batch);
            self.db.write(batch, granite::Durability::Buffered)?;
        }
        writer.index_unsettled = false;
        Ok(replaced)
    }
}

impl WorkingDirectory {
    fn open(path: &Path) -> Result<Self> {
        match Dir::open_root(path) {
            Ok(dir) => Ok(Self { dir: Arc::new(dir), path: path.to_owned() }),
            Err(rustix::io::Errno::NOENT) => Err(Error::RootGone { path: path.to_owned() }),
            Err(errno) => Err(Error::io("open", path, errno)),
        }
    }
}

/// Creates `dir`, which is in `store_dir`, so that a loss of power leaves its name. The names down to the store's own are synced at each start: an earlier one
/// may have been cut short.
fn create_durably(vfs: &dyn Vfs, dir: &Path, store_dir: &Path) -> Result<()> {
    let exists = |path: &Path| vfs::exists(vfs, path).map_err(|error| Error::io("look at", path, error));
    let mut holders: Vec<&Path> = vec![store_dir];
    holders.extend(store_dir.parent());
    for path in store_dir.ancestors() {
        if exists(path)? {
            break;
        }
        holders.extend(path.parent());
    }
    vfs.create_dir_all(dir).map_err(|error| Error::io("create", dir, error))?;
    holders.dedup();
    for holder in holders.into_iter().filter(|holder| !holder.as_os_str().is_empty()) {
        vfs.sync_dir(holder).map_err(|error| Error::io("sync", holder, error))?;
    }
    Ok(())
}

pub(crate) fn engine_options(config: &RepositoryConfig) -> Options {
    Options::new()
        .vfs(Arc::clone(&config.vfs))
        .memory_budget(config.memory_budget)
        .background(config.background)
        .durability(granite::Durability::Sync)
}

/// Removes the files in `tmp/`, and makes it if it is not there. Returns how many there were.
fn empty_tmp(vfs: &dyn Vfs, store_dir: &Path) -> Result<u64> {
    let tmp = store_dir.join(TMP_DIR);
    vfs.create_dir_all(&tmp).map_err(|error| Error::io("create", &tmp, error))?;
    let mut removed = 0;
    for path in vfs.read_dir(&tmp).map_err(|error| Error::io("list", &tmp, error))? {
        let is_dir = vfs.metadata(&path).map_err(|error| Error::io("look at", &path, error))?.is_dir;
        if !is_dir {
            vfs.remove_file(&path).map_err(|error| Error::io("remove", &path, error))?;
            removed += 1;
        }
    }
    Ok(removed)
}
