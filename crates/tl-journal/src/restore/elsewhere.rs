//! A recorded state in another directory: everything is new there, and nothing that is there is replaced.

use std::io;
use std::path::Path;

use granite::Durability;
use rustix::io::Errno;
use tl_core::{ObjectId, RepoPath, RepoPathBuf};

use super::apply::Run;
use super::dir::Root;
use super::late::Late;
use super::place::Placer;
use super::plan::{Goal, Plan, Task};
use super::receipt::read_back;
use super::report::{Action, PlannedChange, Refusal, Refused, RestorePlan, RestoreReport, Step};
use super::{Folding, Ground, RestoreRequest, Watch, refuse_collisions, select};
use crate::error::{Error, Result};
use crate::workdir::StatKind;

impl Ground<'_> {
    /// Writes a recorded state to the directory `directory`, which is made if it is not there. What is there already is never replaced.
    pub(crate) fn restore_to(
        &self,
        directory: &Path,
        request: &RestoreRequest,
        watch: Watch<'_>,
    ) -> Result<RestoreReport> {
        let _hold = self.store.capture()?;
        match std::fs::create_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::io("create", directory, error));
            }
            _ => {}
        }
        let root = Root::open(directory, self.options.resolve).map_err(|errno| Error::io("open", directory, errno))?;
        let goal = self.goal_elsewhere(request)?;
        let nonce = self.clock.random_u64();
        let mut plan = Plan::new(self.store, &goal)?;
        refuse_collisions(self.store, &root, &mut plan, &goal.to, nonce, self.options.folding)?;
        let intents = self.intents()?;
        let late = Late::new(self.store, &intents, None)?;
        let step = |step: Step<'_>| if watch(step) { Ok(()) } else { Err(Error::Interrupted) };
        step(Step::Begun { paths: plan.tasks.len() })?;
        let placer = Placer { only_new: true, ..self.placer(nonce, &late, &step) };
        let modes = plan.modes_of_parents(self.store, &goal.to)?;
        let applied = Run::new(&root, &plan, placer, modes, self.options.threads).finish()?;
        let observed = read_back(&root, &plan, self.options.threads)?;
        let capture = self.store.capture()?;
        let receipt = self.receipt(&capture, &goal, &plan, &applied, &observed)?;
        root.sync_filesystem().map_err(|errno| Error::io("sync the filesystem of", directory, errno))?;
        let mut refused = plan.refused;
        refused.extend(applied.refused);
        refused.sort_by(|a, b| a.path.cmp(&b.path));
        let (counts, directories_kept) = (applied.counts, applied.directories_kept);
        Ok(RestoreReport { safety: None, restored: None, counts, refused, directories_kept, receipt })
    }

    /// What [`Ground::restore_to`] would do. Nothing is made; of a directory that is not there yet it cannot be told whether names fold.
    pub(crate) fn plan_to(&self, directory: &Path, request: &RestoreRequest) -> Result<RestorePlan> {
        let _hold = self.store.capture()?;
        let root = match Root::open(directory, self.options.resolve) {
            Ok(root) => Some(root),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(Error::io("open", directory, errno)),
        };
        let goal = self.goal_elsewhere(request)?;
        let mut plan = Plan::new(self.store, &goal)?;
        if let Some(root) = &root {
            refuse_collisions(self.store, root, &mut plan, &goal.to, self.clock.random_u64(), self.options.folding)?;
            for path in standing_in_the_way(root, directory, &plan)? {
                plan.refuse(&path, &Refusal::InTheWay);
            }
        } else if self.options.folding == Folding::Folds {
            plan.refuse_collisions(self.store, &goal.to, || Ok(true))?;
        }
        let bytes = plan.bytes();
        let change = |(path, task): (RepoPathBuf, Task)| PlannedChange {
            path,
            action: Action::Create,
            before: None,
            after: task.after,
            saves: false,
        };
        let mut refused: Vec<Refused> = plan.refused;
        refused.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(RestorePlan { changes: plan.tasks.into_iter().map(change).collect(), refused, bytes })
    }

    fn goal_elsewhere(&self, request: &RestoreRequest) -> Result<Goal> {
        let target = self.checkpoint(request.target)?;
        let capture = self.store.capture()?;
        let to = select::wanted_root(&capture, &ObjectId::EMPTY_TREE, &target.root, &request.selection)?;
        capture.commit(|_| {}, Durability::Buffered)?;
        let overlay = target.saved.filter(|_| request.with_saved);
        Ok(Goal { from: ObjectId::EMPTY_TREE, to, overlay, saved: None })
    }
}

/// The paths of `plan` where something is already. Directories that are there are written into.
fn standing_in_the_way(root: &Root, directory: &Path, plan: &Plan) -> Result<Vec<RepoPathBuf>> {
    let mut standing: Vec<RepoPathBuf> = Vec::new();
    for (path, task) in &plan.tasks {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
        if standing.last().is_some_and(|above| path.starts_with(above)) {
            continue;
        }
        let found = match root.dir(parent) {
            Ok(dir) => dir.stat(name.as_bytes()),
            // It is to be made.
            Err(Errno::NOENT) => continue,
            Err(errno) => Err(errno),
        };
        let in_the_way = match found {
            Ok(None) => false,
            Ok(Some(stat)) => {
                let both_directories =
                    stat.kind == StatKind::Directory && task.after.is_some_and(|after| after.is_directory());
                !both_directories
            }
            Err(errno) => return Err(look_failed(directory, path, errno)),
        };
        if in_the_way {
            standing.push(path.clone());
        }
    }
    Ok(standing)
}

fn look_failed(directory: &Path, path: &RepoPath, errno: Errno) -> Error {
    Error::io("look at", &directory.join(path.to_string()), errno)
}
