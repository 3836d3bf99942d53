//! Collection: dropping objects that nothing refers to, beside captures that go on.

pub(crate) mod gate;
mod marks;

use std::sync::Arc;

use granite::Seq;

use self::marks::Marks;
use crate::error::{Error, Result};
use crate::id::ObjectId;
use crate::objects::parse_blob;
use crate::store::{HEADER_KEY, Store};
use crate::stored::{Body, WHOLE_BLOB_LEN_MAX};

/// Room in the marks for what is found and written while they are made.
const SPARE_OBJECTS: u64 = 10_000;

/// A collection that is under way: first everything that is wanted is marked, then the rest is swept. One at a time; when it is dropped before the
/// sweep, nothing is collected.
///
/// Everything that must stay has to be marked: take a list of all states after [`Store::begin_marking`] returned. States that are committed later
/// need not be: what they found stored is marked by itself, and what they wrote is not swept.
#[derive(Debug)]
pub struct Marking {
    store: Store,
    marks: Arc<Marks>,
    bound: Seq,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Objects that were looked at.
    pub objects: u64,
    /// Objects that were dropped.
    pub dropped: u64,
    /// Bytes of these, with their keys.
    pub dropped_bytes: u64,
    /// Objects that only stay because a snapshot of the database can see them.
    pub kept_for_snapshots: u64,
}

impl Store {
    /// Begins a collection.
    ///
    /// # Errors
    /// [`Error::CollectionBusy`].
    pub fn begin_marking(&self) -> Result<Marking> {
        if !self.shared.begin_collection() {
            return Err(Error::CollectionBusy);
        }
        let stats = self.db().stats();
        let objects = stats.keyspaces.iter().filter(|keyspace| keyspace.name == self.shared.objects.name());
        let entries = objects
            .map(|keyspace| keyspace.memtable_entries + keyspace.levels.iter().map(|level| level.entries).sum::<u64>());
        let marks = Arc::new(Marks::sized_for(entries.sum::<u64>() + SPARE_OBJECTS));
        let bound = self.shared.gate.begin_marking(self.db(), &marks);
        Ok(Marking { store: self.clone(), marks, bound })
    }

    /// Calls `visit` with every chunk of a blob; never, if it is stored in one piece or was purged.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Damaged`], or an error of the database.
    pub fn for_each_chunk(&self, blob: &ObjectId, mut visit: impl FnMut(&ObjectId)) -> Result<()> {
        let value = match self.stored_bytes(blob) {
            Err(Error::Purged { .. }) => return Ok(()),
            value => value?,
        };
        let stored = parse_blob(&value).map_err(|damage| Error::Damaged { id: *blob, damage })?;
        if let Body::Chunked(list) = stored.body {
            list.chunks().iter().for_each(|chunk| visit(&chunk.id));
        }
        Ok(())
    }
}

impl Marking {
    /// The newest operation whose object may be swept.
    #[must_use]
    pub const fn bound(&self) -> Seq {
        self.bound
    }

    /// Marks one object: only itself.
    pub fn mark(&self, id: &ObjectId) {
        self.marks.insert(id);
    }

    /// Marks a tree and everything beneath it. What it shares with `marked`, a tree that was marked completely in this collection or
    /// [`ObjectId::EMPTY_TREE`], is not walked again: mark a history in its order, each state after the one before.
    ///
    /// Returns the number of marks, some objects counted more than once.
    ///
    /// # Errors
    /// A tree or a list of chunks that cannot be read: then not everything is marked, and the collection must be given up.
    pub fn mark_tree(&self, marked: &ObjectId, root: &ObjectId) -> Result<u64> {
        self.marks.insert(root);
        let mut count = 1;
        for change in self.store.objects().walk(marked, root)? {
            let Some(entry) = change?.after else { continue };
            self.marks.insert(&entry.id);
            count += 1;
            // Shorter ones have no chunks, and need not be read.
            if !entry.is_directory() && entry.size > WHOLE_BLOB_LEN_MAX as u64 {
                self.store.for_each_chunk(&entry.id, |chunk| {
                    self.marks.insert(chunk);
                    count += 1;
                })?;
            }
        }
        Ok(count)
    }

    /// How many stored objects are not marked: about what a sweep would drop.
    ///
    /// # Errors
    /// Damage, or an error of the database.
    pub fn count_unmarked(&self) -> Result<u64> {
        let mut walk = self.store.shared.objects.scan::<&[u8], _>(..)?;
        let mut count = 0;
        walk.seek_to_first()?;
        while walk.valid() {
            count += u64::from(!is_wanted(&self.marks, walk.key()));
            walk.next()?;
        }
        Ok(count)
    }

    /// Drops every object that is not marked and was stored before the bound. Captures go on meanwhile: what they put is written
    /// again if the sweep rejects it.
    ///
    /// # Errors
    /// An error of the database; a part may have been dropped.
    pub fn sweep(self) -> Result<SweepReport> {
        let shared = &self.store.shared;
        shared.gate.begin_sweeping(&self.marks);
        let keep = || {
            let marks = Arc::clone(&self.marks);
            move |key: &[u8]| is_wanted(&marks, key)
        };
        let objects = shared.objects.sweep(self.bound, keep())?;
        shared.purged.sweep(self.bound, keep())?;
        Ok(SweepReport {
            objects: objects.entries,
            dropped: objects.dropped,
            dropped_bytes: objects.dropped_bytes,
            kept_for_snapshots: objects.kept_for_snapshots,
        })
    }
}

impl Drop for Marking {
    fn drop(&mut self) {
        self.store.shared.gate.end();
        self.store.shared.end_collection();
    }
}

fn is_wanted(marks: &Marks, key: &[u8]) -> bool {
    // A key of another width is none of ours, and none that may be dropped.
    key.first_chunk().is_none_or(|bytes| *bytes == HEADER_KEY || marks.contains(&ObjectId::from_bytes(*bytes)))
}
