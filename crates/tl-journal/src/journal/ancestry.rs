//! Parents, ancestors and common ancestors.
//!
//! Parents have smaller ids than their children, so ids in falling order are an order in which every checkpoint comes before its ancestors.

use std::collections::{BTreeMap, BTreeSet};

use super::{Journal, Order};
use crate::checkpoint::{Checkpoint, CheckpointId, Reason};
use crate::error::Result;

impl Journal {
    /// The parents of `child` that are left. One that was thinned is replaced by the next older checkpoint, of the same kind: imported for an import, a state of
    /// the working directory otherwise.
    ///
    /// # Errors
    /// As for [`Journal::get`].
    pub fn parents(&self, child: &Checkpoint) -> Result<Vec<Checkpoint>> {
        let mut found: Vec<Checkpoint> = Vec::with_capacity(child.parents.len());
        for &parent in &child.parents {
            let survivor = match self.get(parent)? {
                Some(survivor) => Some(survivor),
                None => self.next_older(parent, child.reason == Reason::Import)?,
            };
            found.extend(survivor.filter(|survivor| found.iter().all(|known| known.id != survivor.id)));
        }
        Ok(found)
    }

    fn next_older(&self, id: CheckpointId, import: bool) -> Result<Option<Checkpoint>> {
        for older in self.walk(..id, Order::NewestFirst)? {
            let older = older?;
            if (older.reason == Reason::Import) == import {
                return Ok(Some(older));
            }
        }
        Ok(None)
    }

    /// `of` and all its ancestors, each once, newest first.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`](crate::Error::NoCheckpoint), or as for [`Journal::get`].
    pub fn ancestors(&self, of: CheckpointId) -> Result<Ancestors<'_>> {
        let start = self.require(of)?;
        Ok(Ancestors { journal: self, waiting: BTreeMap::from([(of, start)]) })
    }

    /// True if `ancestor` is `of` or one of its ancestors.
    ///
    /// # Errors
    /// As for [`Journal::ancestors`].
    pub fn is_ancestor(&self, ancestor: CheckpointId, of: CheckpointId) -> Result<bool> {
        let generation = self.require(ancestor)?.generation;
        for found in self.ancestors(of)? {
            let found = found?;
            // An ancestor is older, and of a smaller generation than everything between.
            if found.id <= ancestor {
                return Ok(found.id == ancestor);
            }
            if found.id == of && found.generation <= generation {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// The newest checkpoint that is an ancestor of both, or one of them; `None` if they have nothing in common.
    ///
    /// # Errors
    /// As for [`Journal::ancestors`].
    pub fn common_ancestor(&self, a: CheckpointId, b: CheckpointId) -> Result<Option<Checkpoint>> {
        let mut waiting = BTreeMap::from([(a, self.require(a)?), (b, self.require(b)?)]);
        let mut from_a = BTreeSet::from([a]);
        let mut from_b = BTreeSet::from([b]);
        while let Some((id, checkpoint)) = waiting.pop_last() {
            let (of_a, of_b) = (from_a.remove(&id), from_b.remove(&id));
            if of_a && of_b {
                return Ok(Some(checkpoint));
            }
            for parent in self.parents(&checkpoint)? {
                let side = if of_a { &mut from_a } else { &mut from_b };
                side.insert(parent.id);
                waiting.insert(parent.id, parent);
            }
        }
        Ok(None)
    }
}

/// A checkpoint and its ancestors, newest first. An error ends the walk.
#[derive(Debug)]
pub struct Ancestors<'a> {
    journal: &'a Journal,
    waiting: BTreeMap<CheckpointId, Checkpoint>,
}

impl Iterator for Ancestors<'_> {
    type Item = Result<Checkpoint>;

    fn next(&mut self) -> Option<Self::Item> {
        let (_, checkpoint) = self.waiting.pop_last()?;
        match self.journal.parents(&checkpoint) {
            Ok(parents) => {
                self.waiting.extend(parents.into_iter().map(|parent| (parent.id, parent)));
                Some(Ok(checkpoint))
            }
            Err(error) => {
                self.waiting.clear();
                Some(Err(error))
            }
        }
    }
}
