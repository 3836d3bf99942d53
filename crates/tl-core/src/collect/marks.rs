//! Which objects are still wanted: a set that may hold a few too many, never one too few.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::id::ObjectId;

/// Bits for each object: about one in 400 that is not wanted passes for one that is.
const BITS_PER_OBJECT: u64 = 16;
const WORDS_PER_BLOCK: usize = 8;
const BITS_PER_BLOCK: u64 = 512;
const PROBES: u32 = 6;
/// Bits of a hash that one probe takes: it chooses among the bits of a block.
const PROBE_BITS: u32 = 9;

/// A Bloom filter over ids, in blocks of one cache line each, that threads fill at the same time.
///
/// That an id is in it can be a coincidence. So it must never be asked whether a tree was walked already: it would leave out what is beneath one
/// that was not.
#[derive(Debug)]
pub(crate) struct Marks {
    blocks: Box<[[AtomicU64; WORDS_PER_BLOCK]]>,
}

impl Marks {
    pub(crate) fn sized_for(objects: u64) -> Self {
        let blocks = (objects.saturating_mul(BITS_PER_OBJECT) / BITS_PER_BLOCK).max(16);
        Self { blocks: (0..blocks).map(|_| <[AtomicU64; WORDS_PER_BLOCK]>::default()).collect() }
    }

    pub(crate) fn insert(&self, id: &ObjectId) {
        self.insert_short(id.short());
    }

    /// The same by the first eight bytes of an id.
    pub(crate) fn insert_short(&self, short: u64) {
        for (word, bit) in self.probes(short) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    pub(crate) fn contains(&self, id: &ObjectId) -> bool {
        self.probes(id.short()).all(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    fn probes(&self, short: u64) -> impl Iterator<Item = (&AtomicU64, u64)> {
        // The block by the upper bits, the bits in it by a hash that they do not decide.
        let block = ((u128::from(short) * self.blocks.len() as u128) >> 64) as usize;
        let mut bits = (short ^ (short >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits ^= bits >> 29;
        let words = self.blocks.get(block);
        (0..PROBES).filter_map(move |probe| {
            let bit = (bits >> (probe * PROBE_BITS)) & (BITS_PER_BLOCK - 1);
            Some((words?.get((bit / 64) as usize)?, 1 << (bit % 64)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ObjectKind;

    fn id(number: u64) -> ObjectId {
        ObjectId::of(ObjectKind::Blob, &number.to_le_bytes())
    }

    /// If it fails, a collection drops what is wanted, or next to nothing.
    #[test]
    fn what_was_inserted_is_there_and_little_else() {
        let marks = Marks::sized_for(100_000);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let marks = &marks;
                scope.spawn(move || (0..25_000).for_each(|number| marks.insert(&id(thread * 25_000 + number))));
            }
        });
        assert!((0..100_000).all(|number| marks.contains(&id(number))));
        let false_ones = (100_000..200_000).filter(|&number| marks.contains(&id(number))).count();
        assert!(false_ones < 600, "{false_ones} of 100000");
    }
}
