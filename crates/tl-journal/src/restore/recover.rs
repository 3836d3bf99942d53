//! After a crash: what was begun is carried to its end, or the state before it is brought back.

use std::time::Duration;

use granite::{Durability, WriteBatch};
use tl_core::EntryKind;

use super::begin::union;
use super::dir::Root;
use super::disk::Found;
use super::intent::{Direction, Intent, Phase};
use super::plan::{Goal, Plan, entry_at};
use super::receipt::{Observed, read_back};
use super::report::{Receipt, Recovered, Refused};
use super::{Ground, Watch, refuse_collisions};
use crate::checkpoint::{CheckpointId, Draft, Reason};
use crate::error::{Error, ErrorKind, Result};
use crate::workdir::{FileTime, Stat};

/// A filesystem's clock may be this much behind the one that tells when a restore was recorded.
const CLOCK_GRAIN: Duration = Duration::from_millis(20);

/// How a restore that was cut short ended.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// Which way.
    pub how: Recovered,
    /// The state before the restore.
    pub safety: CheckpointId,
    /// The state that was wanted.
    pub target: Option<CheckpointId>,
    /// Why it was taken back, if finishing it was tried first.
    pub reason: Option<String>,
    /// Paths that were left as they are.
    pub refused: Vec<Refused>,
    /// What was read back.
    pub receipt: Receipt,
}

impl Ground<'_> {
    /// True if a restore was begun and is not over: [`Ground::recover`] comes before anything else is done to the working directory.
    pub(crate) fn is_cut_short(&self) -> Result<bool> {
        Ok(self.intents()?.load()?.is_some_and(|intent| intent.phase == Phase::Applying))
    }

    /// Finishes a restore that was cut short, or takes it back if it cannot be finished or `take_back` says so, and syncs the filesystem. `None` if there is
    /// none.
    pub(crate) fn recover(&self, take_back: bool, watch: Watch<'_>) -> Result<Option<Recovery>> {
        let Some(intent) = self.intents()?.load()? else { return Ok(None) };
        if intent.phase == Phase::Written {
            return self.complete(&intent, watch).map(Some);
        }
        if intent.direction == Direction::RollBack || take_back {
            return self.roll_back(watch).map(Some);
        }
        match self.finish(intent, watch) {
            Ok(recovery) => Ok(Some(recovery)),
            Err(Error::Interrupted) => Err(Error::Interrupted),
            // The store itself refuses: going back would meet the same.
            Err(error) if error.kind() == ErrorKind::Stop => Err(error),
            Err(error) => {
                let recovery = self.roll_back(watch)?;
                Ok(Some(Recovery { reason: Some(error.to_string()), ..recovery }))
            }
        }
    }

    fn finish(&self, intent: Intent, watch: Watch<'_>) -> Result<Recovery> {
        let root = self.open_root()?;
        let plan = self.plan_again(&root, &intent)?;
        let (safety, target) = (intent.safety, intent.target);
        let (done, _) = self.carry_out(&root, &plan, intent, true, watch)?;
        self.settle_watched(watch)?;
        let (refused, receipt) = done.into_report(plan.refused);
        Ok(Recovery { how: Recovered::Finished, safety, target, reason: None, refused, receipt })
    }

    fn plan_again(&self, root: &Root, intent: &Intent) -> Result<Plan> {
        let mut plan = Plan::new(self.store, &intent.goal)?;
        refuse_collisions(self.store, root, &mut plan, &intent.goal.to, intent.nonce, self.options.folding)?;
        Ok(plan)
    }

    /// Brings back the state before the restore whose intent is there.
    pub(super) fn roll_back(&self, watch: Watch<'_>) -> Result<Recovery> {
        let _hold = self.store.capture()?;
        let nothing = || Error::Invalid { what: "restore", reason: "there is none to take back".into() };
        let mut intent = self.intents()?.load()?.ok_or_else(nothing)?;
        let root = self.open_root()?;
        let (safety, target) = (intent.safety, intent.target);
        if intent.direction != Direction::RollBack {
            intent = self.turn_back(&root, intent)?;
        }
        let plan = self.plan_again(&root, &intent)?;
        let done = self.write_paths(&root, &plan, intent, true, watch)?;
        self.sync_root(&root)?;
        if !watch(super::Step::Synced) {
            return Err(Error::Interrupted);
        }
        self.record_late(&done.intent)?;
        let (refused, receipt) = done.into_report(plan.refused);
        Ok(Recovery { how: Recovered::RolledBack, safety, target, reason: None, refused, receipt })
    }

    /// Replaces the intent to restore by the one to go back, after everything that waits under temporary names is settled.
    fn turn_back(&self, root: &Root, forth: Intent) -> Result<Intent> {
        let plan = self.plan_again(root, &forth)?;
        let forth = self.settle_leftovers(root, &plan, forth)?;
        let Goal { from, to, overlay, saved } = forth.goal;
        let intent = Intent {
            direction: Direction::RollBack,
            nonce: self.clock.random_u64(),
            // What came back beside the recorded files has to go again, unless it was there before.
            goal: Goal { from: to, to: from, overlay: union(self.store, &[saved, forth.late])?, saved: overlay },
            late: None,
            ..forth
        };
        let mut batch = WriteBatch::new();
        self.intents()?.stage(&intent, &mut batch);
        self.store.db().write(batch, Durability::Sync)?;
        Ok(intent)
    }

    /// What a rollback kept is in a checkpoint before the intent goes.
    fn record_late(&self, intent: &Intent) -> Result<()> {
        let mut batch = WriteBatch::new();
        self.intents()?.stage_removal(&mut batch);
        let Some(late) = intent.late else {
            self.store.db().write(batch, Durability::Sync)?;
            return Ok(());
        };
        let head = self.head()?;
        let draft = Draft {
            parents: vec![head.id],
            saved: Some(late),
            completeness: head.completeness,
            provenance: intent.provenance.clone(),
            ..Draft::new(Reason::BeforeRestore, head.root)
        };
        let mut append = self.journal.begin_append();
        append.add(draft, self.clock, &mut batch)?;
        self.store.db().write(batch, Durability::Sync)?;
        append.committed();
        Ok(())
    }

    /// A restore that was recorded, of which a loss of power may have taken parts: writes those again that nobody has changed since.
    fn complete(&self, intent: &Intent, watch: Watch<'_>) -> Result<Recovery> {
        let _hold = self.store.capture()?;
        let root = self.open_root()?;
        let mut plan = self.plan_again(&root, intent)?;
        let observed = read_back(&root, &plan, self.options.threads)?;
        let mut lost = Vec::new();
        for (path, task) in &plan.tasks {
            let found = observed.get(path).copied().unwrap_or(Found::Nothing);
            if !found.is(task.after.as_ref()) && !self.is_newer(&root, intent, path, &observed)? {
                lost.push(path.clone());
            }
        }
        plan.tasks.retain(|path, _| lost.binary_search(path).is_ok());
        let done = self.write_paths(&root, &plan, intent.clone(), true, watch)?;
        self.sync_root(&root)?;
        if !watch(super::Step::Synced) {
            return Err(Error::Interrupted);
        }
        self.record_late(&Intent {
            late: done.intent.late.filter(|late| Some(*late) != intent.late),
            ..intent.clone()
        })?;
        let (refused, receipt) = done.into_report(plan.refused);
        let (how, safety, target) = (Recovered::Finished, intent.safety, intent.target);
        Ok(Recovery { how, safety, target, reason: None, refused, receipt })
    }

    /// True if what is at `path` came there after the restore: it is recorded since, or its times say so.
    fn is_newer(&self, root: &Root, intent: &Intent, path: &tl_core::RepoPathBuf, observed: &Observed) -> Result<bool> {
        let found = observed.get(path).copied().unwrap_or(Found::Nothing);
        let head = self.head()?;
        if Some(head.id) != intent.restored {
            let recorded = entry_at(self.store, &head.root, path)?;
            if found.is(recorded.as_ref()) {
                return Ok(true);
            }
        }
        let written = Duration::from_micros(intent.time_us);
        let is_after = |stat: &Stat| stat.mtime > file_time(written.saturating_sub(CLOCK_GRAIN));
        Ok(match &found {
            // What a loss of power leaves of a new file is empty, with the time of the restore.
            Found::Entry(entry, stat) if entry.kind == EntryKind::File && entry.size == 0 => {
                stat.mtime > file_time(written)
            }
            Found::Entry(_, stat) => is_after(stat),
            Found::Special | Found::Unstable => true,
            // Whoever removes something changes the directory that it was in.
            Found::Nothing => {
                let parent = path.parent().unwrap_or(tl_core::RepoPath::root());
                root.dir(parent).and_then(|dir| dir.stat_self()).is_ok_and(|stat| is_after(&stat))
            }
        })
    }
}

fn file_time(time: Duration) -> FileTime {
    FileTime { seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX), nanos: time.subsec_nanos() }
}
