//! Filters: say quickly that a key is not in a partition.
//!
//! A Bloom filter split into lines of 512 bits: all probes of a key fall into one line, so that a lookup costs one cache miss
//! (Putze, Sanders, Singler: Cache-, Hash- and Space-Efficient Bloom Filters, 2007).

use super::Malformed;
use crate::coding::Decoder;

/// Which filter a table carries, to answer lookups of absent keys without reading data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FilterPolicy {
    /// None: every lookup reads an index and a data block.
    None,
    /// A cache-line-blocked Bloom filter.
    Bloom {
        /// Size of the filter. 10 lets about one absent key in a hundred through, 14 about one in five hundred.
        bits_per_key: u8,
    },
}

impl Default for FilterPolicy {
    fn default() -> Self {
        Self::Bloom { bits_per_key: 10 }
    }
}

impl FilterPolicy {
    /// 0 for no filter.
    pub(super) const fn bits_per_key(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Bloom { bits_per_key } => bits_per_key,
        }
    }
}

/// The hash of a user key that filters and hash indexes work on. Computed once, used for every table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct KeyHash(u64);

impl KeyHash {
    #[inline]
    pub(crate) fn of(key: &[u8]) -> Self {
        Self(xxhash_rust::xxh3::xxh3_64(key))
    }

    /// All of it, for filters of other kinds.
    #[inline]
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// The bucket of the key among `buckets` in a data block.
    #[inline]
    pub(super) const fn bucket(self, buckets: usize) -> usize {
        let mixed = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        ((mixed * buckets as u64) >> 32) as usize
    }

    #[inline]
    const fn line(self, lines: usize) -> usize {
        (((self.0 & 0xffff_ffff) * lines as u64) >> 32) as usize
    }
}

const LINE_LEN: usize = 64;
const TAIL_LEN: usize = 8;
const POLICY_BLOOM: u8 = 1;
const PROBES_MAX: u8 = 16;

/// 512 bits; aligned so that a lookup touches one cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line([u64; 8]);

/// Calls `each` with word and mask of every probe, until it returns false.
#[inline]
fn probe(hash: KeyHash, probes: u8, mut each: impl FnMut(usize, u64) -> bool) -> bool {
    let mut bits = (hash.0 >> 32) as u32;
    for _ in 0..probes {
        let bit = bits >> 23;
        if !each((bit >> 6) as usize & 7, 1 << (bit & 63)) {
            return false;
        }
        bits = bits.wrapping_mul(0x9e37_79b9);
    }
    true
}

/// Bytes of the filter over `keys` keys, to estimate with.
pub(super) const fn estimated_len(keys: usize, bits_per_key: u8) -> usize {
    if bits_per_key == 0 { 0 } else { keys * bits_per_key as usize / 8 + LINE_LEN + TAIL_LEN }
}

/// The block of the filter over `hashes`.
pub(super) fn build(hashes: &[KeyHash], bits_per_key: u8) -> Vec<u8> {
    let count = (hashes.len() * usize::from(bits_per_key)).div_ceil(LINE_LEN * 8).max(1);
    // ln 2 probes per bit is the optimum for a whole filter, a little less for a blocked one.
    let probes = ((u32::from(bits_per_key) * 62 + 50) / 100).clamp(1, u32::from(PROBES_MAX)) as u8;
    let mut lines = vec![Line([0; 8]); count];
    for &hash in hashes {
        if let Some(Line(words)) = lines.get_mut(hash.line(count)) {
            probe(hash, probes, |word, mask| {
                if let Some(word) = words.get_mut(word) {
                    *word |= mask;
                }
                true
            });
        }
    }
    let mut out = Vec::with_capacity(count * LINE_LEN + TAIL_LEN);
    for word in lines.iter().flat_map(|line| line.0) {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&(count as u32).to_le_bytes());
    out.extend_from_slice(&[probes, POLICY_BLOOM, 0, 0]);
    out
}

/// A filter in memory.
#[derive(Debug)]
pub(crate) struct Filter {
    lines: Box<[Line]>,
    probes: u8,
}

impl Filter {
    pub(crate) fn parse(block: &[u8]) -> Result<Self, Malformed> {
        const WRONG: Malformed = Malformed("a filter block does not have the form it states");
        let tail_at = block.len().checked_sub(TAIL_LEN).ok_or(WRONG)?;
        let (bits, tail) = block.split_at_checked(tail_at).ok_or(WRONG)?;
        let mut tail = Decoder::new(tail);
        let count = tail.u32().ok_or(WRONG)? as usize;
        let probes = tail.u8().ok_or(WRONG)?;
        if count == 0 || count.checked_mul(LINE_LEN) != Some(bits.len()) || probes == 0 || probes > PROBES_MAX {
            return Err(WRONG);
        }
        if tail.rest() != [POLICY_BLOOM, 0, 0] {
            return Err(Malformed("a filter block is of an unknown policy"));
        }
        let (words, _) = bits.as_chunks::<8>();
        let (lines, _) = words.as_chunks::<8>();
        Ok(Self { lines: lines.iter().map(|line| Line(line.map(u64::from_le_bytes))).collect(), probes })
    }

    /// False if no key of the partition has this hash.
    #[inline]
    pub(crate) fn may_contain(&self, hash: KeyHash) -> bool {
        let Some(Line(words)) = self.lines.get(hash.line(self.lines.len())) else { return true };
        probe(hash, self.probes, |word, mask| words.get(word).is_none_or(|word| word & mask != 0))
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.lines.len() * LINE_LEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(range: std::ops::Range<u64>) -> Vec<KeyHash> {
        range.map(|number| KeyHash::of(&number.to_be_bytes())).collect()
    }

    #[test]
    fn a_filter_knows_its_keys_and_lets_about_one_in_a_hundred_others_through() {
        for (bits_per_key, allowed) in [(1, 10_000), (6, 1_200), (10, 160), (14, 50), (20, 20)] {
            let block = build(&hashes(0..10_000), bits_per_key);
            let filter = Filter::parse(&block).unwrap();
            assert!(hashes(0..10_000).into_iter().all(|hash| filter.may_contain(hash)));
            let passed = hashes(10_000..20_000).into_iter().filter(|&hash| filter.may_contain(hash)).count();
            assert!(passed <= allowed, "{passed} of 10000 absent keys pass at {bits_per_key} bits a key");
        }
    }

    #[test]
    fn a_filter_over_nothing_and_over_one_key_is_one_line() {
        for hashes in [vec![], hashes(0..1)] {
            let block = build(&hashes, 10);
            assert_eq!(block.len(), LINE_LEN + TAIL_LEN);
            assert!(hashes.iter().all(|&hash| Filter::parse(&block).unwrap().may_contain(hash)));
        }
    }

    #[test]
    fn a_bit_of_a_key_stands_where_the_format_says() {
        let hash = KeyHash(0x8000_0000 | (3 << 23 | 511 << 9) << 32);
        let block = build(&[hash], 1);
        let bit = usize::try_from((hash.0 >> 32) as u32 >> 23).unwrap();
        assert_eq!(block[bit / 8], 1 << (bit % 8), "probe 0 is bit b % 8 of byte b / 8");
    }
}
