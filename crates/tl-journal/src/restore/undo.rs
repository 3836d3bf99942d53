//! Undo and redo: restores along the stack of restores.

use granite::{Durability, WriteBatch};
use tl_core::ObjectId;

use super::intent::Direction;
use super::report::RestoreReport;
use super::stack::{Stacks, Step};
use super::{Ground, RestoreRequest, Watch};
use crate::checkpoint::{Checkpoint, Provenance};
use crate::error::{Error, Result};

impl Ground<'_> {
    /// The restore that an undo takes back.
    pub(super) fn next_undo(&self) -> Result<Step> {
        let stack = Stacks::open(self.store.db())?.load()?;
        stack.undo.last().copied().ok_or(Error::NothingToUndo { what: "undo" })
    }

    /// The undo that a redo takes back.
    pub(super) fn next_redo(&self) -> Result<Step> {
        let stack = Stacks::open(self.store.db())?.load()?;
        stack.redo.last().copied().ok_or(Error::NothingToUndo { what: "redo" })
    }

    /// The restores that can be undone, the last one first: the checkpoints before them, as far as they are kept.
    pub(crate) fn undo_list(&self) -> Result<Vec<Checkpoint>> {
        let stack = Stacks::open(self.store.db())?.load()?;
        let found = stack.undo.iter().rev().map(|step| self.journal.get(step.before));
        Ok(found.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// The undos that can be taken back, the last one first, likewise.
    pub(crate) fn redo_list(&self) -> Result<Vec<Checkpoint>> {
        let stack = Stacks::open(self.store.db())?.load()?;
        let found = stack.redo.iter().rev().map(|step| self.journal.get(step.before));
        Ok(found.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// Brings back the state before `step`, with everything that it overwrote, recorded or not.
    pub(super) fn walk(
        &self,
        step: Step,
        direction: Direction,
        provenance: Provenance,
        watch: Watch<'_>,
    ) -> Result<RestoreReport> {
        // What had changed while the restore was at work was found late, and is in the checkpoint after it.
        let late: Option<ObjectId> = self.journal.get(step.after)?.and_then(|after| after.saved);
        let request = RestoreRequest { with_saved: true, provenance, ..RestoreRequest::new(step.before) };
        let report = self.run(&request, direction, late, watch)?;
        if report.restored.is_none() {
            // Everything is as it was already; the next call goes one restore further.
            let stacks = Stacks::open(self.store.db())?;
            let mut stack = stacks.load()?;
            stack.push(direction, step);
            let mut batch = WriteBatch::new();
            stacks.stage(&stack, &mut batch);
            self.store.db().write(batch, Durability::Sync)?;
        }
        Ok(report)
    }
}
