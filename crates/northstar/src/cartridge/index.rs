//! The index section: which data section a key is in, and how many entries are before it.

use super::coding::{Reader, u32_at, u64_at};
use super::section::shared_len;

/// Longest index that is read.
pub(crate) const INDEX_LEN_MAX: u64 = 64 << 20;

/// Gathers the separators of the data sections.
#[derive(Debug, Default)]
pub(crate) struct IndexBuilder {
    before: Vec<u64>,
    ends: Vec<u32>,
    separators: Vec<u8>,
}

/// The shortest beginning of `first` that is greater than `last_before`, which is less than `first`.
pub(crate) fn separator<'a>(last_before: &[u8], first: &'a [u8]) -> &'a [u8] {
    if last_before.is_empty() {
        return &[];
    }
    first.get(..=shared_len(last_before, first)).unwrap_or(first)
}

impl IndexBuilder {
    /// A section begins with the key `first`, behind `entries` entries, of which the last one has the key `last_before`.
    pub(crate) fn add(&mut self, last_before: &[u8], first: &[u8], entries: u64) {
        self.before.push(entries);
        self.separators.extend_from_slice(separator(last_before, first));
        // Checked by `len` before it is written.
        self.ends.push(self.separators.len() as u32);
    }

    /// Length of the index in bytes.
    pub(crate) fn len(&self) -> u64 {
        8 + 12 * self.before.len() as u64 + self.separators.len() as u64
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len() as usize);
        out.extend_from_slice(&(self.before.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for before in &self.before {
            out.extend_from_slice(&before.to_le_bytes());
        }
        for end in &self.ends {
            out.extend_from_slice(&end.to_le_bytes());
        }
        out.extend_from_slice(&self.separators);
        out
    }
}

/// An index whose parts add up. `None` stands for damage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Index<'a> {
    count: usize,
    before: &'a [u8],
    ends: &'a [u8],
    separators: &'a [u8],
}

impl<'a> Index<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let (count, zero) = (reader.u32()? as usize, reader.u32()?);
        let before = reader.take(count.checked_mul(8)?)?;
        let ends = reader.take(count.checked_mul(4)?)?;
        let separators = reader.rest();
        let end = match count.checked_sub(1) {
            Some(last) => u32_at(ends, last)? as usize,
            None => 0,
        };
        (zero == 0 && end == separators.len()).then_some(Self { count, before, ends, separators })
    }

    /// Number of data sections.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// Entries in the sections before this one.
    pub(crate) fn before(&self, section: usize) -> Option<u64> {
        u64_at(self.before, section)
    }

    pub(crate) fn separator(&self, section: usize) -> Option<&'a [u8]> {
        let start = match section.checked_sub(1) {
            Some(last) => u32_at(self.ends, last)? as usize,
            None => 0,
        };
        self.separators.get(start..u32_at(self.ends, section)? as usize)
    }

    /// The section in which `key` is or would be. There is one, unless the index is empty.
    pub(crate) fn section_of(&self, key: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            if self.separator(middle)? <= key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Some(low.saturating_sub(1))
    }
}
