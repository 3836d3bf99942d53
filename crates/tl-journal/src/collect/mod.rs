//! Collection: checkpoints that retention lets go, then the objects that nothing refers to any more, beside writers that go on.
//!
//! The order is what makes it safe. Records go first, durably, so that nothing marked later can lead to what is swept. Then marking begins: from there on, what a
//! capture finds stored is marked by itself, and what it writes is younger than the sweep. Only then is the list of checkpoints read, so that whatever a capture
//! started from is either in it or was committed after. A crash anywhere leaves objects too many, never too few.

mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tl_core::{Marking, ObjectId};
use vfs::{LockKind, Vfs};

use crate::checkpoint::{Checkpoint, CheckpointId};
use crate::error::{Error, Result};
use crate::index::IndexState;
use crate::journal::Order;
use crate::repository::{OBJECTS, Repository};
use crate::reserve;
use crate::retention::{Candidate, Eviction, KeepReason, RetentionPlan, RetentionPolicy, Survey, thin, within_budget};

pub use report::CollectReport;

/// A checkpoint that stays, and why.
type Kept = (CheckpointId, KeepReason);

/// Records deleted in one batch.
const DELETE_BATCH: usize = 4096;
/// Stores of up to this many bytes are measured by reading them.
const MEASURED_BYTES_MAX: u64 = 1 << 30;
/// Where the locks of a store are, and the one that says that a collection is under way.
const LOCKS_DIR: &str = "locks";
const LOCK_NAME: &str = "gc";

/// What to collect, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectRequest {
    /// Which checkpoints stay.
    pub policy: RetentionPolicy,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
}

impl Repository {
    /// Lets go of the checkpoints that the policy does not keep, and drops the objects that nothing needs any more. Updates, reads and restores go on meanwhile.
    ///
    /// # Errors
    /// [`Error::Busy`] if another collection is under way; a tree that cannot be read, before any object is dropped; [`Error::Engine`].
    pub fn collect(&self, request: &CollectRequest) -> Result<CollectReport> {
        // A repository that is open for reading cannot.
        drop(self.lock_writer()?);
        let vfs = self.clock();
        let _one = lock(vfs, &self.config().store_dir)?;
        let start = vfs.monotonic();
        let mut report = CollectReport { dry_run: request.dry_run, ..CollectReport::default() };
        report.disk_bytes_before = self.disk_bytes()?;
        let (kept, evictions) = self.thinned(&request.policy)?;
        let mut plan = plan_of(&kept, evictions);
        if request.dry_run {
            if let Some(budget) = request.policy.budget_bytes {
                plan.add_over_budget(self.plan_budget(&kept, &plan.evictions, budget)?);
            }
            report.would_drop(self.count_unwanted(&plan)?);
        } else {
            if reserve::release(vfs, &self.config().store_dir)? {
                tracing::debug!("the reserve is released for a collection");
            }
            report.add(&self.let_go(&plan)?);
            if let Some(budget) = request.policy.budget_bytes
                && self.live_bytes()? > budget
            {
                // What the rules of age let go is out of the way now, so what is left is really needed.
                let over = self.plan_budget(&kept, &[], budget)?;
                report.add(&self.let_go(&over)?);
                plan.add_over_budget(over);
                if self.disk_bytes()? > budget {
                    self.db().compact()?;
                }
            }
            self.hold_reserve()?;
        }
        report.plan = plan;
        report.disk_bytes_after = self.disk_bytes()?;
        report.duration = vfs.monotonic().saturating_sub(start);
        Ok(report)
    }

    /// What a collection with this policy would keep and let go by age and number. What a budget asks for beyond that is told by a dry run.
    ///
    /// # Errors
    /// As for [`Journal::walk`](crate::Journal::walk).
    pub fn plan_retention(&self, policy: &RetentionPolicy) -> Result<RetentionPlan> {
        let (kept, evictions) = self.thinned(policy)?;
        Ok(plan_of(&kept, evictions))
    }

    fn thinned(&self, policy: &RetentionPolicy) -> Result<(Vec<Kept>, Vec<Eviction>)> {
        let holders = self.holders()?;
        let mut surveys = Vec::new();
        for checkpoint in self.journal().walk(.., Order::NewestFirst)? {
            let Checkpoint { id, reason, .. } = checkpoint?;
            surveys.push(Survey { id, reason, held: holders.of(id) });
        }
        Ok(thin(policy, self.clock().now(), surveys))
    }

    /// What of the checkpoints that age and number keep has to go so that the rest fits into `budget` bytes, once those of `going` are gone.
    fn plan_budget(&self, kept: &[Kept], going: &[Eviction], budget: u64) -> Result<RetentionPlan> {
        let going: BTreeSet<CheckpointId> = going.iter().map(|eviction| eviction.id).collect();
        let reasons: BTreeMap<CheckpointId, KeepReason> = kept.iter().copied().collect();
        let holders = self.holders()?;
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut younger: Option<Checkpoint> = None;
        let (mut logical, mut logical_going): (u64, u64) = (0, 0);
        for checkpoint in self.journal().walk(.., Order::NewestFirst)? {
            let checkpoint = checkpoint?;
            let before = younger.as_ref().map_or(ObjectId::EMPTY_TREE, |younger| younger.root);
            let mut bytes = self.bytes_new_in(&before, &checkpoint.root)?;
            if let Some(saved) = checkpoint.saved {
                bytes = bytes.saturating_add(self.bytes_new_in(&checkpoint.root, &saved)?);
            }
            logical = logical.saturating_add(bytes);
            if going.contains(&checkpoint.id) {
                logical_going = logical_going.saturating_add(bytes);
                continue;
            }
            // One that came since then is the newest.
            let by_age = || reasons.get(&checkpoint.id).copied().unwrap_or(KeepReason::Newest);
            let reason = holders.of(checkpoint.id).unwrap_or_else(by_age);
            candidates.push(Candidate { id: checkpoint.id, reason, bytes });
            younger = Some(checkpoint);
        }
        // Contents are compressed, and shared more than neighbours tell: what is stored is divided as the contents are.
        let live = self.live_bytes()?;
        let stored = |bytes: u64| {
            let share = u128::from(bytes) * u128::from(live) / u128::from(logical.max(1));
            u64::try_from(share).unwrap_or(u64::MAX)
        };
        for candidate in &mut candidates {
            candidate.bytes = stored(candidate.bytes);
        }
        let mut evictions = Vec::new();
        let used = live.saturating_sub(stored(logical_going));
        let over_budget_bytes = within_budget(&mut candidates, used, budget, &mut evictions);
        let left: Vec<_> = candidates.iter().map(|candidate| (candidate.id, candidate.reason)).collect();
        Ok(RetentionPlan { over_budget_bytes, ..plan_of(&left, evictions) })
    }

    /// Sizes of the files below `root` that `before` does not have in the same place.
    fn bytes_new_in(&self, before: &ObjectId, root: &ObjectId) -> Result<u64> {
        let mut bytes: u64 = 0;
        for change in self.store().diff(before, root)? {
            bytes = bytes.saturating_add(change?.after.map_or(0, |entry| entry.size));
        }
        Ok(bytes)
    }

    fn holders(&self) -> Result<Holders> {
        Ok(Holders {
            head: self.journal().head().map(|head| head.id),
            pinned: self.journal().pins()?.into_iter().map(|pin| pin.id).collect(),
            published: self.journal().published_ids()?,
            leased: self.lock_leases().checkpoints(),
            on_stack: crate::restore::on_stack(self.db())?,
        })
    }

    /// Deletes the records of the plan's evictions, and drops what nothing needs then.
    fn let_go(&self, plan: &RetentionPlan) -> Result<Dropped> {
        let ids: Vec<CheckpointId> = plan.evictions.iter().map(|eviction| eviction.id).collect();
        let mut checkpoints = 0;
        for batch in ids.chunks(DELETE_BATCH) {
            // Under this lock no lease begins, and under the journal's no pin.
            let leases = self.lock_leases();
            let leased = leases.checkpoints();
            checkpoints +=
                self.journal().delete_unless_kept(batch.iter().filter(|id| !leased.contains(id)).copied())?;
        }
        let marking = self.store().begin_marking()?;
        self.mark_all(&marking, |_| true)?;
        let swept = marking.sweep()?;
        self.store().trim();
        Ok(Dropped { checkpoints, swept })
    }

    /// Marks everything that checkpoints (those that `is_kept`), the index, leases and a restore under way need.
    fn mark_all(&self, marking: &Marking, is_kept: impl Fn(CheckpointId) -> bool) -> Result<()> {
        let mut marked = ObjectId::EMPTY_TREE;
        for checkpoint in self.journal().walk(.., Order::OldestFirst)? {
            let checkpoint = checkpoint?;
            if !is_kept(checkpoint.id) {
                continue;
            }
            if marked != checkpoint.root {
                marking.mark_tree(&marked, &checkpoint.root)?;
                marked = checkpoint.root;
            }
            if let Some(saved) = checkpoint.saved {
                marking.mark_tree(&marked, &saved)?;
            }
        }
        let mut trees = self.lock_leases().trees();
        trees.extend(self.trees_of_restore()?);
        if let IndexState::Settled(root) = self.index().state()? {
            trees.push(root);
        }
        for tree in trees {
            marking.mark_tree(&marked, &tree)?;
        }
        Ok(())
    }

    fn count_unwanted(&self, plan: &RetentionPlan) -> Result<u64> {
        let gone: BTreeSet<CheckpointId> = plan.evictions.iter().map(|eviction| eviction.id).collect();
        let marking = self.store().begin_marking()?;
        self.mark_all(&marking, |id| !gone.contains(&id))?;
        Ok(marking.count_unmarked()?)
    }

    /// Bytes of the store's files, the reserve left out.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn disk_bytes(&self) -> Result<u64> {
        let dir = self.db().path();
        let vfs = self.clock();
        let mut bytes: u64 = 0;
        for path in vfs.read_dir(&dir).map_err(|error| Error::io("list", &dir, error))? {
            match vfs.metadata(&path) {
                Ok(found) => bytes = bytes.saturating_add(found.len),
                // A compaction was faster.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("look at", &path, error)),
            }
        }
        Ok(bytes)
    }

    /// Bytes that are really needed of the store's files. Values that were dropped are known in all segments but the one that is being written, so a large
    /// store's figure can be that much too high; a small store is measured.
    fn live_bytes(&self) -> Result<u64> {
        let disk_bytes = self.disk_bytes()?;
        let stats = self.db().stats();
        let tables: u64 = stats.keyspaces.iter().flat_map(|keyspace| &keyspace.levels).map(|level| level.bytes).sum();
        if disk_bytes <= MEASURED_BYTES_MAX {
            return Ok(tables + self.stored_bytes()?);
        }
        let dropped: u64 = stats.segments.iter().map(|(_, len, live)| len.saturating_sub(*live)).sum();
        Ok(disk_bytes.saturating_sub(dropped))
    }

    fn stored_bytes(&self) -> Result<u64> {
        let objects = self.db().existing_keyspace(OBJECTS)?;
        let mut bytes: u64 = 0;
        for entry in objects.scan::<&[u8], _>(..)? {
            let (key, value) = entry?;
            bytes += (key.len() + value.len()) as u64;
        }
        Ok(bytes)
    }

    /// Holds the reserve for a full disk, if the repository is to have one and there is room.
    pub(crate) fn hold_reserve(&self) -> Result<()> {
        let config = self.config();
        if config.reserve_bytes > 0 && !reserve::hold(self.clock(), &config.store_dir, config.reserve_bytes)? {
            tracing::warn!("the disk has no room for the reserve; a full disk will be harder to clean up");
        }
        Ok(())
    }

    /// Gives the reserve back to a full disk, so that a collection has room to work in. True if there was one; the next collection takes it again.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn release_reserve(&self) -> Result<bool> {
        reserve::release(self.clock(), &self.config().store_dir)
    }
}

fn plan_of(kept: &[Kept], evictions: Vec<Eviction>) -> RetentionPlan {
    let mut plan = RetentionPlan { evictions, ..RetentionPlan::default() };
    for (_, reason) in kept {
        *plan.kept.entry(*reason).or_default() += 1;
    }
    plan
}

/// What was let go.
struct Dropped {
    checkpoints: u64,
    swept: tl_core::SweepReport,
}

/// What holds checkpoints whatever their age.
struct Holders {
    head: Option<CheckpointId>,
    pinned: BTreeSet<CheckpointId>,
    published: BTreeSet<CheckpointId>,
    leased: BTreeSet<CheckpointId>,
    on_stack: BTreeSet<CheckpointId>,
}

impl Holders {
    fn of(&self, id: CheckpointId) -> Option<KeepReason> {
        match () {
            () if self.head == Some(id) => Some(KeepReason::Head),
            () if self.pinned.contains(&id) => Some(KeepReason::Pinned),
            () if self.published.contains(&id) => Some(KeepReason::Published),
            () if self.leased.contains(&id) => Some(KeepReason::Leased),
            () if self.on_stack.contains(&id) => Some(KeepReason::Undo),
            () => None,
        }
    }
}

/// The right to collect.
fn lock(vfs: &dyn Vfs, store_dir: &Path) -> Result<Box<dyn vfs::Lock>> {
    let dir = store_dir.join(LOCKS_DIR);
    vfs.create_dir_all(&dir).map_err(|error| Error::io("create", &dir, error))?;
    let path = dir.join(LOCK_NAME);
    vfs.lock(&path, LockKind::Exclusive).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => Error::Busy { what: "a collection" },
        _ => Error::io("lock", &path, error),
    })
}
