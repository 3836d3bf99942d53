//! What walks over an ordered engine have in common.

use std::ops::Bound;

use anyhow::Result;
use bench::engine::Direction;

/// The keys between the beginning of a walk and the end of all keys on its way.
pub fn bounds(from: Option<&[u8]>, direction: Direction) -> (Bound<&[u8]>, Bound<&[u8]>) {
    let start = from.map_or(Bound::Unbounded, Bound::Included);
    match direction {
        Direction::Forward => (start, Bound::Unbounded),
        Direction::Reverse => (Bound::Unbounded, start),
    }
}

/// Shows up to `limit` of what comes, and counts it.
pub fn show<T>(entries: impl Iterator<Item = T>, limit: usize, mut one: impl FnMut(T) -> Result<()>) -> Result<usize> {
    entries.take(limit).try_fold(0, |count, entry| one(entry).map(|()| count + 1))
}
