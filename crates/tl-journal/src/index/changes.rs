//! What the next checkpoint changes in the index.

use granite::{Durability, WriteBatch};
use tl_core::{ObjectId, RepoPath};

use super::{Index, IndexEntry, key_of};
use crate::error::Result;

/// Bytes of keys and values beyond which changes are written ahead.
const AHEAD_LEN: usize = 1 << 20;

/// Left out by the test that must notice it.
#[cfg(feature = "mutation")]
static WITHOUT_MARK: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

#[cfg(feature = "mutation")]
pub(crate) fn leave_out_ahead_mark(leave_out: bool) {
    WITHOUT_MARK.store(leave_out, std::sync::atomic::Ordering::Relaxed);
}

#[cfg(feature = "mutation")]
fn marks_what_goes_ahead() -> bool {
    !WITHOUT_MARK.load(std::sync::atomic::Ordering::Relaxed)
}

#[cfg(not(feature = "mutation"))]
const fn marks_what_goes_ahead() -> bool {
    true
}

#[derive(Debug)]
enum Change {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    DeleteBelow(Vec<u8>),
}

/// Changes of the index on their way into the batch of a checkpoint. Many of them go ahead, after a mark that says so.
#[derive(Debug)]
pub(crate) struct IndexChanges<'a> {
    index: &'a Index,
    gathered: Vec<Change>,
    len: usize,
    /// Something is on disk already that no checkpoint stands for.
    ahead: bool,
}

impl<'a> IndexChanges<'a> {
    pub(crate) const fn new(index: &'a Index) -> Self {
        Self { index, gathered: Vec::new(), len: 0, ahead: false }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.gathered.is_empty() && !self.ahead
    }

    pub(crate) fn put(&mut self, path: &RepoPath, entry: &IndexEntry) -> Result<()> {
        self.add(Change::Put(key_of(path), entry.encode()))
    }

    pub(crate) fn delete(&mut self, path: &RepoPath) -> Result<()> {
        self.add(Change::Delete(key_of(path)))
    }

    /// Removes everything below `path`.
    pub(crate) fn delete_below(&mut self, path: &RepoPath) -> Result<()> {
        self.add(Change::DeleteBelow(key_of(path)))
    }

    fn add(&mut self, change: Change) -> Result<()> {
        self.len += 32
            + match &change {
                Change::Put(key, value) => key.len() + value.len(),
                Change::Delete(key) | Change::DeleteBelow(key) => key.len(),
            };
        self.gathered.push(change);
        if self.len < AHEAD_LEN {
            return Ok(());
        }
        let mut batch = WriteBatch::new();
        if !self.ahead && marks_what_goes_ahead() {
            self.index.stage_ahead(&mut batch);
        }
        self.drain_into(&mut batch);
        // From here on it may be on disk, even if the write fails.
        self.ahead = true;
        self.index.db.write(batch, Durability::Buffered)?;
        Ok(())
    }

    fn drain_into(&mut self, batch: &mut WriteBatch) {
        let entries = &self.index.entries;
        for change in self.gathered.drain(..) {
            match change {
                Change::Put(key, value) => batch.put(entries, &key, &value),
                Change::Delete(key) => batch.delete(entries, &key),
                Change::DeleteBelow(key) => {
                    batch.delete_range(entries, &[&key[..], &[0]].concat(), &[&key[..], &[1]].concat());
                }
            }
        }
        self.len = 0;
    }

    /// Puts what is left into the batch that brings the tree `root`: from then on the index is of that tree.
    pub(crate) fn stage(&mut self, root: &ObjectId, batch: &mut WriteBatch) {
        self.drain_into(batch);
        self.index.stage_settled(root, batch);
    }
}
