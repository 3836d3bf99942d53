//! A data block in memory: entries, restart points, hash index.

use std::cmp::Ordering;

use super::Malformed;
use super::filter::KeyHash;
use crate::coding::Decoder;
use crate::key::{self, Kind, Trailer};

pub(super) const TAIL_LEN: usize = 12;
/// A bucket into which no key of the block falls.
pub(super) const BUCKET_EMPTY: u8 = 255;
/// A bucket that cannot say where its keys are.
pub(super) const BUCKET_COLLISION: u8 = 254;

/// A block of sorted entries. Only the proportions of its parts are checked when it is parsed; entries are as they are met.
#[derive(Debug)]
pub(crate) struct Block {
    bytes: Vec<u8>,
    entries: u32,
    /// Where the entries end and the restart points begin.
    restarts_at: usize,
    restarts: usize,
    buckets_at: usize,
    buckets: usize,
    /// Length of every key, 0 where keys are prefix-compressed.
    width: usize,
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
}

/// Where in its block a value stands. The entry after it begins where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ValueRange {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Block {
    /// Takes the uncompressed bytes of a block whose keys have `width` bytes (0: prefix-compressed).
    pub(crate) fn parse(bytes: Vec<u8>, width: u16) -> Result<Self, Malformed> {
        const WRONG: Malformed = Malformed("the parts of a data block do not add up to its length");
        let tail_at = bytes.len().checked_sub(TAIL_LEN).ok_or(WRONG)?;
        let mut tail = Decoder::new(bytes.get(tail_at..).ok_or(WRONG)?);
        let entries = tail.u32().ok_or(WRONG)?;
        let restarts = tail.u32().ok_or(WRONG)? as usize;
        let buckets = usize::from(tail.array().map(u16::from_le_bytes).ok_or(WRONG)?);
        let found_width = tail.array().map(u16::from_le_bytes).ok_or(WRONG)?;
        let buckets_at = tail_at.checked_sub(buckets).ok_or(WRONG)?;
        let restarts_at = restarts.checked_mul(4).and_then(|len| buckets_at.checked_sub(len)).ok_or(WRONG)?;
        if (entries == 0) != (restarts == 0) || (entries == 0) != (restarts_at == 0) || restarts > entries as usize {
            return Err(Malformed("a data block has restart points without entries or entries without restart points"));
        }
        if buckets > 0 && (restarts == 0 || restarts > usize::from(BUCKET_COLLISION)) {
            return Err(Malformed("a data block has a hash index that its restart points do not allow"));
        }
        if found_width != width {
            return Err(Malformed("a data block does not have the table's key width"));
        }
        Ok(Self { bytes, entries, restarts_at, restarts, buckets_at, buckets, width: usize::from(width) })
    }

    pub(super) const fn entries(&self) -> u32 {
        self.entries
    }

    pub(super) const fn restarts(&self) -> usize {
        self.restarts
    }

    pub(super) const fn buckets(&self) -> usize {
        self.buckets
    }

    pub(super) const fn has_fixed_width(&self) -> bool {
        self.width != 0
    }

    /// The offset at which the entries end.
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

    /// The entry at `offset`.
    #[inline]
    pub(super) fn entry_at(&self, offset: usize) -> Result<Entry<'_>, Malformed> {
        self.decode_entry(offset).ok_or(Malformed("an entry of a data block is malformed"))
    }

    #[inline]
    fn decode_entry(&self, offset: usize) -> Option<Entry<'_>> {
        let mut input = Decoder::new(self.bytes.get(offset..self.restarts_at)?);
        let (shared, suffix, bits, value_len) = if self.width == 0 {
            let (shared, unshared, value_len) = match *input.rest() {
                [a, b, c, ..] if (a | b | c) < 0x80 => {
                    input.take(3)?;
                    (usize::from(a), usize::from(b), usize::from(c))
                }
                _ => (input.varint_usize()?, input.varint_usize()?, input.varint_usize()?),
            };
            (shared, input.take(unshared)?, input.u64()?, value_len)
        } else {
            (0, input.take(self.width)?, input.u64()?, input.varint_usize()?)
        };
        let trailer = Trailer::from_u64(bits).filter(|trailer| trailer.kind() != Kind::RangeDelete)?;
        let start = self.restarts_at - input.rest().len();
        input.take(value_len)?;
        Some(Entry { shared, suffix, trailer, value: ValueRange { start, end: start + value_len } })
    }

    /// The offset of the entry at which restart point `index` stands.
    #[inline]
    pub(super) fn restart_offset(&self, index: usize) -> Result<usize, Malformed> {
        let at = self.restarts_at + 4 * index;
        self.bytes
            .get(at..self.buckets_at)
            .and_then(|rest| Decoder::new(rest).u32())
            .map(|offset| offset as usize)
            .filter(|&offset| offset < self.restarts_at)
            .ok_or(Malformed("a restart point of a data block points outside of its entries"))
    }

    /// The last restart point with an entry before the given internal key, or the first one.
    pub(super) fn restart_before(&self, key: &[u8], trailer: Trailer) -> Result<usize, Malformed> {
        let (mut low, mut high) = (0, self.restarts);
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.entry_at(self.restart_offset(middle)?)?;
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

    /// The last restart point whose entry stands before the one at `offset`.
    pub(super) fn restart_before_offset(&self, offset: usize) -> Result<Option<usize>, Malformed> {
        let (mut low, mut high) = (0, self.restarts);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.restart_offset(middle)? < offset { low = middle + 1 } else { high = middle }
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
        let restart = match self.bucket(hash) {
            Some(BUCKET_EMPTY) => return Ok(None),
            Some(BUCKET_COLLISION) | None if self.restarts == 0 => return Ok(None),
            Some(BUCKET_COLLISION) | None => self.restart_before(key, target)?,
            Some(restart) => usize::from(restart),
        };
        let offset = self.restart_offset(restart)?;
        if self.width == 0 { self.scan_plain(offset, key, target) } else { self.scan_fixed(offset, key, target) }
    }

    /// The bucket of a key, if the block has a hash index.
    #[inline]
    pub(super) fn bucket(&self, hash: KeyHash) -> Option<u8> {
        self.bytes.get(self.buckets_at + hash.bucket(self.buckets)).copied().filter(|_| self.buckets > 0)
    }

    /// Searches forward from a restart point without putting keys together: it is enough to know how many leading bytes
    /// of `key` the entry before has.
    fn scan_plain(
        &self,
        mut offset: usize,
        key: &[u8],
        target: Trailer,
    ) -> Result<Option<(Trailer, ValueRange)>, Malformed> {
        let mut matched = 0;
        while offset < self.restarts_at {
            let entry = self.entry_at(offset)?;
            offset = entry.value.end;
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

    fn scan_fixed(
        &self,
        mut offset: usize,
        key: &[u8],
        target: Trailer,
    ) -> Result<Option<(Trailer, ValueRange)>, Malformed> {
        while offset < self.restarts_at {
            let entry = self.entry_at(offset)?;
            offset = entry.value.end;
            match entry.suffix.cmp(key) {
                Ordering::Less => {}
                Ordering::Equal if entry.trailer > target => {}
                Ordering::Equal => return Ok(Some((entry.trailer, entry.value))),
                Ordering::Greater => return Ok(None),
            }
        }
        Ok(None)
    }
}

/// Number of leading bytes that both have.
#[inline]
pub(super) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
