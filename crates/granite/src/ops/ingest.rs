//! Bulk loads: sorted entries written straight into tables.
//!
//! The tables are written while commits go on, without knowing their place in the order of commits. That place is taken at the end, between two
//! commits, by a record of one operation on no keyspace ([`NO_KEYSPACE`]): its sequence becomes the sequence of every entry, which each table
//! learns with its last few blocks. A crash leaves either tables that nobody names and perhaps the record, which means nothing, or everything.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use vfs::File;

use crate::compaction::output::NewTable;
use crate::compaction::values::{MovedSegments, ValueWriter};
use crate::db::{DbCore, LogState};
use crate::error::{Error, Result};
use crate::key::{Kind, MAX_VALUE_LEN, Seq, Trailer};
use crate::keyspace::{Keyspace, KeyspaceCore};
use crate::log::format::{Action, NO_KEYSPACE, Op};
use crate::log::segment::remove_obsolete;
use crate::log::writer::RecordBody;
use crate::manifest::format::LEVEL_COUNT;
use crate::manifest::{Edit, TableMeta};
use crate::table::{TableWriter, UnstampedTable};
use crate::tree::Version;

/// What a bulk load did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestReport {
    /// The sequence of all entries; that of the newest write before if there were none.
    pub seq: Seq,
    /// Entries added.
    pub entries: u64,
    /// Of these, with a value in a segment.
    pub separated: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Tables written.
    pub tables: u64,
    /// The level that the tables were put into.
    pub level: usize,
}

impl Keyspace {
    /// Adds `entries`, whose keys rise strictly, all at once: readers see none of them or all, and so does a crash. Everything is
    /// durable on return.
    ///
    /// Several times as fast as `put`: nothing goes through the log. Existing keys are overwritten. Commits go on meanwhile, but for
    /// a moment at the end. Waits for a compaction of the keyspace that is running.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// let db = granite::Db::open(dir.path(), &granite::Options::new())?;
    /// let squares = db.keyspace("squares", granite::KeyspaceOptions::new())?;
    /// let report = squares.ingest((0..1000u32).map(|n| (n.to_be_bytes(), (n * n).to_be_bytes())))?;
    /// assert_eq!(report.entries, 1000);
    /// assert_eq!(squares.get(&9u32.to_be_bytes())?.unwrap(), 81u32.to_be_bytes());
    /// # Ok::<(), granite::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::UnsortedKeys`], a key or value that the keyspace cannot hold, [`Error::StorageFull`]: nothing is added then. A failure after which
    /// the database refuses writes.
    pub fn ingest<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<IngestReport> {
        let (db, keyspace) = (&self.db, &self.core);
        db.check_writable()?;
        let span = tracing::info_span!("ingest", keyspace = %keyspace.name);
        let _entered = span.enter();
        let mut load = Load::new(db, keyspace);
        for (position, (key, value)) in (0..).zip(entries) {
            load.add(position, key.as_ref(), value.as_ref())?;
            if db.is_closing() {
                return Err(Error::Closed);
            }
        }
        load.complete_entries()?;
        if load.report.entries == 0 {
            return Ok(IngestReport { seq: db.visible(), ..load.report });
        }
        // A running compaction could put a table across the place that is chosen for these.
        let _compacting = db.compact_by_hand(keyspace);
        // Most of what is in memory goes ahead, so that the commits wait for little.
        db.flush_keyspace(keyspace)?;
        let mut report = load.report;
        db.between_commits(|| {
            // Reads find what is in memory first: older versions there would hide the new entries.
            db.flush_keyspace(keyspace)?;
            report = load.install()?;
            Ok(report.seq)
        })?;
        db.update_brake();
        Ok(report)
    }
}

struct Current {
    number: u64,
    path: PathBuf,
    file: Arc<dyn File>,
    writer: TableWriter,
    segments: BTreeMap<u64, u64>,
}

/// A table that only lacks its sequence.
struct Loaded {
    number: u64,
    path: PathBuf,
    file: Arc<dyn File>,
    table: UnstampedTable,
    segments: BTreeMap<u64, u64>,
}

/// Tables on their way. What is not installed is removed again.
struct Load<'a> {
    db: &'a Arc<DbCore>,
    keyspace: &'a KeyspaceCore,
    values: Option<ValueWriter<'a>>,
    moved: MovedSegments,
    current: Option<Current>,
    loaded: Vec<Loaded>,
    /// Every table's file, for removal.
    paths: Vec<PathBuf>,
    last_key: Vec<u8>,
    pointer: Vec<u8>,
    report: IngestReport,
    installed: bool,
}

impl<'a> Load<'a> {
    fn new(db: &'a Arc<DbCore>, keyspace: &'a KeyspaceCore) -> Self {
        Self {
            db,
            keyspace,
            values: Some(ValueWriter::new(db)),
            moved: BTreeMap::new(),
            current: None,
            loaded: Vec::new(),
            paths: Vec::new(),
            last_key: Vec::new(),
            pointer: Vec::new(),
            report: IngestReport { seq: Seq::ZERO, entries: 0, separated: 0, bytes: 0, tables: 0, level: 0 },
            installed: false,
        }
    }

    fn add(&mut self, position: u64, key: &[u8], value: &[u8]) -> Result<()> {
        let options = &self.keyspace.options;
        options.check_key(key)?;
        if value.len() > MAX_VALUE_LEN {
            return Err(Error::ValueTooLarge { len: value.len(), max: MAX_VALUE_LEN });
        }
        // Keys are not empty: the first one is greater than this.
        if key <= self.last_key.as_slice() {
            return Err(Error::UnsortedKeys { position });
        }
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        if self.current.as_ref().is_some_and(|current| current.writer.estimated_len() >= self.db.options.table_len) {
            self.close_table()?;
        }
        let mut current = match self.current.take() {
            Some(current) => current,
            None => {
                let NewTable { number, path, file, writer } = NewTable::create(self.db, self.keyspace)?;
                self.paths.push(path.clone());
                Current { number, path, file, writer, segments: BTreeMap::new() }
            }
        };
        let separated = options.separation_threshold.is_some_and(|threshold| value.len() >= threshold as usize);
        match self.values.as_mut().filter(|_| separated) {
            Some(values) => {
                let pointer = values.append(self.keyspace.id, key, value, crate::checksum::crc32c(value))?;
                *current.segments.entry(pointer.segment).or_default() += u64::from(pointer.len);
                self.pointer.clear();
                pointer.encode(&mut self.pointer);
                current.writer.add(key, Trailer::new(Seq::ZERO, Kind::Separated), &self.pointer)?;
                self.report.separated += 1;
            }
            None => current.writer.add(key, Trailer::new(Seq::ZERO, Kind::Inline), value)?,
        }
        self.current = Some(current);
        self.report.entries += 1;
        self.report.bytes += (key.len() + value.len()) as u64;
        Ok(())
    }

    fn close_table(&mut self) -> Result<()> {
        let Some(Current { number, path, file, writer, segments }) = self.current.take() else { return Ok(()) };
        let table = writer.finish_entries()?;
        // The sync that commits wait for then finds little to do.
        file.sync_data().map_err(|error| Error::io("sync", &path, error))?;
        self.loaded.push(Loaded { number, path, file, table, segments });
        Ok(())
    }

    fn complete_entries(&mut self) -> Result<()> {
        self.close_table()?;
        if let Some(values) = self.values.take() {
            self.moved = values.finish()?;
        }
        self.report.tables = self.loaded.len() as u64;
        Ok(())
    }

    /// Gives the tables their sequence and adds them to the keyspace. No commit is under way but such as are being applied.
    fn install(mut self) -> Result<IngestReport> {
        let db = self.db;
        let mut manifest = db.manifest.lock();
        if self.keyspace.is_dropped() {
            return Err(Error::UnknownKeyspace { name: self.keyspace.name.clone() });
        }
        let mut log = db.log.lock();
        db.check_failure()?;
        let _applying = db.apply.lock();
        let seq = log.next_seq;
        let mut added = Vec::with_capacity(self.loaded.len());
        for Loaded { number, path, file, table, segments } in std::mem::take(&mut self.loaded) {
            let summary = table.finish(seq)?;
            file.sync_data().map_err(|error| Error::io("sync", &path, error))?;
            added.push(TableMeta {
                number,
                file_len: summary.file_len,
                entries: summary.properties.entries,
                deletes: 0,
                range_deletes: 0,
                smallest: summary.properties.smallest,
                largest: summary.properties.largest,
                seq_min: seq,
                seq_max: seq,
                segments: segments.into_iter().collect(),
            });
        }
        let dir = &db.context.dir;
        db.context.vfs.sync_dir(dir).map_err(|error| {
            let error = Error::io("sync", dir, error);
            // Names that others rely on may be lost with these.
            db.fail(&error.to_string().into());
            error
        })?;
        // The record must be durable before a table holds its sequence: a later write could get the same one after a crash.
        take_sequence(db, &mut log)?;
        let published = self.publish(&mut manifest, seq, added);
        // Whether or not the load is there, the sequence is used.
        db.visible.store(seq.get(), Ordering::Release);
        published
    }

    fn publish(
        &mut self,
        manifest: &mut crate::manifest::ManifestFile,
        seq: Seq,
        added: Vec<TableMeta>,
    ) -> Result<IngestReport> {
        let (db, keyspace) = (self.db, self.keyspace);
        let version = Arc::clone(&keyspace.view().version);
        let level = free_level(&version, &added);
        let mut edits: Vec<Edit> = Vec::with_capacity(added.len() + self.moved.len() + 1);
        for table in &added {
            edits.push(Edit::AddTable { keyspace: keyspace.id, level: level as u8, table: table.clone() });
        }
        edits.extend(self.moved.iter().map(|(&number, &(_, len))| Edit::AddSegment { number, len }));
        edits.push(Edit::Persisted { keyspace: keyspace.id, seq });
        let committed = db.commit_manifest(manifest, edits);
        // Only a full disk leaves the manifest as it was for certain; otherwise it may name the files.
        self.installed = !matches!(committed, Err(Error::StorageFull { .. }));
        committed?;
        let segments = self.moved.iter().map(|(&number, (segment, _))| (number, Arc::clone(segment))).collect();
        let added: Vec<_> = db.handles_for(added, &segments).into_iter().map(|table| (level, table)).collect();
        keyspace.change_view(|view| {
            let mut next = view.clone();
            next.version = Arc::new(view.version.changed(&[], &added));
            // The new entries are not in memory: who looks only there for what is newer than an earlier look would miss them.
            next.floor = next.floor.max(seq);
            next
        });
        Ok(IngestReport { seq, level, ..self.report })
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        if self.installed {
            return;
        }
        for path in &self.paths {
            remove_obsolete(&*self.db.context.vfs, path);
        }
        for (segment, _) in self.moved.values() {
            segment.mark_obsolete();
        }
    }
}

/// Appends the record that takes one sequence number, and makes it durable.
fn take_sequence(db: &DbCore, log: &mut LogState) -> Result<()> {
    let mut body = RecordBody { op_count: 1, ..RecordBody::default() };
    Op { keyspace: NO_KEYSPACE, key: b"ingest", action: Action::Delete }.encode(&mut body.meta);
    db.append_record(log, &body)?;
    db.sync_log(log)
}

/// The deepest level such that neither it nor any level above holds anything in the tables' bounds; 0 if there is none.
fn free_level(version: &Version, tables: &[TableMeta]) -> usize {
    let overlaps = |level: usize| {
        tables.iter().any(|table| !version.overlapping(level, &table.smallest, &table.largest).is_empty())
    };
    (0..LEVEL_COUNT).take_while(|&level| !overlaps(level)).last().unwrap_or(0)
}
