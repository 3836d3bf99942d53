//! Opening a database: read the manifest, read the log's tail, and be ready.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use vfs::{LockKind, Vfs};

use crate::cache::BlockCache;
use crate::db::{DbCore, KeyspaceMap, Parts};
use crate::error::{Error, Result};
use crate::handles::HandleCache;
use crate::key::{Kind, Seq, Trailer};
use crate::keyspace::KeyspaceCore;
use crate::log::format::{Action, OpReader};
use crate::log::pointer::ValuePointer;
use crate::log::replay::{Log, LogEnd, LostLog, Preparation, Replayed};
use crate::log::segment::{Segment, SegmentRegistry, remove_obsolete, segment_path};
use crate::manifest::file::{MANIFEST, read as read_manifest};
use crate::manifest::{Edit, ManifestFile, ManifestState};
use crate::memtable::{Buffer, SortedRunBuilder};
use crate::options::{Background, Options};
use crate::tree::table_handle::table_path;
use crate::tree::{MemBuffer, TableContext, TableHandle, Version};

pub(crate) const LOCK: &str = "LOCK";
/// Log that tables have absorbed is given up at open if it is at least this long, in bytes; less is not worth a sync.
const RELEASE_LEN_MIN: u64 = 1 << 20;

/// What may be done with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenMode {
    ReadWrite,
    ReadOnly,
}

/// What opening a database met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Batches read from the log.
    pub batches: u64,
    /// Bytes of log read.
    pub bytes: u64,
    /// Segment and offset at which a torn tail was dropped. Nothing in it had been acknowledged as durable.
    pub torn: Option<(u64, u64)>,
    /// What could not be read, in salvage mode.
    pub lost: Vec<LostLog>,
    /// Left-over files that were removed.
    pub orphans_removed: u64,
}

/// A file of ours, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileName {
    Segment(u64),
    Table(u64),
    Other,
}

impl FileName {
    pub(crate) fn of(path: &Path) -> Self {
        let number = || path.file_stem()?.to_str()?.parse::<u64>().ok();
        let is_ours = |ours: PathBuf| ours.file_name() == path.file_name();
        match (path.extension().and_then(|extension| extension.to_str()), number()) {
            // Another spelling of the same number is a file of somebody else.
            (Some("seg"), Some(number)) if is_ours(segment_path(Path::new(""), number)) => Self::Segment(number),
            (Some("sst"), Some(number)) if is_ours(table_path(Path::new(""), number)) => Self::Table(number),
            _ => Self::Other,
        }
    }

    pub(crate) const fn number(self) -> Option<u64> {
        match self {
            Self::Segment(number) | Self::Table(number) => Some(number),
            Self::Other => None,
        }
    }
}

fn list(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<FileName>> {
    let paths = vfs.read_dir(dir).map_err(|error| Error::io("list", dir, error))?;
    Ok(paths.iter().map(|path| FileName::of(path)).collect())
}

/// Makes sure that `dir` is a directory in which a database is or may be created. True if there is one.
fn look_at(dir: &Path, options: &Options, mode: OpenMode) -> Result<bool> {
    let vfs = &*options.vfs;
    let not_there = || Error::NotADatabase { path: dir.to_owned() };
    let metadata = match vfs.metadata(dir) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Error::io("look at", dir, error)),
    };
    if metadata.is_some_and(|metadata| !metadata.is_dir) {
        return Err(not_there());
    }
    let manifest = dir.join(MANIFEST);
    let exists =
        metadata.is_some() && vfs::exists(vfs, &manifest).map_err(|error| Error::io("look at", &manifest, error))?;
    if exists {
        return Ok(true);
    }
    if mode == OpenMode::ReadOnly || !options.create_if_missing {
        return Err(not_there());
    }
    if metadata.is_some() {
        let paths = vfs.read_dir(dir).map_err(|error| Error::io("list", dir, error))?;
        if paths.iter().any(|path| FileName::of(path) != FileName::Other) {
            return Err(Error::corrupt(&manifest, 0, "the manifest is missing, but tables or segments are there"));
        }
        let ours = |path: &Path| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name == LOCK || name == "MANIFEST.tmp")
        };
        if !paths.iter().all(|path| ours(path)) {
            return Err(not_there());
        }
    }
    crate::directory::create(vfs, dir)?;
    Ok(false)
}

pub(crate) fn take_lock(vfs: &dyn Vfs, dir: &Path, kind: LockKind) -> Result<Box<dyn vfs::Lock>> {
    let path = dir.join(LOCK);
    vfs.lock(&path, kind).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => Error::Locked { path: dir.to_owned() },
        _ => Error::io("lock", &path, error),
    })
}

/// Opens the database in `dir`.
pub(crate) fn open(dir: &Path, options: &Options, mode: OpenMode) -> Result<Arc<DbCore>> {
    options.check()?;
    let span = tracing::info_span!("open", path = %dir.display());
    let _entered = span.enter();
    let exists = look_at(dir, options, mode)?;
    let kind = if mode == OpenMode::ReadOnly { LockKind::Shared } else { LockKind::Exclusive };
    let lock = take_lock(&*options.vfs, dir, kind)?;
    open_locked(dir, options, mode, exists, lock)
}

/// Opens the database in `dir`, whose lock is held; `exists` tells whether there is one.
pub(crate) fn open_locked(
    dir: &Path,
    options: &Options,
    mode: OpenMode,
    exists: bool,
    lock: Box<dyn vfs::Lock>,
) -> Result<Arc<DbCore>> {
    let vfs = &options.vfs;
    let manifest = match (mode, exists) {
        (OpenMode::ReadOnly, _) => ManifestFile::frozen(vfs, dir, read_manifest(&**vfs, dir)?)?,
        (OpenMode::ReadWrite, true) => {
            let manifest = ManifestFile::open(vfs, dir)?;
            crate::ops::forget_repair(&**vfs, dir)?;
            manifest
        }
        (OpenMode::ReadWrite, false) => ManifestFile::create(vfs, dir, ManifestState::default())?,
    };
    let preparation = if mode == OpenMode::ReadOnly { Preparation::AsIs } else { Preparation::SyncAndDrop };
    let core = build(dir, options, mode, manifest, lock)?;
    let files = list(&**vfs, dir)?;
    let recovery = replay(&core, &files, preparation)?;
    finish(&core, recovery)?;
    Ok(core)
}

/// Removes leftovers and starts the background work.
fn finish(core: &Arc<DbCore>, mut recovery: Recovery) -> Result<()> {
    if !core.read_only {
        recovery.orphans_removed = remove_orphans(core)?;
    }
    if core.recovery.set(recovery).is_err() {
        return Err(Error::InvalidOption { what: "open", reason: "the database was recovered twice".into() });
    }
    if core.read_only {
        return Ok(());
    }
    let all_persisted = core.all_keyspaces().iter().all(|keyspace| keyspace.first_unpersisted().is_none());
    if all_persisted && core.log.lock().bytes >= RELEASE_LEN_MIN {
        // Otherwise every open would read it again until something is flushed.
        core.release_log()?;
    }
    core.update_brake();
    match core.options.background {
        Background::Threads(_) => core.start_workers(),
        Background::Inline => {
            core.run_pending_jobs();
            Ok(())
        }
    }
}

/// A database of what the manifest says, before its log is read.
pub(crate) fn build(
    dir: &Path,
    options: &Options,
    mode: OpenMode,
    manifest: ManifestFile,
    lock: Box<dyn vfs::Lock>,
) -> Result<Arc<DbCore>> {
    let vfs = &options.vfs;
    let handles = HandleCache::new(options.open_tables_max);
    let cache = Arc::new(BlockCache::new(options.cache_len() as u64));
    let segments = SegmentRegistry::new(dir, vfs, &handles);
    let context = Arc::new(TableContext { dir: dir.to_owned(), vfs: Arc::clone(vfs), cache, handles });
    let state = manifest.state();
    let mut keyspaces = KeyspaceMap::new();
    for (&id, keyspace) in &state.keyspaces {
        let mut levels: [Vec<Arc<TableHandle>>; crate::manifest::format::LEVEL_COUNT] = Default::default();
        for (slot, tables) in levels.iter_mut().zip(ManifestState::levels(keyspace)) {
            for meta in tables {
                let pinned = meta.segments.iter().map(|&(number, _)| segments.get(number)).collect();
                slot.push(TableHandle::new(meta, pinned, &context));
            }
        }
        let (name, version) = (keyspace.name.clone(), Version::new(levels));
        let core = KeyspaceCore::new(id, name, keyspace.options.clone(), version, keyspace.persisted);
        keyspaces.insert(id, core);
    }
    let mut next_file = state.next_file.max(state.log_start);
    for name in list(&**vfs, dir)? {
        if let FileName::Segment(number) | FileName::Table(number) = name {
            next_file = next_file.max(number.saturating_add(1));
        }
    }
    let next_seq = state.log_first_seq;
    Ok(DbCore::new(Parts {
        context,
        options: options.clone(),
        read_only: mode == OpenMode::ReadOnly,
        keyspaces,
        manifest,
        segments,
        next_file,
        next_seq,
        lock,
    }))
}

/// Operations of one keyspace that are in the log only.
struct Tail {
    run: SortedRunBuilder,
    segments: BTreeMap<u64, Arc<Segment>>,
}

impl Tail {
    const fn new() -> Self {
        Self { run: SortedRunBuilder::new(), segments: BTreeMap::new() }
    }
}

/// Collects the log's operations into one run for each keyspace.
struct Collector<'a> {
    core: &'a DbCore,
    persisted: BTreeMap<u32, (Arc<KeyspaceCore>, Seq)>,
    tails: BTreeMap<u32, Tail>,
    pointer: Vec<u8>,
}

impl Collector<'_> {
    fn take(&mut self, record: &Replayed<'_>) -> Result<()> {
        let mut seq = record.header.first_seq;
        let mut data_offset = record.data_offset;
        for op in OpReader::new(record.meta) {
            let wanted = self.persisted.get(&op.keyspace).is_some_and(|(_, persisted)| seq > *persisted);
            if wanted {
                let tail = self.tails.entry(op.keyspace).or_insert_with(Tail::new);
                match op.action {
                    Action::Delete => tail.run.push(op.key, Trailer::new(seq, Kind::Delete), &[]),
                    Action::Put(value) => tail.run.push(op.key, Trailer::new(seq, Kind::Inline), value),
                    Action::DeleteRange { end } => tail.run.push_range_tombstone(op.key, end, seq),
                    Action::PutSeparated { len, crc } => {
                        let segment = record.segment;
                        tail.segments.entry(segment.number).or_insert_with(|| Arc::clone(segment));
                        self.pointer.clear();
                        ValuePointer { segment: segment.number, offset: data_offset, len, crc }
                            .encode(&mut self.pointer);
                        tail.run.push(op.key, Trailer::new(seq, Kind::Separated), &self.pointer);
                    }
                }
            }
            if let Action::PutSeparated { len, .. } = op.action {
                data_offset += u64::from(len);
            }
            seq = seq.plus(1);
        }
        let read = record.header.end_seq().get() - 1;
        self.core.visible.store(read, Ordering::Release);
        self.core.durable.store(read, Ordering::Release);
        let bytes: usize = self.tails.values().map(|tail| tail.run.allocated_bytes()).sum();
        if !self.core.read_only && bytes >= self.core.options.write_buffer_len() / 2 {
            self.publish(true)?;
        }
        Ok(())
    }

    /// Shows the runs to readers, or writes them to tables at once.
    fn publish(&mut self, flush: bool) -> Result<()> {
        for (id, tail) in std::mem::take(&mut self.tails) {
            let Some((keyspace, _)) = self.persisted.get(&id) else { continue };
            let run = Buffer::Run(Arc::new(tail.run.finish()));
            let memory = MemBuffer::with_segments(run, tail.segments.into_values().collect());
            keyspace.change_view(|view| {
                let mut next = view.clone();
                next.immutables.insert(0, memory);
                next
            });
            if flush {
                self.core.flush_immutables(keyspace)?;
            }
        }
        Ok(())
    }
}

/// Reads the log's tail into memory, or into tables where it exceeds the budget.
pub(crate) fn replay(core: &Arc<DbCore>, files: &[FileName], preparation: Preparation) -> Result<Recovery> {
    let (log_start, first_seq, durable, sealed) = {
        let manifest = core.manifest.lock();
        let state = manifest.state();
        (state.log_start, state.log_first_seq, state.durable, state.segments.clone())
    };
    let mut numbers: Vec<u64> = files
        .iter()
        .filter_map(|name| match name {
            FileName::Segment(number) if *number >= log_start && !sealed.contains_key(number) => Some(*number),
            _ => None,
        })
        .collect();
    numbers.sort_unstable();
    let persisted = {
        let manifest = core.manifest.lock();
        let state = manifest.state();
        let of = |keyspace: &Arc<KeyspaceCore>| state.keyspaces.get(&keyspace.id).map_or(Seq::ZERO, |k| k.persisted);
        core.all_keyspaces().into_iter().map(|keyspace| (keyspace.id, (Arc::clone(&keyspace), of(&keyspace)))).collect()
    };
    let log = Log {
        registry: &core.segments,
        dir: &core.context.dir,
        segments: &numbers,
        first_seq,
        durable,
        mode: core.options.recovery,
        preparation,
    };
    let mut collector = Collector { core, persisted, tails: BTreeMap::new(), pointer: Vec::new() };
    let end = log.replay(&mut |record| collector.take(&record))?;
    collector.publish(false)?;
    let LogEnd { next_seq, segments, torn, lost, records, bytes } = end;
    {
        let mut log = core.log.lock();
        log.next_seq = next_seq;
        log.bytes = bytes;
        log.segments = segments;
    }
    let last = next_seq.get() - 1;
    core.visible.store(last, Ordering::Release);
    core.durable.store(last, Ordering::Release);
    if !lost.is_empty() && !core.read_only {
        // The gap must not be met again: everything goes to tables, and the log begins anew.
        for keyspace in core.all_keyspaces() {
            core.flush_immutables(&keyspace)?;
        }
        core.release_log()?;
        let mut manifest = core.manifest.lock();
        if manifest.state().log_first_seq != next_seq {
            // Where no segment was left there was nothing to release either.
            let segment = core.next_file_number();
            core.commit_manifest(&mut manifest, vec![Edit::LogStart { segment, first_seq: next_seq }])?;
        }
    }
    Ok(Recovery { batches: records, bytes, torn, lost, orphans_removed: 0 })
}

/// Removes files that neither the manifest nor the log accounts for.
fn remove_orphans(core: &DbCore) -> Result<u64> {
    let vfs = &*core.context.vfs;
    let dir = &core.context.dir;
    let manifest = core.manifest.lock();
    let state = manifest.state();
    let tables: Vec<u64> = state.keyspaces.values().flat_map(|keyspace| keyspace.tables.keys().copied()).collect();
    let log: Vec<u64> = core.log.lock().segments.iter().map(|segment| segment.segment.number).collect();
    let paths = vfs.read_dir(dir).map_err(|error| Error::io("list", dir, error))?;
    let mut removed = 0;
    for path in paths {
        let orphan = match FileName::of(&path) {
            FileName::Table(number) => !tables.contains(&number),
            FileName::Segment(number) => !state.segments.contains_key(&number) && !log.contains(&number),
            FileName::Other => path.file_name().is_some_and(|name| name == "MANIFEST.tmp"),
        };
        if orphan {
            remove_obsolete(vfs, &path);
            removed += 1;
        }
    }
    Ok(removed)
}
