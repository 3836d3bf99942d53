//! Changes of the set of tables, made durable in the manifest and then shown to readers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::MutexGuard;

use crate::compaction::values::MovedSegments;
use crate::db::{DbCore, KeyspaceMap, LogState};
use crate::error::{Error, Result};
use crate::key::Seq;
use crate::keyspace::KeyspaceCore;
use crate::log::segment::{Segment, remove_obsolete};
use crate::log::writer::LogSegment;
use crate::manifest::{Edit, ManifestFile, TableMeta};
use crate::tree::table_handle::table_path;
use crate::tree::{MemBuffer, TableHandle, Version};

/// Tables that replace others.
pub(crate) struct Change<'a> {
    pub(crate) removed: &'a [Arc<TableHandle>],
    pub(crate) added: Vec<TableMeta>,
    pub(crate) level: usize,
    /// Segments that were written for the added tables.
    pub(crate) moved: MovedSegments,
}

/// Memtables that became a table.
pub(crate) struct Flushed<'a> {
    pub(crate) memtables: &'a [Arc<MemBuffer>],
    /// Every operation of the keyspace up to this one is in tables now.
    pub(crate) persisted: Seq,
    pub(crate) added: Vec<TableMeta>,
}

/// What the log can do without once a manifest record is durable.
#[derive(Default)]
struct Release {
    segments: Vec<LogSegment>,
    edits: Vec<Edit>,
}

impl DbCore {
    /// Replaces tables of a keyspace by others.
    ///
    /// `segments` are those that the added tables point into.
    pub(crate) fn install(
        &self,
        keyspace: &KeyspaceCore,
        change: Change<'_>,
        segments: &BTreeMap<u64, Arc<Segment>>,
    ) -> Result<()> {
        let mut manifest = self.manifest.lock();
        if keyspace.is_dropped() {
            drop(manifest);
            self.discard(&change.added, &change.moved);
            return Ok(());
        }
        let mut edits: Vec<Edit> = Vec::new();
        for table in change.removed {
            edits.push(Edit::RemoveTable { keyspace: keyspace.id, number: table.meta.number });
        }
        for table in &change.added {
            edits.push(Edit::AddTable { keyspace: keyspace.id, level: change.level as u8, table: table.clone() });
        }
        for (&number, &(_, len)) in &change.moved {
            edits.push(Edit::AddSegment { number, len });
        }
        let unused = unused_segments(&manifest, &edits);
        edits.extend(unused.iter().map(|&number| Edit::RemoveSegment { number }));
        if let Err(error) = self.commit_manifest(&mut manifest, edits) {
            drop(manifest);
            // Only a full disk leaves the manifest as it was for certain; otherwise it may name these files.
            if matches!(error, Error::StorageFull { .. }) {
                self.discard(&change.added, &change.moved);
            }
            return Err(error);
        }
        let added = self.handles_for(change.added, segments);
        let removed: Vec<u64> = change.removed.iter().map(|table| table.meta.number).collect();
        let added: Vec<_> = added.into_iter().map(|table| (change.level, table)).collect();
        keyspace.change_view(|view| {
            let mut next = view.clone();
            next.version = Arc::new(view.version.changed(&removed, &added));
            next
        });
        drop(manifest);
        for number in unused {
            self.segments.get(number).mark_obsolete();
        }
        for table in change.removed {
            table.mark_obsolete();
        }
        Ok(())
    }

    /// Gives tables another level without touching their files.
    pub(crate) fn move_tables(&self, keyspace: &KeyspaceCore, tables: &[Arc<TableHandle>], level: usize) -> Result<()> {
        let mut manifest = self.manifest.lock();
        if keyspace.is_dropped() {
            return Ok(());
        }
        let mut edits = Vec::with_capacity(2 * tables.len());
        for table in tables {
            edits.push(Edit::RemoveTable { keyspace: keyspace.id, number: table.meta.number });
            edits.push(Edit::AddTable { keyspace: keyspace.id, level: level as u8, table: table.meta.clone() });
        }
        self.commit_manifest(&mut manifest, edits)?;
        let numbers: Vec<u64> = tables.iter().map(|table| table.meta.number).collect();
        let moved: Vec<_> = tables.iter().map(|table| (level, Arc::clone(table))).collect();
        keyspace.change_view(|view| {
            let mut next = view.clone();
            next.version = Arc::new(view.version.changed(&numbers, &moved));
            next
        });
        Ok(())
    }

    /// Shows flushed memtables as tables, and lets go of the log that only they needed.
    pub(crate) fn install_flush(&self, keyspace: &KeyspaceCore, flushed: Flushed<'_>) -> Result<()> {
        let mut manifest = self.manifest.lock();
        if keyspace.is_dropped() {
            drop(manifest);
            self.discard(&flushed.added, &BTreeMap::new());
            return Ok(());
        }
        let mut segments: BTreeMap<u64, Arc<Segment>> = BTreeMap::new();
        for segment in flushed.memtables.iter().flat_map(|memory| memory.segments().iter().cloned().collect::<Vec<_>>())
        {
            segments.insert(segment.number, segment);
        }
        let mut edits: Vec<Edit> = Vec::new();
        for table in &flushed.added {
            edits.push(Edit::AddTable { keyspace: keyspace.id, level: 0, table: table.clone() });
        }
        edits.push(Edit::Persisted { keyspace: keyspace.id, seq: flushed.persisted });
        let still_needed = self.first_needed(Some((keyspace, flushed.memtables)));
        let release = self.releasable(&manifest, &edits, still_needed);
        edits.extend(release.edits.iter().cloned());
        if let Err(error) = self.commit_manifest(&mut manifest, edits) {
            drop(manifest);
            if matches!(error, Error::StorageFull { .. }) {
                self.discard(&flushed.added, &BTreeMap::new());
            }
            return Err(error);
        }
        let added: Vec<_> = self.handles_for(flushed.added, &segments).into_iter().map(|table| (0, table)).collect();
        keyspace.change_view(|view| {
            let mut next = view.clone();
            next.immutables.retain(|memory| !flushed.memtables.iter().any(|gone| Arc::ptr_eq(gone, memory)));
            next.version = Arc::new(view.version.changed(&[], &added));
            next.floor = next.floor.max(flushed.persisted);
            next
        });
        let live = manifest.state().live_bytes();
        drop(manifest);
        self.let_go(release.segments, |number| live.contains_key(&number));
        Ok(())
    }

    /// Gives up all closed segments that hold nothing but what tables hold too.
    pub(crate) fn release_log(&self) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let needed = self.first_needed(None);
        let release = self.releasable(&manifest, &[], needed);
        if release.segments.is_empty() {
            return Ok(());
        }
        self.commit_manifest(&mut manifest, release.edits.clone())?;
        let live = manifest.state().live_bytes();
        drop(manifest);
        self.let_go(release.segments, |number| live.contains_key(&number));
        Ok(())
    }

    /// Takes a keyspace out of the manifest, its tables with it.
    pub(crate) fn install_drop(&self, keyspace: &KeyspaceCore) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let mut edits = vec![Edit::DropKeyspace { id: keyspace.id }];
        let unused = unused_segments(&manifest, &edits);
        edits.extend(unused.iter().map(|&number| Edit::RemoveSegment { number }));
        self.commit_manifest(&mut manifest, edits)?;
        keyspace.mark_dropped();
        // Still under the manifest's lock: nobody may create a keyspace from an older map meanwhile.
        let mut keyspaces = KeyspaceMap::clone(&self.keyspaces.load());
        keyspaces.remove(&keyspace.id);
        self.keyspaces.store(Arc::new(keyspaces));
        let view = keyspace.view_full();
        drop(manifest);
        for number in unused {
            self.segments.get(number).mark_obsolete();
        }
        for (_, table) in view.version.tables() {
            table.mark_obsolete();
        }
        keyspace.change_view(|view| {
            let mut next = view.clone();
            next.version = Arc::new(Version::empty());
            next.immutables.clear();
            next
        });
        Ok(())
    }

    /// Appends edits, with what every record carries: the next file number and what is durable.
    pub(crate) fn commit_manifest(&self, manifest: &mut ManifestFile, mut edits: Vec<Edit>) -> Result<()> {
        self.check_failure()?;
        edits.push(Edit::NextFile { number: self.next_file_number() });
        edits.push(Edit::Durable { seq: self.durable() });
        manifest.commit(&edits).inspect_err(|error| {
            if !matches!(error, Error::StorageFull { .. }) {
                self.fail(&error.to_string().into());
            }
        })
    }

    pub(crate) fn handles_for(
        &self,
        tables: Vec<TableMeta>,
        segments: &BTreeMap<u64, Arc<Segment>>,
    ) -> Vec<Arc<TableHandle>> {
        let handle = |meta: TableMeta| {
            let find = |number: &u64| segments.get(number).cloned().unwrap_or_else(|| self.segments.get(*number));
            let pinned = meta.segments.iter().map(|(number, _)| find(number)).collect();
            TableHandle::new(meta, pinned, &self.context)
        };
        tables.into_iter().map(handle).collect()
    }

    /// Removes files that no manifest names.
    fn discard(&self, tables: &[TableMeta], moved: &MovedSegments) {
        for table in tables {
            remove_obsolete(&*self.context.vfs, &table_path(&self.context.dir, table.number));
        }
        for (segment, _) in moved.values() {
            segment.mark_obsolete();
        }
    }

    /// The first operation that is in no table, `without` the given memtables. Everything not applied yet counts.
    fn first_needed(&self, without: Option<(&KeyspaceCore, &[Arc<MemBuffer>])>) -> Seq {
        // Nothing is appended or applied while the right to apply is held and the log is locked, in this order of looking: what is
        // visible now is in the memtables that are looked at after it.
        let mut first = self.visible().plus(1);
        for keyspace in self.all_keyspaces() {
            let view = keyspace.view_full();
            for memory in view.memory() {
                let gone = without.is_some_and(|(of, memtables)| {
                    of.id == keyspace.id && memtables.iter().any(|gone| Arc::ptr_eq(gone, memory))
                });
                if let Some((min, _)) = memory.buffer.seq_bounds().filter(|_| !gone) {
                    first = first.min(min);
                }
            }
        }
        first
    }

    /// The closed log segments that hold only operations before `needed`, and the edits that give them up.
    fn releasable(&self, manifest: &ManifestFile, edits: &[Edit], needed: Seq) -> Release {
        let log = self.log.lock();
        let mut release = Release::default();
        let mut following = log.segments.iter().skip(1).chain(log.writer.active());
        let mut start = None;
        for closed in &log.segments {
            // Without a following segment the log would begin with the next one to be made.
            let (next_number, next_seq) = match following.next() {
                Some(next) => (next.segment.number, next.first_seq),
                None => (self.next_file_number(), log.next_seq),
            };
            if next_seq > needed {
                break;
            }
            release.segments.push(closed.clone());
            start = Some((next_number, next_seq));
        }
        drop(log);
        let Some((segment, first_seq)) = start else { return release };
        release.edits.push(Edit::LogStart { segment, first_seq });
        let mut live = manifest.state().live_bytes();
        for edit in edits {
            if let Edit::AddTable { table, .. } = edit {
                for &(number, bytes) in &table.segments {
                    *live.entry(number).or_default() += bytes;
                }
            }
        }
        for closed in &release.segments {
            let number = closed.segment.number;
            if live.contains_key(&number) {
                release.edits.push(Edit::AddSegment { number, len: closed.len });
            }
        }
        release
    }

    /// Removes segments from the log; what is left of them belongs to the tables, or to nobody.
    fn let_go(&self, released: Vec<LogSegment>, is_live: impl Fn(u64) -> bool) {
        let numbers: BTreeSet<u64> = released.iter().map(|closed| closed.segment.number).collect();
        let mut log = self.log.lock();
        let LogState { segments, bytes, .. } = &mut *log;
        segments.retain(|closed| !numbers.contains(&closed.segment.number));
        *bytes = bytes.saturating_sub(released.iter().map(|closed| closed.len).sum());
        drop(log);
        for closed in released {
            if is_live(closed.segment.number) {
                continue;
            }
            if closed.has_values || !closed.has_small_syncs || !self.options.recycle_segments {
                closed.segment.mark_obsolete();
            } else if let Some(refused) = self.recycler.offer(closed.segment.path().to_owned()) {
                remove_obsolete(&*self.context.vfs, &refused);
            }
        }
    }

    /// Closes the active segment, so that everything written so far stands in closed ones.
    pub(crate) fn seal_log(&self, log: &mut MutexGuard<'_, LogState>) -> Result<()> {
        self.sync_log(log)?;
        if let Some(closed) = log.writer.close_segment() {
            log.segments.push(closed);
        }
        Ok(())
    }
}

/// Sealed segments that no table points into once `edits` are applied.
fn unused_segments(manifest: &ManifestFile, edits: &[Edit]) -> Vec<u64> {
    let mut next = manifest.state().clone();
    for edit in edits {
        if next.apply(edit.clone()).is_err() {
            return Vec::new();
        }
    }
    let live = next.live_bytes();
    next.segments.keys().copied().filter(|number| !live.contains_key(number)).collect()
}
