//! Range tombstones: one write that deletes every older version of every key in a range.

use crate::key::Seq;

/// Deletes what was written before `seq` at keys from `start` up to (not including) `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RangeTombstone {
    pub(crate) start: Vec<u8>,
    pub(crate) end: Vec<u8>,
    pub(crate) seq: Seq,
}

#[cfg(test)]
impl RangeTombstone {
    /// True if `key` lies in the range.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.start.as_slice() <= key && key < self.end.as_slice()
    }
}

/// Where `tombstone` belongs in a list that is sorted by start, newer ones first where starts are equal.
pub(crate) fn position_in(list: &[RangeTombstone], tombstone: &RangeTombstone) -> usize {
    list.partition_point(|other| other.start.cmp(&tombstone.start).then_with(|| tombstone.seq.cmp(&other.seq)).is_lt())
}

/// The newest tombstone at or below `at` whose range holds `key`. The list must be sorted by start.
pub(crate) fn newest_covering(list: &[RangeTombstone], key: &[u8], at: Seq) -> Option<Seq> {
    list.iter()
        .take_while(|tombstone| tombstone.start.as_slice() <= key)
        .filter(|tombstone| tombstone.seq <= at && key < tombstone.end.as_slice())
        .map(|tombstone| tombstone.seq)
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tombstone(start: &str, end: &str, seq: u64) -> RangeTombstone {
        RangeTombstone { start: start.into(), end: end.into(), seq: Seq::new(seq) }
    }

    #[test]
    fn a_range_ends_before_its_end() {
        let range = tombstone("b", "d", 5);
        assert!(range.contains(b"b"));
        assert!(range.contains("c\u{ff}".as_bytes()));
        assert!(!range.contains(b"a"));
        assert!(!range.contains(b"d"), "the end is outside");
    }

    #[test]
    fn the_newest_tombstone_that_the_reader_may_see_wins() {
        let mut list = Vec::new();
        for range in [tombstone("c", "e", 7), tombstone("a", "z", 3), tombstone("a", "d", 9), tombstone("x", "y", 8)] {
            let position = position_in(&list, &range);
            list.insert(position, range);
        }
        assert!(list.is_sorted_by(|a, b| a.start <= b.start));
        let newest = |key: &str, at| newest_covering(&list, key.as_bytes(), Seq::new(at)).map(Seq::get);
        assert_eq!(newest("c", 9), Some(9));
        assert_eq!(newest("c", 8), Some(7));
        assert_eq!(newest("d", 9), Some(7));
        assert_eq!(newest("c", 2), None);
        assert_eq!(newest("z", 9), None);
    }
}
