//! A data section: entries in the order of their keys, compressed against the key before, with restarts to search by.

use std::ops::Range;

use super::coding::{Reader, padding, put_varint, u32_at};
use super::header::{KEY_LEN_MAX, VALUE_LEN_MAX};

/// Entries from one restart to the next.
pub(crate) const GROUP_LEN: usize = 16;
/// Bytes that the keys of a group mostly fit into.
const GROUP_KEYS_LEN: usize = 512;
/// A section ends with the entry that brings its entries to this many bytes.
pub(crate) const SECTION_LEN: usize = 64 << 10;
/// Longest section that is read.
pub(crate) const SECTION_LEN_MAX: u64 = 2 << 20;

/// The length of the longest common beginning.
pub(crate) fn shared_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Gathers the entries of one section.
#[derive(Debug, Default)]
pub(crate) struct SectionBuilder {
    bytes: Vec<u8>,
    restarts: Vec<u32>,
    count: u32,
    last_key: Vec<u8>,
}

impl SectionBuilder {
    /// Appends an entry. Its key is greater than the last one.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        let is_restart = (self.count as usize).is_multiple_of(GROUP_LEN);
        let shared = if is_restart { 0 } else { shared_len(&self.last_key, key) };
        if is_restart {
            // A section is far below 4 GiB.
            self.restarts.push(self.bytes.len() as u32);
        }
        let suffix = key.get(shared..).unwrap_or_default();
        put_varint(&mut self.bytes, shared as u64);
        put_varint(&mut self.bytes, suffix.len() as u64);
        put_varint(&mut self.bytes, value.len() as u64);
        self.bytes.extend_from_slice(suffix);
        self.bytes.extend_from_slice(value);
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.count += 1;
    }

    /// The key of the last entry that was ever added, empty before the first.
    pub(crate) fn last_key(&self) -> &[u8] {
        &self.last_key
    }

    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= SECTION_LEN
    }

    /// The section of what was added, and an empty builder.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.bytes);
        let zeros = padding(out.len() as u64, 4) as usize;
        out.resize(out.len() + zeros, 0);
        for restart in self.restarts.drain(..) {
            out.extend_from_slice(&restart.to_le_bytes());
        }
        out.extend_from_slice(&self.count.to_le_bytes());
        self.count = 0;
        out
    }
}

/// A data section whose parts add up. Everything in it is checked where it is used: `None` stands for damage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section<'a> {
    /// With the padding behind them.
    entries: &'a [u8],
    restarts: &'a [u8],
    count: u32,
}

impl<'a> Section<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (rest, count) = bytes.split_last_chunk::<4>()?;
        let count = u32::from_le_bytes(*count);
        let restarts_len = (count as usize).div_ceil(GROUP_LEN).checked_mul(4)?;
        let entries_len = rest.len().checked_sub(restarts_len)?;
        if count == 0 || !entries_len.is_multiple_of(4) {
            return None;
        }
        let (entries, restarts) = rest.split_at_checked(entries_len)?;
        Some(Self { entries, restarts, count })
    }

    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    pub(crate) const fn groups(&self) -> usize {
        (self.count as usize).div_ceil(GROUP_LEN)
    }

    fn restart_key(&self, group: usize) -> Option<&'a [u8]> {
        let offset = u32_at(self.restarts, group)?;
        let mut reader = Reader::new(self.entries.get(offset as usize..)?);
        reader.count(0)?;
        let len = reader.count(KEY_LEN_MAX)?;
        reader.count(VALUE_LEN_MAX)?;
        reader.take(len)
    }

    /// The group in which `key` is or would be: the last one that begins at or before it, or the first.
    pub(crate) fn group_of(&self, key: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.groups());
        while low < high {
            let middle = low.midpoint(high);
            if self.restart_key(middle)? <= key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Some(low.saturating_sub(1))
    }

    /// Decodes the entries from one restart to the next.
    pub(crate) fn group(&self, number: usize, into: &mut Group) -> Option<()> {
        into.clear();
        into.entries.reserve(GROUP_LEN);
        into.keys.reserve(GROUP_KEYS_LEN);
        let first = number.checked_mul(GROUP_LEN)?;
        let count = (self.count as usize).checked_sub(first)?.min(GROUP_LEN);
        let start = u32_at(self.restarts, number)? as usize;
        let mut reader = Reader::new(self.entries.get(start..)?);
        let mut last = 0..0;
        for at in 0..count {
            let shared = reader.count(last.len())?;
            let unshared = reader.count(KEY_LEN_MAX - shared)?;
            let value_len = reader.count(VALUE_LEN_MAX)?;
            let suffix = reader.take(unshared)?;
            let key = into.keys.len()..into.keys.len() + shared + unshared;
            into.keys.extend_from_within(last.start..last.start + shared);
            into.keys.extend_from_slice(suffix);
            let value_start = self.entries.len() - reader.rest().len();
            reader.take(value_len)?;
            let is_first = at == 0 && shared == 0 && !key.is_empty();
            if !is_first && into.keys.get(key.clone())? <= into.keys.get(last)? {
                return None;
            }
            last = key.clone();
            into.entries.push(Slot { key, value: value_start..value_start + value_len, shared });
        }
        Some(())
    }

    /// The bytes of a value.
    pub(crate) fn value(&self, slot: &Slot) -> Option<&'a [u8]> {
        self.entries.get(slot.value.clone())
    }

    /// Where a group begins among the entries.
    pub(crate) fn group_start(&self, number: usize) -> Option<usize> {
        u32_at(self.restarts, number).map(|start| start as usize)
    }

    /// What follows the last entry, which ends at `end`.
    pub(crate) fn padding_behind(&self, end: usize) -> Option<&'a [u8]> {
        self.entries.get(end..)
    }
}

/// The entries of one group, decoded.
#[derive(Debug, Default, Clone)]
pub(crate) struct Group {
    keys: Vec<u8>,
    entries: Vec<Slot>,
}

/// Where key and value of an entry are: the key in the group, the value in the section.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    key: Range<usize>,
    value: Range<usize>,
    pub(crate) shared: usize,
}

impl Group {
    fn clear(&mut self) {
        self.keys.clear();
        self.entries.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Where an entry ends in its section.
    pub(crate) fn end_of(&self, at: usize) -> Option<usize> {
        self.entries.get(at).map(|slot| slot.value.end)
    }

    pub(crate) fn slot(&self, at: usize) -> Option<&Slot> {
        self.entries.get(at)
    }

    pub(crate) fn key(&self, at: usize) -> Option<&[u8]> {
        self.keys.get(self.entries.get(at)?.key.clone())
    }

    /// How many keys are less than `key`.
    pub(crate) fn below(&self, key: &[u8]) -> usize {
        self.entries.partition_point(|slot| self.keys.get(slot.key.clone()).is_some_and(|found| found < key))
    }
}
