//! `path_history`: which positions of a stream touched a path.
//!
//! A path is bytes: names joined by `/`. What a position is, whoever feeds the stream knows.

use std::cmp::Reverse;
use std::fmt;
use std::iter::Peekable;
use std::ops::{Bound, RangeInclusive};

use super::Entries;
use crate::cartridge::error::{Error, Result};
use crate::cartridge::header::Kind;
use crate::cartridge::projection::{Edits, Projection};
use crate::cartridge::scan::{Entry, Order};

/// The name of the kind.
pub const NAME: &str = "path_history";
/// Longest path in bytes.
pub const PATH_LEN_MAX: usize = 65_535;

/// The path itself was touched, and whatever was below it may have been.
const ITSELF: u8 = 0;
/// Something below the path was touched.
const BELOW: u8 = 1;

/// A path that a change touched. A directory may stand for everything below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TouchedPath<'a>(pub &'a [u8]);

/// The rules of `path_history`.
#[derive(Debug, Clone, Copy)]
pub struct PathHistory;

impl Projection for PathHistory {
    type Change<'a> = TouchedPath<'a>;

    fn kind() -> Kind {
        Kind::of(NAME, 1)
    }

    fn project(sequence: u64, change: &TouchedPath<'_>, edits: &mut Edits<'_>) -> Result<()> {
        let path = change.0;
        if path.is_empty() || path.len() > PATH_LEN_MAX || path.contains(&0) {
            return Err(Error::InvalidChange { what: "a path has 1 to 65535 bytes, none of them zero" });
        }
        edits.put(&key(path, ITSELF, sequence), &[])?;
        for ancestor in ancestors(path) {
            edits.put(&key(ancestor, BELOW, sequence), &[])?;
        }
        Ok(())
    }
}

fn key(path: &[u8], scope: u8, sequence: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(path.len() + 10);
    key.extend_from_slice(path);
    key.extend_from_slice(&[0, scope]);
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

/// The beginnings of `path` that end before a `/`.
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
    ends.filter_map(|end| path.get(..end)).filter(|ancestor| !ancestor.is_empty())
}

/// The positions of `range` that touched `path`, something below it, or a directory that stands for it: each once, in the order of their numbers or against it. That something below
/// a touched directory is named does not say that it changed: whoever asks looks at both states.
pub fn touched<'a>(entries: &'a impl Entries, path: &[u8], range: RangeInclusive<u64>, order: Order) -> Touched<'a> {
    let list = |path: &[u8], scope| {
        let (first, last) = (key(path, scope, *range.start()), key(path, scope, *range.end()));
        entries.entries((Bound::Included(&first), Bound::Included(&last)), order).peekable()
    };
    let mut lists = vec![list(path, ITSELF), list(path, BELOW)];
    lists.extend(ancestors(path).map(|ancestor| list(ancestor, ITSELF)));
    Touched { lists, order, last: None }
}

type List<'a> = Peekable<Box<dyn Iterator<Item = Result<Entry>> + 'a>>;

/// The positions that touched a path. An error ends it.
pub struct Touched<'a> {
    /// Of sequence numbers, all in the same order.
    lists: Vec<List<'a>>,
    order: Order,
    last: Option<u64>,
}

/// The parts of an entry's key: the list that it is in (of one path, and one scope), and the number of the position. `None` for what is no such key.
#[must_use]
pub fn split_key(key: &[u8]) -> Option<(&[u8], u64)> {
    let (list, sequence) = key.split_last_chunk()?;
    Some((list, u64::from_be_bytes(*sequence)))
}

fn sequence_of(entry: &Entry) -> Option<u64> {
    split_key(&entry.key).map(|(_, sequence)| sequence)
}

impl fmt::Debug for Touched<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Touched").field("order", &self.order).field("last", &self.last).finish_non_exhaustive()
    }
}

impl Touched<'_> {
    fn step(&mut self) -> Result<Option<u64>> {
        loop {
            let mut nearest: Option<(u64, &mut List<'_>)> = None;
            for list in &mut self.lists {
                let sequence = match list.peek() {
                    None => continue,
                    Some(Ok(entry)) => sequence_of(entry).ok_or(Error::InvalidEntry { kind: NAME })?,
                    Some(Err(error)) => return Err(error.clone()),
                };
                let is_nearer = nearest.as_ref().is_none_or(|(other, _)| match self.order {
                    Order::Forward => sequence < *other,
                    Order::Backward => Reverse(sequence) < Reverse(*other),
                });
                if is_nearer {
                    nearest = Some((sequence, list));
                }
            }
            let Some((sequence, list)) = nearest else { return Ok(None) };
            list.next();
            if self.last.replace(sequence) != Some(sequence) {
                return Ok(Some(sequence));
            }
        }
    }
}

impl Iterator for Touched<'_> {
    type Item = Result<u64>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.step().transpose();
        if !matches!(found, Some(Ok(_))) {
            self.lists.clear();
        }
        found
    }
}
