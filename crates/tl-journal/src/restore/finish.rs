//! Carrying out what was begun: the paths, the receipt, the checkpoint of the restored state, and at last the filesystem's sync.

use std::collections::{BTreeMap, BTreeSet};

use granite::{Durability, WriteBatch};
use tl_core::{Capture, Entry, ObjectId, RepoPath, RepoPathBuf, Tree};

use super::apply::{Applied, Run};
use super::begin::{Begun, Prepared};
use super::dir::Root;
use super::disk::Found;
use super::intent::{Direction, Intent, Phase};
use super::late::Late;
use super::place::{Failed, Placer, Tally};
use super::plan::{Goal, Plan, entry_at};
use super::receipt::{Observed, differing, read_back};
use super::report::{Receipt, Refused, RestoreCounts, RestoreReport, Step};
use super::stack::{self, Stacks};
use super::{Ground, RestoreRequest, Watch};
use crate::checkpoint::{ChangeStats, Checkpoint, Draft, LISTED_MAX, Reason, Touched};
use crate::error::{Error, Result};
use crate::index::{IndexChanges, IndexEntry};

/// What a finished restore left on disk.
pub(super) struct Done {
    pub(super) applied: Applied,
    pub(super) intent: Intent,
    observed: Observed,
    receipt: Receipt,
    /// The tree that is recorded: the wanted one, but for what was refused.
    recorded: ObjectId,
}

impl Ground<'_> {
    /// Brings the working directory into a recorded state.
    pub(crate) fn restore(&self, request: &RestoreRequest, watch: Watch<'_>) -> Result<RestoreReport> {
        self.run(request, Direction::Restore, None, watch)
    }

    pub(super) fn run(
        &self,
        request: &RestoreRequest,
        direction: Direction,
        more_saved: Option<ObjectId>,
        watch: Watch<'_>,
    ) -> Result<RestoreReport> {
        let begun = match self.begin(request, direction, more_saved, watch)? {
            Ok(begun) => begun,
            Err(nothing) => return Ok(nothing_to_do(nothing)),
        };
        let Begun { root, plan, intent, safety } = begun;
        match self.carry_out(&root, &plan, intent, false, watch) {
            Ok((done, restored)) => Ok(report(done, Some(safety), Some(restored), plan.refused)),
            Err(Error::Interrupted) => Err(Error::Interrupted),
            Err(error) => {
                // As after a crash; if that fails too, the intent stays and the next start goes on.
                match self.roll_back(watch) {
                    Ok(_) => Err(Error::RolledBack { source: Box::new(error) }),
                    Err(second) => {
                        tracing::error!(%second, "a failed restore could not be taken back yet");
                        Err(error)
                    }
                }
            }
        }
    }

    /// Writes all paths of `plan`, reads them back, and records the state that is there.
    pub(super) fn carry_out(
        &self,
        root: &Root,
        plan: &Plan,
        intent: Intent,
        resumes: bool,
        watch: Watch<'_>,
    ) -> Result<(Done, Checkpoint)> {
        let _hold = self.store.capture()?;
        let done = self.write_paths(root, plan, intent, resumes, watch)?;
        let restored = self.record_restored(plan, &done)?;
        if !watch(Step::Recorded) {
            return Err(Error::Interrupted);
        }
        Ok((done, restored))
    }

    /// Writes all paths of `plan` and reads them back.
    pub(super) fn write_paths(
        &self,
        root: &Root,
        plan: &Plan,
        intent: Intent,
        resumes: bool,
        watch: Watch<'_>,
    ) -> Result<Done> {
        let goal = intent.goal;
        let nonce = intent.nonce;
        let intents = self.intents()?;
        let late = Late::new(self.store, &intents, Some(intent))?;
        let step = |step: Step<'_>| if watch(step) { Ok(()) } else { Err(Error::Interrupted) };
        let placer = Placer { resumes, ..self.placer(nonce, &late, &step) };
        let modes = plan.modes_of_parents(self.store, &goal.to)?;
        let applied = Run::new(root, plan, placer, modes, self.options.threads).finish()?;
        let observed = read_back(root, plan, self.options.threads)?;
        let intent = late.into_intent().ok_or(Error::RestoreCutShort)?;
        let capture = self.store.capture()?;
        let recorded = self.recorded_root(&capture, &goal, plan, &applied)?;
        let receipt = self.receipt(&capture, &goal, plan, &applied, &observed)?;
        if recorded != goal.to {
            capture.commit(|_| {}, Durability::Buffered)?;
        }
        Ok(Done { applied, intent, observed, receipt, recorded })
    }

    pub(super) fn placer<'a>(
        &'a self,
        nonce: u64,
        late: &'a Late<'a>,
        step: &'a (dyn Fn(Step<'_>) -> Result<()> + Sync),
    ) -> Placer<'a> {
        let (store, swap) = (self.store, self.options.swap);
        Placer { store, nonce, swap, resumes: false, only_new: false, late, tally: Tally::default(), step }
    }

    /// Settles what an attempt that was cut short left under temporary names. Returns the intent with what had to be kept.
    pub(super) fn settle_leftovers(&self, root: &Root, plan: &Plan, intent: Intent) -> Result<Intent> {
        let nonce = intent.nonce;
        let intents = self.intents()?;
        let late = Late::new(self.store, &intents, Some(intent))?;
        {
            let placer = self.placer(nonce, &late, &|_| Ok(()));
            for (path, task) in &plan.tasks {
                let Some(dir) = path.parent().and_then(|parent| root.dir(parent).ok()) else { continue };
                match placer.clear_leftovers(&dir, path, task) {
                    Ok(()) => {}
                    // It stays under its temporary name, and is told by the plan that goes back.
                    Err(Failed::Refused(why)) => tracing::warn!(%path, %why, "a file of a restore stays"),
                    Err(Failed::Fatal(error)) => return Err(error),
                }
            }
        }
        late.into_intent().ok_or(Error::RestoreCutShort)
    }

    /// The wanted tree, but for what was refused and for directories that stay.
    fn recorded_root(&self, capture: &Capture, goal: &Goal, plan: &Plan, applied: &Applied) -> Result<ObjectId> {
        let refused = plan.refused.iter().chain(&applied.refused).map(|refused| &refused.path);
        let left: BTreeSet<&RepoPathBuf> = refused.chain(&applied.directories_kept).collect();
        let mut edits: BTreeMap<RepoPathBuf, Option<Entry>> = BTreeMap::new();
        for path in left {
            let before = entry_at(self.store, &goal.from, path)?;
            if before.is_some() {
                self.add_parents(goal, path, &mut edits)?;
            } else if entry_at(self.store, &goal.to, path)?.is_none() {
                continue;
            }
            // What was in a directory that stays went, unless it was refused itself.
            let before = match before {
                Some(entry) if entry.is_directory() && applied.directories_kept.contains(path) => {
                    Some(Entry::directory(ObjectId::EMPTY_TREE, entry.mode))
                }
                before => before,
            };
            edits.insert(path.clone(), before);
        }
        if edits.is_empty() { Ok(goal.to) } else { Ok(capture.edit_tree(&goal.to, edits)?) }
    }

    fn add_parents(
        &self,
        goal: &Goal,
        path: &RepoPath,
        edits: &mut BTreeMap<RepoPathBuf, Option<Entry>>,
    ) -> Result<()> {
        let mut above = path.parent();
        while let Some(directory) = above.filter(|directory| !directory.is_root()) {
            let wanted = entry_at(self.store, &goal.to, directory)?;
            if edits.contains_key(directory) || wanted.is_some_and(|entry| entry.is_directory()) {
                break;
            }
            let mode =
                entry_at(self.store, &goal.from, directory)?.map_or(tl_core::Mode::new(0o755), |entry| entry.mode);
            edits.insert(directory.to_owned(), Some(Entry::directory(ObjectId::EMPTY_TREE, mode)));
            above = directory.parent();
        }
        Ok(())
    }

    pub(super) fn receipt(
        &self,
        capture: &Capture,
        goal: &Goal,
        plan: &Plan,
        applied: &Applied,
        observed: &Observed,
    ) -> Result<Receipt> {
        let mut differing = differing(plan, observed);
        // Files that come back beside the recorded ones count as differing, and are in no recorded tree.
        let mut edits = differing.clone();
        for path in differing.keys() {
            let is_overlay = plan.tasks.get(path).and_then(|task| task.after)
                != entry_at(self.store, &goal.to, path)?.map(without_content);
            if is_overlay && goal.overlay.is_some() {
                edits.remove(path);
            } else {
                self.add_parents(goal, path, &mut edits)?;
            }
        }
        // Below what is no directory there is nothing to take out.
        let is_file_like = |edit: &Option<Entry>| !edit.is_some_and(|entry| entry.is_directory());
        let files: BTreeSet<RepoPathBuf> =
            edits.iter().filter(|(_, edit)| is_file_like(edit)).map(|(path, _)| path.clone()).collect();
        edits.retain(|path, _| {
            let mut above = std::iter::successors(path.parent(), |path| path.parent());
            !above.any(|above| files.contains(above))
        });
        let found = if edits.is_empty() { goal.to } else { capture.edit_tree(&goal.to, edits)? };
        for refused in plan.refused.iter().chain(&applied.refused) {
            differing.entry(refused.path.clone()).or_insert(None);
        }
        Ok(Receipt { wanted: goal.to, found, differing: differing.into_keys().collect() })
    }

    /// Records the state that is there, in one batch with the index of it, the stack of restores, and that the intent is carried out.
    fn record_restored(&self, plan: &Plan, done: &Done) -> Result<Checkpoint> {
        let intent = &done.intent;
        let goal = &intent.goal;
        let mut changes = IndexChanges::new(self.index);
        let now = self.clock.now();
        for path in plan.tasks.keys() {
            match self.recorded_entry(&done.recorded, path)? {
                None => changes.delete(path)?,
                Some(entry) => {
                    let index_entry = match done.observed.get(path) {
                        Some(found @ Found::Entry(_, stat)) if found.is(Some(&entry)) => {
                            IndexEntry::new(entry, stat, stat.is_racy_at(now))
                        }
                        // It is something else by now: the next look reads it.
                        _ => IndexEntry::of_tree(entry),
                    };
                    changes.put(path, &index_entry)?;
                }
            }
        }
        let (stats, touched) = self.summary(&goal.from, &done.recorded)?;
        let target = intent.target.filter(|target| *target != intent.safety);
        let target = match target {
            Some(target) if self.journal.get(target)?.is_some() => Some(target),
            _ => None,
        };
        let draft = Draft {
            parents: std::iter::once(intent.safety).chain(target).collect(),
            saved: intent.late,
            stats,
            touched,
            provenance: intent.provenance.clone(),
            ..Draft::new(Reason::Restore, done.recorded)
        };
        let mut batch = WriteBatch::new();
        let mut append = self.journal.begin_append();
        let restored = append.add(draft, self.clock, &mut batch)?;
        changes.stage(&done.recorded, &mut batch);
        let stacks = Stacks::open(self.store.db())?;
        let mut stack = stacks.load()?;
        stack.push(intent.direction, stack::Step { before: intent.safety, after: restored.id });
        stacks.stage(&stack, &mut batch);
        let written =
            Intent { phase: Phase::Written, time_us: self.now_us(), restored: Some(restored.id), ..intent.clone() };
        self.intents()?.stage(&written, &mut batch);
        // Until the settling syncs it, a loss of power leaves the intent to restore: the same state is then made again.
        self.store.db().write(batch, Durability::Buffered)?;
        append.committed();
        Ok(restored)
    }

    fn recorded_entry(&self, root: &ObjectId, path: &RepoPath) -> Result<Option<Entry>> {
        entry_at(self.store, root, path)
    }

    pub(super) fn summary(&self, before: &ObjectId, after: &ObjectId) -> Result<(ChangeStats, Touched)> {
        let mut stats = ChangeStats::default();
        let mut touched = Touched::default();
        for change in self.store.diff(before, after)? {
            let change = change?;
            if touched.listed.len() < LISTED_MAX {
                touched.listed.push(change.path.clone());
            } else {
                touched.more = true;
            }
            let files = |entry: Option<Entry>| entry.filter(|entry| !entry.is_directory());
            match (files(change.before), files(change.after)) {
                (None, None) => {}
                (None, Some(after)) => {
                    stats.files_added += 1;
                    stats.bytes_added += after.size;
                }
                (Some(before), None) => {
                    stats.files_removed += 1;
                    stats.bytes_removed += before.size;
                }
                (Some(before), Some(after)) => {
                    stats.files_changed += 1;
                    stats.bytes_added += after.size;
                    stats.bytes_removed += before.size;
                }
            }
        }
        Ok((stats, touched))
    }

    /// Brings what was restored to the disk and forgets the intent. Nothing if there is none that was carried out; one that was not is an error.
    pub(crate) fn settle(&self) -> Result<()> {
        self.settle_watched(super::unwatched).map(|_| ())
    }

    /// True if there was something to settle: then everything that is recorded is durable.
    pub(crate) fn settle_watched(&self, watch: impl Fn(Step<'_>) -> bool) -> Result<bool> {
        let intents = self.intents()?;
        match intents.load()? {
            None => return Ok(false),
            Some(intent) if intent.phase == Phase::Applying => return Err(Error::RestoreCutShort),
            Some(_) => {}
        }
        self.sync_root(&self.open_root()?)?;
        if !watch(Step::Synced) {
            return Err(Error::Interrupted);
        }
        let mut batch = WriteBatch::new();
        intents.stage_removal(&mut batch);
        // The checkpoint of the restored state comes before it in the log, and is durable with it.
        self.store.db().write(batch, Durability::Sync)?;
        Ok(true)
    }

    pub(super) fn sync_root(&self, root: &Root) -> Result<()> {
        root.sync_filesystem().map_err(|errno| Error::io("sync the filesystem of", self.root_path(), errno))
    }
}

/// Directories are compared without what is in them.
fn without_content(entry: Entry) -> Entry {
    if entry.is_directory() { Entry::directory(Tree::empty().id(), entry.mode) } else { entry }
}

fn nothing_to_do(prepared: Prepared) -> RestoreReport {
    let wanted = prepared.goal.to;
    let refused = prepared.plan.refused;
    let differing = refused.iter().map(|refused| refused.path.clone()).collect();
    let found = if refused.is_empty() { wanted } else { prepared.goal.from };
    let receipt = Receipt { wanted, found, differing };
    let counts = RestoreCounts::default();
    RestoreReport { safety: None, restored: None, counts, refused, directories_kept: Vec::new(), receipt }
}

fn report(
    done: Done,
    safety: Option<Checkpoint>,
    restored: Option<Checkpoint>,
    mut refused: Vec<Refused>,
) -> RestoreReport {
    refused.extend(done.applied.refused);
    refused.sort_by(|a, b| a.path.cmp(&b.path));
    let mut receipt = done.receipt;
    receipt.differing.extend(done.applied.directories_kept.iter().cloned());
    receipt.differing.sort();
    receipt.differing.dedup();
    let (counts, directories_kept) = (done.applied.counts, done.applied.directories_kept);
    RestoreReport { safety, restored, counts, refused, directories_kept, receipt }
}

impl Done {
    /// What was left as it is, and what was read back.
    pub(super) fn into_report(self, refused: Vec<Refused>) -> (Vec<Refused>, Receipt) {
        let report = report(self, None, None, refused);
        (report.refused, report.receipt)
    }
}
