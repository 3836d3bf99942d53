//! Leases: what a restore, a mount or a comparison reads stays until it is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tl_core::ObjectId;

use crate::checkpoint::CheckpointId;
use crate::error::{Error, Result};
use crate::repository::Repository;

#[derive(Debug, Default)]
struct Held {
    checkpoints: Vec<CheckpointId>,
    trees: Vec<ObjectId>,
}

/// All leases of a repository.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    next: u64,
    held: BTreeMap<u64, Held>,
}

impl Leases {
    /// The checkpoints that must not be deleted.
    pub(crate) fn checkpoints(&self) -> BTreeSet<CheckpointId> {
        self.held.values().flat_map(|held| held.checkpoints.iter().copied()).collect()
    }

    /// Trees that must not be collected although no checkpoint has them.
    pub(crate) fn trees(&self) -> Vec<ObjectId> {
        self.held.values().flat_map(|held| held.trees.iter().copied()).collect()
    }
}

/// Keeps checkpoints and trees, with everything beneath them, until it is dropped.
#[derive(Debug)]
pub struct Lease {
    leases: Arc<Mutex<Leases>>,
    number: u64,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.leases.lock().held.remove(&self.number);
    }
}

impl Repository {
    /// Keeps checkpoints, and trees that hang on none, from collection. A tree has to be safe otherwise at the time of the call: beneath a checkpoint of the same
    /// call, for example, or in an unfinished capture.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`] for one that is gone already; [`Error::Engine`].
    pub fn lease(
        &self,
        checkpoints: impl IntoIterator<Item = CheckpointId>,
        trees: impl IntoIterator<Item = ObjectId>,
    ) -> Result<Lease> {
        let held = Held { checkpoints: checkpoints.into_iter().collect(), trees: trees.into_iter().collect() };
        // A deletion holds the same lock, so a checkpoint that is there stays.
        let mut leases = self.lock_leases();
        for &id in &held.checkpoints {
            if !self.journal().contains(id)? {
                return Err(Error::NoCheckpoint { id });
            }
        }
        let number = leases.next;
        leases.next += 1;
        leases.held.insert(number, held);
        drop(leases);
        Ok(Lease { leases: Arc::clone(self.leases()), number })
    }

    pub(crate) fn lock_leases(&self) -> MutexGuard<'_, Leases> {
        self.leases().lock()
    }
}
