//! Walks over records and ids, in either order.

use std::ops::Bound;

use granite::{Iter, Keyspace};

use super::id_of;
use crate::checkpoint::{Checkpoint, CheckpointId};
use crate::error::{Error, Result};

/// Which end a walk begins at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// In the order of appending.
    OldestFirst,
    /// In the reverse order.
    NewestFirst,
}

/// Steps over the journal as it was when the walk was made.
#[derive(Debug)]
struct Steps {
    iter: Iter,
    order: Order,
    started: bool,
}

impl Steps {
    fn new(journal: &Keyspace, bounds: (Bound<Vec<u8>>, Bound<Vec<u8>>), order: Order) -> Result<Self> {
        Ok(Self { iter: journal.scan(bounds)?, order, started: false })
    }

    /// Moves on; the id that the walk stands on then.
    fn step(&mut self) -> Result<Option<CheckpointId>> {
        match (self.order, std::mem::replace(&mut self.started, true)) {
            (Order::OldestFirst, false) => self.iter.seek_to_first()?,
            (Order::OldestFirst, true) => self.iter.next()?,
            (Order::NewestFirst, false) => self.iter.seek_to_last()?,
            (Order::NewestFirst, true) => self.iter.prev()?,
        }
        let Some((_, id)) = self.iter.key().split_first() else { return Ok(None) };
        id_of(id, || "a key of the journal".into()).map(Some)
    }
}

/// Checkpoints one after the other. A record that cannot be read is an error in its place, and the walk goes on behind it.
#[derive(Debug)]
pub struct Walk {
    steps: Steps,
    over: bool,
}

impl Walk {
    pub(super) fn new(journal: &Keyspace, bounds: (Bound<Vec<u8>>, Bound<Vec<u8>>), order: Order) -> Result<Self> {
        Ok(Self { steps: Steps::new(journal, bounds, order)?, over: false })
    }
}

impl Iterator for Walk {
    type Item = Result<Checkpoint>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let found = self.steps.step().transpose();
        self.over = !matches!(found, Some(Ok(_)));
        let id = match found? {
            Ok(id) => id,
            Err(error) => return Some(Err(error)),
        };
        let record = match self.steps.iter.value() {
            Ok(record) => record,
            Err(error) => return Some(Err(error.into())),
        };
        Some(Checkpoint::decode(id, &record).map_err(|error| Error::record(id, error)))
    }
}

/// Ids one after the other. An error ends the walk.
#[derive(Debug)]
pub struct Ids {
    steps: Steps,
    over: bool,
}

impl Ids {
    pub(super) fn new(journal: &Keyspace, bounds: (Bound<Vec<u8>>, Bound<Vec<u8>>), order: Order) -> Result<Self> {
        Ok(Self { steps: Steps::new(journal, bounds, order)?, over: false })
    }
}

impl Iterator for Ids {
    type Item = Result<CheckpointId>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let found = self.steps.step().transpose();
        self.over = !matches!(found, Some(Ok(_)));
        found
    }
}
