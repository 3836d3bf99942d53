//! Which entries of a merge are still needed.

use crate::key::{Kind, Seq, Trailer};
use crate::range_tombstone::RangeTombstone;
use crate::tree::fragments::Fragments;

/// Decides entry by entry, in internal key order.
///
/// Pinned sequences cut time into stripes: everything between two of them looks the same to every reader, so that of a key's
/// versions in one stripe only the newest counts.
pub(crate) struct Retention {
    pinned: Vec<Seq>,
    range_deletes: Fragments,
    key: Vec<u8>,
    /// The stripe of the newest version of `key` that was looked at last.
    stripe: Option<usize>,
}

/// What becomes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    Drop,
    /// A delete that hides nothing unless something older lies outside the merge.
    DropIfBottom,
}

impl Retention {
    /// `pinned` are rising.
    pub(crate) fn new(pinned: Vec<Seq>, tombstones: &[RangeTombstone]) -> Self {
        Self { pinned, range_deletes: Fragments::new(tombstones), key: Vec::new(), stripe: None }
    }

    fn stripe_of(&self, seq: Seq) -> usize {
        self.pinned.partition_point(|&pinned| pinned < seq)
    }

    pub(crate) fn judge(&mut self, key: &[u8], trailer: Trailer) -> Verdict {
        let stripe = self.stripe_of(trailer.seq());
        if self.stripe.is_none() || self.key != key {
            self.key.clear();
            self.key.extend_from_slice(key);
            self.stripe = None;
        }
        if self.stripe == Some(stripe) {
            return Verdict::Drop;
        }
        self.stripe = Some(stripe);
        let stripe_end = self.pinned.get(stripe).copied().unwrap_or(Seq::MAX);
        if self.range_deletes.cover_within(key, trailer.seq(), stripe_end) {
            return Verdict::Drop;
        }
        if trailer.kind() == Kind::Delete && stripe == 0 { Verdict::DropIfBottom } else { Verdict::Keep }
    }

    /// True if no reader is left that could see anything from before this range delete.
    pub(crate) fn is_in_oldest_stripe(&self, tombstone: &RangeTombstone) -> bool {
        self.stripe_of(tombstone.seq) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: u64, kind: Kind) -> Trailer {
        Trailer::new(Seq::new(seq), kind)
    }

    #[test]
    fn of_the_versions_between_two_snapshots_only_the_newest_is_kept() {
        let mut retention = Retention::new(vec![Seq::new(5), Seq::new(8)], &[]);
        let verdicts: Vec<_> =
            [9, 8, 6, 5, 4].into_iter().map(|seq| retention.judge(b"k", at(seq, Kind::Inline))).collect();
        assert_eq!(verdicts, [Verdict::Keep, Verdict::Keep, Verdict::Drop, Verdict::Keep, Verdict::Drop]);
        assert_eq!(retention.judge(b"l", at(4, Kind::Inline)), Verdict::Keep, "another key begins anew");
    }

    #[test]
    fn a_delete_may_go_only_from_the_oldest_stripe() {
        let mut retention = Retention::new(vec![Seq::new(5)], &[]);
        assert_eq!(retention.judge(b"k", at(6, Kind::Delete)), Verdict::Keep);
        assert_eq!(retention.judge(b"k", at(5, Kind::Delete)), Verdict::DropIfBottom);
        assert_eq!(
            retention.judge(b"k", at(4, Kind::Inline)),
            Verdict::Drop,
            "the delete hides it even when it goes itself"
        );
    }

    #[test]
    fn a_range_delete_takes_what_is_older_unless_a_snapshot_lies_between() {
        let range = RangeTombstone { start: b"a".to_vec(), end: b"m".to_vec(), seq: Seq::new(7) };
        let mut retention = Retention::new(vec![Seq::new(5)], &[range]);
        assert_eq!(retention.judge(b"k", at(8, Kind::Inline)), Verdict::Keep, "newer than the range delete");
        assert_eq!(retention.judge(b"l", at(6, Kind::Inline)), Verdict::Drop);
        assert_eq!(retention.judge(b"l", at(5, Kind::Inline)), Verdict::Keep, "a snapshot sees it");
        assert_eq!(retention.judge(b"m", at(6, Kind::Inline)), Verdict::Keep, "the end is not covered");
    }
}
