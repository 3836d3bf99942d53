//! Walking over a tree in the order of keys, both ways. A cursor keeps the pages from the root to its leaf: there are no pointers between
//! leaves, since a copied leaf would have to be known to its neighbours.

use smallvec::SmallVec;

use super::DEPTH_MAX;
use super::read::{Held, Value, View};
use crate::error::Result;
use crate::id::PageId;
use crate::node::{LeafValue, Node};
use crate::page::PageHeader;

#[derive(Debug)]
struct Frame<'a> {
    page: Held<'a>,
    place: usize,
}

/// Where a cursor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// Nowhere yet, or past the first or last entry.
    Outside,
    /// At an entry.
    Entry,
}

#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    view: View<'a>,
    root: PageId,
    /// From the root to a leaf; empty when outside.
    frames: SmallVec<[Frame<'a>; 5]>,
    key: Vec<u8>,
    /// A large value of the entry, once it was asked for.
    overflow: Option<Value>,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(view: View<'a>, root: PageId) -> Self {
        Self { view, root, frames: SmallVec::new(), key: Vec::new(), overflow: None }
    }

    pub(crate) fn position(&self) -> Position {
        if self.frames.is_empty() { Position::Outside } else { Position::Entry }
    }

    /// Goes down from `id`, in each page to the child that `choose` says.
    fn descend(&mut self, mut id: PageId, choose: impl Fn(Node<'_>) -> usize) -> Result<()> {
        if id.is_none() {
            return Ok(());
        }
        while self.frames.len() < DEPTH_MAX {
            let page = self.view.held(id)?;
            let node = Node::new(&page);
            let place = choose(node);
            let (is_leaf, child) = (node.is_leaf(), node.child(place));
            self.frames.push(Frame { page, place });
            if is_leaf {
                return Ok(());
            }
            id = child;
        }
        Err(self.view.too_deep(id))
    }

    /// After a move: the key of the entry, or outside.
    fn arrive(&mut self, leaf_changed: bool) -> bool {
        self.overflow = None;
        let Some(frame) = self.frames.last() else { return false };
        let node = Node::new(&frame.page);
        if leaf_changed {
            self.key.clear();
            self.key.extend_from_slice(node.prefix());
        } else {
            self.key.truncate(node.prefix_len());
        }
        self.key.extend_from_slice(node.leaf_suffix(frame.place));
        true
    }

    /// Moves to the first entry. Says whether there is one.
    pub(crate) fn first(&mut self) -> Result<bool> {
        self.frames.clear();
        self.descend(self.root, |_| 0)?;
        Ok(self.arrive(true))
    }

    /// Moves to the last entry. Says whether there is one.
    pub(crate) fn last(&mut self) -> Result<bool> {
        self.frames.clear();
        self.descend(self.root, |node| if node.is_leaf() { node.count().saturating_sub(1) } else { node.count() })?;
        Ok(self.arrive(true))
    }

    /// Moves to the first entry whose key is not less than `key`. Says whether there is one.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<bool> {
        self.frames.clear();
        self.descend(self.root, |node| {
            if node.is_leaf() { node.search_leaf(key).unwrap_or_else(|place| place) } else { node.search_child(key) }
        })?;
        let past_end = self.frames.last().is_some_and(|leaf| leaf.place >= Node::new(&leaf.page).count());
        if past_end {
            return self.next_leaf();
        }
        Ok(self.arrive(true))
    }

    /// Moves to the last entry whose key is less than `key`. Says whether there is one.
    pub(crate) fn seek_before(&mut self, key: &[u8]) -> Result<bool> {
        if self.seek(key)? { self.prev() } else { self.last() }
    }

    /// Moves to the next entry; from outside to the first. Says whether there is one.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<bool> {
        let Some(leaf) = self.frames.last_mut() else { return self.first() };
        if leaf.place + 1 < Node::new(&leaf.page).count() {
            leaf.place += 1;
            return Ok(self.arrive(false));
        }
        self.next_leaf()
    }

    #[cold]
    fn next_leaf(&mut self) -> Result<bool> {
        self.frames.pop();
        while let Some(frame) = self.frames.last_mut() {
            let node = Node::new(&frame.page);
            if frame.place < node.count() {
                frame.place += 1;
                let child = node.child(frame.place);
                self.descend(child, |_| 0)?;
                return Ok(self.arrive(true));
            }
            self.frames.pop();
        }
        Ok(false)
    }

    /// Moves to the entry before; from outside to the last. Says whether there is one.
    pub(crate) fn prev(&mut self) -> Result<bool> {
        let Some(leaf) = self.frames.last_mut() else { return self.last() };
        if leaf.place > 0 {
            leaf.place -= 1;
            return Ok(self.arrive(false));
        }
        self.frames.pop();
        while let Some(frame) = self.frames.last_mut() {
            if frame.place > 0 {
                frame.place -= 1;
                let child = Node::new(&frame.page).child(frame.place);
                self.descend(child, |node| if node.is_leaf() { node.count().saturating_sub(1) } else { node.count() })?;
                return Ok(self.arrive(true));
            }
            self.frames.pop();
        }
        Ok(false)
    }

    /// The key of the entry; empty when outside.
    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        if self.frames.is_empty() { &[] } else { &self.key }
    }

    /// The pages from the root to the leaf.
    pub(crate) fn path_ids(&self) -> impl Iterator<Item = PageId> {
        self.frames.iter().filter_map(|frame| PageHeader::read(&frame.page)).map(|header| header.id)
    }

    /// The leaf of the entry; no page when outside.
    pub(crate) fn leaf(&self) -> &[u8] {
        self.frames.last().map_or(&[], |frame| &frame.page)
    }

    /// Moves to the first entry of the next leaf. Says whether there is one.
    pub(crate) fn skip_leaf(&mut self) -> Result<bool> {
        self.next_leaf()
    }

    /// Reads the value of the entry if it stands in pages of its own.
    #[inline]
    pub(crate) fn load_value(&mut self) -> Result<()> {
        let Some(leaf) = self.frames.last() else { return Ok(()) };
        if let LeafValue::Overflow(pointer) = Node::new(&leaf.page).leaf_value(leaf.place)
            && self.overflow.is_none()
        {
            self.overflow = Some(self.view.overflow(pointer)?);
        }
        Ok(())
    }

    /// The value of the entry, after [`load_value`](Self::load_value); empty when outside.
    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        if let Some(value) = &self.overflow {
            return value;
        }
        let Some(leaf) = self.frames.last() else { return &[] };
        match Node::new(&leaf.page).leaf_value(leaf.place) {
            LeafValue::Inline(value) => value,
            LeafValue::Overflow(_) => &[],
        }
    }
}
