//! The block of a table's range tombstones, which are kept beside its entries and applied by whoever reads the table.

use std::cmp::Ordering;

use super::Malformed;
use crate::coding::{Decoder, put_bytes};
use crate::key::Seq;
use crate::range_tombstone::RangeTombstone;

fn order(one: &RangeTombstone, other: &RangeTombstone) -> Ordering {
    one.start.cmp(&other.start).then(other.seq.cmp(&one.seq)).then_with(|| one.end.cmp(&other.end))
}

/// Memory that a tombstone takes in a list.
pub(super) fn heap_bytes(tombstone: &RangeTombstone) -> usize {
    size_of::<RangeTombstone>() + tombstone.start.capacity() + tombstone.end.capacity()
}

/// Sorts the tombstones and puts them into a block.
pub(super) fn encode(tombstones: &mut [RangeTombstone]) -> Vec<u8> {
    tombstones.sort_unstable_by(order);
    let mut out = Vec::new();
    out.extend_from_slice(&(tombstones.len() as u32).to_le_bytes());
    for tombstone in tombstones {
        put_bytes(&mut out, &tombstone.start);
        put_bytes(&mut out, &tombstone.end);
        out.extend_from_slice(&tombstone.seq.get().to_le_bytes());
    }
    out
}

pub(crate) fn decode(block: &[u8]) -> Result<Vec<RangeTombstone>, Malformed> {
    const SHORT: Malformed = Malformed("the range tombstones end early");
    let mut input = Decoder::new(block);
    let mut tombstones: Vec<RangeTombstone> = Vec::new();
    for _ in 0..input.u32().ok_or(SHORT)? {
        let start = input.bytes().ok_or(SHORT)?.to_vec();
        let end = input.bytes().ok_or(SHORT)?.to_vec();
        let number = input.u64().ok_or(SHORT)?;
        let tombstone = RangeTombstone { start, end, seq: Seq::new(number) };
        if tombstone.start >= tombstone.end || tombstone.seq.get() != number {
            return Err(Malformed("a range tombstone covers nothing or has an impossible sequence number"));
        }
        if tombstones.last().is_some_and(|last| order(last, &tombstone).is_gt()) {
            return Err(Malformed("the range tombstones do not rise"));
        }
        tombstones.push(tombstone);
    }
    if input.is_empty() { Ok(tombstones) } else { Err(Malformed("range tombstones are followed by something else")) }
}
