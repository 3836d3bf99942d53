//! The sorted separators of an index, in a form that is searched without touching most keys.

use std::cmp::Ordering;

use super::Malformed;
use super::block::Block;
use crate::key::{self, Trailer};

/// Internal keys, strictly rising, with a head of eight bytes each.
#[derive(Debug)]
pub(super) struct Separators {
    /// What all user keys begin with.
    prefix: Box<[u8]>,
    /// The eight bytes after the prefix, big endian, filled up with zeros: they order like the keys, as far as they differ.
    heads: Box<[u64]>,
    /// All user keys, one after the other, and where each ends.
    keys: Box<[u8]>,
    ends: Box<[u32]>,
    trailers: Box<[Trailer]>,
}

impl Separators {
    /// Takes the keys of an index block, and gives each entry's value to `value`.
    pub(super) fn parse(
        block: &Block,
        mut value: impl FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> Result<Self, Malformed> {
        let mut keys = Vec::new();
        let (mut ends, mut trailers): (Vec<u32>, Vec<Trailer>) = (Vec::new(), Vec::new());
        let mut position = block.start();
        let mut last_start = 0;
        while position.key < block.end() {
            let entry = block.entry_at(position)?;
            position = entry.next;
            let last = keys.get(last_start..).unwrap_or_default();
            let rises =
                trailers.last().is_none_or(|&trailer| key::compare(last, trailer, entry.suffix, entry.trailer).is_lt());
            if entry.shared != 0 || !rises {
                return Err(Malformed("the separators of an index are shortened or do not rise"));
            }
            last_start = keys.len();
            keys.extend_from_slice(entry.suffix);
            ends.push(u32::try_from(keys.len()).map_err(|_| Malformed("the separators of an index are too long"))?);
            trailers.push(entry.trailer);
            value(block.value(entry.value))?;
        }
        if ends.len() != block.entries() {
            return Err(Malformed("an index does not have the number of entries it states"));
        }
        let mut parsed = Self {
            prefix: Box::default(),
            heads: Box::default(),
            keys: keys.into_boxed_slice(),
            ends: ends.into_boxed_slice(),
            trailers: trailers.into_boxed_slice(),
        };
        let last = parsed.key(parsed.len().saturating_sub(1));
        parsed.prefix = last.get(..super::block::common_prefix(parsed.key(0), last)).unwrap_or_default().into();
        parsed.heads =
            (0..parsed.len()).map(|at| head(parsed.key(at).get(parsed.prefix.len()..).unwrap_or_default())).collect();
        Ok(parsed)
    }

    pub(super) const fn len(&self) -> usize {
        self.ends.len()
    }

    fn key(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(at).copied().unwrap_or(start);
        self.keys.get(start as usize..end as usize).unwrap_or_default()
    }

    /// The separator at `at`, which is below `len`.
    pub(super) fn get(&self, at: usize) -> (&[u8], Trailer) {
        (self.key(at), self.trailers.get(at).copied().unwrap_or(Trailer::OLDEST))
    }

    /// The first separator at or after the given internal key; `len` if there is none.
    #[inline]
    pub(super) fn find(&self, key: &[u8], trailer: Trailer) -> usize {
        let Some(rest) = key.strip_prefix(&*self.prefix) else {
            return if *key < *self.prefix { 0 } else { self.len() };
        };
        let sought = head(rest);
        let from = self.heads.partition_point(|&head| head < sought);
        if self.heads.get(from).is_none_or(|&head| head > sought) {
            return from;
        }
        let equal = self.heads.get(from..).unwrap_or_default();
        let until = from + equal.partition_point(|&head| head == sought);
        let (mut low, mut high) = (from, until);
        while low < high {
            let middle = low + (high - low) / 2;
            let (separator, at) = self.get(middle);
            match key::compare(separator, at, key, trailer) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal | Ordering::Greater => high = middle,
            }
        }
        low
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.prefix.len()
            + self.keys.len()
            + size_of_val(&*self.heads)
            + size_of_val(&*self.ends)
            + size_of_val(&*self.trailers)
    }
}

/// Up to eight bytes as a number that orders like them.
#[inline]
fn head(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(eight) => u64::from_be_bytes(*eight),
        None => bytes.iter().chain(std::iter::repeat(&0)).take(8).fold(0, |head, &byte| head << 8 | u64::from(byte)),
    }
}

/// Puts the shortest user key `s` with `before <= s < after` into `out`. `before < after` holds.
pub(super) fn shortest(before: &[u8], after: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let common = super::block::common_prefix(before, after);
    match (before.get(common), after.get(common)) {
        // Cut `after` behind the byte in which it is greater, if that makes it smaller than itself.
        (Some(_), Some(_)) if after.len() > common + 1 && before.len() > common => {
            out.extend_from_slice(after.get(..=common).unwrap_or_default());
        }
        (Some(&low), Some(&high)) if low < high.saturating_sub(1) => {
            out.extend_from_slice(before.get(..common).unwrap_or_default());
            out.push(low + 1);
        }
        _ => out.extend_from_slice(before),
    }
}
