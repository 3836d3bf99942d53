//! Range deletes cut into pieces that do not overlap, so that one search tells what covers a key.

use std::collections::{BTreeMap, BTreeSet};

use crate::key::Seq;
use crate::range_tombstone::RangeTombstone;

/// For every stretch of keys the sequences of the range deletes that cover it.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    /// From each key up to the next one: the sequences, rising.
    starts: Vec<(Vec<u8>, Vec<Seq>)>,
}

impl Fragments {
    pub(crate) fn new(tombstones: &[RangeTombstone]) -> Self {
        let mut events: BTreeMap<&[u8], Vec<(bool, Seq)>> = BTreeMap::new();
        for tombstone in tombstones.iter().filter(|tombstone| tombstone.start < tombstone.end) {
            events.entry(&tombstone.start).or_default().push((true, tombstone.seq));
            events.entry(&tombstone.end).or_default().push((false, tombstone.seq));
        }
        // The same sequence can stand in several pieces of one tombstone that was cut at table borders: counted, not collected.
        let mut open: BTreeMap<Seq, usize> = BTreeMap::new();
        let mut starts = Vec::with_capacity(events.len());
        for (key, changes) in events {
            for (begins, seq) in changes {
                let count = open.entry(seq).or_default();
                if begins {
                    *count += 1;
                } else {
                    *count = count.saturating_sub(1);
                }
            }
            open.retain(|_, count| *count > 0);
            starts.push((key.to_vec(), open.keys().copied().collect()));
        }
        Self { starts }
    }

    fn at(&self, key: &[u8]) -> &[Seq] {
        let after = self.starts.partition_point(|(start, _)| start.as_slice() <= key);
        let fragment = after.checked_sub(1).and_then(|index| self.starts.get(index));
        fragment.map_or(&[], |(_, seqs)| seqs.as_slice())
    }

    /// True if any range delete is newer than the entry of `key` written at `seq`.
    #[inline]
    pub(crate) fn cover(&self, key: &[u8], seq: Seq) -> bool {
        !self.starts.is_empty() && self.at(key).last().is_some_and(|&newest| newest > seq)
    }

    /// True if a range delete after `seq` and at or before `until` covers `key`.
    pub(crate) fn cover_within(&self, key: &[u8], seq: Seq, until: Seq) -> bool {
        if self.starts.is_empty() {
            return false;
        }
        let seqs = self.at(key);
        let first_newer = seqs.partition_point(|&newer| newer <= seq);
        seqs.get(first_newer).is_some_and(|&newer| newer <= until)
    }
}

/// What is left of `tombstones` between `lower` (inclusive) and `upper` (exclusive).
pub(crate) fn clip(tombstones: &[RangeTombstone], lower: Option<&[u8]>, upper: Option<&[u8]>) -> Vec<RangeTombstone> {
    let mut kept: BTreeSet<(Vec<u8>, Vec<u8>, Seq)> = BTreeSet::new();
    for tombstone in tombstones {
        let start = lower.map_or(tombstone.start.as_slice(), |lower| lower.max(&tombstone.start));
        let end = upper.map_or(tombstone.end.as_slice(), |upper| upper.min(&tombstone.end));
        if start < end {
            kept.insert((start.to_vec(), end.to_vec(), tombstone.seq));
        }
    }
    kept.into_iter().map(|(start, end, seq)| RangeTombstone { start, end, seq }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tombstones() -> impl Strategy<Value = Vec<RangeTombstone>> {
        let one = (0..20u8, 0..20u8, 1..30u64).prop_map(|(start, end, seq)| RangeTombstone {
            start: vec![start],
            end: vec![end],
            seq: Seq::new(seq),
        });
        prop::collection::vec(one, 0..12)
    }

    proptest! {
        #[test]
        fn fragments_cover_what_the_tombstones_cover(list in tombstones(), key in 0..20u8, seq in 0..30u64, until in 0..30u64) {
            let fragments = Fragments::new(&list);
            let (seq, until) = (Seq::new(seq), Seq::new(until));
            let covers = |until| list.iter().any(|t| t.contains(&[key]) && t.seq > seq && t.seq <= until);
            prop_assert_eq!(fragments.cover(&[key], seq), covers(Seq::MAX));
            prop_assert_eq!(fragments.cover_within(&[key], seq, until), covers(until));
        }

        #[test]
        fn clipped_pieces_together_cover_what_the_whole_covers(list in tombstones(), cut in 0..20u8, key in 0..20u8, seq in 0..30u64) {
            let mut pieces = clip(&list, None, Some(&[cut]));
            pieces.extend(clip(&list, Some(&[cut]), None));
            let seq = Seq::new(seq);
            prop_assert_eq!(Fragments::new(&pieces).cover(&[key], seq), Fragments::new(&list).cover(&[key], seq));
        }
    }
}
