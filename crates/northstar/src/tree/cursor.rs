//! Walking over a tree in the order of keys, both ways. A cursor keeps the pages from the root to its leaf: there are no pointers between
//! leaves, since a copied leaf would have to be known to its neighbours.

use smallvec::SmallVec;

use super::DEPTH_MAX;
use super::read::{Held, Value, View};
use crate::error::Result;
use crate::id::PageId;
use crate::node::{LeafValue, Node, OVERFLOW_TAG};
use crate::page::PageHeader;

#[derive(Debug)]
struct Frame<'a> {
    page: Held<'a>,
    place: usize,
    /// Entries of a leaf, separators of another page.
    count: usize,
}

/// Where the value of the entry stands in its leaf.
#[derive(Debug, Clone, Copy)]
struct Inline {
    start: usize,
    len: usize,
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
    /// Length of the leaf's prefix, which `key` begins with.
    prefix_len: usize,
    /// `None`: it stands in pages of its own.
    inline: Option<Inline>,
    /// A large value of the entry, once it was asked for.
    overflow: Option<Value>,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(view: View<'a>, root: PageId) -> Self {
        Self { view, root, frames: SmallVec::new(), key: Vec::new(), prefix_len: 0, inline: None, overflow: None }
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
            let count = node.count();
            self.frames.push(Frame { page, place, count });
            if is_leaf {
                return Ok(());
            }
            id = child;
        }
        Err(self.view.too_deep(id))
    }

    /// After a move: the key of the entry, or outside.
    #[inline]
    fn arrive(&mut self, leaf_changed: bool) -> bool {
        if self.overflow.is_some() {
            self.overflow = None;
        }
        let Some(frame) = self.frames.last() else { return false };
        let node = Node::new(&frame.page);
        if leaf_changed {
            self.key.clear();
            self.key.extend_from_slice(node.prefix());
            self.prefix_len = self.key.len();
        } else {
            self.key.truncate(self.prefix_len);
        }
        let (suffix, tag, start) = node.leaf_entry(frame.place);
        self.key.extend_from_slice(suffix);
        self.inline = (tag & OVERFLOW_TAG == 0).then_some(Inline { start, len: tag as usize });
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
        let past_end = self.frames.last().is_some_and(|leaf| leaf.place >= leaf.count);
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
        if leaf.place + 1 < leaf.count {
            leaf.place += 1;
            return Ok(self.arrive(false));
        }
        self.next_leaf()
    }

    #[cold]
    fn next_leaf(&mut self) -> Result<bool> {
        self.frames.pop();
        while let Some(frame) = self.frames.last_mut() {
            if frame.place < frame.count {
                frame.place += 1;
                let child = Node::new(&frame.page).child(frame.place);
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
        if self.inline.is_some() {
            return Ok(());
        }
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
        match (self.inline, self.frames.last()) {
            (Some(Inline { start, len }), Some(leaf)) => leaf.page.get(start..start + len).unwrap_or_default(),
            (None, Some(_)) => self.overflow.as_deref().unwrap_or_default(),
            (_, None) => &[],
        }
    }
}
