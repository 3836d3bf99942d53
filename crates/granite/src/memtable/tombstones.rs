//! The range tombstones of one buffer: rare, so that the usual read pays one load for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use super::ARC_HEADER_LEN;
use crate::range_tombstone::{RangeTombstone, position_in};

/// A list sorted by start, copied only when it grows while somebody holds a snapshot of it.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    any: AtomicBool,
    list: RwLock<Arc<Vec<RangeTombstone>>>,
}

impl Tombstones {
    pub(super) fn insert(&self, tombstone: RangeTombstone) {
        let mut list = self.list.write();
        let list = Arc::make_mut(&mut list);
        list.insert(position_in(list, &tombstone), tombstone);
        self.any.store(true, Ordering::Release);
    }

    #[inline]
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    pub(super) fn snapshot(&self) -> Arc<Vec<RangeTombstone>> {
        Arc::clone(&self.list.read())
    }

    /// Without what older snapshots still hold.
    pub(super) fn allocated_bytes(&self) -> usize {
        let list = self.list.read();
        let keys: usize = list.iter().map(|tombstone| tombstone.start.capacity() + tombstone.end.capacity()).sum();
        ARC_HEADER_LEN + size_of::<Vec<RangeTombstone>>() + list.capacity() * size_of::<RangeTombstone>() + keys
    }
}
