//! From files to a running database. The cost is that of the log's tail, never that of the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use vfs::{LockKind, OpenMode, Vfs};

use super::replay::{Until, replay};
use super::root::Root;
use super::{Commits, Inner, Retained, Tree, Writer};
use crate::commit::Group;
use crate::error::{Error, Result};
use crate::id::{CommitTime, PageId, TxnId};
use crate::log::{AppendError, LogFiles, LogWriter, SEGMENT_HEADER_LEN, SegmentFile, SegmentHeader, WalkEnd};
use crate::options::Options;
use crate::page::PageKind;
use crate::shared::SharedState;
use crate::store::{
    Catalog, Directory, LogPosition, META_PAGES, Meta, PageStore, RootRecord, Run, Space, content_run, read_newest,
};
use crate::tree::{Allocator, VirtualPages};

/// `DB-shm`: held by the writing process, and where readers of other processes meet it.
pub(super) fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-shm");
    name.into()
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Writes the pages and metas of a database in one state, and gives it its name once all of it is durable.
pub(super) struct NewFile<'a> {
    pub(super) vfs: &'a dyn Vfs,
    pub(super) path: &'a Path,
    pub(super) page_size: usize,
    pub(super) identity: [u64; 2],
}

impl NewFile<'_> {
    /// A database of no transactions, whose trees are empty.
    pub(super) fn write_state(&self, directory: &Directory, log: LogPosition) -> Result<()> {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".new");
        let new = PathBuf::from(name);
        let file = self.vfs.open(&new, OpenMode::OpenOrCreate).map_err(|error| Error::io("create", &new, error))?;
        file.set_len(0).map_err(|error| Error::io("truncate", &new, error))?;
        let content = directory.encode();
        let directory_pages = crate::page::run_pages(content.len(), self.page_size);
        let catalog = META_PAGES + directory_pages;
        let write =
            |offset: u64, bytes: &[u8]| file.write_at(offset, bytes).map_err(|error| Error::io("write", &new, error));
        let runs =
            [(META_PAGES, PageKind::Directory, content), (catalog, PageKind::Catalog, Catalog::default().encode())];
        for (id, kind, content) in runs {
            let mut page = content_run(kind, PageId(id), TxnId::ZERO, &content, self.page_size).to_vec();
            crate::page::seal(&mut page);
            write(u64::from(id) * self.page_size as u64, &page)?;
        }
        for number in 0..u64::from(META_PAGES) {
            let meta = Meta {
                page_size: self.page_size,
                page_count: catalog + 1,
                number,
                identity: self.identity,
                root: RootRecord {
                    txn: TxnId::ZERO,
                    time: CommitTime::default(),
                    directory: PageId(META_PAGES),
                    directory_pages,
                    log,
                },
                catalog: PageId(catalog),
                catalog_pages: 1,
            };
            write(meta.offset(), &meta.encode())?;
        }
        file.sync_data().map_err(|error| Error::sync(&new, error))?;
        self.vfs.rename(&new, self.path).map_err(|error| Error::io("rename", &new, error))?;
        self.vfs.sync_dir(parent(self.path)).map_err(|error| Error::sync(parent(self.path), error))
    }
}

fn random_identity(vfs: &dyn Vfs) -> [u64; 2] {
    [vfs.random_u64(), vfs.random_u64()]
}

/// Makes a database where there is none.
fn create(files: &LogFiles, path: &Path, options: &Options) -> Result<()> {
    let vfs = &*options.vfs;
    let identity = random_identity(vfs);
    // A log without its database is somebody's data: it is not written over.
    let log = files.open(files.active(), OpenMode::Read)?;
    if let Some(left) = log {
        let blank =
            left.file.len().map_err(|error| Error::io("measure", &left.path, error))? <= SEGMENT_HEADER_LEN as u64;
        if !blank {
            let what = "it is the commit log of a database that is not there: put its database back, or remove the log";
            return Err(Error::corrupt(&left.path, 0, what));
        }
    }
    let header = SegmentHeader {
        number: 1,
        incarnation: vfs.random_u64(),
        first: TxnId(1),
        durable: TxnId::ZERO,
        identity: identity[0],
    };
    LogWriter::create(files.clone(), header)?;
    let new = NewFile { vfs, path, page_size: options.page_size, identity };
    let mut directory = Directory { trees: Vec::new(), next_tree_id: Tree::DEFAULT.0 };
    directory.create(Tree::DEFAULT.0, "default");
    new.write_state(&directory, LogPosition { segment: 1, offset: SEGMENT_HEADER_LEN as u64 })
}

/// The directory of a state that is on disk.
pub(super) fn load_directory(store: &PageStore, root: &RootRecord) -> Result<Directory> {
    let page = store.run(root.directory, root.directory_pages, PageKind::Directory)?;
    let content = crate::page::PageHeader::read(&page).and_then(|header| Directory::decode(header.content(&page)?));
    content.ok_or_else(|| store.damaged(root.directory, "its directory of trees is not well-formed"))
}

pub(super) fn load_catalog(store: &PageStore, meta: &Meta) -> Result<Catalog> {
    let page = store.run(meta.catalog, meta.catalog_pages, PageKind::Catalog)?;
    let content = crate::page::PageHeader::read(&page).and_then(|header| Catalog::decode(header.content(&page)?));
    content.ok_or_else(|| store.damaged(meta.catalog, "its catalog is not well-formed"))
}

/// What `docs/format/northstar.md` says under "Opening".
pub(super) fn open(path: &Path, options: Options) -> Result<Arc<Inner>> {
    options.check()?;
    let vfs = Arc::clone(&options.vfs);
    let there = vfs::exists(&*vfs, path).map_err(|error| Error::io("look at", path, error))?;
    if !there && !options.create_if_missing {
        return Err(Error::NotADatabase { path: path.to_owned() });
    }
    let lock = vfs.lock(&lock_path(path), LockKind::Exclusive).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => Error::Locked { path: path.to_owned() },
        _ => Error::io("lock", &lock_path(path), error),
    })?;
    let files = LogFiles::new(&vfs, path);
    if !there {
        create(&files, path, &options)?;
    }
    let file = vfs.open(path, OpenMode::ReadWrite).map_err(|error| Error::io("open", path, error))?;
    // After a failed sync a cached meta may look fine and not be on the disk.
    file.drop_cache_range(0, 2 * 16384).map_err(|error| Error::io("reread", path, error))?;
    let meta = read_newest(&*file, path)?;
    let budget = options.memory_budget;
    let store = Arc::new(PageStore::new(file, path, meta.page_size, budget));
    let catalog = load_catalog(&store, &meta)?;
    let directory = load_directory(&store, &meta.root)?;

    let segments = files.list(meta.identity[0], OpenMode::ReadWrite)?;
    for segment in segments.iter().filter(|segment| segment.header.number >= meta.root.log.segment) {
        segment.file.sync_data().map_err(|error| Error::sync(&segment.path, error))?;
        segment.file.drop_cache().map_err(|error| Error::io("reread", &segment.path, error))?;
    }
    let persistent = catalog.roots.iter().map(|root| root.txn).chain([meta.root.txn]).collect();
    let mut space = Space::new(meta.page_count, &catalog.space, persistent);
    let allocator = Allocator::File { space: &mut space, page_size: meta.page_size };
    let replayed = if meta.root.log.segment == 0 && segments.is_empty() {
        None
    } else {
        Some(replay(&store, allocator, &segments, &meta.root, directory.clone(), Until::End)?)
    };
    let base = WalkEnd { last: meta.root.txn, position: LogPosition { segment: 0, offset: 0 } };
    let end = replayed.as_ref().map_or(base, |replayed| replayed.end);
    let log = continue_log(&files, &segments, end, meta.identity[0], &*vfs)?;

    let retained = catalog.roots.iter().chain([&meta.root]);
    let roots = retained.map(|record| Retained { record: *record, lease: Arc::default() }).collect();
    let first =
        Arc::new(Root { txn: meta.root.txn, time: meta.root.time, directory: Arc::new(directory), _past: None });
    space.add_live(first.txn);
    let visible = Arc::new(ArcSwap::from(Arc::clone(&first)));
    let commits = Arc::new(Commits::default());
    *commits.visible.lock() = first.txn;
    let shared = SharedState::take_over(&vfs, &lock_path(path), meta.identity[0], first.txn)?;
    let shared = Arc::new(shared);
    let publish: Box<dyn Fn(Arc<Root>) + Send + Sync> = {
        let (visible, commits, shared) = (Arc::clone(&visible), Arc::clone(&commits), Arc::clone(&shared));
        Box::new(move |root: Arc<Root>| {
            let txn = root.txn;
            visible.store(root);
            shared.publish(txn);
            *commits.visible.lock() = txn;
            commits.changed.notify_all();
        })
    };
    let group = Group::new(Arc::clone(log.file()), log.path().to_owned(), end.last, publish);
    let run = |start, pages| Run { start, pages };
    let meta_runs = vec![
        (run(meta.root.directory, meta.root.directory_pages), meta.root.txn),
        (run(meta.catalog, meta.catalog_pages), meta.root.txn),
    ];
    let writer = Writer {
        space,
        log,
        latest: Arc::clone(&first),
        live: vec![first],
        roots,
        pins: catalog.pins,
        pins_changed: meta.root.log.segment == 0,
        meta,
        meta_runs,
        checkpointed_at: 0,
        appended_len: 0,
        closed: false,
    };
    let inner = Arc::new(Inner {
        path: path.to_owned(),
        vfs,
        store,
        virtuals: Arc::new(VirtualPages::default()),
        files,
        identity: meta.identity,
        visible,
        group,
        writer: Mutex::new(writer),
        checkpointing: Mutex::new(()),
        commits,
        bell: Arc::default(),
        checkpoints: AtomicU64::new(0),
        long_reader_told: AtomicBool::new(false),
        shared,
        _lock: lock,
        options,
    });
    if let Some(replayed) = replayed.filter(|replayed| replayed.txn > meta.root.txn) {
        let mut writer = inner.writer.lock();
        inner.install(&mut writer, replayed.changes, replayed.directory, replayed.time, false);
        // The tail counts as log that the next checkpoint saves a recovery from.
        writer.appended_len = inner.log_len_since(meta.root.log, &segments, end);
    }
    inner.remove_old_segments()?;
    Ok(inner)
}

/// Where new records go: behind the end, if nothing stands there, and into another segment if something does.
fn continue_log(
    files: &LogFiles,
    segments: &[SegmentFile],
    end: WalkEnd,
    identity: u64,
    vfs: &dyn Vfs,
) -> Result<LogWriter> {
    let active = segments.iter().find(|segment| segment.path == files.active());
    if let Some(active) = active.filter(|active| active.header.number == end.position.segment)
        && let Some(writer) = LogWriter::resume(files, active, end.position.offset)?
    {
        return Ok(writer);
    }
    let newest = segments.last().map_or(0, |segment| segment.header.number);
    let header = SegmentHeader {
        number: newest + 1,
        incarnation: vfs.random_u64(),
        first: end.last.next(),
        durable: end.last,
        identity,
    };
    match active {
        Some(active) => LogWriter::replace_active(files, active.header.number, header).map_err(|error| match error {
            AppendError::Refused(error) | AppendError::Cut(error) | AppendError::Broken(error) => error,
        }),
        None => LogWriter::create(files.clone(), header),
    }
}

impl Inner {
    /// Bytes of log between two places.
    fn log_len_since(&self, from: LogPosition, segments: &[SegmentFile], end: WalkEnd) -> u64 {
        let len = |segment: &SegmentFile| {
            let start = if segment.header.number == from.segment { from.offset } else { 0 };
            let stop = if segment.header.number == end.position.segment {
                end.position.offset
            } else {
                // A length that cannot be had only makes the next checkpoint later.
                segment.file.len().unwrap_or(start)
            };
            stop.saturating_sub(start)
        };
        segments.iter().filter(|segment| segment.header.number >= from.segment).map(len).sum()
    }
}
