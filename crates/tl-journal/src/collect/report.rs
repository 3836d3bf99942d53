//! What a collection did.

use std::time::Duration;

use super::Dropped;
use crate::retention::RetentionPlan;

/// What a collection did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectReport {
    /// Nothing was done: the counts of what is dropped say what would be.
    pub dry_run: bool,
    /// What stays and what goes, each with its reason.
    pub plan: RetentionPlan,
    /// Checkpoints that were deleted: fewer than the plan's if one was pinned or read meanwhile.
    pub checkpoints_deleted: u64,
    /// Objects that were looked at.
    pub objects: u64,
    /// Objects that were dropped.
    pub objects_dropped: u64,
    /// Bytes of these with their keys, as they were stored. The disk has them back when the engine compacts.
    pub bytes_dropped: u64,
    /// Objects that stay until a reader of the database is done.
    pub objects_kept_for_readers: u64,
    /// Bytes of the store's files before.
    pub disk_bytes_before: u64,
    /// Bytes of the store's files after.
    pub disk_bytes_after: u64,
    /// How long it took.
    pub duration: Duration,
}

impl CollectReport {
    pub(super) fn add(&mut self, dropped: &Dropped) {
        let Dropped { checkpoints, swept } = *dropped;
        self.checkpoints_deleted += checkpoints;
        self.objects = swept.objects;
        self.objects_dropped += swept.dropped;
        self.bytes_dropped += swept.dropped_bytes;
        self.objects_kept_for_readers = swept.kept_for_snapshots;
    }

    pub(super) const fn would_drop(&mut self, objects: u64) {
        self.objects_dropped = objects;
    }
}
