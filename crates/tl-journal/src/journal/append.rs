//! Appending and deleting: what a batch must hold so that records, numbers, counters and HEAD stay of one piece.

use std::collections::BTreeSet;

use granite::{Durability, WriteBatch};
use parking_lot::MutexGuard;
use vfs::Vfs;

use super::{COUNTERS_KEY, HEAD_KEY, Journal, Tail, record_key, sequence_key};
use crate::checkpoint::{Checkpoint, CheckpointId, Draft, PARENTS_MAX, Reason};
use crate::error::{Error, Result};

/// The right to append: checkpoints are put into a batch, and count from [`Append::committed`] on. Dropping it instead forgets them.
#[derive(Debug)]
pub struct Append<'a> {
    journal: &'a Journal,
    _writing: MutexGuard<'a, ()>,
    next: Tail,
}

impl Append<'_> {
    /// The newest checkpoint of the working directory, those of this batch included.
    #[must_use]
    pub const fn head(&self) -> Option<&Checkpoint> {
        self.next.head.as_ref()
    }

    /// Puts a checkpoint made of `draft` into `batch`, at the end of the journal. Unless it is an import it becomes HEAD.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`] for a parent, [`Error::Invalid`] for too many of them; nothing is put then.
    pub fn add(&mut self, draft: Draft, clock: &dyn Vfs, batch: &mut WriteBatch) -> Result<Checkpoint> {
        let checkpoint = self.prepare(draft, clock)?;
        self.stage(&checkpoint, batch);
        Ok(checkpoint)
    }

    /// The checkpoint that `draft` becomes at the end of the journal, once it is [staged](Append::stage).
    ///
    /// # Errors
    /// As for [`Append::add`].
    pub fn prepare(&self, draft: Draft, clock: &dyn Vfs) -> Result<Checkpoint> {
        if draft.parents.len() > PARENTS_MAX {
            let reason = format!("{} of them, {PARENTS_MAX} are possible", draft.parents.len());
            return Err(Error::Invalid { what: "parents", reason });
        }
        let mut generation = 0;
        for &parent in &draft.parents {
            let known = self.next.head.as_ref().filter(|head| head.id == parent).map(|head| head.generation);
            let parent_generation = match known {
                Some(known) => known,
                None => self.journal.require(parent)?.generation,
            };
            generation = generation.max(parent_generation + 1);
        }
        let now = clock.now();
        let random = u128::from(clock.random_u64()) << 64 | u128::from(clock.random_u64());
        let used_up = || Error::Invalid { what: "clock", reason: "no later id is possible".into() };
        let id =
            CheckpointId::after(self.next.last_id.unwrap_or(CheckpointId::MIN), now, random).ok_or_else(used_up)?;
        Ok(Checkpoint {
            id,
            sequence: self.next.last_sequence + 1,
            time: std::time::Duration::from_micros(crate::checkpoint::micros(now)),
            reason: draft.reason,
            generation,
            parents: draft.parents,
            root: draft.root,
            saved: draft.saved,
            stats: draft.stats,
            touched: draft.touched,
            completeness: draft.completeness,
            provenance: draft.provenance,
        })
    }

    /// Puts what [`Append::prepare`] made into `batch`.
    pub fn stage(&mut self, checkpoint: &Checkpoint, batch: &mut WriteBatch) {
        let id = checkpoint.id;
        self.next.last_id = Some(id);
        self.next.last_sequence = checkpoint.sequence;
        self.next.count += 1;
        batch.put(&self.journal.journal, &record_key(id), &checkpoint.encode());
        batch.put(&self.journal.journal, &sequence_key(checkpoint.sequence), &id.to_bytes());
        batch.put(&self.journal.refs, COUNTERS_KEY, &self.next.encode_counters());
        if checkpoint.reason != Reason::Import {
            batch.put(&self.journal.refs, HEAD_KEY, &id.to_bytes());
            self.next.head = Some(checkpoint.clone());
        }
        if let Some(session) = &checkpoint.provenance.session {
            self.journal.stage_session(session, id, batch);
        }
    }

    /// Takes note that the batch was committed.
    pub fn committed(mut self) {
        *self.journal.tail.write() = std::mem::take(&mut self.next);
    }
}

impl Journal {
    /// The right to append, of which there is one at a time.
    #[must_use]
    pub fn begin_append(&self) -> Append<'_> {
        let writing = self.writing.lock();
        let next = self.tail.read().clone();
        Append { journal: self, _writing: writing, next }
    }

    /// Appends one checkpoint in a batch of its own.
    ///
    /// # Errors
    /// As for [`Append::add`], and [`Error::Engine`].
    pub fn append(&self, draft: Draft, clock: &dyn Vfs, durability: Durability) -> Result<Checkpoint> {
        let mut append = self.begin_append();
        let mut batch = WriteBatch::new();
        let checkpoint = append.add(draft, clock, &mut batch)?;
        self.db.write(batch, durability)?;
        append.committed();
        Ok(checkpoint)
    }

    /// Deletes checkpoints with their labels and numbers, durably and all at once; what their parents were stays known to nobody. Ids that the journal
    /// does not have are passed over. Returns how many were deleted.
    ///
    /// # Errors
    /// [`Error::Kept`] for HEAD, a pinned or a published checkpoint: nothing is deleted then. [`Error::Engine`].
    pub fn delete(&self, ids: impl IntoIterator<Item = CheckpointId>) -> Result<u64> {
        self.delete_all(ids, |id, reason| Err(Error::Kept { id, reason }))
    }

    /// Like [`Journal::delete`], but passes over what must be kept.
    pub(crate) fn delete_unless_kept(&self, ids: impl IntoIterator<Item = CheckpointId>) -> Result<u64> {
        self.delete_all(ids, |_, _| Ok(()))
    }

    fn delete_all(
        &self,
        ids: impl IntoIterator<Item = CheckpointId>,
        kept: impl Fn(CheckpointId, &'static str) -> Result<()>,
    ) -> Result<u64> {
        let _writing = self.writing.lock();
        let mut next = self.tail.read().clone();
        let pinned: BTreeSet<_> = self.pins()?.into_iter().map(|pin| pin.id).collect();
        let published = self.published_ids()?;
        let mut batch = WriteBatch::new();
        let mut deleted: u64 = 0;
        for id in ids {
            let reason = match () {
                () if next.head.as_ref().is_some_and(|head| head.id == id) => Some("it is the newest"),
                () if pinned.contains(&id) => Some("it is pinned"),
                () if published.contains(&id) => Some("it is published"),
                () => None,
            };
            if let Some(reason) = reason {
                kept(id, reason)?;
                continue;
            }
            // A record that cannot be read can still be deleted; `repair` finds its number again.
            let sequence = match self.get(id) {
                Ok(None) => continue,
                Ok(Some(checkpoint)) => Some(checkpoint.sequence),
                Err(Error::Damaged { .. }) => None,
                Err(error) => return Err(error),
            };
            if let Some(sequence) = sequence {
                batch.delete(&self.journal, &sequence_key(sequence));
            }
            batch.delete(&self.journal, &record_key(id));
            self.stage_unlabel(id, &mut batch);
            deleted += 1;
        }
        if deleted > 0 {
            next.count = next.count.saturating_sub(deleted);
            batch.put(&self.refs, COUNTERS_KEY, &next.encode_counters());
            self.db.write(batch, Durability::Sync)?;
            *self.tail.write() = next;
        }
        Ok(deleted)
    }
}
