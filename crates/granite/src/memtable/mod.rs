//! What has been committed and not yet flushed, sorted: the buffers in memory.
//!
//! A [`Memtable`] takes the writes of one keyspace as they are committed; a [`SortedRun`] holds what the log had in its
//! tail when the database was opened. Both are read the same way, through [`Buffer`]. Point entries and range tombstones
//! are kept apart, and a buffer never applies one to the other: visibility is the reader's business.
//!
//! No file, no log, no sequence numbering here: whoever inserts has already written the log.

mod arena;
mod node;
mod skiplist;
mod sorted_run;
#[cfg(test)]
mod tests;
mod tombstones;

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use self::node::{Node, NodeRef};
use self::skiplist::{ListWriter, Skiplist};
pub(crate) use self::sorted_run::{SortedRun, SortedRunBuilder, SortedRunCursor};
use self::tombstones::Tombstones;
use crate::cursor::Cursor;
use crate::error::Result;
use crate::key::{Seq, Trailer};
use crate::range_tombstone::RangeTombstone;

/// Room for the two counters at the head of an `Arc`.
const ARC_HEADER_LEN: usize = 2 * size_of::<usize>();

/// A sorted buffer for one writer at a time and any number of readers that never wait.
#[derive(Debug)]
pub(crate) struct Memtable {
    list: Skiplist,
    tombstones: Tombstones,
    totals: Totals,
}

/// What the last writer left behind: stored once per batch, away from the cache lines that readers need.
#[derive(Debug)]
#[repr(align(64))]
struct Totals {
    len: AtomicUsize,
    node_bytes: AtomicUsize,
    seq_min: AtomicU64,
    seq_max: AtomicU64,
}

impl Memtable {
    /// An empty memtable. The seed decides the shape of the list, not its content.
    pub(crate) fn new(seed: u64) -> Self {
        Self::with_shared_prefix(seed, &[])
    }

    /// As [`Memtable::new`], for keys that are expected to begin with `shared`: the search is then as fast as if they did
    /// not. Keys that begin otherwise are welcome.
    pub(crate) fn with_shared_prefix(seed: u64, shared: &[u8]) -> Self {
        let list = Skiplist::new(seed, shared);
        let totals = Totals {
            len: AtomicUsize::new(0),
            node_bytes: AtomicUsize::new(list.writer().allocated_bytes()),
            seq_min: AtomicU64::new(u64::MAX),
            seq_max: AtomicU64::new(0),
        };
        Self { list, tombstones: Tombstones::default(), totals }
    }

    /// What all keys begin with: worth passing to the next memtable of the keyspace. An empty one passes on what it was
    /// given.
    pub(crate) fn shared_prefix(&self) -> &[u8] {
        let (Some(first), Some(last)) = (self.list.first(), self.list.last()) else { return self.list.shared() };
        let (first, last) = (first.key(), last.key());
        // The list is sorted: what its ends share, all share. A list of one key says nothing about the next ones.
        let shared = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        if shared == first.len() { &[] } else { first.split_at_checked(shared).map_or(&[], |(shared, _)| shared) }
    }

    /// Waits until no other writer is left. Take one per batch.
    pub(crate) fn writer(&self) -> MemtableWriter<'_> {
        let totals = &self.totals;
        MemtableWriter {
            list: self.list.writer(),
            memtable: self,
            len: totals.len.load(Ordering::Relaxed),
            seq_min: totals.seq_min.load(Ordering::Relaxed),
            seq_max: totals.seq_max.load(Ordering::Relaxed),
        }
    }

    /// The newest point entry of `key` at or below `at`, whatever its kind.
    #[inline]
    pub(crate) fn get(&self, key: &[u8], at: Seq) -> Option<(Trailer, &[u8])> {
        let node = self.list.at_or_after(key, Trailer::at(at))?;
        (node.key() == key).then(|| (node.trailer(), node.value()))
    }

    /// A cursor over the point entries, those included that are inserted while it lives.
    pub(crate) fn cursor(self: &Arc<Self>) -> MemtableCursor {
        MemtableCursor { memtable: Arc::clone(self), node: None }
    }

    /// True if there is any range tombstone. One load.
    #[inline]
    pub(crate) fn has_range_tombstones(&self) -> bool {
        self.tombstones.any()
    }

    /// The range tombstones of this moment, sorted by start.
    pub(crate) fn range_tombstones(&self) -> Arc<Vec<RangeTombstone>> {
        self.tombstones.snapshot()
    }

    /// The number of point entries, as of the end of the last batch.
    pub(crate) fn len(&self) -> usize {
        self.totals.len.load(Ordering::Acquire)
    }

    /// True if there is neither a point entry nor a range tombstone.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.first().is_none() && !self.has_range_tombstones()
    }

    /// What the memtable takes from the heap, itself and unused rests included, as of the end of the last batch.
    pub(crate) fn allocated_bytes(&self) -> usize {
        ARC_HEADER_LEN
            + size_of::<Self>()
            + self.list.shared().len()
            + self.totals.node_bytes.load(Ordering::Acquire)
            + self.tombstones.allocated_bytes()
    }

    /// The lowest and the highest sequence number, range tombstones included, as of the end of the last batch.
    pub(crate) fn seq_bounds(&self) -> Option<(Seq, Seq)> {
        let max = self.totals.seq_max.load(Ordering::Acquire);
        let min = self.totals.seq_min.load(Ordering::Acquire);
        (min <= max).then(|| (Seq::new(min), Seq::new(max)))
    }
}

/// The right to insert into a [`Memtable`]. Readers see each entry at once, the totals when this is dropped.
#[derive(Debug)]
pub(crate) struct MemtableWriter<'a> {
    list: ListWriter<'a>,
    memtable: &'a Memtable,
    len: usize,
    seq_min: u64,
    seq_max: u64,
}

impl MemtableWriter<'_> {
    /// Adds a point entry. No two entries may have the same key and sequence number.
    #[inline]
    pub(crate) fn insert(&mut self, key: &[u8], trailer: Trailer, value: &[u8]) {
        self.list.insert(key, trailer, value);
        self.len += 1;
        self.widen(trailer.seq());
    }

    /// Adds a range tombstone: keys from `start` up to (not including) `end`, written before `seq`.
    pub(crate) fn insert_range_tombstone(&mut self, start: &[u8], end: &[u8], seq: Seq) {
        self.memtable.tombstones.insert(RangeTombstone { start: start.to_vec(), end: end.to_vec(), seq });
        self.widen(seq);
    }

    fn widen(&mut self, seq: Seq) {
        self.seq_min = self.seq_min.min(seq.get());
        self.seq_max = self.seq_max.max(seq.get());
    }
}

impl Drop for MemtableWriter<'_> {
    fn drop(&mut self) {
        let totals = &self.memtable.totals;
        totals.len.store(self.len, Ordering::Release);
        totals.node_bytes.store(self.list.allocated_bytes(), Ordering::Release);
        totals.seq_min.store(self.seq_min, Ordering::Release);
        totals.seq_max.store(self.seq_max, Ordering::Release);
    }
}

/// A position in a [`Memtable`], which it keeps alive.
#[derive(Debug)]
pub(crate) struct MemtableCursor {
    memtable: Arc<Memtable>,
    node: Option<NonNull<Node>>,
}

// SAFETY: the node is in the arena of the memtable that goes along, and nodes may be read from any thread.
unsafe impl Send for MemtableCursor {}
// SAFETY: a shared cursor gives out only shared references to what never changes.
unsafe impl Sync for MemtableCursor {}

impl MemtableCursor {
    #[inline]
    fn node(&self) -> Option<NodeRef<'_>> {
        // SAFETY: every node that is stored here came from the memtable's list, and the memtable lives as long as `self`.
        self.node.map(|node| unsafe { NodeRef::from_ptr(node) })
    }

    #[inline]
    fn valid_node(&self) -> Option<NodeRef<'_>> {
        debug_assert!(self.node.is_some(), "the cursor must be valid");
        self.node()
    }
}

impl Cursor for MemtableCursor {
    fn valid(&self) -> bool {
        self.node.is_some()
    }

    fn seek_to_first(&mut self) -> Result<()> {
        self.node = self.memtable.list.first().map(NodeRef::as_ptr);
        Ok(())
    }

    fn seek_to_last(&mut self) -> Result<()> {
        self.node = self.memtable.list.last().map(NodeRef::as_ptr);
        Ok(())
    }

    fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        self.node = self.memtable.list.at_or_after(key, trailer).map(NodeRef::as_ptr);
        Ok(())
    }

    fn seek_before(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        self.node = self.memtable.list.before(key, trailer).map(NodeRef::as_ptr);
        Ok(())
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        self.node = self.valid_node().and_then(|node| self.memtable.list.after(node)).map(NodeRef::as_ptr);
        Ok(())
    }

    fn prev(&mut self) -> Result<()> {
        // Links only lead forwards: going back is a search.
        let before = self.valid_node().and_then(|node| self.memtable.list.before(node.key(), node.trailer()));
        self.node = before.map(NodeRef::as_ptr);
        Ok(())
    }

    #[inline]
    fn key(&self) -> &[u8] {
        self.valid_node().map_or(&[], NodeRef::key)
    }

    #[inline]
    fn trailer(&self) -> Trailer {
        self.valid_node().map_or(Trailer::OLDEST, NodeRef::trailer)
    }

    #[inline]
    fn value(&self) -> &[u8] {
        self.valid_node().map_or(&[], NodeRef::value)
    }
}

/// Either kind of sorted buffer: all that readers and flushes need to know.
#[derive(Debug, Clone)]
pub(crate) enum Buffer {
    /// Filled by commits.
    Skiplist(Arc<Memtable>),
    /// Filled by replay.
    Run(Arc<SortedRun>),
}

impl Buffer {
    /// The newest point entry of `key` at or below `at`, whatever its kind.
    #[inline]
    pub(crate) fn get(&self, key: &[u8], at: Seq) -> Option<(Trailer, &[u8])> {
        match self {
            Self::Skiplist(memtable) => memtable.get(key, at),
            Self::Run(run) => run.get(key, at),
        }
    }

    /// A cursor over the point entries.
    pub(crate) fn cursor(&self) -> BufferCursor {
        match self {
            Self::Skiplist(memtable) => BufferCursor::Skiplist(memtable.cursor()),
            Self::Run(run) => BufferCursor::Run(run.cursor()),
        }
    }

    /// True if there is any range tombstone. One load.
    #[inline]
    pub(crate) fn has_range_tombstones(&self) -> bool {
        match self {
            Self::Skiplist(memtable) => memtable.has_range_tombstones(),
            Self::Run(run) => run.has_range_tombstones(),
        }
    }

    /// The range tombstones of this moment, sorted by start.
    pub(crate) fn range_tombstones(&self) -> Arc<Vec<RangeTombstone>> {
        match self {
            Self::Skiplist(memtable) => memtable.range_tombstones(),
            Self::Run(run) => run.range_tombstones(),
        }
    }

    /// The number of point entries.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Skiplist(memtable) => memtable.len(),
            Self::Run(run) => run.len(),
        }
    }

    /// True if there is neither a point entry nor a range tombstone.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Skiplist(memtable) => memtable.is_empty(),
            Self::Run(run) => run.is_empty(),
        }
    }

    /// What the buffer takes from the heap, itself and unused rests included.
    pub(crate) fn allocated_bytes(&self) -> usize {
        match self {
            Self::Skiplist(memtable) => memtable.allocated_bytes(),
            Self::Run(run) => run.allocated_bytes(),
        }
    }

    /// The lowest and the highest sequence number, range tombstones included.
    pub(crate) fn seq_bounds(&self) -> Option<(Seq, Seq)> {
        match self {
            Self::Skiplist(memtable) => memtable.seq_bounds(),
            Self::Run(run) => run.seq_bounds(),
        }
    }
}

/// A position in a [`Buffer`], which it keeps alive.
#[derive(Debug)]
pub(crate) enum BufferCursor {
    /// In a memtable.
    Skiplist(MemtableCursor),
    /// In a sorted run.
    Run(SortedRunCursor),
}

macro_rules! each {
    ($self:expr, $cursor:ident => $call:expr) => {
        match $self {
            BufferCursor::Skiplist($cursor) => $call,
            BufferCursor::Run($cursor) => $call,
        }
    };
}

impl Cursor for BufferCursor {
    fn valid(&self) -> bool {
        each!(self, cursor => cursor.valid())
    }

    fn seek_to_first(&mut self) -> Result<()> {
        each!(self, cursor => cursor.seek_to_first())
    }

    fn seek_to_last(&mut self) -> Result<()> {
        each!(self, cursor => cursor.seek_to_last())
    }

    fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        each!(self, cursor => cursor.seek(key, trailer))
    }

    fn seek_before(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        each!(self, cursor => cursor.seek_before(key, trailer))
    }

    fn next(&mut self) -> Result<()> {
        each!(self, cursor => cursor.next())
    }

    fn prev(&mut self) -> Result<()> {
        each!(self, cursor => cursor.prev())
    }

    fn key(&self) -> &[u8] {
        each!(self, cursor => cursor.key())
    }

    fn trailer(&self) -> Trailer {
        each!(self, cursor => cursor.trailer())
    }

    fn value(&self) -> &[u8] {
        each!(self, cursor => cursor.value())
    }
}
