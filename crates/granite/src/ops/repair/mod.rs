//! Makes a damaged database whole again, from what is intact, and tells what was lost.
//!
//! The new state is complete and durable before the manifest that names it takes the place of the old one; until then no file is changed or
//! removed. `rebuild` finds out what a lost manifest said, `mark` tells a second rebuild what the first one wrote, `salvage` rewrites damaged tables,
//! this file brings it together.

pub(crate) mod mark;
mod rebuild;
mod salvage;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vfs::{LockKind, OpenMode as FileMode, Vfs};

use self::rebuild::Rebuilt;
use self::salvage::{Fate, Salvage};
use super::verify::{list, log_numbers};
use crate::compaction::Plan;
use crate::compaction::run::Below;
use crate::db::DbCore;
use crate::error::{Error, Result};
use crate::key::Seq;
use crate::keyspace::KeyspaceCore;
use crate::log::replay::{LostLog, Preparation};
use crate::log::segment::{Segment, read_header, remove_obsolete, segment_path};
use crate::manifest::file::{MANIFEST, read as read_manifest};
use crate::manifest::format::LEVEL_COUNT;
use crate::manifest::{ManifestFile, ManifestState, TableMeta};
use crate::open::{FileName, LOCK, OpenMode, build, replay, take_lock};
use crate::options::{Background, Options, RecoveryMode};
use crate::tree::merge::Source;
use crate::tree::table_handle::table_path;
use crate::tree::{TableHandle, Version};

/// Where damaged originals go.
const LOST: &str = "lost";

/// Keys whose entries may be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRange {
    /// The keyspace.
    pub keyspace: String,
    /// The first key that may be concerned; `None` if nothing is known of it.
    pub from: Option<Vec<u8>>,
    /// The last key that may be concerned; `None` if nothing is known of it.
    pub to: Option<Vec<u8>>,
    /// The table that was damaged.
    pub table: PathBuf,
}

/// A separated value that is gone or damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostValue {
    /// The keyspace.
    pub keyspace: String,
    /// The key, which is deleted now: an older value would be a wrong one.
    pub key: Vec<u8>,
    /// When it was written.
    pub seq: Seq,
}

/// What a repair did. Nothing at all, if nothing was damaged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// The manifest was lost and was rebuilt from the tables and segments.
    pub manifest_rebuilt: bool,
    /// Tables that stay as they are.
    pub tables_kept: u64,
    /// Tables that were rewritten from what is readable of them.
    pub tables_rewritten: u64,
    /// Tables of which nothing could be read.
    pub tables_lost: u64,
    /// Entries saved from damaged tables.
    pub entries_saved: u64,
    /// Keys whose entries in a damaged table are lost. Older versions of them, in other tables, may be seen again.
    pub lost_ranges: Vec<LostRange>,
    /// Keys whose separated value is lost.
    pub lost_values: Vec<LostValue>,
    /// Stretches of the log that are lost.
    pub lost_log: Vec<LostLog>,
    /// Tables whose deletes of ranges are lost: what they had deleted may be seen again.
    pub lost_range_deletes: Vec<PathBuf>,
    /// Where the damaged originals are now.
    pub originals: Vec<PathBuf>,
}

impl RepairReport {
    /// True if something was lost.
    #[must_use]
    pub const fn is_loss(&self) -> bool {
        !(self.lost_ranges.is_empty()
            && self.lost_values.is_empty()
            && self.lost_log.is_empty()
            && self.lost_range_deletes.is_empty())
    }
}

/// Repairs the database in `dir`, which nobody may have open: afterwards it opens, holds everything that is intact, and passes
/// [`verify`](crate::verify()). A healthy database is left as it is.
///
/// Damaged tables are rewritten from their readable blocks, a damaged log is read past its damage, a missing or damaged manifest is rebuilt. No
/// original is changed before the new state is durable; damaged ones are then found in the folder `lost`.
///
/// What cannot be known without the manifest: names of keyspaces (those that are lost become `keyspace-ID`), options that tables do not
/// tell, and which files were obsolete. An obsolete table or segment that is still there is taken for a part of the database: keys that
/// were deleted, and whose deletes a compaction had dropped already, can be seen again.
///
/// Of `options`, the disk counts, the memory budget, and the lengths of tables and segments.
///
/// # Errors
/// [`Error::Locked`], [`Error::NotADatabase`], [`Error::NewerFormat`], [`Error::StorageFull`], or another failure of the disk; the database is as it was
/// then.
pub fn repair(dir: impl AsRef<Path>, options: &Options) -> Result<RepairReport> {
    let dir = dir.as_ref();
    options.check()?;
    let span = tracing::info_span!("repair", path = %dir.display());
    let _entered = span.enter();
    let vfs = &options.vfs;
    let mut files = list(&**vfs, dir)?;
    let ours =
        |name: FileName, path: &Path| name != FileName::Other || path.file_name().is_some_and(|name| name == MANIFEST);
    if !files.iter().any(|(name, path)| ours(*name, path)) {
        return Err(Error::NotADatabase { path: dir.to_owned() });
    }
    let lock = take_lock(&**vfs, dir, LockKind::Exclusive)?;
    let (Rebuilt { state, unknown }, rebuilt) = match read_manifest(&**vfs, dir) {
        Ok(read) => {
            mark::remove(&**vfs, dir)?;
            (Rebuilt { state: read.state, unknown: Vec::new() }, false)
        }
        Err(Error::Corrupt { .. } | Error::NotADatabase { .. }) => {
            let unfinished = mark::read(&**vfs, dir)?;
            files.retain(|(name, path)| {
                let is_new = name.number().zip(unfinished).is_some_and(|(number, first)| number >= first);
                if is_new {
                    remove_obsolete(&**vfs, path);
                }
                !is_new
            });
            let rebuilt = rebuild::state(vfs, dir, &files)?;
            mark::write(&**vfs, dir, unfinished.unwrap_or(rebuilt.state.next_file))?;
            (rebuilt, true)
        }
        Err(error) => return Err(error),
    };
    // The engine's own parts write the new files; it never sees the directory as a database.
    let options = options.clone().recovery(RecoveryMode::Salvage).background(Background::Inline);
    let lock_file = dir.join(LOCK);
    let file = vfs.open(&lock_file, FileMode::Read).map_err(|error| Error::io("open", &lock_file, error))?;
    let manifest = ManifestFile::detached(vfs, dir, state.clone(), file);
    let bench = build(dir, &options, OpenMode::ReadOnly, manifest, lock)?;
    let names: Vec<FileName> = files.iter().map(|(name, _)| *name).collect();
    let mut repair = Repair {
        vfs,
        dir,
        bench: &bench,
        next: state.clone(),
        report: RepairReport { manifest_rebuilt: rebuilt, ..RepairReport::default() },
        damaged: BTreeSet::new(),
        replaced: Vec::new(),
        bad_segments: BTreeSet::new(),
    };
    repair.note_unknown(unknown);
    let done = repair.run(&state, &names);
    if done.is_err() {
        repair.discard(&names);
    }
    done.map(|()| repair.report)
}

struct Repair<'a> {
    vfs: &'a Arc<dyn Vfs>,
    dir: &'a Path,
    bench: &'a Arc<DbCore>,
    next: ManifestState,
    report: RepairReport,
    /// Originals that go to the folder of the lost.
    damaged: BTreeSet<PathBuf>,
    /// Files that nothing needs any more afterwards.
    replaced: Vec<PathBuf>,
    /// Segments that are not what they should be, though values in them may be.
    bad_segments: BTreeSet<u64>,
}

impl Repair<'_> {
    fn run(&mut self, state: &ManifestState, files: &[FileName]) -> Result<()> {
        let recovery = replay(self.bench, files, Preparation::SyncAndDrop)?;
        self.note_log(state, recovery.lost);
        self.look_at_segments(state)?;
        let mut tables_changed = false;
        for keyspace in self.bench.all_keyspaces() {
            tables_changed |= self.tables_of(&keyspace, state)?;
        }
        let rebuilt = self.report.manifest_rebuilt;
        // A bad segment that is given up would be taken for one of the log's until its file is gone.
        let new_log = rebuilt || !self.report.lost_log.is_empty() || !self.bad_segments.is_empty();
        if !new_log && !tables_changed {
            return Ok(());
        }
        if new_log {
            // The log begins anew behind everything that is in it.
            for keyspace in self.bench.all_keyspaces() {
                let tables = if rebuilt { self.merge_all(&keyspace)? } else { self.flush(&keyspace)? };
                self.add(&keyspace, tables, if rebuilt { LEVEL_COUNT - 1 } else { 0 });
            }
            self.begin_log();
        }
        self.list_segments(state, files)?;
        let log = log_numbers(&self.next, files.iter().copied());
        for &name in files {
            match name {
                FileName::Table(number)
                    if !self.next.keyspaces.values().any(|next| next.tables.contains_key(&number)) =>
                {
                    self.replaced.push(table_path(self.dir, number));
                }
                FileName::Segment(number) if !self.next.segments.contains_key(&number) && !log.contains(&number) => {
                    self.replaced.push(segment_path(self.dir, number));
                }
                _ => {}
            }
        }
        self.next.next_file = self.next.next_file.max(self.bench.next_file_number());
        self.commit()
    }

    /// Tables of which it cannot be told what they belong to.
    fn note_unknown(&mut self, tables: Vec<PathBuf>) {
        for table in tables {
            self.report.tables_lost += 1;
            let keyspace = "(unknown)".to_owned();
            self.report.lost_ranges.push(LostRange { keyspace, from: None, to: None, table: table.clone() });
            self.damaged.insert(table);
        }
    }

    fn note_log(&mut self, state: &ManifestState, lost: Vec<LostLog>) {
        // Without a manifest it is not known where the log began: what is missing before the tables' newest entries was given up.
        let floor = match self.report.manifest_rebuilt {
            true => state.keyspaces.values().map(|keyspace| keyspace.persisted).min().unwrap_or(Seq::ZERO),
            false => Seq::ZERO,
        };
        for lost in lost.into_iter().filter(|lost| lost.last.is_none_or(|last| last > floor)) {
            if lost.segment > 0 {
                self.damaged.insert(segment_path(self.dir, lost.segment));
            }
            self.report.lost_log.push(lost);
        }
    }

    /// Finds the segments out of which the values that are intact have to be moved: sealed ones, and those of the log that tables point into.
    fn look_at_segments(&mut self, state: &ManifestState) -> Result<()> {
        let mut pointed: BTreeMap<u64, u64> = state.live_bytes().into_keys().map(|number| (number, 0)).collect();
        pointed.extend(&state.segments);
        for (number, len) in pointed {
            let path = segment_path(self.dir, number);
            let checked = match self.vfs.open(&path, FileMode::Read) {
                Ok(file) => match file.len() {
                    Ok(found) if found >= len => read_header(&*file, &path, number).map(|_| true),
                    Ok(_) => Ok(false),
                    Err(error) => Err(Error::io("read the length of", &path, error)),
                },
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(Error::io("open", &path, error)),
            };
            match checked {
                Ok(true) => {}
                Ok(false) | Err(Error::Corrupt { .. }) => {
                    self.bad_segments.insert(number);
                    self.damaged.insert(path);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Looks at the tables of a keyspace, and rewrites those that are damaged. True if there were any.
    fn tables_of(&mut self, keyspace: &Arc<KeyspaceCore>, state: &ManifestState) -> Result<bool> {
        let Some(before) = state.keyspaces.get(&keyspace.id) else { return Ok(false) };
        let mut changed = false;
        for (&number, (level, meta)) in &before.tables {
            let salvage = Salvage { bench: self.bench, keyspace, meta, bad_segments: &self.bad_segments };
            let fate = salvage.run()?;
            if !matches!(fate, Fate::Kept) {
                changed = true;
                if let Some(tables) = self.next.keyspaces.get_mut(&keyspace.id).map(|next| &mut next.tables) {
                    tables.remove(&number);
                }
            }
            let path = table_path(self.dir, number);
            match fate {
                Fate::Kept => self.report.tables_kept += 1,
                Fate::Gone => {
                    self.report.tables_lost += 1;
                    let (from, to) = (Some(meta.smallest.clone()), Some(meta.largest.clone()));
                    self.report.lost_ranges.push(LostRange { keyspace: keyspace.name.clone(), from, to, table: path });
                }
                Fate::Rewritten(saved) => {
                    let counter = match saved.entries {
                        0 => &mut self.report.tables_lost,
                        _ => &mut self.report.tables_rewritten,
                    };
                    *counter += 1;
                    self.report.entries_saved += saved.entries;
                    self.damaged.insert(path.clone());
                    for (from, to) in saved.lost {
                        let (from, to) = (from.or_else(|| known(&meta.smallest)), to.or_else(|| known(&meta.largest)));
                        self.report.lost_ranges.push(LostRange {
                            keyspace: keyspace.name.clone(),
                            from,
                            to,
                            table: path.clone(),
                        });
                    }
                    for (key, seq) in saved.lost_values {
                        self.report.lost_values.push(LostValue { keyspace: keyspace.name.clone(), key, seq });
                    }
                    if saved.lost_range_deletes {
                        self.report.lost_range_deletes.push(path);
                    }
                    self.damaged.extend(saved.damaged_segments);
                    self.add(keyspace, saved.tables, usize::from(*level));
                }
            }
        }
        Ok(changed)
    }

    fn add(&mut self, keyspace: &KeyspaceCore, tables: Vec<TableMeta>, level: usize) {
        let Some(next) = self.next.keyspaces.get_mut(&keyspace.id) else { return };
        for table in tables {
            next.tables.insert(table.number, (level as u8, table));
        }
    }

    /// Writes what the log holds of a keyspace into a table.
    fn flush(&self, keyspace: &Arc<KeyspaceCore>) -> Result<Vec<TableMeta>> {
        let view = keyspace.view_full();
        let below = Below::new(&view.version, &[], 0);
        self.merge(keyspace, &[], &below, &plan(0, u64::MAX))
    }

    /// Merges all tables of a keyspace, whose levels are not known, with what the log holds of it: by sequence numbers.
    fn merge_all(&mut self, keyspace: &Arc<KeyspaceCore>) -> Result<Vec<TableMeta>> {
        let Some(next) = self.next.keyspaces.get_mut(&keyspace.id) else { return Ok(Vec::new()) };
        let mut handles = Vec::new();
        for (_, meta) in std::mem::take(&mut next.tables).into_values() {
            let pinned: Vec<Arc<Segment>> =
                meta.segments.iter().map(|&(segment, _)| self.bench.segments.get(segment)).collect();
            self.replaced.push(table_path(self.dir, meta.number));
            handles.push(TableHandle::new(meta, pinned, &self.bench.context));
        }
        let version = Version::empty();
        let below = Below::new(&version, &[], LEVEL_COUNT - 1);
        self.merge(keyspace, &handles, &below, &plan(LEVEL_COUNT - 1, self.bench.options.table_len))
    }

    fn merge(
        &self,
        keyspace: &Arc<KeyspaceCore>,
        tables: &[Arc<TableHandle>],
        below: &Below<'_>,
        plan: &Plan,
    ) -> Result<Vec<TableMeta>> {
        let view = keyspace.view_full();
        let mut sources: Vec<Source> =
            view.memory().filter(|memory| !memory.buffer.is_empty()).map(Source::memory).collect();
        let mut tombstones: Vec<_> =
            view.memory().flat_map(|memory| memory.buffer.range_tombstones().to_vec()).collect();
        for table in tables {
            tombstones.extend_from_slice(table.table()?.range_tombstones());
            sources.push(Source::table(table, false)?);
        }
        if sources.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.bench.merge_into_tables(keyspace, sources, tombstones, below, plan)?.tables)
    }

    fn begin_log(&mut self) {
        let read = self.bench.log.lock().next_seq;
        let newest = self.next.keyspaces.values().flat_map(|keyspace| keyspace.tables.values());
        let newest = newest.map(|(_, table)| table.seq_max).max().unwrap_or(Seq::ZERO);
        let persisted = self.next.keyspaces.values().map(|keyspace| keyspace.persisted).max().unwrap_or(Seq::ZERO);
        let first = read.max(newest.plus(1)).max(persisted.plus(1)).max(self.next.durable.plus(1));
        let last = Seq::new(first.get() - 1);
        self.next.log_first_seq = first;
        self.next.log_start = self.bench.next_file_number();
        self.next.durable = last;
        for keyspace in self.next.keyspaces.values_mut() {
            keyspace.persisted = last;
        }
    }

    /// Lists the segments that the tables point into, unless the log still has them.
    fn list_segments(&mut self, state: &ManifestState, files: &[FileName]) -> Result<()> {
        let live: BTreeMap<u64, u64> = self.next.live_bytes();
        let log = log_numbers(state, files.iter().copied());
        let log_start = self.next.log_start;
        let sealed = live.keys().copied().filter(|number| *number < log_start || !log.contains(number));
        let mut segments = BTreeMap::new();
        for number in sealed {
            let path = segment_path(self.dir, number);
            let found = self.vfs.metadata(&path).map_err(|error| Error::io("look at", &path, error))?;
            segments.insert(number, found.len);
        }
        self.next.segments = segments;
        Ok(())
    }

    /// Keeps the damaged originals, makes the new manifest the manifest, and clears away what it replaces.
    fn commit(&mut self) -> Result<()> {
        let manifest = self.dir.join(MANIFEST);
        if self.report.manifest_rebuilt {
            self.damaged.insert(manifest);
        }
        let lost = self.dir.join(LOST);
        for path in &self.damaged {
            self.report.originals.extend(keep(&**self.vfs, path, &lost)?);
        }
        if !self.report.originals.is_empty() {
            self.vfs.sync_dir(&lost).map_err(|error| Error::io("sync", &lost, error))?;
            // The names of new tables are durable; that of the folder may not be.
            self.vfs.sync_dir(self.dir).map_err(|error| Error::io("sync", self.dir, error))?;
        }
        ManifestFile::create(self.vfs, self.dir, self.next.clone())?;
        if self.report.manifest_rebuilt {
            self.replaced.push(self.dir.join(mark::REPAIR));
        }
        for path in self.replaced.iter().collect::<BTreeSet<_>>() {
            // A name that comes back after a loss of power is removed by the next open.
            remove_obsolete(&**self.vfs, path);
        }
        Ok(())
    }

    /// Removes what was written in vain.
    fn discard(&self, before: &[FileName]) {
        // After the manifest was replaced the new files are the database's; a failure then leaves leftovers only.
        let Ok(files) = list(&**self.vfs, self.dir) else { return };
        let named = read_manifest(&**self.vfs, self.dir).map(|read| read.state).unwrap_or_default();
        let log = log_numbers(&named, before.iter().copied());
        for (name, path) in files {
            let is_named = match name {
                FileName::Table(number) => {
                    named.keyspaces.values().any(|keyspace| keyspace.tables.contains_key(&number))
                }
                FileName::Segment(number) => named.segments.contains_key(&number) || log.contains(&number),
                FileName::Other => true,
            };
            if !before.contains(&name) && !is_named {
                remove_obsolete(&**self.vfs, &path);
            }
        }
    }
}

fn known(key: &[u8]) -> Option<Vec<u8>> {
    (!key.is_empty()).then(|| key.to_vec())
}

const fn plan(output_level: usize, table_len: u64) -> Plan {
    Plan { inputs: Vec::new(), output_level, move_only: false, table_len, evacuate: BTreeSet::new(), newest: Seq::MAX }
}

/// Gives `path` a name in the folder `lost` as well. `None` if there is no such file.
fn keep(vfs: &dyn Vfs, path: &Path, lost: &Path) -> Result<Option<PathBuf>> {
    if !vfs::exists(vfs, path).map_err(|error| Error::io("look at", path, error))? {
        return Ok(None);
    }
    vfs.create_dir_all(lost).map_err(|error| Error::io("create", lost, error))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // Earlier repairs may have left files of that name.
    let mut to = lost.join(&name);
    let mut nth = 1;
    loop {
        match vfs.hard_link(path, &to) {
            Ok(()) => return Ok(Some(to)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                to = lost.join(format!("{name}.{nth}"));
                nth += 1;
            }
            Err(error) => return Err(Error::io("link", &to, error)),
        }
    }
}
