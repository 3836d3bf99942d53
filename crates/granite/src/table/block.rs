//! A data block in memory: values, keys, restart points, hash index.
//!
//! Keys stand together, apart from the values, so that a search touches few cache lines and pages.

use std::cmp::Ordering;

use super::Malformed;
use super::filter::KeyHash;
use crate::coding::Decoder;
use crate::key::{self, Kind, Trailer};

pub(super) const TAIL_LEN: usize = 16;
/// A bucket into which no key of the block falls.
pub(super) const BUCKET_EMPTY: u8 = 255;
/// A bucket that cannot say where its keys are.
pub(super) const BUCKET_COLLISION: u8 = 254;
/// What stands beside a key of fixed width: trailer and end of the value.
const FIXED_OVERHEAD: usize = 12;

/// A block of sorted entries. Only the proportions of its parts are checked when it is parsed; entries are as they are met.
#[derive(Debug)]
pub(crate) struct Block {
    bytes: Vec<u8>,
    entries: usize,
    /// Where the values end and the keys begin.
    keys_at: usize,
    /// Where the keys end and the restart points begin.
    restarts_at: usize,
    buckets_at: usize,
    buckets: usize,
    /// Length of every key, 0 where keys are prefix-compressed.
    width: usize,
    /// Anchors from one bucket number to the next.
    bucket_step: usize,
    /// Entries that can be gone to directly: all with a fixed width, else those at restart points.
    anchors: usize,
}

/// Where an entry stands: offsets in the block of its key and of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Position {
    pub(super) key: usize,
    pub(super) value: usize,
}

/// One entry, as it stands in the block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    /// Bytes that the key shares with the one before.
    pub(super) shared: usize,
    /// The key's other bytes.
    pub(super) suffix: &'a [u8],
    pub(super) trailer: Trailer,
    pub(super) value: ValueRange,
    pub(super) next: Position,
}

/// Where in its block a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ValueRange {
    pub(super) start: usize,
    pub(super) end: usize,
}

const ENTRY: Malformed = Malformed("an entry of a data block is malformed");
const RESTART: Malformed = Malformed("a restart point of a data block points outside of its entries");

impl Block {
    /// Takes the uncompressed bytes of a block whose keys have `width` bytes (0: prefix-compressed).
    pub(crate) fn parse(bytes: Vec<u8>, width: u16) -> Result<Self, Malformed> {
        const WRONG: Malformed = Malformed("the parts of a data block do not add up to its length");
        let tail_at = bytes.len().checked_sub(TAIL_LEN).ok_or(WRONG)?;
        let mut tail = Decoder::new(bytes.get(tail_at..).ok_or(WRONG)?);
        let entries = tail.u32().ok_or(WRONG)? as usize;
        let keys_at = tail.u32().ok_or(WRONG)? as usize;
        let restarts = tail.u32().ok_or(WRONG)? as usize;
        let buckets = usize::from(tail.array().map(u16::from_le_bytes).ok_or(WRONG)?);
        let found_width = tail.array().map(u16::from_le_bytes).ok_or(WRONG)?;
        if found_width != width {
            return Err(Malformed("a data block does not have the table's key width"));
        }
        let width = usize::from(width);
        let buckets_at = tail_at.checked_sub(buckets).ok_or(WRONG)?;
        // With a fixed width no restart points are stored: the field says how many anchors share a bucket number.
        let (restarts_len, anchors, bucket_step) = match width {
            0 => (restarts.checked_mul(8).ok_or(WRONG)?, restarts, 1),
            _ => (0, entries, restarts),
        };
        let restarts_at = buckets_at.checked_sub(restarts_len).ok_or(WRONG)?;
        let keys_len = restarts_at.checked_sub(keys_at).ok_or(WRONG)?;
        if width != 0 && entries.checked_mul(width + FIXED_OVERHEAD) != Some(keys_len) {
            return Err(WRONG);
        }
        if (entries == 0) != (anchors == 0) || (entries == 0) != (keys_len == 0) || anchors > entries {
            return Err(Malformed("a data block has restart points without entries or entries without restart points"));
        }
        if buckets > 0 && (bucket_step == 0 || anchors.div_ceil(bucket_step) > usize::from(BUCKET_COLLISION)) {
            return Err(Malformed("a data block has a hash index that its restart points do not allow"));
        }
        Ok(Self { bytes, entries, keys_at, restarts_at, buckets_at, buckets, width, bucket_step, anchors })
    }

    pub(super) const fn entries(&self) -> usize {
        self.entries
    }

    pub(super) const fn anchors(&self) -> usize {
        self.anchors
    }

    /// The position before which all values end.
    pub(super) const fn values_end(&self) -> usize {
        self.keys_at
    }

    /// The position of the first entry.
    pub(super) const fn start(&self) -> Position {
        Position { key: self.keys_at, value: 0 }
    }

    /// Where the keys of all entries end.
    pub(super) const fn end(&self) -> usize {
        self.restarts_at
    }

    pub(crate) const fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// The value's bytes. The range comes from an entry of this block.
    #[inline]
    pub(super) fn value(&self, range: ValueRange) -> &[u8] {
        self.bytes.get(range.start..range.end).unwrap_or_default()
    }

    /// The entry at `position`.
    #[inline]
    pub(super) fn entry_at(&self, position: Position) -> Result<Entry<'_>, Malformed> {
        let entry = if self.width == 0 { self.plain_entry(position) } else { self.fixed_entry(position) };
        entry.ok_or(ENTRY)
    }

    #[inline]
    fn plain_entry(&self, position: Position) -> Option<Entry<'_>> {
        let mut input = Decoder::new(self.bytes.get(position.key..self.restarts_at)?);
        let (shared, unshared, value_len) = match *input.rest() {
            [a, b, c, ..] if (a | b | c) < 0x80 => {
                input.take(3)?;
                (usize::from(a), usize::from(b), usize::from(c))
            }
            _ => (input.varint_usize()?, input.varint_usize()?, input.varint_usize()?),
        };
        let suffix = input.take(unshared)?;
        let trailer = checked_trailer(input.u64()?)?;
        let end = position.value.checked_add(value_len).filter(|&end| end <= self.keys_at)?;
        let next = Position { key: self.restarts_at - input.rest().len(), value: end };
        Some(Entry { shared, suffix, trailer, value: ValueRange { start: position.value, end }, next })
    }

    #[inline]
    fn fixed_entry(&self, position: Position) -> Option<Entry<'_>> {
        let mut input = Decoder::new(self.bytes.get(position.key..self.restarts_at)?);
        let suffix = input.take(self.width)?;
        let trailer = checked_trailer(input.u64()?)?;
        let end = input.u32()? as usize;
        if end < position.value || end > self.keys_at {
            return None;
        }
        let next = Position { key: position.key + self.width + FIXED_OVERHEAD, value: end };
        Some(Entry { shared: 0, suffix, trailer, value: ValueRange { start: position.value, end }, next })
    }

    /// The position of an entry that can be gone to directly; `index` is below `anchors`.
    #[inline]
    pub(super) fn anchor(&self, index: usize) -> Result<Position, Malformed> {
        if self.width == 0 {
            let at = self.restarts_at + 8 * index;
            let mut input = Decoder::new(self.bytes.get(at..self.buckets_at).unwrap_or_default());
            let (key, value) = (input.u32().ok_or(RESTART)? as usize, input.u32().ok_or(RESTART)? as usize);
            if key < self.keys_at || key >= self.restarts_at || value > self.keys_at {
                return Err(RESTART);
            }
            return Ok(Position { key, value });
        }
        let key = self.keys_at + index * (self.width + FIXED_OVERHEAD);
        // A value begins where the one before ends.
        let value = match index {
            0 => 0,
            _ => self.bytes.get(key - 4..).and_then(|rest| Decoder::new(rest).u32()).ok_or(RESTART)? as usize,
        };
        Ok(Position { key, value })
    }

    /// The last anchor before the given internal key, or the first one.
    pub(super) fn anchor_before(&self, key: &[u8], trailer: Trailer) -> Result<usize, Malformed> {
        let (mut low, mut high) = (0, self.anchors);
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.entry_at(self.anchor(middle)?)?;
            if entry.shared != 0 {
                return Err(Malformed("a restart point of a data block stands at a shortened key"));
            }
            match key::compare(entry.suffix, entry.trailer, key, trailer) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal | Ordering::Greater => high = middle,
            }
        }
        Ok(low.saturating_sub(1))
    }

    /// The last anchor that stands before `position`.
    pub(super) fn anchor_before_position(&self, position: Position) -> Result<Option<usize>, Malformed> {
        if self.width != 0 {
            return Ok(((position.key - self.keys_at) / (self.width + FIXED_OVERHEAD)).checked_sub(1));
        }
        let (mut low, mut high) = (0, self.anchors);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.anchor(middle)?.key < position.key { low = middle + 1 } else { high = middle }
        }
        Ok(low.checked_sub(1))
    }

    /// The first entry of the user key `key` at or after `target`, if the block holds one.
    #[inline]
    pub(super) fn get(
        &self,
        key: &[u8],
        hash: KeyHash,
        target: Trailer,
    ) -> Result<Option<(Trailer, ValueRange)>, Malformed> {
        if self.width == 0 {
            let anchor = match self.bucket(hash.bucket(self.buckets)) {
                Some(BUCKET_EMPTY) => return Ok(None),
                Some(BUCKET_COLLISION) | None if self.anchors == 0 => return Ok(None),
                Some(BUCKET_COLLISION) | None => self.anchor_before(key, target)?,
                Some(bucket) => usize::from(bucket),
            };
            return self.scan_plain(self.anchor(anchor)?, key, target);
        }
        if self.buckets == 0 {
            return match self.anchors {
                0 => Ok(None),
                _ => self.scan_fixed(self.anchor_before(key, target)?, 2, key, target),
            };
        }
        let home = hash.bucket(self.buckets);
        for bucket in (home..self.buckets).chain(0..home) {
            match self.bucket(bucket) {
                Some(BUCKET_EMPTY) | None => return Ok(None),
                Some(number) => {
                    let found =
                        self.scan_fixed(usize::from(number) * self.bucket_step, self.bucket_step, key, target)?;
                    if found.is_some() {
                        return Ok(found);
                    }
                }
            }
        }
        Ok(None)
    }

    /// The number in a bucket, if the block has a hash index.
    #[inline]
    fn bucket(&self, at: usize) -> Option<u8> {
        self.bytes.get(self.buckets_at + at).copied().filter(|_| self.buckets > 0)
    }

    /// Searches forward from a restart point without putting keys together: it is enough to know how many leading bytes
    /// of `key` the entry before has.
    fn scan_plain(
        &self,
        mut position: Position,
        key: &[u8],
        target: Trailer,
    ) -> Result<Option<(Trailer, ValueRange)>, Malformed> {
        let mut matched = 0;
        while position.key < self.restarts_at {
            let entry = self.plain_entry(position).ok_or(ENTRY)?;
            position = entry.next;
            // A restart point shares nothing, whatever it has in common with the entry before.
            let shared = entry.shared;
            if shared == 0 {
                matched = 0;
            }
            match shared.cmp(&matched) {
                // The key before is smaller than `key` in a byte that this one has too.
                Ordering::Greater => {}
                // This key is greater than the one before in a byte in which that one equals `key`.
                Ordering::Less => return Ok(None),
                Ordering::Equal => {
                    let rest = key.get(matched..).unwrap_or_default();
                    let common = common_prefix(entry.suffix, rest);
                    matched += common;
                    match (entry.suffix.get(common), rest.get(common)) {
                        (None, None) if entry.trailer <= target => return Ok(Some((entry.trailer, entry.value))),
                        (None, _) => {}
                        (Some(_), None) => return Ok(None),
                        (Some(here), Some(sought)) if here > sought => return Ok(None),
                        (Some(_), Some(_)) => {}
                    }
                }
            }
        }
        Ok(None)
    }

    /// Looks for `key` among `count` entries from an anchor on, and then for the version among all of that key.
    #[inline]
    fn scan_fixed(
        &self,
        anchor: usize,
        mut count: usize,
        key: &[u8],
        target: Trailer,
    ) -> Result<Option<(Trailer, ValueRange)>, Malformed> {
        let mut position = self.anchor(anchor)?;
        while position.key < self.restarts_at && count > 0 {
            let entry = self.fixed_entry(position).ok_or(ENTRY)?;
            position = entry.next;
            match entry.suffix.cmp(key) {
                Ordering::Less => count -= 1,
                Ordering::Equal if entry.trailer > target => {}
                Ordering::Equal => return Ok(Some((entry.trailer, entry.value))),
                Ordering::Greater => return Ok(None),
            }
        }
        Ok(None)
    }
}

/// Point entries are of three kinds.
#[inline]
fn checked_trailer(bits: u64) -> Option<Trailer> {
    Trailer::from_u64(bits).filter(|trailer| trailer.kind() != Kind::RangeDelete)
}

/// Number of leading bytes that both have.
#[inline]
pub(super) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
