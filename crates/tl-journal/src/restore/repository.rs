//! Restores of a repository's own working directory: the turn among writers, and the present state before.

use std::path::Path;

use tl_core::ObjectId;

use super::intent::Direction;
use super::recover::Recovery;
use super::report::{RestorePlan, RestoreReport};
use super::{Ground, RestoreOptions, RestoreRequest, Watch};
use crate::checkpoint::{Checkpoint, Provenance, Reason};
use crate::error::{Error, Result};
use crate::repository::{Repository, WriterState};
use crate::update::{Dirty, Ignored, UpdateRequest};

/// What is known of the working directory before a restore.
#[derive(Clone, Copy)]
pub struct Present<'a> {
    /// What may have changed since the newest checkpoint. Whoever watches knows; everyone else says [`Dirty::everything`].
    pub dirty: &'a Dirty,
    /// What is to stay unrecorded, as for [`Repository::update`].
    pub ignored: &'a Ignored<'a>,
}

impl std::fmt::Debug for Present<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Present").field("dirty", self.dirty).finish_non_exhaustive()
    }
}

impl Repository {
    fn ground(&self, options: RestoreOptions) -> Ground<'_> {
        Ground {
            store: self.store(),
            journal: self.journal(),
            index: self.index(),
            clock: self.clock(),
            working: self.working_directory(),
            options,
        }
    }

    /// What [`Repository::restore`] would do. Records what changed, and touches nothing.
    ///
    /// # Errors
    /// As for [`Repository::restore`].
    pub fn plan_restore(
        &self,
        request: &RestoreRequest,
        present: Present<'_>,
        options: RestoreOptions,
    ) -> Result<RestorePlan> {
        self.record_present(present)?;
        self.ground(options).plan(request)
    }

    /// Brings the working directory into a recorded state.
    ///
    /// First the present state is recorded, with the ignored and untracked files that would be overwritten in the tree `saved` of the safety
    /// checkpoint. Only what differs is touched. What a recorded tree does not name is never removed, unless [`RestoreRequest::exact`] asks. What
    /// changes while the restore is at work is kept in the store before it is replaced. Paths that cannot be restored are
    /// [refused](RestoreReport::refused) one by one. Restored files are new files: their times are those of the restore, so that builds see them.
    ///
    /// The report's receipt says what was read back. After it, call [`Repository::settle_restore`]: until then the restored files may be in the system's
    /// memory only, and the next start looks at them again.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`], [`Error::Invalid`], [`Error::NoRoom`], [`Error::RestoreCutShort`]: nothing was touched. [`Error::RolledBack`]: the state before was
    /// brought back. [`Error::Interrupted`] if `watch` said so, and any other error: [`Repository::recover_restore`] has to follow.
    pub fn restore(
        &self,
        request: &RestoreRequest,
        present: Present<'_>,
        options: RestoreOptions,
        watch: Watch<'_>,
    ) -> Result<RestoreReport> {
        self.record_present(present)?;
        // Nothing thins it away meanwhile.
        let _lease = self.lease([request.target], [])?;
        self.exclusively(|writer| {
            let report = self.ground(options).restore(request, watch)?;
            note_restored(writer, &report);
            Ok(report)
        })
    }

    /// Takes the last restore back, and brings back everything that it overwrote. It is a restore itself, and can be undone by
    /// [`Repository::redo`].
    ///
    /// # Errors
    /// [`Error::NothingToUndo`], [`Error::NoCheckpoint`] if that state was thinned, otherwise as for [`Repository::restore`].
    pub fn undo(
        &self,
        provenance: Provenance,
        present: Present<'_>,
        options: RestoreOptions,
        watch: Watch<'_>,
    ) -> Result<RestoreReport> {
        self.step(Direction::Undo, provenance, present, options, watch)
    }

    /// Takes the last undo back.
    ///
    /// # Errors
    /// As for [`Repository::undo`].
    pub fn redo(
        &self,
        provenance: Provenance,
        present: Present<'_>,
        options: RestoreOptions,
        watch: Watch<'_>,
    ) -> Result<RestoreReport> {
        self.step(Direction::Redo, provenance, present, options, watch)
    }

    /// One step along the stack of restores.
    fn step(
        &self,
        direction: Direction,
        provenance: Provenance,
        present: Present<'_>,
        options: RestoreOptions,
        watch: Watch<'_>,
    ) -> Result<RestoreReport> {
        self.record_present(present)?;
        self.exclusively(|writer| {
            let ground = self.ground(options);
            let step = if direction == Direction::Redo { ground.next_redo() } else { ground.next_undo() }?;
            let _lease = self.lease([step.before], [])?;
            let report = ground.walk(step, direction, provenance, watch)?;
            note_restored(writer, &report);
            Ok(report)
        })
    }

    /// The states before the restores that can be undone, the newest first.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Engine`].
    pub fn undo_list(&self) -> Result<Vec<Checkpoint>> {
        self.ground(RestoreOptions::default()).undo_list()
    }

    /// The states before the undos that can be taken back, the newest first.
    ///
    /// # Errors
    /// As for [`Repository::undo_list`].
    pub fn redo_list(&self) -> Result<Vec<Checkpoint>> {
        self.ground(RestoreOptions::default()).redo_list()
    }

    /// Writes a recorded state to another directory, which is made if it is not there. Nothing that is in it is ever replaced. Works without a working
    /// directory.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`], [`Error::Invalid`], or a failure of the store or the disk; a part may have been written then.
    pub fn restore_to(
        &self,
        directory: &Path,
        request: &RestoreRequest,
        options: RestoreOptions,
        watch: Watch<'_>,
    ) -> Result<RestoreReport> {
        let _lease = self.lease([request.target], [])?;
        self.ground(options).restore_to(directory, request, watch)
    }

    /// What [`Repository::restore_to`] would do. Nothing is made.
    ///
    /// # Errors
    /// As for [`Repository::restore_to`].
    pub fn plan_restore_to(&self, directory: &Path, request: &RestoreRequest) -> Result<RestorePlan> {
        let _lease = self.lease([request.target], [])?;
        self.ground(RestoreOptions::default()).plan_to(directory, request)
    }

    /// Syncs the filesystem after a restore and forgets its intent; nothing to do without one.
    ///
    /// # Errors
    /// [`Error::RestoreCutShort`], or a failed sync: the intent stays.
    pub fn settle_restore(&self, watch: Watch<'_>) -> Result<()> {
        let ground = self.ground(RestoreOptions::default());
        self.exclusively(|writer| {
            writer.head_is_durable |= ground.settle_watched(watch)?;
            Ok(())
        })
    }

    /// True if a restore was cut short: nothing is captured until [`Repository::recover_restore`] was called.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Newer`], or [`Error::Engine`].
    pub fn restore_is_cut_short(&self) -> Result<bool> {
        self.ground(RestoreOptions::default()).is_cut_short()
    }

    /// Finishes a restore that was cut short, by a crash or an error, or takes it back: if it cannot be finished, or if `take_back` says so. Whoever opens
    /// a repository calls this before anything is captured. `None` if there was nothing to do.
    ///
    /// # Errors
    /// [`Error::Interrupted`], or a failure of the store or the disk: the same call can be made again.
    pub fn recover_restore(
        &self,
        take_back: bool,
        options: RestoreOptions,
        watch: Watch<'_>,
    ) -> Result<Option<Recovery>> {
        self.exclusively(|writer| {
            let recovery = self.ground(options).recover(take_back, watch)?;
            writer.head_is_durable |= recovery.is_some();
            Ok(recovery)
        })
    }

    /// Trees that a restore under way or cut short needs: a collection keeps them, and what is below.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Newer`], or [`Error::Engine`].
    pub fn trees_of_restore(&self) -> Result<Vec<ObjectId>> {
        super::trees_in_use(self.db())
    }

    fn record_present(&self, present: Present<'_>) -> Result<()> {
        if self.restore_is_cut_short()? {
            return Err(Error::RestoreCutShort);
        }
        let request = UpdateRequest::new(Reason::FsBatch).ignoring(present.ignored);
        self.update(present.dirty, &request).map(|_| ())
    }

    /// Runs `work` as the only writer.
    fn exclusively<T>(&self, work: impl FnOnce(&mut WriterState) -> Result<T>) -> Result<T> {
        let mut writer = self.lock_writer()?;
        self.settle_index(&mut writer)?;
        let done = work(&mut writer);
        // Part of the index may have gone ahead of a checkpoint that is not there.
        writer.index_unsettled |= done.is_err();
        done
    }
}

/// The checkpoint of a restored state is durable when the restore is settled.
fn note_restored(writer: &mut WriterState, report: &RestoreReport) {
    writer.head_is_durable &= report.restored.is_none();
}
