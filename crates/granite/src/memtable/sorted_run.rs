//! An immutable buffer that is sorted once: what replay makes of the log's tail.
//!
//! Entries are appended to one byte string in the order of the log; an index of 16 bytes per entry is sorted when all are
//! there. No pointers per entry, no searching per insert: a replay is bounded by reading the log.

use std::cmp::Ordering;
use std::sync::Arc;

use super::ARC_HEADER_LEN;
use super::node::prefix_of;
use crate::coding::{Decoder, put_varint};
use crate::cursor::Cursor;
use crate::error::Result;
use crate::key::{Seq, Trailer, compare};
use crate::range_tombstone::{RangeTombstone, position_in};

/// Where one entry is, beside what mostly decides its place.
#[derive(Debug, Clone, Copy)]
struct Slot {
    prefix: u64,
    offset: u64,
}

/// One decoded entry.
#[derive(Debug, Clone, Copy)]
struct Entry<'a> {
    key: &'a [u8],
    trailer: Trailer,
    value: &'a [u8],
}

/// Takes entries in any order.
#[derive(Debug)]
pub(crate) struct SortedRunBuilder {
    /// Per entry: trailer (8 bytes), key length and value length (varints), key, value.
    bytes: Vec<u8>,
    slots: Vec<Slot>,
    tombstones: Vec<RangeTombstone>,
    seq_min: Seq,
    seq_max: Seq,
}

/// Makes room for `more` by a quarter of what is there: doubling a vector of this size would break the memory budget.
fn grow<T>(vec: &mut Vec<T>, more: usize) {
    if vec.capacity() - vec.len() < more {
        vec.reserve_exact(more.max(vec.len() / 4).max(64));
    }
}

impl SortedRunBuilder {
    /// Nothing yet, and nothing allocated.
    pub(crate) const fn new() -> Self {
        Self { bytes: Vec::new(), slots: Vec::new(), tombstones: Vec::new(), seq_min: Seq::MAX, seq_max: Seq::ZERO }
    }

    /// Adds a point entry. No two entries may have the same key and sequence number.
    pub(crate) fn push(&mut self, key: &[u8], trailer: Trailer, value: &[u8]) {
        // Two varints of at most 5 bytes, as the lengths are limited.
        grow(&mut self.bytes, size_of::<Trailer>() + 10 + key.len() + value.len());
        grow(&mut self.slots, 1);
        self.slots.push(Slot { prefix: prefix_of(key), offset: self.bytes.len() as u64 });
        self.bytes.extend_from_slice(&trailer.to_u64().to_le_bytes());
        put_varint(&mut self.bytes, key.len() as u64);
        put_varint(&mut self.bytes, value.len() as u64);
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.widen(trailer.seq());
    }

    /// Adds a range tombstone: keys from `start` up to (not including) `end`, written before `seq`.
    pub(crate) fn push_range_tombstone(&mut self, start: &[u8], end: &[u8], seq: Seq) {
        let tombstone = RangeTombstone { start: start.to_vec(), end: end.to_vec(), seq };
        self.tombstones.insert(position_in(&self.tombstones, &tombstone), tombstone);
        self.widen(seq);
    }

    fn widen(&mut self, seq: Seq) {
        self.seq_min = self.seq_min.min(seq);
        self.seq_max = self.seq_max.max(seq);
    }

    /// What has been taken from the heap so far, unused room included.
    pub(crate) fn allocated_bytes(&self) -> usize {
        allocated(&self.bytes, &self.slots, &self.tombstones)
    }

    /// Sorts the entries and gives unused room back.
    pub(crate) fn finish(mut self) -> SortedRun {
        let bytes = &self.bytes;
        self.slots.sort_unstable_by(|a, b| {
            a.prefix.cmp(&b.prefix).then_with(|| {
                let (a, b) = (entry_at(bytes, *a), entry_at(bytes, *b));
                compare(a.key, a.trailer, b.key, b.trailer)
            })
        });
        self.bytes.shrink_to_fit();
        self.slots.shrink_to_fit();
        SortedRun {
            bytes: self.bytes,
            slots: self.slots,
            tombstones: Arc::new(self.tombstones),
            seq_bounds: (self.seq_min <= self.seq_max).then_some((self.seq_min, self.seq_max)),
        }
    }
}

fn allocated(bytes: &Vec<u8>, slots: &Vec<Slot>, tombstones: &Vec<RangeTombstone>) -> usize {
    let keys: usize = tombstones.iter().map(|tombstone| tombstone.start.capacity() + tombstone.end.capacity()).sum();
    bytes.capacity() + slots.capacity() * size_of::<Slot>() + tombstones.capacity() * size_of::<RangeTombstone>() + keys
}

#[expect(clippy::expect_used, reason = "offsets and lengths were written by `push` in this process")]
fn entry_at(bytes: &[u8], slot: Slot) -> Entry<'_> {
    let decode = || {
        let mut decoder = Decoder::new(bytes.get(slot.offset as usize..)?);
        let trailer = Trailer::from_u64(decoder.u64()?)?;
        let (key_len, value_len) = (decoder.varint_usize()?, decoder.varint_usize()?);
        Some(Entry { key: decoder.take(key_len)?, trailer, value: decoder.take(value_len)? })
    };
    decode().expect("a slot leads to an entry that `push` wrote")
}

/// An immutable sorted buffer.
#[derive(Debug)]
pub(crate) struct SortedRun {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
    tombstones: Arc<Vec<RangeTombstone>>,
    seq_bounds: Option<(Seq, Seq)>,
}

impl SortedRun {
    fn entry(&self, index: usize) -> Option<Entry<'_>> {
        self.slots.get(index).map(|&slot| entry_at(&self.bytes, slot))
    }

    /// How many entries are strictly before the internal key.
    fn count_before(&self, key: &[u8], trailer: Trailer) -> usize {
        let prefix = prefix_of(key);
        self.slots.partition_point(|&slot| {
            let order = slot.prefix.cmp(&prefix).then_with(|| {
                let entry = entry_at(&self.bytes, slot);
                compare(entry.key, entry.trailer, key, trailer)
            });
            order == Ordering::Less
        })
    }

    /// The newest point entry of `key` at or below `at`, whatever its kind.
    pub(crate) fn get(&self, key: &[u8], at: Seq) -> Option<(Trailer, &[u8])> {
        let entry = self.entry(self.count_before(key, Trailer::at(at)))?;
        (entry.key == key).then_some((entry.trailer, entry.value))
    }

    /// A cursor over the point entries.
    pub(crate) fn cursor(self: &Arc<Self>) -> SortedRunCursor {
        SortedRunCursor { run: Arc::clone(self), index: usize::MAX }
    }

    /// True if there is any range tombstone.
    pub(crate) fn has_range_tombstones(&self) -> bool {
        !self.tombstones.is_empty()
    }

    /// The range tombstones, sorted by start.
    pub(crate) fn range_tombstones(&self) -> Arc<Vec<RangeTombstone>> {
        Arc::clone(&self.tombstones)
    }

    /// The number of point entries.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// True if there is neither a point entry nor a range tombstone.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.tombstones.is_empty()
    }

    /// What the run takes from the heap, itself included.
    pub(crate) fn allocated_bytes(&self) -> usize {
        let arcs = 2 * ARC_HEADER_LEN + size_of::<Self>() + size_of::<Vec<RangeTombstone>>();
        arcs + allocated(&self.bytes, &self.slots, &self.tombstones)
    }

    /// The lowest and the highest sequence number, range tombstones included.
    pub(crate) const fn seq_bounds(&self) -> Option<(Seq, Seq)> {
        self.seq_bounds
    }
}

/// A position in a [`SortedRun`], which it keeps alive.
#[derive(Debug)]
pub(crate) struct SortedRunCursor {
    run: Arc<SortedRun>,
    /// Not valid from the number of entries on.
    index: usize,
}

impl SortedRunCursor {
    #[inline]
    fn entry(&self) -> Option<Entry<'_>> {
        debug_assert!(self.valid(), "the cursor must be valid");
        self.run.entry(self.index)
    }
}

impl Cursor for SortedRunCursor {
    #[inline]
    fn valid(&self) -> bool {
        self.index < self.run.len()
    }

    fn seek_to_first(&mut self) -> Result<()> {
        self.index = 0;
        Ok(())
    }

    fn seek_to_last(&mut self) -> Result<()> {
        self.index = self.run.len().wrapping_sub(1);
        Ok(())
    }

    fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        self.index = self.run.count_before(key, trailer);
        Ok(())
    }

    fn seek_before(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        self.index = self.run.count_before(key, trailer).wrapping_sub(1);
        Ok(())
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        debug_assert!(self.valid(), "the cursor must be valid");
        self.index = self.index.wrapping_add(1);
        Ok(())
    }

    #[inline]
    fn prev(&mut self) -> Result<()> {
        debug_assert!(self.valid(), "the cursor must be valid");
        self.index = self.index.wrapping_sub(1);
        Ok(())
    }

    #[inline]
    fn key(&self) -> &[u8] {
        self.entry().map_or(&[], |entry| entry.key)
    }

    #[inline]
    fn trailer(&self) -> Trailer {
        self.entry().map_or(Trailer::OLDEST, |entry| entry.trailer)
    }

    #[inline]
    fn value(&self) -> &[u8] {
        self.entry().map_or(&[], |entry| entry.value)
    }
}
