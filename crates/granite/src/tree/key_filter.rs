//! A Bloom filter over the keys of a memtable, which grows with it.
//!
//! A look-up of an absent key in a skiplist costs a cache miss at each step; here it costs one or two for each part. Parts double in size
//! (Almeida, Baquero, Preguiça, Hutchison: Scalable Bloom Filters, 2007), so that an empty memtable takes nothing.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::table::KeyHash;

/// Keys that the first part is made for.
const FIRST_CAPACITY: u32 = 256;
/// Parts, each for twice as many keys as the one before: over 4 billion keys together.
const PARTS: usize = 24;
/// Bits for each key: eight 64-bit words hold 51 keys.
const BITS_PER_KEY: u32 = 10;
/// Words in a line, which is what one key touches.
const LINE_WORDS: usize = 8;
const PROBES: u32 = 6;

#[derive(Debug)]
struct Part {
    words: Box<[AtomicU64]>,
}

impl Part {
    fn new(capacity: u32) -> Self {
        let lines = (capacity as usize * BITS_PER_KEY as usize).div_ceil(LINE_WORDS * 64).max(1);
        Self { words: (0..lines * LINE_WORDS).map(|_| AtomicU64::new(0)).collect() }
    }

    fn line(&self, hash: u64) -> &[AtomicU64] {
        let lines = self.words.len() / LINE_WORDS;
        let line = (((hash & 0xffff_ffff) * lines as u64) >> 32) as usize;
        self.words.get(line * LINE_WORDS..(line + 1) * LINE_WORDS).unwrap_or_default()
    }
}

/// Word in the line and mask of each probe.
fn probes(hash: u64) -> impl Iterator<Item = (usize, u64)> {
    let mut bits = (hash >> 32) as u32;
    (0..PROBES).map(move |_| {
        let bit = bits >> 23;
        bits = bits.wrapping_mul(0x9e37_79b9);
        ((bit >> 6) as usize & (LINE_WORDS - 1), 1 << (bit & 63))
    })
}

/// The filter. One thread at a time adds; any number ask.
///
/// Whoever sees an entry (by having loaded a visible sequence at or after it) sees its key here: bits are set before that sequence is published.
#[derive(Debug)]
pub(crate) struct KeyFilter {
    parts: [OnceLock<Part>; PARTS],
    /// Keys added, to the last part and to all.
    in_last: AtomicU32,
    last: AtomicU32,
}

impl KeyFilter {
    pub(crate) const fn new() -> Self {
        Self { parts: [const { OnceLock::new() }; PARTS], in_last: AtomicU32::new(0), last: AtomicU32::new(0) }
    }

    /// Adds a key. Only the thread that holds the right to apply commits does this.
    pub(crate) fn add(&self, hash: KeyHash) {
        let mut last = self.last.load(Ordering::Relaxed);
        let mut count = self.in_last.load(Ordering::Relaxed);
        if count >= FIRST_CAPACITY << last && (last as usize) < PARTS - 1 {
            last += 1;
            count = 0;
            self.last.store(last, Ordering::Relaxed);
        }
        self.in_last.store(count + 1, Ordering::Relaxed);
        let Some(slot) = self.parts.get(last as usize) else { return };
        let part = slot.get_or_init(|| Part::new(FIRST_CAPACITY << last));
        let line = part.line(hash.bits());
        for (word, mask) in probes(hash.bits()) {
            if let Some(word) = line.get(word) {
                // One writer: a plain load and store do.
                word.store(word.load(Ordering::Relaxed) | mask, Ordering::Relaxed);
            }
        }
    }

    /// False if the key was never added.
    #[inline]
    pub(crate) fn may_contain(&self, hash: KeyHash) -> bool {
        let hash = hash.bits();
        self.parts.iter().map_while(OnceLock::get).any(|part| {
            let line = part.line(hash);
            probes(hash).all(|(word, mask)| line.get(word).is_none_or(|word| word.load(Ordering::Relaxed) & mask != 0))
        })
    }

    /// Memory in bytes, the parts included.
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.parts.iter().map_while(OnceLock::get).map(|part| part.words.len() * 8).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_keys_are_known_and_few_others_pass_as_the_filter_grows() {
        let filter = KeyFilter::new();
        let hash = |number: u32| KeyHash::of(&number.to_le_bytes());
        assert!(!filter.may_contain(hash(0)));
        assert_eq!(filter.allocated_bytes(), 0, "an empty memtable's filter takes memory");
        for number in 0..50_000 {
            filter.add(hash(number));
            assert!(filter.may_contain(hash(number)));
        }
        assert!((0..50_000).all(|number| filter.may_contain(hash(number))));
        let passed = (50_000..100_000).filter(|&number| filter.may_contain(hash(number))).count();
        assert!(passed < 4_000, "{passed} of 50000 absent keys pass");
        assert!(filter.allocated_bytes() < 50_000 * 3, "{} bytes", filter.allocated_bytes());
    }
}
