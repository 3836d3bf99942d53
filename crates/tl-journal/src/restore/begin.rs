//! Before anything is touched: the wanted state, what stands in its way, the safety checkpoint, the intent.

use std::collections::BTreeMap;

use granite::{Durability, WriteBatch};
use tl_core::{Entry, ObjectId, RepoPathBuf, Store};

use super::dir::Root;
use super::intent::{Direction, Intent, Phase};
use super::obstacles::Obstacles;
use super::plan::{Goal, Plan, all_below, entry_at, tree_of};
use super::report::{Action, PlannedChange, RestorePlan};
use super::select::wanted_root;
use super::{Ground, RestoreRequest, Selection, Watch, refuse_collisions};
use crate::checkpoint::{Checkpoint, CheckpointId, Draft, Reason};
use crate::error::{Error, Result};

/// What stays free on the filesystem beside what a restore writes.
const RESERVE_BYTES: u64 = 1 << 20;

/// A restore of which everything is known and nothing is done.
pub(super) struct Prepared {
    pub(super) goal: Goal,
    pub(super) plan: Plan,
    pub(super) nonce: u64,
    pub(super) obstacles: Obstacles,
}

/// A restore whose intent is durable.
pub(super) struct Begun {
    pub(super) root: Root,
    pub(super) plan: Plan,
    pub(super) intent: Intent,
    pub(super) safety: Checkpoint,
}

/// Files beside the recorded ones that are wanted, put together into one tree: where both have a path, the later one counts.
pub(super) fn union(store: &Store, trees: &[Option<ObjectId>]) -> Result<Option<ObjectId>> {
    let trees: Vec<ObjectId> = trees.iter().copied().flatten().collect();
    if let [] | [_] = trees.as_slice() {
        return Ok(trees.first().copied());
    }
    let mut entries: BTreeMap<RepoPathBuf, Entry> = BTreeMap::new();
    for tree in &trees {
        for found in all_below(store, tree)? {
            let (path, entry) = found?;
            entries.insert(path, entry);
        }
    }
    let capture = store.capture()?;
    let tree = tree_of(&capture, &entries, |_| tl_core::Mode::new(0o700))?;
    capture.commit(|_| {}, Durability::Buffered)?;
    Ok(Some(tree))
}

impl Ground<'_> {
    pub(super) fn head(&self) -> Result<Checkpoint> {
        let nothing = || Error::Invalid { what: "restore", reason: "nothing is recorded yet".into() };
        self.journal.head().ok_or_else(nothing)
    }

    pub(super) fn checkpoint(&self, id: CheckpointId) -> Result<Checkpoint> {
        self.journal.get(id)?.ok_or(Error::NoCheckpoint { id })
    }

    /// Computes what has to be done for `request` from the newest checkpoint on. Objects that it puts are kept by a capture that the caller holds.
    pub(super) fn prepare(
        &self,
        root: &Root,
        request: &RestoreRequest,
        more_saved: Option<ObjectId>,
    ) -> Result<Prepared> {
        if request.exact && request.selection != Selection::All {
            let reason = "only all of a state can be restored exactly".to_owned();
            return Err(Error::Invalid { what: "selection", reason });
        }
        let head = self.head()?;
        let target = self.checkpoint(request.target)?;
        let capture = self.store.capture()?;
        let to = wanted_root(&capture, &head.root, &target.root, &request.selection)?;
        capture.commit(|_| {}, Durability::Buffered)?;
        let overlay = if request.with_saved { union(self.store, &[target.saved, more_saved])? } else { None };
        let goal = Goal { from: head.root, to, overlay, saved: None };
        let nonce = self.clock.random_u64();
        let mut plan = Plan::new(self.store, &goal)?;
        refuse_collisions(self.store, root, &mut plan, &to, nonce, self.options.folding)?;
        let obstacles = Obstacles::find(self.store, root, &goal, &plan, request.exact)?;
        Ok(Prepared { goal, plan, nonce, obstacles })
    }

    /// What a restore would do, without doing it.
    pub(crate) fn plan(&self, request: &RestoreRequest) -> Result<RestorePlan> {
        // Nothing that is put here is swept away meanwhile.
        let _hold = self.store.capture()?;
        let root = self.open_root()?;
        let Prepared { goal, mut plan, obstacles, .. } = self.prepare(&root, request, None)?;
        for refused in &obstacles.refused {
            plan.refuse(&refused.path, &refused.why);
        }
        let bytes = plan.bytes();
        let mut changes: BTreeMap<RepoPathBuf, PlannedChange> = BTreeMap::new();
        for (path, task) in &plan.tasks {
            let before = task.known.first().copied();
            let saves = obstacles.found.contains_key(path);
            let action = match (&task.after, before) {
                (None, _) => Action::Remove,
                (Some(_), None) if !saves => Action::Create,
                (Some(after), _) if task.is_mode_only() || (after.is_directory() && task.was_directory()) => {
                    Action::ChangeMode
                }
                _ => Action::Replace,
            };
            let change = PlannedChange { path: path.clone(), action, before, after: task.after, saves };
            changes.insert(path.clone(), change);
        }
        for path in obstacles.found.keys() {
            let wanted = entry_at(self.store, &goal.to, path)?;
            let removed = || PlannedChange {
                path: path.clone(),
                action: Action::Remove,
                before: None,
                after: wanted,
                saves: true,
            };
            changes.entry(path.clone()).or_insert_with(removed);
        }
        let mut refused = plan.refused;
        refused.extend(obstacles.refused);
        refused.sort_by(|a, b| a.path.cmp(&b.path));
        refused.dedup();
        Ok(RestorePlan { changes: changes.into_values().collect(), refused, bytes })
    }

    /// Records the present state with everything that would be overwritten, and the intent. `None` if there is nothing to do.
    pub(super) fn begin(
        &self,
        request: &RestoreRequest,
        direction: Direction,
        more_saved: Option<ObjectId>,
        watch: Watch<'_>,
    ) -> Result<std::result::Result<Begun, Prepared>> {
        self.settle()?;
        // What is put is in no checkpoint yet; until it is, this keeps a sweep away from it.
        let _hold = self.store.capture()?;
        let root = self.open_root()?;
        let mut prepared = self.prepare(&root, request, more_saved)?;
        let capture = self.store.capture()?;
        let kept = prepared.obstacles.capture(&root, &capture)?;
        if !kept.is_empty() {
            let saved = tree_of(&capture, &kept, |path| prepared.obstacles.mode_of(&root, path))?;
            prepared.goal.saved = Some(saved);
        }
        capture.commit(|_| {}, Durability::Buffered)?;
        let Prepared { goal, nonce, plan, obstacles } = &mut prepared;
        let (goal, nonce) = (*goal, *nonce);
        let mut plan = std::mem::take(plan);
        if goal.saved.is_some() {
            // What was kept is part of the goal now.
            plan = Plan::new(self.store, &goal)?;
            refuse_collisions(self.store, &root, &mut plan, &goal.to, nonce, self.options.folding)?;
        }
        for refused in &*obstacles.refused {
            plan.refuse(&refused.path, &refused.why);
            plan.refused.push(refused.clone());
        }
        plan.refused.sort_by(|a, b| a.path.cmp(&b.path));
        plan.refused.dedup();
        if plan.tasks.is_empty() {
            return Ok(Err(Prepared { plan, ..prepared }));
        }
        let free = root.free_bytes().map_err(|errno| Error::io("look at", self.root_path(), errno))?;
        let needed = plan.bytes().saturating_add(RESERVE_BYTES);
        if needed > free {
            return Err(Error::NoRoom { path: self.root_path().to_owned(), needed, free });
        }
        let (safety, intent) = self.record_safety(request, direction, goal, nonce)?;
        if !watch(super::Step::Begun { paths: plan.tasks.len() }) {
            return Err(Error::Interrupted);
        }
        Ok(Ok(Begun { root, plan, intent, safety }))
    }

    fn record_safety(
        &self,
        request: &RestoreRequest,
        direction: Direction,
        goal: Goal,
        nonce: u64,
    ) -> Result<(Checkpoint, Intent)> {
        let head = self.head()?;
        let draft = Draft {
            parents: vec![head.id],
            saved: goal.saved,
            completeness: head.completeness,
            provenance: request.provenance.clone(),
            ..Draft::new(Reason::BeforeRestore, goal.from)
        };
        let mut batch = WriteBatch::new();
        let mut append = self.journal.begin_append();
        let safety = append.add(draft, self.clock, &mut batch)?;
        let intent = Intent {
            phase: Phase::Applying,
            direction,
            nonce,
            time_us: self.now_us(),
            goal,
            safety: safety.id,
            target: Some(request.target),
            restored: None,
            late: None,
            provenance: request.provenance.clone(),
        };
        self.intents()?.stage(&intent, &mut batch);
        self.store.db().write(batch, Durability::Sync)?;
        append.committed();
        Ok((safety, intent))
    }
}
