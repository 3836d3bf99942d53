//! Opening a database again in the process that has it open, above all after a failed sync.
//!
//! After a failed sync the pages of the log may look clean and hold what the disk lacks. What was acknowledged is still in memory: keys and small
//! values in the memtables, separated values in the page cache, each with its checksum. All of it is written into new files before anything else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::compaction::Plan;
use crate::compaction::run::{Below, Merged};
use crate::db::{Db, DbCore, UserHandle};
use crate::error::Result;
use crate::key::Seq;
use crate::keyspace::KeyspaceCore;
use crate::log::writer::LogSegment;
use crate::manifest::{Edit, ManifestFile};
use crate::open::{OpenMode, open_locked, take_lock};
use crate::tree::MemBuffer;
use crate::tree::merge::Source;

impl Db {
    /// Closes the database and opens it again, with the same options, without letting go of its lock. Every other handle of it answers
    /// [`Error::Closed`](crate::Error::Closed) from then on; iterators should be dropped before.
    ///
    /// This is the way on after [`Error::Poisoned`](crate::Error::Poisoned), once the disk works again: every write that was acknowledged, `Buffered` ones
    /// included, is written anew and durable on return. Writes that had failed are not there. A process that ends instead loses the
    /// buffered writes that no sync covered.
    ///
    /// # Errors
    /// As for [`Db::open`]. [`Error::Corrupt`](crate::Error::Corrupt) if the system has dropped a value from its cache that the disk never got: what is
    /// durable can still be opened with [`Db::open`].
    pub fn reopen(self) -> Result<Self> {
        Ok(Self { core: UserHandle::new(self.core.reopen()?) })
    }
}

/// What a database that refuses writes had in memory.
struct Left {
    visible: Seq,
    segments: Vec<LogSegment>,
}

impl DbCore {
    fn reopen(&self) -> Result<Arc<Self>> {
        // Before closing lets go of it.
        let lock = self.lock.lock().take();
        if let Err(error) = self.close() {
            // From here on it is a database whose sync failed, and is treated as such.
            tracing::warn!(%error, "the sync before reopening failed");
        }
        let left = self.freeze();
        let (dir, options) = (&self.context.dir, &self.options);
        let lock = match lock {
            Some(lock) => lock,
            None => take_lock(&*options.vfs, dir, self.lock_kind())?,
        };
        if self.read_only {
            return open_locked(dir, options, OpenMode::ReadOnly, true, lock);
        }
        let Some(left) = left else { return open_locked(dir, options, OpenMode::ReadWrite, true, lock) };
        let manifest = ManifestFile::open(&options.vfs, dir)?;
        let bench = crate::open::build(dir, options, OpenMode::ReadWrite, manifest, lock)?;
        bench.save(self, &left)?;
        let lock = bench.lock.lock().take();
        drop(bench);
        let lock = lock.map_or_else(|| take_lock(&*options.vfs, dir, self.lock_kind()), Ok)?;
        open_locked(dir, options, OpenMode::ReadWrite, true, lock)
    }

    /// Lets nothing more through. What is left to be saved, if a failure had done so before.
    fn freeze(&self) -> Option<Left> {
        let _manifest = self.manifest.lock();
        let mut log = self.log.lock();
        let _applying = self.apply.lock();
        let failed = self.check_failure().is_err();
        self.fail(&"the database was reopened".into());
        if !failed {
            return None;
        }
        let mut segments = std::mem::take(&mut log.segments);
        segments.extend(log.writer.close_segment());
        Some(Left { visible: self.visible(), segments })
    }

    /// Writes what `old` had in memory into tables and values segments, and makes the log begin behind it: in one change of the manifest, since
    /// no table may be ahead of the log.
    fn save(&self, old: &Self, left: &Left) -> Result<()> {
        let mut edits = Vec::new();
        let mut written: Vec<Merged> = Vec::new();
        for keyspace in self.all_keyspaces() {
            let before = old.keyspaces.load().get(&keyspace.id).cloned();
            let Some(merged) = before.map(|before| self.save_keyspace(&keyspace, &before, left.visible)).transpose()?
            else {
                continue;
            };
            for table in &merged.tables {
                edits.push(Edit::AddTable { keyspace: keyspace.id, level: 0, table: table.clone() });
            }
            edits.extend(merged.moved.iter().map(|(&number, &(_, len))| Edit::AddSegment { number, len }));
            edits.push(Edit::Persisted { keyspace: keyspace.id, seq: left.visible });
            written.push(merged);
        }
        let mut manifest = self.manifest.lock();
        let live = manifest.state().live_bytes();
        for closed in &left.segments {
            let number = closed.segment.number;
            if live.contains_key(&number) && !manifest.state().segments.contains_key(&number) {
                edits.push(Edit::AddSegment { number, len: closed.len });
            }
        }
        edits.push(Edit::LogStart { segment: self.next_file_number(), first_seq: left.visible.plus(1) });
        self.log.lock().next_seq = left.visible.plus(1);
        self.visible.store(left.visible.get(), Ordering::Release);
        self.durable.store(left.visible.get(), Ordering::Release);
        self.commit_manifest(&mut manifest, edits)
    }

    /// Writes the entries of one keyspace up to `visible`: those after it belong to commits that failed.
    fn save_keyspace(&self, keyspace: &Arc<KeyspaceCore>, before: &KeyspaceCore, visible: Seq) -> Result<Merged> {
        let persisted =
            self.manifest.lock().state().keyspaces.get(&keyspace.id).map_or(Seq::ZERO, |state| state.persisted);
        let view = before.view_full();
        // A flush whose manifest record failed may have become durable all the same.
        let unsaved = |memory: &&Arc<MemBuffer>| memory.buffer.seq_bounds().is_some_and(|(_, max)| max > persisted);
        let memory: Vec<&Arc<MemBuffer>> = view.memory().filter(unsaved).collect();
        if memory.is_empty() {
            return Ok(Merged { tables: Vec::new(), moved: BTreeMap::new() });
        }
        let numbers =
            |memory: &&Arc<MemBuffer>| memory.segments().iter().map(|segment| segment.number).collect::<Vec<_>>();
        let plan = Plan {
            inputs: Vec::new(),
            output_level: 0,
            move_only: false,
            newest: visible,
            table_len: u64::MAX,
            evacuate: memory.iter().flat_map(numbers).collect::<BTreeSet<u64>>(),
        };
        let version = Arc::clone(&keyspace.view().version);
        let below = Below::new(&version, &[], 0);
        let mut tombstones: Vec<_> =
            memory.iter().flat_map(|memory| memory.buffer.range_tombstones().to_vec()).collect();
        tombstones.retain(|tombstone| tombstone.seq <= visible);
        let sources = memory.into_iter().map(Source::memory).collect();
        self.merge_into_tables(keyspace, sources, tombstones, &below, &plan)
    }
}
