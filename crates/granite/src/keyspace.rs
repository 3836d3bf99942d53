//! One named, ordered collection of keys.

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;

use crate::batch::WriteBatch;
use crate::db::UserHandle;
use crate::error::Result;
use crate::iter::{Iter, owned_bounds};
use crate::key::{Kind, Seq};
use crate::memtable::{Buffer, Memtable};
use crate::options::{Durability, KeyspaceOptions};
use crate::snapshot::SnapshotGuard;
use crate::sweep::Sweep;
use crate::tree::{MemBuffer, Version, View};

/// What all handles of one keyspace share.
pub(crate) struct KeyspaceCore {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) options: KeyspaceOptions,
    view: ArcSwap<View>,
    /// Held to replace the view by a changed one.
    change: Mutex<()>,
    dropped: AtomicBool,
    /// One flush at a time.
    pub(crate) flushing: Mutex<()>,
    /// One compaction at a time.
    pub(crate) compacting: Mutex<()>,
    /// Compaction met damage and is not tried again by itself.
    pub(crate) compaction_stopped: AtomicBool,
    /// What is being swept away now.
    pub(crate) sweep: ArcSwapOption<Sweep>,
}

impl std::fmt::Debug for KeyspaceCore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyspaceCore").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl KeyspaceCore {
    pub(crate) fn new(id: u32, name: String, options: KeyspaceOptions, version: Version, floor: Seq) -> Arc<Self> {
        let active = MemBuffer::new(Buffer::Skiplist(Arc::new(Memtable::new(u64::from(id) + 1))));
        let view = View { active, immutables: Vec::new(), version: Arc::new(version), floor };
        Arc::new(Self {
            id,
            name,
            options,
            view: ArcSwap::from_pointee(view),
            change: Mutex::new(()),
            dropped: AtomicBool::new(false),
            flushing: Mutex::new(()),
            compacting: Mutex::new(()),
            compaction_stopped: AtomicBool::new(false),
            sweep: ArcSwapOption::empty(),
        })
    }

    /// The present view. The sequence to read at is loaded after it: then the view holds everything up to that sequence.
    #[inline]
    pub(crate) fn view(&self) -> arc_swap::Guard<Arc<View>> {
        self.view.load()
    }

    pub(crate) fn view_full(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Replaces the view by what `change` makes of it.
    pub(crate) fn change_view(&self, change: impl FnOnce(&View) -> View) {
        let _changing = self.change.lock();
        let next = change(&self.view.load());
        self.view.store(Arc::new(next));
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Acquire)
    }

    pub(crate) fn mark_dropped(&self) {
        self.dropped.store(true, Ordering::Release);
    }

    /// Begins a new memtable. The caller holds the right to apply commits. `applied` is the last operation applied.
    pub(crate) fn rotate(&self, applied: Seq) {
        self.change_view(|view| {
            let mut next = view.clone();
            let shared = view.active.memtable().map(|memtable| memtable.shared_prefix().to_vec()).unwrap_or_default();
            let memtable = Memtable::with_shared_prefix(applied.get(), &shared);
            next.immutables.insert(0, Arc::clone(&view.active));
            next.active = MemBuffer::new(Buffer::Skiplist(Arc::new(memtable)));
            next
        });
    }

    /// The oldest operation that is not in tables, if any.
    pub(crate) fn first_unpersisted(&self) -> Option<Seq> {
        self.view().memory().filter_map(|memory| memory.buffer.seq_bounds()).map(|(min, _)| min).min()
    }
}

/// A named, ordered collection of keys with their values. Cheap to clone; usable from any thread.
///
/// Keys are ordered by bytes. A key has 1 byte to 16 MiB (exactly as many as said with [`KeyLayout::Hash`](crate::KeyLayout::Hash)), a value 0 bytes to 1 GiB.
#[derive(Clone)]
pub struct Keyspace {
    pub(crate) core: Arc<KeyspaceCore>,
    pub(crate) db: Arc<UserHandle>,
}

impl std::fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyspace").field("name", &self.core.name).finish_non_exhaustive()
    }
}

impl Keyspace {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// The options that the keyspace was created with.
    #[must_use]
    pub fn options(&self) -> &KeyspaceOptions {
        &self.core.options
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// A key that the keyspace cannot hold, [`Error::Corrupt`](crate::Error::Corrupt), or an error of the disk.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.core.options.check_key(key)?;
        self.db.check_open()?;
        let view = self.core.view();
        let at = self.db.visible();
        self.db.stats.gets.add(1);
        let _span = tracing::trace_span!("get", keyspace = %self.core.name).entered();
        Self::value_in(&view, key, at)
    }

    pub(crate) fn get_at(&self, key: &[u8], at: Seq) -> Result<Option<Vec<u8>>> {
        self.core.options.check_key(key)?;
        self.db.check_open()?;
        self.db.stats.gets.add(1);
        Self::value_in(&self.core.view(), key, at)
    }

    fn value_in(view: &View, key: &[u8], at: Seq) -> Result<Option<Vec<u8>>> {
        let found = view.newest(key, at, |trailer, bytes, origin| match trailer.kind() {
            Kind::Delete | Kind::RangeDelete => Ok(None),
            Kind::Inline | Kind::Separated => origin.value(trailer, bytes).map(Some),
        })?;
        Ok(found.flatten())
    }

    /// True if `key` has a value. Does not read the value.
    ///
    /// # Errors
    /// As for [`Keyspace::get`].
    pub fn contains_key(&self, key: &[u8]) -> Result<bool> {
        self.core.options.check_key(key)?;
        self.db.check_open()?;
        let view = self.core.view();
        let at = self.db.visible();
        self.db.stats.gets.add(1);
        let found = view.newest(key, at, |trailer, _, _| Ok(trailer.kind() != Kind::Delete))?;
        Ok(found.unwrap_or(false))
    }

    /// Writes `value` under `key`, with the database's durability.
    ///
    /// # Errors
    /// A key or value that the keyspace cannot hold, [`Error::StorageFull`](crate::Error::StorageFull), or a failure after which the database refuses writes.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut batch = WriteBatch::new();
        batch.put(self, key, value);
        self.commit(batch)
    }

    /// Removes `key`, with the database's durability. It need not exist.
    ///
    /// # Errors
    /// As for [`Keyspace::put`].
    pub fn delete(&self, key: &[u8]) -> Result<()> {
        let mut batch = WriteBatch::new();
        batch.delete(self, key);
        self.commit(batch)
    }

    /// Writes `value` under `key` unless the key has a value already; true if it was written.
    ///
    /// # Errors
    /// As for [`Keyspace::put`].
    pub fn put_if_absent(&self, key: &[u8], value: &[u8]) -> Result<bool> {
        let mut batch = WriteBatch::new();
        batch.put_if_absent(self, key, value);
        let committed = self.db.commit(batch, self.db.options.durability)?;
        Ok(committed.was_absent.first().copied().unwrap_or(false))
    }

    /// Removes every key from `start` up to, not including, `end`, with the database's durability.
    ///
    /// # Errors
    /// As for [`Keyspace::put`]; a range whose end is not greater than its start.
    pub fn delete_range(&self, start: &[u8], end: &[u8]) -> Result<()> {
        let mut batch = WriteBatch::new();
        batch.delete_range(self, start, end);
        self.commit(batch)
    }

    fn commit(&self, batch: WriteBatch) -> Result<()> {
        self.db.commit(batch, self.db.options.durability).map(|_| ())
    }

    /// A walk over `range` at the present moment.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) or an error of the disk.
    pub fn scan<K: AsRef<[u8]>, R: RangeBounds<K>>(&self, range: R) -> Result<Iter> {
        let (lower, upper) = owned_bounds(&range);
        self.iter_at(self.db.pin_now(), lower, upper)
    }

    /// A walk over all keys that begin with `prefix`, at the present moment.
    ///
    /// # Errors
    /// As for [`Keyspace::scan`].
    pub fn scan_prefix(&self, prefix: &[u8]) -> Result<Iter> {
        let upper = crate::iter::prefix_end(prefix);
        self.iter_at(self.db.pin_now(), Bound::Included(prefix.to_vec()), upper)
    }

    pub(crate) fn iter_at(&self, pin: SnapshotGuard, lower: Bound<Vec<u8>>, upper: Bound<Vec<u8>>) -> Result<Iter> {
        self.db.check_open()?;
        self.db.stats.scans.add(1);
        let _span = tracing::trace_span!("scan", keyspace = %self.core.name).entered();
        // The sequence was pinned before the view is loaded, so the view holds everything up to it.
        let at = pin.seq;
        Iter::new(&self.core.view_full(), at, lower, upper, pin)
    }

    /// About how many bytes of tables hold keys of `range`: exact to about a thousand keys a table, without what is in memory
    /// and without separated values.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) or an error of the disk.
    pub fn approximate_len<K: AsRef<[u8]>, R: RangeBounds<K>>(&self, range: R) -> Result<u64> {
        self.db.check_open()?;
        let (lower, upper) = owned_bounds(&range);
        let key = |bound: &Bound<Vec<u8>>| match bound {
            Bound::Included(key) | Bound::Excluded(key) => Some(key.clone()),
            Bound::Unbounded => None,
        };
        let (from, to) = (key(&lower), key(&upper));
        let view = self.core.view_full();
        let mut len = 0;
        for (_, table) in view.version.tables() {
            let below = to.as_ref().is_some_and(|to| *to < table.meta.smallest);
            let above = from.as_ref().is_some_and(|from| *from > table.meta.largest);
            if !below && !above {
                len += table.len_between(from.as_deref(), to.as_deref())?;
            }
        }
        Ok(len)
    }

    /// Moves everything in memory to tables, and waits for it.
    ///
    /// # Errors
    /// [`Error::StorageFull`](crate::Error::StorageFull) or another failure of the disk.
    pub fn flush(&self) -> Result<()> {
        self.db.flush_keyspace(&self.core)
    }

    /// Moves everything to the deepest level, dropping what is deleted or overwritten, and waits for it.
    ///
    /// # Errors
    /// As for [`Keyspace::flush`].
    pub fn compact(&self) -> Result<()> {
        self.compact_range::<&[u8], _>(..)
    }

    /// Like [`Keyspace::compact`], for the tables that hold keys of `range`.
    ///
    /// # Errors
    /// As for [`Keyspace::flush`].
    pub fn compact_range<K: AsRef<[u8]>, R: RangeBounds<K>>(&self, range: R) -> Result<()> {
        let (lower, upper) = owned_bounds(&range);
        self.db.compact_range(&self.core, &lower, &upper)
    }

    /// The durability of the handle's own writes.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.db.options.durability
    }
}
