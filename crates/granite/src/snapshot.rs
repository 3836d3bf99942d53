//! States that are kept readable.

use std::collections::BTreeMap;
use std::ops::RangeBounds;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::Result;
use crate::iter::{Iter, owned_bounds};
use crate::key::Seq;
use crate::keyspace::Keyspace;

/// Sequence numbers that readers look at, with how many do.
#[derive(Debug, Default)]
pub(crate) struct SnapshotList {
    pins: Mutex<BTreeMap<Seq, usize>>,
}

impl SnapshotList {
    /// Pins what `at` reads, so that nothing can be dropped between the reading and the pinning.
    pub(crate) fn pin(self: &Arc<Self>, at: impl FnOnce() -> Seq) -> SnapshotGuard {
        let mut pins = self.pins.lock();
        let seq = at();
        *pins.entry(seq).or_default() += 1;
        SnapshotGuard { list: Arc::clone(self), seq }
    }

    /// All pinned sequence numbers, rising.
    pub(crate) fn pinned(&self) -> Vec<Seq> {
        self.pins.lock().keys().copied().collect()
    }
}

/// Keeps one sequence number pinned.
#[derive(Debug)]
pub(crate) struct SnapshotGuard {
    list: Arc<SnapshotList>,
    pub(crate) seq: Seq,
}

impl Clone for SnapshotGuard {
    fn clone(&self) -> Self {
        let seq = self.seq;
        self.list.pin(|| seq)
    }
}

impl Drop for SnapshotGuard {
    fn drop(&mut self) {
        let mut pins = self.list.pins.lock();
        if let Some(count) = pins.get_mut(&self.seq) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.seq);
            }
        }
    }
}

/// The database as it was at one moment, over all keyspaces.
///
/// Made by [`Db::snapshot`](crate::Db::snapshot). Compaction keeps what it can see; drop it when it is no longer needed.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// let db = granite::Db::open(dir.path(), &granite::Options::new())?;
/// let config = db.keyspace("config", granite::KeyspaceOptions::new())?;
/// config.put(b"colour", b"blue")?;
/// let before = db.snapshot();
/// config.put(b"colour", b"red")?;
/// assert_eq!(before.get(&config, b"colour")?.as_deref(), Some(&b"blue"[..]));
/// # Ok::<(), granite::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) pin: SnapshotGuard,
}

impl Snapshot {
    /// The newest write that the snapshot sees.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.pin.seq
    }

    /// The value of `key` in `keyspace` at the snapshot.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), an error of the disk, or a key that the keyspace cannot hold.
    pub fn get(&self, keyspace: &Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>> {
        keyspace.get_at(key, self.pin.seq)
    }

    /// A walk over `range` of `keyspace` at the snapshot.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) or an error of the disk.
    pub fn scan<K: AsRef<[u8]>, R: RangeBounds<K>>(&self, keyspace: &Keyspace, range: R) -> Result<Iter> {
        let (lower, upper) = owned_bounds(&range);
        keyspace.iter_at(self.pin.clone(), lower, upper)
    }
}
