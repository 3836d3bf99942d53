//! Checks everything a database consists of, without changing anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vfs::{LockKind, OpenMode, Vfs};

use super::tables::{Walked, walk};
use crate::cache::BlockCache;
use crate::db::{Db, DbCore};
use crate::error::{Error, Result};
use crate::handles::HandleCache;
use crate::log::replay::{Log, LostLog, Preparation};
use crate::log::segment::{SegmentRegistry, read_header, segment_path};
use crate::manifest::file::{MANIFEST, read as read_manifest};
use crate::manifest::{ManifestState, TableMeta};
use crate::open::{FileName, LOCK, take_lock};
use crate::options::{Options, RecoveryMode};
use crate::table::{Survey, Table};
use crate::tree::table_handle::table_path;

/// Segments kept open while values are looked up.
const OPEN_SEGMENTS_MAX: usize = 128;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// Where in the file.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

impl Finding {
    pub(crate) fn new(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), offset, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.path.display(), self.offset, self.what)
    }
}

/// What was checked, and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Tables read.
    pub tables: u64,
    /// Entries read in them.
    pub entries: u64,
    /// Bytes of separated values that tables point to, read.
    pub value_bytes: u64,
    /// Records of the log read.
    pub log_records: u64,
    /// Where a torn tail stands: segment and offset. It is no damage: nothing in it was acknowledged as durable.
    pub torn: Option<(u64, u64)>,
    /// Files that nobody accounts for: a crash leaves some, and the next writing open removes those that are granite's. They are no damage.
    pub leftovers: Vec<PathBuf>,
    /// Everything that is wrong, in the order in which it was met.
    pub findings: Vec<Finding>,
}

impl VerifyReport {
    /// True if nothing is wrong.
    #[must_use]
    pub const fn is_intact(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Checks the database in `dir`, which nobody may have open for writing: the manifest, every block of every table, every value that a table points
/// to, every record of the log, and whether there are files that nobody accounts for. Changes nothing.
///
/// Of `options`, only the disk counts.
///
/// # Errors
/// [`Error::Locked`], [`Error::NotADatabase`], [`Error::NewerFormat`], or an error of the disk. Damage is no error: it is in the report.
pub fn verify(dir: impl AsRef<Path>, options: &Options) -> Result<VerifyReport> {
    let dir = dir.as_ref();
    let vfs = &options.vfs;
    let mut files = list(&**vfs, dir)?;
    let _lock = take_lock(&**vfs, dir, LockKind::Shared)?;
    let mut verifier = Verifier::new(vfs, dir);
    match read_manifest(&**vfs, dir) {
        Ok(read) => {
            let log: Vec<u64> = log_numbers(&read.state, files.iter().map(|(name, _)| *name));
            verifier.state(&read.state)?;
            verifier.log(&read.state, &log)?;
            files.retain(|(name, path)| !is_accounted_for(&read.state, &log, *name, path));
            for (_, path) in files {
                if !vfs.metadata(&path).map_err(|error| Error::io("look at", &path, error))?.is_dir {
                    verifier.report.leftovers.push(path);
                }
            }
        }
        Err(error @ (Error::Corrupt { .. } | Error::NotADatabase { .. })) => {
            let tables: Vec<_> = files.iter().filter(|(name, _)| matches!(name, FileName::Table(_))).collect();
            if matches!(error, Error::NotADatabase { .. }) && files.iter().all(|(name, _)| *name == FileName::Other) {
                return Err(error);
            }
            verifier.find(match error {
                Error::Corrupt { path, offset, what } => Finding { path, offset, what },
                _ => Finding::new(&dir.join(MANIFEST), 0, "the manifest is missing"),
            });
            for (_, path) in tables {
                verifier.lone_table(path)?;
            }
        }
        Err(error) => return Err(error),
    }
    Ok(verifier.report)
}

impl Db {
    /// Checks the open database as [`verify`] does, at the present moment. Commits and reads go on; flushes wait while the log is
    /// read. Files that nobody accounts for are not looked for: some are always on their way in or out.
    ///
    /// # Errors
    /// [`Error::Closed`] or an error of the disk. Damage is no error: it is in the report.
    pub fn verify(&self) -> Result<VerifyReport> {
        self.core.verify()
    }
}

impl DbCore {
    fn verify(&self) -> Result<VerifyReport> {
        self.check_open()?;
        let mut verifier = Verifier::new(&self.context.vfs, &self.context.dir);
        let manifest = self.manifest.lock();
        let state = manifest.state().clone();
        let numbers: Vec<u64> = {
            let mut log = self.log.lock();
            // What is being written now would look torn.
            if self.check_writable().is_ok() {
                self.seal_log(&mut log)?;
            }
            let closed = log.segments.iter().chain(log.writer.active()).map(|closed| closed.segment.number);
            closed.filter(|&number| number >= state.log_start).collect()
        };
        verifier.log(&state, &numbers)?;
        // Tables and segments stay as long as a version names them.
        let pinned: Vec<_> = self.all_keyspaces().iter().map(|keyspace| Arc::clone(&keyspace.view().version)).collect();
        drop(manifest);
        verifier.state(&state)?;
        drop(pinned);
        Ok(verifier.report)
    }
}

/// The files of a directory, by name.
pub(crate) fn list(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<(FileName, PathBuf)>> {
    let paths = vfs.read_dir(dir).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::NotADatabase { path: dir.to_owned() },
        _ => Error::io("list", dir, error),
    })?;
    let mut files: Vec<_> = paths.into_iter().map(|path| (FileName::of(&path), path)).collect();
    files.sort();
    Ok(files)
}

/// The segments that the log is read from.
pub(crate) fn log_numbers(state: &ManifestState, files: impl Iterator<Item = FileName>) -> Vec<u64> {
    let of_log = |name| match name {
        FileName::Segment(number) if number >= state.log_start && !state.segments.contains_key(&number) => Some(number),
        _ => None,
    };
    files.filter_map(of_log).collect()
}

fn is_accounted_for(state: &ManifestState, log: &[u64], name: FileName, path: &Path) -> bool {
    match name {
        FileName::Table(number) => state.keyspaces.values().any(|keyspace| keyspace.tables.contains_key(&number)),
        FileName::Segment(number) => state.segments.contains_key(&number) || log.contains(&number),
        FileName::Other => path.file_name().is_some_and(|name| name == LOCK || name == MANIFEST),
    }
}

struct Verifier<'a> {
    vfs: &'a Arc<dyn Vfs>,
    dir: &'a Path,
    values: Arc<SegmentRegistry>,
    report: VerifyReport,
}

impl<'a> Verifier<'a> {
    fn new(vfs: &'a Arc<dyn Vfs>, dir: &'a Path) -> Self {
        let values = SegmentRegistry::new(dir, vfs, &HandleCache::new(OPEN_SEGMENTS_MAX));
        Self { vfs, dir, values, report: VerifyReport::default() }
    }

    fn find(&mut self, finding: Finding) {
        self.report.findings.push(finding);
    }

    /// Checks what a manifest says against the files.
    fn state(&mut self, state: &ManifestState) -> Result<()> {
        let manifest = self.dir.join(MANIFEST);
        let mut known: BTreeSet<u64> = BTreeSet::new();
        for (&number, &len) in &state.segments {
            self.sealed_segment(number, len)?;
            known.insert(number);
        }
        for (&id, keyspace) in &state.keyspaces {
            for (_, table) in keyspace.tables.values() {
                self.table(id, table)?;
                // A segment of the log's present tail is not sealed yet.
                let missing =
                    table.segments.iter().filter(|(number, _)| !known.contains(number) && *number < state.log_start);
                for (number, _) in missing.collect::<Vec<_>>() {
                    let what = format!("table {} points into segment {number}, which is not listed", table.number);
                    self.find(Finding::new(&manifest, 0, what));
                }
            }
            for (level, tables) in ManifestState::levels(keyspace).iter().enumerate().skip(1) {
                for pair in tables.windows(2) {
                    if let [a, b] = pair
                        && a.largest >= b.smallest
                    {
                        let what = format!(
                            "tables {} and {} overlap in level {level} of {}",
                            a.number, b.number, keyspace.name
                        );
                        self.find(Finding::new(&manifest, 0, what));
                    }
                }
            }
        }
        Ok(())
    }

    fn sealed_segment(&mut self, number: u64, len: u64) -> Result<()> {
        let path = segment_path(self.dir, number);
        let file = match self.vfs.open(&path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.find(Finding::new(&path, 0, "the manifest names this segment but it is gone"));
                return Ok(());
            }
            Err(error) => return Err(Error::io("open", &path, error)),
        };
        let file_len = file.len().map_err(|error| Error::io("read the length of", &path, error))?;
        if file_len < len {
            self.find(Finding::new(
                &path,
                file_len,
                format!("the segment is shorter than the {len} bytes recorded for it"),
            ));
        }
        match read_header(&*file, &path, number) {
            Ok(_) => Ok(()),
            Err(Error::Corrupt { path, offset, what }) => {
                self.find(Finding { path, offset, what });
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn table(&mut self, keyspace: u32, meta: &TableMeta) -> Result<()> {
        let path = table_path(self.dir, meta.number);
        let Some((survey, walked, len)) = self.walk_table(&path)? else {
            self.find(Finding::new(&path, 0, "the manifest names this table but it is gone"));
            return Ok(());
        };
        if len != meta.file_len {
            let what = format!("the table has {len} bytes, not the {} recorded for it", meta.file_len);
            self.find(Finding::new(&path, len.min(meta.file_len), what));
        }
        let intact = walked.findings.is_empty();
        for what in disagreements(keyspace, meta, &survey, &walked) {
            self.find(Finding::new(&path, 0, what));
        }
        self.report.findings.extend(walked.findings);
        if intact { self.structure(&path, meta.number, len) } else { Ok(()) }
    }

    /// A table that no manifest speaks of.
    fn lone_table(&mut self, path: &Path) -> Result<()> {
        if let Some((_, walked, len)) = self.walk_table(path)? {
            let intact = walked.findings.is_empty();
            self.report.findings.extend(walked.findings);
            if intact {
                self.structure(path, 0, len)?;
            }
        }
        Ok(())
    }

    fn walk_table(&mut self, path: &Path) -> Result<Option<(Survey, Walked, u64)>> {
        let file = match self.vfs.open(path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", path, error)),
        };
        let len = file.len().map_err(|error| Error::io("read the length of", path, error))?;
        let survey = Survey::new(file, path, len)?;
        let walked = walk(&survey, path, &self.values, &mut |_| Ok(()))?;
        self.report.tables += 1;
        self.report.entries += walked.entries;
        self.report.value_bytes += walked.segments.values().sum::<u64>();
        Ok(Some((survey, walked, len)))
    }

    /// Order, filters, hash indexes, counts: what right checksums alone do not tell.
    fn structure(&mut self, path: &Path, number: u64, len: u64) -> Result<()> {
        let file = self.vfs.open(path, OpenMode::Read).map_err(|error| Error::io("open", path, error))?;
        let checked =
            Table::open(file, path, number, len, Arc::new(BlockCache::new(0))).and_then(|table| table.verify());
        match checked {
            Ok(()) => Ok(()),
            Err(Error::Corrupt { path, offset, what }) => {
                self.find(Finding { path, offset, what });
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn log(&mut self, state: &ManifestState, segments: &[u64]) -> Result<()> {
        let log = Log {
            registry: &self.values,
            dir: self.dir,
            segments,
            first_seq: state.log_first_seq,
            durable: state.durable,
            mode: RecoveryMode::Salvage,
            preparation: Preparation::AsIs,
        };
        let end = log.replay(&mut |_| Ok(()))?;
        self.report.log_records = end.records;
        self.report.torn = end.torn;
        for lost in end.lost {
            self.find(Finding::new(&segment_path(self.dir, lost.segment), lost.offset, describe(&lost)));
        }
        Ok(())
    }
}

fn describe(lost: &LostLog) -> String {
    match lost.last {
        Some(last) => format!("operations {} to {last} of the log cannot be read", lost.first),
        None => format!("the log cannot be read from operation {} on", lost.first),
    }
}

/// Where the manifest, the properties and the entries of a table tell different things.
pub(crate) fn disagreements(keyspace: u32, meta: &TableMeta, survey: &Survey, walked: &Walked) -> Vec<String> {
    let Some(properties) = &survey.properties else { return Vec::new() };
    let mut wrong = Vec::new();
    let mut compare = |what: &str, manifest: &dyn fmt::Debug, table: &dyn fmt::Debug| {
        let (manifest, table) = (format!("{manifest:?}"), format!("{table:?}"));
        if manifest != table {
            wrong.push(format!("{what}: the manifest says {manifest}, the table {table}"));
        }
    };
    compare("keyspace", &keyspace, &properties.keyspace);
    compare("file number", &meta.number, &properties.file_number);
    compare("entries", &meta.entries, &properties.entries);
    compare("deletes", &meta.deletes, &properties.deletes);
    compare("range deletes", &meta.range_deletes, &properties.range_tombstones);
    compare("sequences", &(meta.seq_min, meta.seq_max), &(properties.min_seq, properties.max_seq));
    compare("smallest key", &meta.smallest, &properties.smallest);
    // A range delete that is cut behind a table's last key ends at the first possible key after it.
    let mut cut = meta.largest.clone();
    cut.push(0);
    if properties.largest != cut || meta.range_deletes == 0 {
        compare("largest key", &meta.largest, &properties.largest);
    }
    if walked.findings.is_empty() {
        let pointed: BTreeMap<u64, u64> = meta.segments.iter().copied().collect();
        compare("bytes of values by segment", &pointed, &walked.segments);
    }
    wrong
}
