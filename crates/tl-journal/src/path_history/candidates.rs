//! The checkpoints among which those are that touched given paths: read from the history where it covers them, and walked over elsewhere.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::{Bound, RangeBounds};

use northstar::cartridge::kinds::path_history::{Touched, touched};
use northstar::cartridge::{self, Order as Keys};
use tl_core::RepoPathBuf;

use super::PathHistory;
use crate::checkpoint::{Checkpoint, CheckpointId, Reason};
use crate::error::{Error, Result};
use crate::journal::{Journal, Order, Walk};

type Ids = (Bound<CheckpointId>, Bound<CheckpointId>);

impl PathHistory {
    /// Of the checkpoints whose ids are in `range` those that may have touched something at or below one of `paths`, in the order asked for: all that did, compared with the one
    /// before them that is left, and some that did not. Of those that the history does not cover it is every one.
    ///
    /// # Errors
    /// [`Error::Engine`]; those of single records come with the walk.
    pub fn candidates<'a>(
        &'a self,
        journal: &'a Journal,
        paths: &[RepoPathBuf],
        range: impl RangeBounds<CheckpointId>,
        order: Order,
    ) -> Result<Candidates<'a>> {
        let range = (range.start_bound().cloned(), range.end_bound().cloned());
        let is_everything = paths.is_empty() || paths.iter().any(|path| path.is_root());
        let mut candidates =
            Candidates { history: self, journal, paths: paths.to_vec(), range, order, stages: Vec::new(), last: None };
        match self.covered_id().filter(|_| !is_everything) {
            None => candidates.stages.push(Stage::Walk(Box::new(journal.walk(range, order)?))),
            Some(covered) => {
                let uncovered = Stage::Walk(Box::new(journal.walk((later(range.0, covered), range.1), order)?));
                let stages = &mut candidates.stages;
                // The last one is taken first.
                match order {
                    Order::NewestFirst => stages.extend([Stage::NotBegun, uncovered]),
                    Order::OldestFirst => stages.extend([uncovered, Stage::NotBegun]),
                }
            }
        }
        Ok(candidates)
    }
}

/// The later one of a beginning and the one behind `id`.
fn later(start: Bound<CheckpointId>, id: CheckpointId) -> Bound<CheckpointId> {
    match start {
        Bound::Included(start) if start > id => Bound::Included(start),
        Bound::Excluded(start) if start > id => Bound::Excluded(start),
        _ => Bound::Excluded(id),
    }
}

/// Checkpoints that may have touched some paths. An error of the store ends it; one of the history makes it walk.
#[derive(Debug)]
pub struct Candidates<'a> {
    history: &'a PathHistory,
    journal: &'a Journal,
    paths: Vec<RepoPathBuf>,
    range: Ids,
    order: Order,
    /// What is to come, the next one last.
    stages: Vec<Stage<'a>>,
    last: Option<CheckpointId>,
}

#[derive(Debug)]
enum Stage<'a> {
    /// Checkpoints that the history does not cover.
    Walk(Box<Walk>),
    /// Those that it covers.
    NotBegun,
    Indexed(Box<Indexed<'a>>),
}

impl<'a> Candidates<'a> {
    fn step(&mut self) -> Result<Option<Checkpoint>> {
        while let Some(stage) = self.stages.last_mut() {
            let found = match stage {
                Stage::Walk(walk) => walk.next().transpose()?,
                Stage::NotBegun => {
                    let indexed = self.begin()?;
                    self.stages.pop();
                    self.stages.extend(indexed.map(|indexed| Stage::Indexed(Box::new(indexed))));
                    continue;
                }
                Stage::Indexed(indexed) => match indexed.step(self.journal) {
                    Err(Error::Cartridge(error)) => {
                        self.history.note_damage(&error);
                        self.walk_instead()?;
                        continue;
                    }
                    found => found?,
                },
            };
            match found {
                Some(found) => {
                    self.last = Some(found.id);
                    return Ok(Some(found));
                }
                None => drop(self.stages.pop()),
            }
        }
        Ok(None)
    }

    /// The part of the range that the history covers, in numbers. `None` if no checkpoint is left in it.
    fn begin(&self) -> Result<Option<Indexed<'a>>> {
        let history = self.history;
        let Some((cartridge, covered)) = history.cartridge.as_ref().zip(history.covered_id()) else { return Ok(None) };
        let upper = match self.range.1 {
            Bound::Included(upper) if upper < covered => Bound::Included(upper),
            Bound::Excluded(upper) if upper <= covered => Bound::Excluded(upper),
            _ => Bound::Included(covered),
        };
        let end = |order| self.journal.walk((self.range.0, upper), order)?.next().transpose();
        let (Some(first), Some(last)) = (end(Order::OldestFirst)?, end(Order::NewestFirst)?) else { return Ok(None) };
        // Touches of checkpoints that are gone count for the first one as well.
        let from = self.journal.sequence_before(first.sequence)?.map_or(0, |before| before + 1);
        let keys = match self.order {
            Order::OldestFirst => Keys::Forward,
            Order::NewestFirst => Keys::Backward,
        };
        let list = |path: &RepoPathBuf| touched(cartridge, path.as_bytes(), from..=last.sequence, keys).peekable();
        Ok(Some(Indexed {
            lists: self.paths.iter().map(list).collect(),
            order: self.order,
            numbers: (first.sequence, last.sequence),
            pending: BTreeMap::new(),
            skipped: None,
            last: None,
        }))
    }

    /// Goes on without the history, behind what came last.
    fn walk_instead(&mut self) -> Result<()> {
        let covered = self.history.covered_id().map_or(Bound::Unbounded, Bound::Included);
        let range = match (self.order, self.last) {
            (Order::OldestFirst, Some(last)) => (later(self.range.0, last), self.range.1),
            (Order::NewestFirst, Some(last)) => (self.range.0, Bound::Excluded(last)),
            (Order::OldestFirst, None) => self.range,
            // What is not covered was walked over, and nothing came of it.
            (Order::NewestFirst, None) => (self.range.0, nearer(self.range.1, covered)),
        };
        self.stages.clear();
        self.stages.push(Stage::Walk(Box::new(self.journal.walk(range, self.order)?)));
        Ok(())
    }
}

/// The earlier one of two ends.
fn nearer(end: Bound<CheckpointId>, other: Bound<CheckpointId>) -> Bound<CheckpointId> {
    match (end, other) {
        (Bound::Unbounded, other) => other,
        (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) if b < a => other,
        _ => end,
    }
}

impl Iterator for Candidates<'_> {
    type Item = Result<Checkpoint>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.step().transpose();
        if matches!(found, Some(Err(_))) {
            self.stages.clear();
        }
        found
    }
}

/// Checkpoints that are left, from numbers of any that ever were.
#[derive(Debug)]
struct Indexed<'a> {
    /// Numbers by path, all in one order.
    lists: Vec<Peekable<Touched<'a>>>,
    order: Order,
    /// The first and the last number that is asked for.
    numbers: (u64, u64),
    /// What was found and did not have its turn yet.
    pending: BTreeMap<u64, Checkpoint>,
    /// Numbers up to this one, in the order of the lists, need not be looked at: what stands for them was found.
    skipped: Option<u64>,
    /// The last one that was given out.
    last: Option<u64>,
}

impl Indexed<'_> {
    fn step(&mut self, journal: &Journal) -> Result<Option<Checkpoint>> {
        loop {
            let next = self.peek()?;
            let first = match self.order {
                Order::OldestFirst => self.pending.first_entry(),
                Order::NewestFirst => self.pending.last_entry(),
            };
            // What stands for a number is never before it, and going back nothing new comes behind what was found.
            let is_ready = |found: u64| self.order == Order::NewestFirst || next.is_none_or(|next| found < next);
            if let Some(entry) = first.filter(|entry| is_ready(*entry.key())) {
                let (sequence, checkpoint) = entry.remove_entry();
                self.last = Some(sequence);
                return Ok(Some(checkpoint));
            }
            let Some(sequence) = next else { return Ok(None) };
            self.skipped = Some(sequence);
            self.find(journal, sequence)?;
        }
    }

    /// The next number of all lists that is not to be skipped.
    fn peek(&mut self) -> Result<Option<u64>> {
        let mut nearest: Option<u64> = None;
        for list in &mut self.lists {
            let is_skipped = |found: &cartridge::Result<u64>| match (found, self.skipped) {
                (Ok(found), Some(skipped)) => match self.order {
                    Order::OldestFirst => *found <= skipped,
                    Order::NewestFirst => *found >= skipped,
                },
                _ => false,
            };
            while list.next_if(is_skipped).is_some() {}
            let found = match list.peek() {
                None => continue,
                Some(Ok(found)) => *found,
                Some(Err(error)) => return Err(error.clone().into()),
            };
            nearest = Some(match (nearest, self.order) {
                (None, _) => found,
                (Some(nearest), Order::OldestFirst) => nearest.min(found),
                (Some(nearest), Order::NewestFirst) => nearest.max(found),
            });
        }
        Ok(nearest)
    }

    /// What the touch with this number counts for: the checkpoint with the number or, if that is gone, the next one that is left. Where that is an import, it
    /// stands for imports alone, and the next state of the working directory for the others.
    fn find(&mut self, journal: &Journal, sequence: u64) -> Result<()> {
        if let Some(found) = journal.get_by_sequence(sequence)? {
            self.put(found);
            return Ok(());
        }
        let mut nearest = None;
        for found in journal.since(sequence)? {
            let found = found?;
            nearest.get_or_insert(found.sequence);
            let is_own = found.reason != Reason::Import;
            if is_own || nearest == Some(found.sequence) {
                self.put(found);
            }
            if is_own {
                break;
            }
        }
        // The same stands for all numbers between this one and what is left on that side.
        self.skipped = match self.order {
            Order::OldestFirst => Some(nearest.map_or(u64::MAX, |nearest| nearest - 1)),
            Order::NewestFirst => Some(journal.sequence_before(sequence)?.map_or(0, |before| before + 1)),
        };
        Ok(())
    }

    fn put(&mut self, found: Checkpoint) {
        let is_new = self.last.is_none_or(|last| match self.order {
            Order::OldestFirst => found.sequence > last,
            Order::NewestFirst => found.sequence < last,
        });
        if is_new && (self.numbers.0..=self.numbers.1).contains(&found.sequence) {
            self.pending.insert(found.sequence, found);
        }
    }
}
