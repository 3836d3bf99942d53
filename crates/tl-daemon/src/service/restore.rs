//! Restore, undo and redo: in a turn, so that nothing is captured between the state before and the state after.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tl_journal::{
    Action, CheckpointId, PlannedChange, Present, Refused, Repository, RestoreOptions, RestorePlan, RestoreReport,
    RestoreRequest, Selection, unwatched,
};

use super::convert::{failure, id_of, path_of, to_id, to_path, to_provenance};
use super::progress::Meter;
use super::{Answered, Peer, Replies, Service, gone, progress};
use crate::capture::Turn;
use crate::wire::{Answer, Failure, FailureKind, Item, PlanAction, PlanStep, Restore, Restored, Step};

/// Paths that differ from what was wanted, of which a receipt names so many.
const DIFFERING_MAX: usize = 100;

/// What is told while files are written.
const RESTORING: &str = "restoring";

/// Which of the three is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Undo,
    Redo,
}

/// What came of a restore, planned or done.
enum Made {
    Planned(CheckpointId, RestorePlan),
    Done(CheckpointId, Box<RestoreReport>),
}

impl Service {
    pub(super) fn restore(&self, peer: &Peer, restore: Restore, replies: &mut dyn Replies) -> Answered {
        let target = id_of(restore.state);
        let request = RestoreRequest {
            target,
            selection: selection(peer, &restore)?,
            exact: restore.exact,
            with_saved: false,
            provenance: to_provenance(restore.provenance),
        };
        let dry_run = restore.dry_run;
        let meter = Meter::default();
        let counted = meter.clone();
        let made = progress::told(RESTORING, &meter, replies, || match restore.to {
            Some(to) => {
                let to = Path::new(OsStr::from_bytes(&to.0));
                if dry_run {
                    return Ok(Made::Planned(target, self.repository.plan_restore_to(to, &request)?));
                }
                let step = |step: tl_journal::Step<'_>| counted.step(step);
                let report = self.repository.restore_to(to, &request, RestoreOptions::default(), &step)?;
                Ok(Made::Done(target, Box::new(report)))
            }
            None => self.turn(move |turn| {
                if dry_run {
                    let plan = turn.present(|repository, present| {
                        repository.plan_restore(&request, present, RestoreOptions::default())
                    })?;
                    return Ok(Made::Planned(target, plan));
                }
                let report = carried_out(turn, |repository, present| {
                    let step = |step: tl_journal::Step<'_>| counted.step(step);
                    repository.restore(&request, present, RestoreOptions::default(), &step)
                })?;
                Ok(Made::Done(target, Box::new(report)))
            }),
        })?;
        told(made, replies)
    }

    pub(super) fn step(&self, way: Way, step: Step, replies: &mut dyn Replies) -> Answered {
        let dry_run = step.dry_run;
        let provenance = to_provenance(step.provenance);
        let meter = Meter::default();
        let counted = meter.clone();
        let work = move |turn: &mut Turn<'_>| {
            let head = |repository: &Repository| repository.journal().head().map_or(CheckpointId::MIN, |head| head.id);
            if dry_run {
                let (before, what) = match way {
                    Way::Undo => (turn.repository.undo_list(), "undo"),
                    Way::Redo => (turn.repository.redo_list(), "redo"),
                };
                let before = before.map_err(|error| failure(&error))?;
                let nothing = || failure(&tl_journal::Error::NothingToUndo { what });
                let target = before.first().ok_or_else(nothing)?.id;
                let request = RestoreRequest { with_saved: true, provenance, ..RestoreRequest::new(target) };
                let plan = turn.present(|repository, present| {
                    repository.plan_restore(&request, present, RestoreOptions::default())
                })?;
                return Ok(Made::Planned(target, plan));
            }
            let step = |step: tl_journal::Step<'_>| counted.step(step);
            let report = carried_out(turn, |repository, present| match way {
                Way::Undo => repository.undo(provenance, present, RestoreOptions::default(), &step),
                Way::Redo => repository.redo(provenance, present, RestoreOptions::default(), &step),
            })?;
            let target = report.restored.as_ref().and_then(|restored| restored.parents.get(1).copied());
            Ok(Made::Done(target.unwrap_or_else(|| head(turn.repository)), Box::new(report)))
        };
        let made = progress::told(RESTORING, &meter, replies, || self.turn(work))?;
        told(made, replies)
    }
}

/// Finishes or takes back what a restore left that was cut short, before anything else is recorded. Says what was done.
pub(crate) fn recover(repository: &Repository, take_back: bool) -> tl_journal::Result<Option<String>> {
    let recovery = repository.recover_restore(take_back, RestoreOptions::default(), &unwatched)?;
    Ok(recovery.map(|recovery| {
        let why = recovery.reason.map_or_else(String::new, |reason| format!(", since {reason}"));
        format!("a restore that was cut short was {}{why}", recovery.how.name())
    }))
}

/// Does a restore and brings it to the disk. One that fails halfway is taken back.
fn carried_out(
    turn: &mut Turn<'_>,
    work: impl FnOnce(&Repository, Present<'_>) -> tl_journal::Result<RestoreReport>,
) -> Result<RestoreReport, Failure> {
    let repository = turn.repository;
    let done = turn.present(work).and_then(|report| {
        repository.settle_restore(&unwatched).map_err(|error| failure(&error))?;
        Ok(report)
    });
    done.map_err(|failed| match repository.restore_is_cut_short() {
        Ok(true) => match recover(repository, true) {
            Ok(how) => Failure { message: format!("{}; {}", failed.message, how.unwrap_or_default()), ..failed },
            Err(error) => {
                Failure { message: format!("{}; it could not be taken back: {error}", failed.message), ..failed }
            }
        },
        _ => failed,
    })
}

fn selection(peer: &Peer, restore: &Restore) -> Result<Selection, Failure> {
    let paths = restore.paths.iter().map(path_of).collect::<Result<Vec<_>, _>>()?;
    if restore.picked.is_empty() && paths.is_empty() {
        return Ok(Selection::All);
    }
    let mut contents = BTreeMap::new();
    for picked in &restore.picked {
        let content = peer.contents.get(&picked.content).filter(|content| content.len() as u64 == picked.len);
        let missing = || Failure::new(FailureKind::Invalid, "a chosen content was not put on this connection");
        contents.insert(path_of(&picked.path)?, content.ok_or_else(missing)?.clone());
    }
    Ok(Selection::Parts { paths, contents })
}

fn told(made: Made, replies: &mut dyn Replies) -> Answered {
    match made {
        Made::Planned(target, plan) => {
            let mut restored = Restored::planned(to_id(target));
            for change in &plan.changes {
                count(&mut restored, change);
                replies.item(Item::PlanStep(to_step(change))).map_err(gone)?;
            }
            refuse(&plan.refused, &mut restored, replies)?;
            restored.bytes_written = plan.bytes;
            Ok(Answer::Restored(Box::new(restored)))
        }
        Made::Done(target, report) => {
            let counts = &report.counts;
            let mut restored = Restored {
                safety: report.safety.as_ref().map(|checkpoint| to_id(checkpoint.id)),
                checkpoint: report.restored.as_ref().map(|checkpoint| to_id(checkpoint.id)),
                written: counts.written,
                modes: counts.modes_changed,
                removed: counts.removed,
                directories_made: counts.directories_made,
                directories_removed: counts.directories_removed,
                captured_late: counts.captured_late,
                bytes_written: counts.bytes,
                verified: Some(report.receipt.is_exact()),
                differing: report.receipt.differing.iter().take(DIFFERING_MAX).map(|path| to_path(path)).collect(),
                dry_run: false,
                ..Restored::planned(to_id(target))
            };
            for path in &report.directories_kept {
                restored.notes.push(format!("{path} stays: something that is not recorded is in it"));
            }
            refuse(&report.refused, &mut restored, replies)?;
            Ok(Answer::Restored(Box::new(restored)))
        }
    }
}

fn refuse(refused: &[Refused], restored: &mut Restored, replies: &mut dyn Replies) -> Result<(), super::Unanswered> {
    restored.refused = refused.len() as u64;
    for refused in refused {
        let note = Some(refused.why.to_string());
        let step = PlanStep { path: to_path(&refused.path), action: PlanAction::Refuse, bytes: 0, saves: false, note };
        replies.item(Item::PlanStep(step)).map_err(gone)?;
    }
    Ok(())
}

fn count(restored: &mut Restored, change: &PlannedChange) {
    let is_directory = change.after.or(change.before).is_some_and(|entry| entry.is_directory());
    let counter = match (change.action, is_directory) {
        (Action::Create | Action::Replace, true) => &mut restored.directories_made,
        (Action::Create | Action::Replace, false) => &mut restored.written,
        (Action::ChangeMode, _) => &mut restored.modes,
        (Action::Remove, true) => &mut restored.directories_removed,
        (Action::Remove, false) => &mut restored.removed,
    };
    *counter += 1;
}

fn to_step(change: &PlannedChange) -> PlanStep {
    let action = match change.action {
        Action::Create => PlanAction::Create,
        Action::Replace => PlanAction::Replace,
        Action::ChangeMode => PlanAction::SetMode,
        Action::Remove => PlanAction::Remove,
    };
    let bytes = change.after.map_or(0, |entry| entry.size);
    PlanStep { path: to_path(&change.path), action, bytes, saves: change.saves, note: None }
}
