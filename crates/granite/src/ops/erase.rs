//! Rewriting what still holds bytes that nobody can read any more.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::compaction::plan::{self, Limits};
use crate::db::{Db, DbCore};
use crate::error::Result;
use crate::keyspace::KeyspaceCore;
use crate::log::segment::remove_obsolete;

/// Rounds after which there can be nothing left: the first drops what is dead, the second moves what lived beside it.
const ROUNDS_MAX: usize = 4;

/// What an erasure did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EraseReport {
    /// Bytes of separated values that were moved because they stood beside dead ones, or may have.
    pub moved_value_bytes: u64,
    /// A snapshot or an iterator was open: what it can see is still in files.
    pub kept_for_snapshots: bool,
}

impl Db {
    /// Rewrites every file that may hold values that were deleted or overwritten before the call, and removes it. Afterwards no file of the database
    /// holds them. What the filesystem and the device keep of removed files is not in its hands, and checkpoints are databases of their own.
    ///
    /// Log segments do not tell what is dead in them, so all their values move into segments that do: a first call costs up to a copy of
    /// the database, the next ones what has died since. Other work goes on meanwhile.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// let db = granite::Db::open(dir.path(), &granite::Options::new())?;
    /// let keyspace = db.keyspace("letters", granite::KeyspaceOptions::new())?;
    /// keyspace.put(b"a", b"a secret")?;
    /// keyspace.delete(b"a")?;
    /// assert!(!db.erase_dead()?.kept_for_snapshots);
    /// # Ok::<(), granite::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::StorageFull`](crate::Error::StorageFull) or another failure of the disk; a part may have been rewritten.
    pub fn erase_dead(&self) -> Result<EraseReport> {
        self.core.erase_dead()
    }
}

impl DbCore {
    fn erase_dead(&self) -> Result<EraseReport> {
        self.check_writable()?;
        let _entered = tracing::info_span!("erase").entered();
        // A file that is written over keeps the bytes that the new ones have not reached.
        let refusing = self.recycler.refuse();
        for path in self.recycler.drain() {
            remove_obsolete(&*self.context.vfs, &path);
        }
        self.seal_log(&mut self.log.lock())?;
        for keyspace in self.all_keyspaces() {
            self.flush_keyspace(&keyspace)?;
        }
        self.release_log()?;
        let moved_before = self.stats.moved_value_bytes.get();
        for round in 0..ROUNDS_MAX {
            let evacuate = self.partly_dead_segments()?;
            if round > 0 && evacuate.is_empty() {
                break;
            }
            for keyspace in self.all_keyspaces() {
                self.rewrite_tables(&keyspace, &evacuate, round == 0)?;
            }
        }
        drop(refusing);
        self.update_brake();
        self.scheduler.notify_progress();
        Ok(EraseReport {
            moved_value_bytes: self.stats.moved_value_bytes.get() - moved_before,
            kept_for_snapshots: !self.snapshots.pinned().is_empty(),
        })
    }

    /// Sealed segments that hold, or may hold, something that no table points to beside what one does.
    fn partly_dead_segments(&self) -> Result<BTreeSet<u64>> {
        let manifest = self.manifest.lock();
        let live = manifest.state().live_bytes();
        let mut found = BTreeSet::new();
        for &number in manifest.state().segments.keys() {
            let Some(&live) = live.get(&number) else { continue };
            let values = self.segments.get(number).value_bytes()?;
            if values == 0 || live < values {
                found.insert(number);
            }
        }
        Ok(found)
    }

    /// Rewrites the tables that point into the segments, or all of them.
    fn rewrite_tables(&self, keyspace: &Arc<KeyspaceCore>, evacuate: &BTreeSet<u64>, all: bool) -> Result<()> {
        let _compacting = keyspace.compacting.lock();
        let version = Arc::clone(&keyspace.view().version);
        let limits = Limits::new(&self.options, evacuate.clone());
        let plan = plan::everything(&version, &limits, keyspace.options.compaction, |table| {
            all || table.meta.segments.iter().any(|(number, _)| evacuate.contains(number))
        });
        plan.map_or(Ok(()), |plan| self.run_plan(keyspace, &version, &plan))
    }
}
