//! Put, delete and append: down to the leaf while copying, then up again where pages split or merge.

use hashbrown::HashSet;
use smallvec::SmallVec;

use super::DEPTH_MAX;
use super::changes::Editor;
use super::read::contains;
use crate::error::{Error, Result};
use crate::id::PageId;
use crate::node::{
    self, InternalItem, Key, LeafItem, LeafValue, Node, OVERFLOW_TAG, OverflowPointer, build_internal, build_leaf,
    fits_internal, fits_leaf, inline_value_max, internal_items, leaf_items, rises_around, separator, split_internal,
    split_leaf,
};
use crate::page::{PAGE_HEADER_LEN, PageHeader, PageKind, PageMut, run_pages};
use crate::store::{Run, TreeState};

/// A page that is less full than this share is merged with a neighbour ...
const MERGE_BELOW_PERCENT: usize = 50;
/// ... if both together are not fuller than this, so that the next insertion does not split them again.
const MERGED_MAX_PERCENT: usize = 90;

const OUT_OF_ORDER: &str = "its keys are not between those of the pages around it";

/// Pages from the root to a leaf's parent, and which child the way takes in each.
type Path = SmallVec<[(PageId, usize); 8]>;

/// The bytes of a value as a leaf has it.
enum Payload<'a> {
    Inline(&'a [u8]),
    Overflow(OverflowPointer),
}

impl Payload<'_> {
    fn with<T>(&self, use_it: impl FnOnce(u16, &[u8]) -> T) -> T {
        match self {
            Self::Inline(value) => use_it(value.len() as u16, value),
            Self::Overflow(pointer) => use_it(OVERFLOW_TAG, &pointer.to_bytes()),
        }
    }
}

/// Where the next greater key goes, while nothing else changes.
#[derive(Debug, Default)]
pub(crate) struct Appender {
    place: Option<(PageId, Path)>,
}

impl Editor<'_> {
    /// Sets the value of a key. Says whether there was one.
    pub(crate) fn put(&mut self, tree: &mut TreeState, key: &[u8], value: &[u8]) -> Result<bool> {
        let payload = self.payload(key, value)?;
        let (leaf, path) = self.own_leaf(tree, key)?;
        let page = self.own_mut(leaf)?;
        let found = Node::new(page).search_leaf(key);
        match found {
            Ok(index) => {
                let old = match Node::new(page).leaf_value(index) {
                    LeafValue::Overflow(pointer) => Some(pointer),
                    LeafValue::Inline(_) => None,
                };
                if !payload.with(|tag, bytes| node::replace_value(page, index, tag, bytes)) {
                    self.lay_out(tree, leaf, path, index, true, key, &payload)?;
                }
                if let Some(pointer) = old {
                    self.free_overflow(pointer);
                }
                Ok(true)
            }
            Err(index) => {
                if !payload.with(|tag, bytes| node::insert_leaf(page, index, key, tag, bytes)) {
                    self.lay_out(tree, leaf, path, index, false, key, &payload)?;
                }
                tree.len += 1;
                Ok(false)
            }
        }
    }

    /// Adds a key that is greater than all others. `last` keeps the place between calls, as long as nothing else changes the tree.
    pub(crate) fn append(&mut self, tree: &mut TreeState, key: &[u8], value: &[u8], last: &mut Appender) -> Result<()> {
        let Some((leaf, path)) = last.place.take() else {
            self.put(tree, key, value)?;
            last.place = Some(self.own_leaf(tree, key)?);
            return Ok(());
        };
        let payload = self.payload(key, value)?;
        let page = self.own_mut(leaf)?;
        let index = Node::new(page).count();
        if payload.with(|tag, bytes| node::insert_leaf(page, index, key, tag, bytes)) {
            last.place = Some((leaf, path));
        } else {
            self.lay_out(tree, leaf, path, index, false, key, &payload)?;
            last.place = Some(self.own_leaf(tree, key)?);
        }
        tree.len += 1;
        Ok(())
    }

    /// Takes a key out. Says whether it was there.
    pub(crate) fn delete(&mut self, tree: &mut TreeState, key: &[u8]) -> Result<bool> {
        // A look first: a key that is not there must not cost copies.
        if !contains(&self.view(), tree.root, key)? {
            return Ok(false);
        }
        let (leaf, path) = self.own_leaf(tree, key)?;
        let page = self.own_mut(leaf)?;
        let Ok(index) = Node::new(page).search_leaf(key) else { return Ok(false) };
        let value = Node::new(page).leaf_value(index);
        let old = if let LeafValue::Overflow(pointer) = value { Some(pointer) } else { None };
        node::remove_leaf(page, index);
        let (count, used) = (Node::new(page).count(), Node::new(page).used_len());
        tree.len = tree.len.saturating_sub(1);
        if let Some(pointer) = old {
            self.free_overflow(pointer);
        }
        if count == 0 {
            self.remove_page(tree, leaf, path)?;
        } else if used * 100 < self.page_size() * MERGE_BELOW_PERCENT {
            self.merge(tree, leaf, path)?;
        }
        Ok(true)
    }

    /// Gives up all pages of a tree.
    pub(crate) fn clear(&mut self, tree: &mut TreeState) -> Result<()> {
        let root = std::mem::take(&mut tree.root);
        tree.len = 0;
        if root.is_none() { Ok(()) } else { self.clear_below(root, &mut HashSet::new()) }
    }

    fn clear_below(&mut self, id: PageId, seen: &mut HashSet<PageId>) -> Result<()> {
        if !seen.insert(id) {
            return Err(self.store.damaged(id, "two pages have it as a child"));
        }
        let (children, values) = {
            let guard = crossbeam_epoch::pin();
            let node = Node::new(self.bytes(id, &guard)?);
            let mut values = Vec::new();
            let mut children = Vec::new();
            if node.is_leaf() {
                values.extend((0..node.count()).filter_map(|index| match node.leaf_value(index) {
                    LeafValue::Overflow(pointer) => Some(pointer),
                    LeafValue::Inline(_) => None,
                }));
            } else {
                children.extend((0..=node.count()).map(|place| node.child(place)));
            }
            (children, values)
        };
        for child in children {
            self.clear_below(child, seen)?;
        }
        values.into_iter().for_each(|pointer| self.free_overflow(pointer));
        self.free_node(id)
    }

    /// Copies the page on the way to `key` at each level, so that everything below gets a chance to move to a lower id: for compactions.
    pub(crate) fn move_path(&mut self, tree: &mut TreeState, key: &[u8]) -> Result<()> {
        self.own_leaf(tree, key).map(drop)
    }

    fn payload<'v>(&mut self, key: &[u8], value: &'v [u8]) -> Result<Payload<'v>> {
        let page_size = self.page_size();
        if value.len() <= inline_value_max(page_size, key.len()) {
            return Ok(Payload::Inline(value));
        }
        let len = value.len() as u32;
        let pages = run_pages(value.len(), page_size);
        let id = self.add(pages, |page, id, txn| {
            PageHeader { kind: PageKind::Value, id, run_pages: pages, txn, content_len: len }.write(page);
            if let Some(place) = page.get_mut(PAGE_HEADER_LEN..PAGE_HEADER_LEN + value.len()) {
                place.copy_from_slice(value);
            }
        })?;
        Ok(Payload::Overflow(OverflowPointer { len, page: id, birth: self.changes.txn }))
    }

    fn free_overflow(&mut self, pointer: OverflowPointer) {
        let pages = run_pages(pointer.len as usize, self.page_size());
        self.free_run(Run { start: pointer.page, pages }, pointer.birth);
    }

    /// The leaf for `key`, with all pages on the way made the transaction's own.
    fn own_leaf(&mut self, tree: &mut TreeState, key: &[u8]) -> Result<(PageId, Path)> {
        let mut path = Path::new();
        if tree.root.is_none() {
            tree.root =
                self.add(1, |page, id, txn| build_leaf(page, &PageHeader::node(PageKind::Leaf, id, txn), &[]))?;
            return Ok((tree.root, path));
        }
        let mut id = self.make_own(tree.root)?;
        tree.root = id;
        while path.len() < DEPTH_MAX {
            let guard = crossbeam_epoch::pin();
            let node = Node::new(self.bytes(id, &guard)?);
            if node.is_leaf() {
                return Ok((id, path));
            }
            let place = node.search_child(key);
            let child = node.child(place);
            drop(guard);
            let own = self.make_own(child)?;
            if own != child {
                node::set_child(self.own_mut(id)?, place, own);
            }
            path.push((id, place));
            id = own;
        }
        Err(self.view().too_deep(id))
    }

    /// Takes the bytes of an own page out, to lay it out anew.
    fn take_bytes(&mut self, id: PageId) -> Result<PageMut> {
        let page_size = self.page_size();
        Ok(std::mem::replace(self.own_mut(id)?, PageMut::zeroed(page_size)))
    }

    /// Lays a leaf out anew with one more entry, or another value in the one at `index`; in two pages if one is too small.
    fn lay_out(
        &mut self,
        tree: &mut TreeState,
        leaf: PageId,
        path: Path,
        index: usize,
        replaces: bool,
        key: &[u8],
        payload: &Payload<'_>,
    ) -> Result<()> {
        let old = self.take_bytes(leaf)?;
        let mut items = leaf_items(&old);
        let pointer;
        let (tag, bytes) = match payload {
            Payload::Inline(value) => (value.len() as u16, *value),
            Payload::Overflow(found) => {
                pointer = found.to_bytes();
                (OVERFLOW_TAG, pointer.as_slice())
            }
        };
        let item = LeafItem { key: Key::whole(key), tag, payload: bytes };
        match items.get_mut(index).filter(|_| replaces) {
            Some(place) => *place = item,
            None => items.insert(index, item),
        }
        if !rises_around(&items, index) {
            return Err(self.store.damaged(leaf, OUT_OF_ORDER));
        }
        let header = self.header(PageKind::Leaf, leaf);
        if fits_leaf(&items, self.page_size()) {
            build_leaf(self.own_mut(leaf)?, &header, &items);
            return Ok(());
        }
        let is_end = index + 1 == items.len() && !replaces && self.is_rightmost(&path)?;
        // Rising keys leave full pages behind.
        let cut = if is_end { items.len() - 1 } else { split_leaf(&items) };
        let (left, right) = items.split_at(cut);
        let right_id = self.add(1, |page, id, txn| build_leaf(page, &PageHeader::node(PageKind::Leaf, id, txn), right));
        let right_id = match right_id {
            Ok(id) => id,
            Err(error) => {
                // No page to be had: the leaf must not stay empty.
                *self.own_mut(leaf)? = old;
                return Err(error);
            }
        };
        build_leaf(self.own_mut(leaf)?, &header, left);
        let between = match (left.last(), right.first()) {
            (Some(left), Some(right)) => separator(&left.key, &right.key),
            _ => key.to_vec(),
        };
        self.insert_above(tree, path, leaf, &between, right_id)
    }

    fn is_rightmost(&self, path: &Path) -> Result<bool> {
        let guard = crossbeam_epoch::pin();
        for (id, place) in path {
            if *place != Node::new(self.bytes(*id, &guard)?).count() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Puts the page `right` beside `left` into the page above, and so on where that splits too.
    fn insert_above(
        &mut self,
        tree: &mut TreeState,
        mut path: Path,
        left: PageId,
        between: &[u8],
        right: PageId,
    ) -> Result<()> {
        let Some((parent, place)) = path.pop() else {
            let item = InternalItem { key: Key::whole(between), child: right };
            tree.root = self.add(1, |page, id, txn| {
                build_internal(page, &PageHeader::node(PageKind::Internal, id, txn), left, &[item]);
            })?;
            return Ok(());
        };
        if node::insert_child(self.own_mut(parent)?, place, between, right) {
            return Ok(());
        }
        let old = self.take_bytes(parent)?;
        let leftmost = Node::new(&old).child(0);
        let mut items = internal_items(&old);
        items.insert(place, InternalItem { key: Key::whole(between), child: right });
        if !rises_around(&items, place) {
            return Err(self.store.damaged(parent, OUT_OF_ORDER));
        }
        let header = self.header(PageKind::Internal, parent);
        if fits_internal(&items, self.page_size()) {
            build_internal(self.own_mut(parent)?, &header, leftmost, &items);
            return Ok(());
        }
        let is_end = place + 1 == items.len() && items.len() > 2 && self.is_rightmost(&path)?;
        let middle = if is_end { items.len() - 2 } else { split_internal(&items) };
        let (low, high) = items.split_at(middle);
        let Some((up, high)) = high.split_first() else {
            return Err(self.store.damaged(parent, "it is full with one child"));
        };
        let right = self.add(1, |page, id, txn| {
            build_internal(page, &PageHeader::node(PageKind::Internal, id, txn), up.child, high);
        })?;
        build_internal(self.own_mut(parent)?, &header, leftmost, low);
        self.insert_above(tree, path, parent, &up.key.to_vec(), right)
    }

    /// Takes an empty leaf out of the page above, and that page too if it has no other child.
    fn remove_page(&mut self, tree: &mut TreeState, id: PageId, mut path: Path) -> Result<()> {
        self.free_node(id)?;
        let Some((parent, place)) = path.pop() else {
            tree.root = PageId::NONE;
            return Ok(());
        };
        let page = self.own_mut(parent)?;
        if Node::new(page).count() == 0 {
            return self.remove_page(tree, parent, path);
        }
        node::remove_child(page, place);
        self.after_removal(tree, parent, path)
    }

    /// A page above has one child less.
    fn after_removal(&mut self, tree: &mut TreeState, id: PageId, path: Path) -> Result<()> {
        let page = self.own_mut(id)?;
        let (count, used, child) = (Node::new(page).count(), Node::new(page).used_len(), Node::new(page).child(0));
        if path.is_empty() {
            if count == 0 {
                self.free_node(id)?;
                tree.root = child;
            }
            return Ok(());
        }
        if used * 100 < self.page_size() * MERGE_BELOW_PERCENT {
            self.merge(tree, id, path)?;
        }
        Ok(())
    }

    /// Merges a page with the one before or after it under the same parent, if both fit into one.
    fn merge(&mut self, tree: &mut TreeState, id: PageId, mut path: Path) -> Result<()> {
        let Some((parent, place)) = path.pop() else { return Ok(()) };
        let guard = crossbeam_epoch::pin();
        let above = Node::new(self.bytes(parent, &guard)?);
        let count = above.count();
        let limit = self.page_size() * MERGED_MAX_PERCENT / 100;
        let candidates = [place.checked_sub(1), (place < count).then_some(place)];
        for left_place in candidates.into_iter().flatten() {
            let (left, right) = (above.child(left_place), above.child(left_place + 1));
            let (left_bytes, right_bytes) = (self.bytes(left, &guard)?, self.bytes(right, &guard)?);
            let (left_node, right_node) = (Node::new(left_bytes), Node::new(right_bytes));
            // A first guess without the items: most neighbours are too full.
            if left_node.used_len() + right_node.used_len() > limit + node::NODE_HEADER_LEN + right_node.prefix_len() {
                continue;
            }
            let is_leaf = left_node.is_leaf();
            let kind = if is_leaf { PageKind::Leaf } else { PageKind::Internal };
            let mut merged = PageMut::zeroed(self.page_size());
            let header = self.header(kind, left);
            if is_leaf {
                let items = [leaf_items(left_bytes), leaf_items(right_bytes)].concat();
                if !rises_around(&items, left_node.count()) {
                    return Err(self.store.damaged(right, OUT_OF_ORDER));
                }
                if !fits_leaf(&items, limit) {
                    continue;
                }
                build_leaf(&mut merged, &header, &items);
            } else {
                let between = [above.prefix(), &above.separator_suffix(left_place).to_vec()].concat();
                let middle = InternalItem { key: Key::whole(&between), child: right_node.child(0) };
                let items = [internal_items(left_bytes), vec![middle], internal_items(right_bytes)].concat();
                if !rises_around(&items, left_node.count()) {
                    return Err(self.store.damaged(right, OUT_OF_ORDER));
                }
                if !fits_internal(&items, limit) {
                    continue;
                }
                build_internal(&mut merged, &header, left_node.child(0), &items);
            }
            drop(guard);
            let own_left = self.make_own(left)?;
            PageHeader::node(kind, own_left, self.changes.txn).write(&mut merged);
            *self.own_mut(own_left)? = merged;
            self.free_node(right)?;
            let above = self.own_mut(parent)?;
            node::set_child(above, left_place, own_left);
            node::remove_child(above, left_place + 1);
            return self.after_removal(tree, parent, path);
        }
        let _neither_fits = id;
        Ok(())
    }
}

/// Checks limits that hold whatever a page has.
pub(crate) fn check_key(key: &[u8], page_size: usize) -> Result<()> {
    let max = node::key_len_max(page_size);
    if key.len() > max { Err(Error::KeyTooLarge { len: key.len(), max }) } else { Ok(()) }
}
