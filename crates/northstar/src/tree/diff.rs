//! What differs between two states of a tree. Where both have the same page nothing differs below it, and the walk goes around: the cost is
//! that of the pages that were changed between them.

use super::DEPTH_MAX;
use super::read::{Value, View};
use crate::error::Result;
use crate::id::PageId;
use crate::node::{LeafValue, Node, OverflowPointer};
use crate::page::Page;
use crate::store::PageStore;

/// One key that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key.
    pub key: Vec<u8>,
    /// Its value in the older state, if it was there.
    pub before: Option<Value>,
    /// Its value in the newer state, if it is there.
    pub after: Option<Value>,
}

/// One side of the walk: the pages from the root, and which child or entry comes next in each.
struct Side<'a> {
    view: View<'a>,
    frames: Vec<(PageId, Page, usize)>,
    /// A page that was not gone into yet.
    pending: Option<PageId>,
}

enum Stored {
    Inline(Value),
    Overflow(OverflowPointer),
}

impl<'a> Side<'a> {
    fn new(store: &'a PageStore, root: PageId) -> Self {
        let pending = (!root.is_none()).then_some(root);
        Self { view: View::of(store), frames: Vec::new(), pending }
    }

    /// Levels above the pending page; a measure that both sides share only where their trees are equally high.
    fn enter(&mut self) -> Result<()> {
        let Some(id) = self.pending.take() else { return Ok(()) };
        if self.frames.len() >= DEPTH_MAX {
            return Err(self.view.too_deep(id));
        }
        let page = self.view.store.held_node(id)?;
        self.frames.push((id, page, 0));
        self.settle();
        Ok(())
    }

    /// Leaves pages whose end was reached; then either a child is pending, or an entry of a leaf comes next, or all is over.
    fn settle(&mut self) {
        while let Some((_, page, place)) = self.frames.last_mut() {
            let node = Node::new(page);
            if node.is_leaf() && *place < node.count() {
                return;
            }
            if !node.is_leaf() && *place <= node.count() {
                self.pending = Some(node.child(*place));
                *place += 1;
                return;
            }
            self.frames.pop();
        }
    }

    fn skip_pending(&mut self) {
        self.pending = None;
        self.settle();
    }

    /// The least key that what is pending, or comes next, can have; none at the very start.
    fn low(&self) -> Option<Vec<u8>> {
        if self.pending.is_none() {
            return self.key();
        }
        self.frames.iter().rev().find_map(|(_, page, place)| {
            let node = Node::new(page);
            // `place` is one past the pending child, whose separator is the one before it.
            let index = place.checked_sub(2).filter(|_| !node.is_leaf())?;
            Some([node.prefix(), &node.separator_suffix(index).to_vec()].concat())
        })
    }

    /// The key that comes next; none while a page is pending.
    fn key(&self) -> Option<Vec<u8>> {
        if self.pending.is_some() {
            return None;
        }
        let (_, page, place) = self.frames.last()?;
        let node = Node::new(page);
        Some([node.prefix(), node.leaf_suffix(*place)].concat())
    }

    fn is_over(&self) -> bool {
        self.pending.is_none() && self.frames.is_empty()
    }

    fn take(&mut self) -> Option<(Vec<u8>, Stored)> {
        let key = self.key()?;
        let (_, page, place) = self.frames.last_mut()?;
        let value = match Node::new(page).leaf_value(*place) {
            LeafValue::Inline(value) => Stored::Inline(Value::copy_of(value)),
            LeafValue::Overflow(pointer) => Stored::Overflow(pointer),
        };
        *place += 1;
        self.settle();
        Some((key, value))
    }

    fn load(&self, stored: Stored) -> Result<Value> {
        match stored {
            Stored::Inline(value) => Ok(value),
            Stored::Overflow(pointer) => self.view.overflow(pointer),
        }
    }
}

/// The differences, in the order of keys.
pub(crate) struct Differences<'a> {
    before: Side<'a>,
    after: Side<'a>,
    failed: bool,
}

impl<'a> Differences<'a> {
    pub(crate) fn new(store: &'a PageStore, before: PageId, after: PageId) -> Self {
        Self { before: Side::new(store, before), after: Side::new(store, after), failed: false }
    }

    fn step(&mut self) -> Result<Option<Difference>> {
        loop {
            match (self.before.pending, self.after.pending) {
                (Some(before), Some(after)) if before == after => {
                    self.before.skip_pending();
                    self.after.skip_pending();
                    continue;
                }
                // Whoever is behind in keys goes on first, so that equal pages meet. Behind equal keys the higher page goes on.
                (Some(_), Some(_)) => {
                    let order = self.before.low().cmp(&self.after.low());
                    match order {
                        std::cmp::Ordering::Less => self.before.enter()?,
                        std::cmp::Ordering::Greater => self.after.enter()?,
                        std::cmp::Ordering::Equal => {
                            if self.height(&self.before)? >= self.height(&self.after)? {
                                self.before.enter()?;
                            } else {
                                self.after.enter()?;
                            }
                        }
                    }
                    continue;
                }
                (Some(_), None) if self.after.is_over() || self.before.low() <= self.after.key() => {
                    self.before.enter()?;
                    continue;
                }
                (None, Some(_)) if self.before.is_over() || self.after.low() <= self.before.key() => {
                    self.after.enter()?;
                    continue;
                }
                _ => {}
            }
            let only_before = self.after.is_over()
                || self.after.low().is_some_and(|low| self.before.key().is_some_and(|key| key < low));
            let only_after = self.before.is_over()
                || self.before.low().is_some_and(|low| self.after.key().is_some_and(|key| key < low));
            if self.before.is_over() && self.after.is_over() {
                return Ok(None);
            }
            if only_before {
                let Some((key, value)) = self.before.take() else { return Ok(None) };
                return Ok(Some(Difference { key, before: Some(self.before.load(value)?), after: None }));
            }
            if only_after {
                let Some((key, value)) = self.after.take() else { return Ok(None) };
                return Ok(Some(Difference { key, before: None, after: Some(self.after.load(value)?) }));
            }
            let (Some((key, before)), Some((_, after))) = (self.before.take(), self.after.take()) else {
                return Ok(None);
            };
            if let (Stored::Overflow(a), Stored::Overflow(b)) = (&before, &after)
                && a == b
            {
                continue;
            }
            let (before, after) = (self.before.load(before)?, self.after.load(after)?);
            if before != after {
                return Ok(Some(Difference { key, before: Some(before), after: Some(after) }));
            }
        }
    }

    /// Levels from the pending page down to the leaves.
    fn height(&self, side: &Side<'_>) -> Result<usize> {
        let mut height = 0;
        let mut next = side.pending;
        while let Some(id) = next {
            height += 1;
            if height > DEPTH_MAX {
                return Err(side.view.too_deep(id));
            }
            let guard = crossbeam_epoch::pin();
            let node = Node::new(side.view.store.node(id, &guard)?);
            next = (!node.is_leaf()).then(|| node.child(0));
        }
        Ok(height)
    }
}

impl Iterator for Differences<'_> {
    type Item = Result<Difference>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let found = self.step();
        self.failed = found.is_err();
        found.transpose()
    }
}
