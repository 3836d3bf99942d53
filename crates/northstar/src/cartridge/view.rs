//! The always-fresh view: a cartridge, and the changes that it does not cover.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::iter::Peekable;
use std::marker::PhantomData;
use std::ops::Bound;
use std::time::Duration;

use super::catalog::Catalog;
use super::error::{Error, Result};
use super::header::{Position, StreamId};
use super::policy::{Policy, Trigger, Uncovered};
use super::projection::{Edits, Projection, check_order};
use super::reader::Cartridge;
use super::scan::{Entry, Order, Scan, as_slice};

/// What a change in the tail costs beside its bytes: a node of the tree, two vectors.
const EDIT_COST: usize = 96;

type Tail = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A cartridge with the changes behind it, as one map: what it says is what a cartridge built at its [position](View::position) would say.
///
/// Whoever owns it feeds it with the changes that follow its position, asks [`View::due`] now and then, and has it [rebuilt](View::rebuild).
#[derive(Debug)]
pub struct View<P> {
    cartridge: Option<Cartridge>,
    stream: StreamId,
    policy: Policy,
    position: Position,
    /// Of each key the last edit.
    tail: Tail,
    uncovered: Uncovered,
    projection: PhantomData<fn() -> P>,
}

impl<P: Projection> View<P> {
    /// A view of `cartridge`, or of nothing: then the whole stream is its tail.
    #[must_use]
    pub fn new(cartridge: Option<Cartridge>, stream: StreamId, policy: Policy) -> Self {
        let position = cartridge.as_ref().map_or(Position::START, |cartridge| cartridge.header().position);
        let uncovered = Uncovered { edits: vec![0; policy.prefixes.len()], ..Uncovered::default() };
        Self { cartridge, stream, policy, position, tail: Tail::new(), uncovered, projection: PhantomData }
    }

    /// The last changes that it knows of: those after it are to be pushed.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// The cartridge under it.
    #[must_use]
    pub const fn cartridge(&self) -> Option<&Cartridge> {
        self.cartridge.as_ref()
    }

    /// Takes the changes up to `position`, which came at `now`, on any clock, but always the same one. The time counts for [`View::due`] and for nothing else.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`], [`Error::TailFull`] and those of the projection. The view is as it was then.
    pub fn push<'c>(
        &mut self,
        position: Position,
        changes: impl IntoIterator<Item = P::Change<'c>>,
        now: Duration,
    ) -> Result<()> {
        check_order(&self.position, &position)?;
        let mut edits = Vec::new();
        let mut bytes = self.uncovered.bytes;
        let bytes_max = self.policy.tail_bytes_max;
        let mut sink = |key: &[u8], value: Option<&[u8]>| {
            bytes += key.len() + value.map_or(0, <[u8]>::len) + EDIT_COST;
            if bytes > bytes_max {
                return Err(Error::TailFull { bytes_max });
            }
            edits.push((key.to_vec(), value.map(<[u8]>::to_vec)));
            Ok(())
        };
        let mut into = Edits::new(&mut sink);
        changes.into_iter().try_for_each(|change| P::project(position.sequence, &change, &mut into))?;
        for (key, value) in edits {
            for (rule, count) in self.policy.prefixes.iter().zip(&mut self.uncovered.edits) {
                *count += u64::from(key.starts_with(&rule.prefix));
            }
            self.tail.insert(key, value);
        }
        // Overridden edits are counted on: they bound the work as much as the memory.
        self.uncovered.bytes = bytes;
        self.uncovered.positions += u64::from(position.sequence > self.position.sequence);
        self.uncovered.since.get_or_insert(now);
        self.position = position;
        Ok(())
    }

    /// Why the cartridge is to be built again, if it is.
    #[must_use]
    pub fn due(&self, now: Duration) -> Option<Trigger> {
        if self.cartridge.is_none() {
            return Some(Trigger::Missing);
        }
        self.policy.judge(&self.uncovered, now)
    }

    /// Builds the cartridge of everything that the view knows, and goes on with it. The bytes are those of a build from the whole stream.
    ///
    /// # Errors
    /// Those of [`Builder`](super::Builder), and [`Error::Damaged`] of the old cartridge: then only the whole stream can help. The view is as it was.
    pub fn rebuild(&mut self, catalog: &Catalog) -> Result<()> {
        let mut builder = catalog.build::<P>(self.stream)?;
        builder.push_edits(self.position, &self.tail)?;
        let cartridge = match &self.cartridge {
            None => builder.finish()?,
            Some(base) => builder.finish_onto(base.scan((Bound::Unbounded, Bound::Unbounded), Order::Forward))?,
        };
        *self = Self::new(Some(cartridge), self.stream, self.policy.clone());
        Ok(())
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn get(&self, key: &[u8]) -> Result<Option<&[u8]>> {
        match (self.tail.get(key), &self.cartridge) {
            (Some(edit), _) => Ok(edit.as_deref()),
            (None, Some(cartridge)) => cartridge.get(key),
            (None, None) => Ok(None),
        }
    }

    /// How many entries are in a range of keys. Costs two look-ups, and one for each edit of the tail in the range.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn count(&self, range: (Bound<&[u8]>, Bound<&[u8]>)) -> Result<u64> {
        if is_empty(range) {
            return Ok(0);
        }
        let Some(cartridge) = &self.cartridge else {
            return Ok(self.tail.range::<[u8], _>(range).filter(|(_, value)| value.is_some()).count() as u64);
        };
        let mut count = cartridge.count(range)?;
        for (key, value) in self.tail.range::<[u8], _>(range) {
            match (cartridge.get(key)?.is_some(), value.is_some()) {
                (false, true) => count += 1,
                (true, false) => count = count.saturating_sub(1),
                _ => {}
            }
        }
        Ok(count)
    }

    /// The entries in a range of keys, in either order, found as they are asked for.
    pub fn scan<'a>(&'a self, range: (Bound<&[u8]>, Bound<&[u8]>), order: Order) -> ViewScan<'a> {
        let tail = match is_empty(range) {
            true => Range::default(),
            false => self.tail.range::<[u8], _>(range),
        };
        let base = self.cartridge.as_ref().map(|cartridge| cartridge.scan(range, order).peekable());
        ViewScan { base, tail, next_edit: None, order }
    }
}

/// True for a range that holds nothing, and that a map of the standard library would not take.
fn is_empty(range: (Bound<&[u8]>, Bound<&[u8]>)) -> bool {
    match range {
        (Bound::Included(lower), Bound::Included(upper)) => lower > upper,
        (Bound::Included(lower) | Bound::Excluded(lower), Bound::Included(upper) | Bound::Excluded(upper)) => {
            lower >= upper
        }
        _ => false,
    }
}

/// The entries of a view in a range of keys. An error ends the scan.
#[derive(Debug)]
pub struct ViewScan<'a> {
    base: Option<Peekable<Scan<'a>>>,
    tail: Range<'a, Vec<u8>, Option<Vec<u8>>>,
    next_edit: Option<(&'a Vec<u8>, &'a Option<Vec<u8>>)>,
    order: Order,
}

impl Iterator for ViewScan<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.next_edit.is_none() {
                self.next_edit = match self.order {
                    Order::Forward => self.tail.next(),
                    Order::Backward => self.tail.next_back(),
                };
            }
            let below = self.base.as_mut().and_then(Peekable::peek);
            let first = match (below, self.next_edit) {
                (None, None) => return None,
                (Some(Ok(entry)), Some((key, _))) => match self.order {
                    Order::Forward => entry.key.cmp(key),
                    Order::Backward => key.cmp(&entry.key),
                },
                (Some(_), _) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
            };
            if first.is_le() {
                let entry = self.base.as_mut().and_then(Iterator::next);
                if first.is_lt() {
                    if !matches!(entry, Some(Ok(_))) {
                        (self.base, self.next_edit, self.tail) = (None, None, Range::default());
                    }
                    return entry;
                }
            }
            if let Some((key, Some(value))) = self.next_edit.take() {
                return Some(Ok(Entry { key: key.clone(), value: value.clone() }));
            }
        }
    }
}

/// The bounds of the keys that begin with `prefix`.
pub(crate) fn with_prefix<T>(prefix: &[u8], then: impl FnOnce((Bound<&[u8]>, Bound<&[u8]>)) -> T) -> T {
    let end = super::scan::prefix_end(prefix);
    then((Bound::Included(prefix), as_slice(&end)))
}
