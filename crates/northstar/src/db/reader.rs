//! A database that another process writes, read live: its newest durable meta, and the part of its log that is visible, in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use vfs::{File, OpenMode, Vfs};

use super::open::{load_directory, lock_path};
use super::past::finish_virtual;
use super::replay::{Until, replay};
use super::root::{AddedPages, Lease, Past, Root};
use super::snapshot::Snapshot;
use super::watch::Watch;
use crate::error::{Error, Result};
use crate::id::TxnId;
use crate::log::{LogFiles, SegmentFile};
use crate::options::Options;
use crate::shared::{ReaderSlot, SharedView};
use crate::store::{Directory, LogPosition, Meta, PageStore, RootRecord, read_newest};
use crate::tree::{Allocator, VirtualPages};

/// How often everything is looked at again when the writer changed it meanwhile.
const LOOKS_MAX: usize = 16;
/// Refreshes that stand on each other before all of them are made anew as one: each keeps the pages of those before it.
const STEPS_MAX: usize = 64;

/// A state on the disk that a slot keeps, with a cache of its own: under another state a page id can mean another page.
#[derive(Debug)]
pub(super) struct Base {
    record: RootRecord,
    meta_number: u64,
    identity: u64,
    store: Arc<PageStore>,
    virtuals: Arc<VirtualPages>,
    directory: Arc<Directory>,
    _slot: ReaderSlot,
}

/// What a reader shows now.
#[derive(Debug, Clone)]
struct Current {
    base: Arc<Base>,
    root: Arc<Root>,
    added: Option<Arc<AddedPages>>,
    /// Where the log goes on after `root`.
    end: LogPosition,
    steps: usize,
}

/// Reads a database while another process writes it, or when nobody does. Cloning is cheap.
///
/// It shows the state it had when it was opened or last [refreshed](Self::refresh). It never waits for the writer, and the writer never
/// waits for it.
///
/// ```
/// use northstar::{Database, Options, Reader, Tree};
///
/// # fn main() -> northstar::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("db");
/// let db = Database::open(&path, Options::new())?;
/// db.write(|txn| txn.put(Tree::DEFAULT, b"k", b"1"))?;
///
/// let reader = Reader::open(&path, &Options::new())?; // in another process, as a rule
/// let before = reader.snapshot();
/// db.write(|txn| txn.put(Tree::DEFAULT, b"k", b"2"))?;
/// reader.refresh()?;
/// assert_eq!(before.get(Tree::DEFAULT, b"k")?.unwrap(), b"1");
/// assert_eq!(reader.snapshot().get(Tree::DEFAULT, b"k")?.unwrap(), b"2");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Reader {
    inner: Arc<ReaderInner>,
}

#[derive(Debug)]
pub(super) struct ReaderInner {
    place: Place,
    current: Mutex<Current>,
}

/// Where a database is, and where its writer is met.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    vfs: Arc<dyn Vfs>,
    memory_budget: usize,
    shared: SharedView,
    files: LogFiles,
}

impl Reader {
    /// Opens the database at `path` for reading. Of the options only the disk and the memory budget count.
    ///
    /// # Errors
    /// [`Error::NotADatabase`], [`Error::NewerFormat`], [`Error::Corrupt`], [`Error::TooManyReaders`], or an error of the disk: `path-shm` must be
    /// writable, and the system must have locks of open files (Linux).
    pub fn open(path: impl AsRef<Path>, options: &Options) -> Result<Self> {
        let path = path.as_ref();
        let vfs = Arc::clone(&options.vfs);
        if !vfs::exists(&*vfs, path).map_err(|error| Error::io("look at", path, error))? {
            return Err(Error::NotADatabase { path: path.to_owned() });
        }
        let place = Place {
            path: path.to_owned(),
            shared: SharedView::open(&vfs, &lock_path(path))?,
            files: LogFiles::new(&vfs, path),
            memory_budget: options.memory_budget,
            vfs,
        };
        let current = Mutex::new(place.newest(None)?);
        Ok(Self { inner: Arc::new(ReaderInner { place, current }) })
    }

    /// Goes to the newest state that the writer has made visible, and says which that is. Snapshots that were taken stay as they are.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::TooManyReaders`], or an error of the disk. The state stays what it was.
    pub fn refresh(&self) -> Result<TxnId> {
        let mut current = self.inner.current.lock();
        *current = self.inner.place.newest(Some(&current))?;
        Ok(current.root.txn)
    }

    /// The state of the last refresh.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let current = self.inner.current.lock();
        Snapshot { store: Arc::clone(&current.base.store), root: Arc::clone(&current.root) }
    }

    /// Watches what is committed after `from`, by the process that writes. Waiting is looking at short intervals.
    #[must_use]
    pub fn watch(&self, from: TxnId) -> Watch {
        Watch::of_reader(Arc::clone(&self.inner), from)
    }
}

impl ReaderInner {
    /// The newest transaction that readers may see; `None` if nobody writes, and all that is in the log counts.
    pub(super) fn visible(&self) -> Result<Option<TxnId>> {
        self.place.shared.visible()
    }

    pub(super) fn files(&self) -> &LogFiles {
        &self.place.files
    }

    pub(super) fn identity(&self) -> u64 {
        self.current.lock().base.identity
    }
}

impl Place {
    fn newest(&self, before: Option<&Current>) -> Result<Current> {
        let mut failure = None;
        for _ in 0..LOOKS_MAX {
            match self.look(before) {
                Ok(Some(current)) => return Ok(current),
                Ok(None) => {}
                // A segment that was renamed or removed between two calls. If it is not the writer's doing, it is met again.
                Err(error @ Error::Corrupt { .. }) => failure = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(failure.unwrap_or_else(|| Error::corrupt(&self.path, 0, "the log lacks transactions that are visible")))
    }

    /// One look. `None`: the writer was faster, and it takes another.
    fn look(&self, before: Option<&Current>) -> Result<Option<Current>> {
        let visible = self.shared.visible()?;
        let file = self.vfs.open(&self.path, OpenMode::Read).map_err(|error| Error::io("open", &self.path, error))?;
        let meta = read_newest(&*file, &self.path)?;
        let same = before.filter(|current| {
            let seen = current.root.txn;
            current.base.meta_number == meta.number
                && current.steps < STEPS_MAX
                && visible.is_none_or(|visible| visible >= seen)
        });
        let start = match same {
            Some(same) => Current { steps: same.steps + 1, ..same.clone() },
            None => match self.base(file, &meta)? {
                Some(base) => Self::on_disk(base),
                None => return Ok(None),
            },
        };
        if visible.is_some_and(|visible| visible <= start.root.txn) {
            // Nothing new; or the state on the disk is newer than what the writer has told so far.
            return Ok(Some(start));
        }
        let segments = self.files.list(start.base.identity, OpenMode::Read)?;
        if start.end.segment == 0 && segments.is_empty() {
            return Ok(Some(start));
        }
        self.replay_on(&start, &segments, visible)
    }

    /// Takes a slot for the root of `meta`. `None`: a newer one came before the slot counted, and the state may be gone.
    fn base(&self, file: Arc<dyn File>, meta: &Meta) -> Result<Option<Base>> {
        let slot = self.shared.slot()?;
        slot.stand_on(meta.root.txn)?;
        if read_newest(&*file, &self.path)?.number != meta.number {
            return Ok(None);
        }
        let store = Arc::new(PageStore::new(file, &self.path, meta.page_size, self.memory_budget));
        let directory = Arc::new(load_directory(&store, &meta.root)?);
        let [identity, _] = meta.identity;
        let (record, meta_number) = (meta.root, meta.number);
        Ok(Some(Base { record, meta_number, identity, store, virtuals: Arc::default(), directory, _slot: slot }))
    }

    fn on_disk(base: Base) -> Current {
        let base = Arc::new(base);
        let past = Some(Past { _lease: Lease::Base(Arc::clone(&base)), _added: None });
        let RootRecord { txn, time, log, .. } = base.record;
        let root = Arc::new(Root { txn, time, directory: Arc::clone(&base.directory), _past: past });
        Current { base, root, added: None, end: log, steps: 0 }
    }

    fn replay_on(&self, start: &Current, segments: &[SegmentFile], visible: Option<TxnId>) -> Result<Option<Current>> {
        let base = &start.base;
        let allocator = || Allocator::Virtual { pages: &base.virtuals, page_size: base.store.page_size() };
        let record = RootRecord { txn: start.root.txn, time: start.root.time, log: start.end, ..base.record };
        let until = visible.map_or(Until::End, Until::Txn);
        let directory = (*start.root.directory).clone();
        let replayed = replay(&base.store, allocator(), segments, &record, directory, until)?;
        if visible.is_some_and(|visible| replayed.txn < visible) {
            replayed.changes.abandon(&mut allocator());
            return Ok(None);
        }
        let (txn, time, end) = (replayed.txn, replayed.time, replayed.end.position);
        let directory = Arc::new(replayed.directory);
        let added = finish_virtual(&base.store, &base.virtuals, replayed.changes, start.added.clone());
        let added = Some(Arc::new(added));
        let past = Some(Past { _lease: Lease::Base(Arc::clone(base)), _added: added.clone() });
        let root = Arc::new(Root { txn, time, directory, _past: past });
        Ok(Some(Current { base: Arc::clone(base), root, added, end, steps: start.steps }))
    }
}
