//! Laying tree pages out anew: after a split, a merge, or when room is scattered.
#![cfg_attr(
    not(test),
    expect(
        clippy::indexing_slicing,
        reason = "positions are counted over the items themselves, and sizes were added up before"
    )
)]

use super::edit::{insert_child, insert_leaf, set_child};
use super::view::{
    COUNT, GARBAGE, HEAD_LEN, HEAP_START, INTERNAL_SLOT_LEN, LEAF_SLOT_LEN, NODE_HEADER_LEN, Node, PREFIX_LEN,
    SeparatorSuffix, TAG_LEN,
};
use crate::id::PageId;
use crate::page::PageHeader;

/// A key in two parts: the prefix of the page that it comes from, and the rest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'a> {
    prefix: &'a [u8],
    suffix: SeparatorSuffix<'a>,
}

impl<'a> Key<'a> {
    pub(crate) const fn whole(key: &'a [u8]) -> Self {
        Self { prefix: &[], suffix: SeparatorSuffix::Long(key) }
    }

    const fn parts(prefix: &'a [u8], suffix: &'a [u8]) -> Self {
        Self { prefix, suffix: SeparatorSuffix::Long(suffix) }
    }

    fn suffix(&self) -> &[u8] {
        self.suffix.bytes()
    }

    fn len(&self) -> usize {
        self.prefix.len() + self.suffix().len()
    }

    pub(crate) fn to_vec(self) -> Vec<u8> {
        [self.prefix, self.suffix()].concat()
    }

    fn bytes(&self) -> impl Iterator<Item = &u8> {
        self.prefix.iter().chain(self.suffix())
    }

    fn shared_len(&self, other: &Self) -> usize {
        if std::ptr::eq(self.prefix, other.prefix) {
            return self.prefix.len() + super::shared_prefix_len(self.suffix(), other.suffix());
        }
        self.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count()
    }
}

/// An entry of a leaf on its way into a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeafItem<'a> {
    pub(crate) key: Key<'a>,
    pub(crate) tag: u16,
    pub(crate) payload: &'a [u8],
}

/// A separator and the child after it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InternalItem<'a> {
    pub(crate) key: Key<'a>,
    pub(crate) child: PageId,
}

/// All entries of a leaf.
pub(crate) fn leaf_items(page: &[u8]) -> Vec<LeafItem<'_>> {
    let node = Node::new(page);
    let prefix = node.prefix();
    let item = |index| {
        let (tag, payload) = node.leaf_payload(index);
        LeafItem { key: Key::parts(prefix, node.leaf_suffix(index)), tag, payload }
    };
    (0..node.count()).map(item).collect()
}

/// All separators of an internal page, with the children after them.
pub(crate) fn internal_items(page: &[u8]) -> Vec<InternalItem<'_>> {
    let node = Node::new(page);
    let prefix = node.prefix();
    let item = |index| InternalItem {
        key: Key { prefix, suffix: node.separator_suffix(index) },
        child: node.child(index + 1),
    };
    (0..node.count()).map(item).collect()
}

/// Whether the keys at `index` and around it rise. Keys of one page do; those that come together from several do unless a page lies.
pub(crate) fn rises_around<'a, T: Item<'a>>(items: &[T], index: usize) -> bool {
    let around = items.get(index.saturating_sub(1)..(index + 2).min(items.len())).unwrap_or_default();
    around.windows(2).all(|pair| match pair {
        [a, b] => a.key().bytes().lt(b.key().bytes()),
        _ => true,
    })
}

pub(crate) trait Item<'a> {
    fn key(&self) -> &Key<'a>;
    /// Bytes that the item takes in a page with a prefix of this length.
    fn len_with(&self, prefix_len: usize) -> usize;
}

impl<'a> Item<'a> for LeafItem<'a> {
    fn key(&self) -> &Key<'a> {
        &self.key
    }

    fn len_with(&self, prefix_len: usize) -> usize {
        LEAF_SLOT_LEN + TAG_LEN + self.key.len() - prefix_len + self.payload.len()
    }
}

impl<'a> Item<'a> for InternalItem<'a> {
    fn key(&self) -> &Key<'a> {
        &self.key
    }

    fn len_with(&self, prefix_len: usize) -> usize {
        let suffix_len = self.key.len() - prefix_len;
        INTERNAL_SLOT_LEN + if suffix_len <= HEAD_LEN { 0 } else { suffix_len }
    }
}

/// Keys are sorted, so what the first and the last share all share.
fn prefix_len_of<'a, T: Item<'a>>(items: &[T]) -> usize {
    match items {
        [] => 0,
        [only] => only.key().len(),
        [first, .., last] => first.key().shared_len(last.key()),
    }
}

fn page_len_of<'a, T: Item<'a>>(items: &[T]) -> usize {
    let prefix_len = prefix_len_of(items);
    NODE_HEADER_LEN + prefix_len + items.iter().map(|item| item.len_with(prefix_len)).sum::<usize>()
}

pub(crate) fn fits_leaf(items: &[LeafItem<'_>], page_size: usize) -> bool {
    page_len_of(items) <= page_size
}

pub(crate) fn fits_internal(items: &[InternalItem<'_>], page_size: usize) -> bool {
    page_len_of(items) <= page_size
}

fn start(page: &mut [u8], header: &PageHeader, prefix: &[u8]) {
    let len = page.len();
    header.write(page);
    let heap = (len - prefix.len()) as u16;
    page[COUNT..NODE_HEADER_LEN].fill(0);
    page[COUNT..COUNT + 2].copy_from_slice(&0u16.to_le_bytes());
    page[PREFIX_LEN..PREFIX_LEN + 2].copy_from_slice(&(prefix.len() as u16).to_le_bytes());
    page[HEAP_START..HEAP_START + 2].copy_from_slice(&heap.to_le_bytes());
    page[GARBAGE..GARBAGE + 2].copy_from_slice(&0u16.to_le_bytes());
    page[len - prefix.len()..].copy_from_slice(prefix);
}

fn prefix_of<'a, T: Item<'a>>(items: &[T]) -> Vec<u8> {
    items.first().map_or_else(Vec::new, |item| item.key().bytes().take(prefix_len_of(items)).copied().collect())
}

/// Writes a leaf with these entries, which fit.
pub(crate) fn build_leaf(page: &mut [u8], header: &PageHeader, items: &[LeafItem<'_>]) {
    start(page, header, &prefix_of(items));
    let mut key = Vec::new();
    for (index, item) in items.iter().enumerate() {
        key.clear();
        key.extend(item.key.bytes());
        let fitted = insert_leaf(page, index, &key, item.tag, item.payload);
        debug_assert!(fitted, "sizes were added up before");
    }
}

/// Writes an internal page with these children, which fit.
pub(crate) fn build_internal(page: &mut [u8], header: &PageHeader, leftmost: PageId, items: &[InternalItem<'_>]) {
    start(page, header, &prefix_of(items));
    set_child(page, 0, leftmost);
    for (index, item) in items.iter().enumerate() {
        let fitted = insert_child(page, index, &item.key.to_vec(), item.child);
        debug_assert!(fitted, "sizes were added up before");
    }
}

/// Where to cut so that the longer part is as short as can be. `skip` items at the cut go into neither part.
fn best_cut<'a, T: Item<'a>>(items: &[T], skip: usize) -> usize {
    let whole = prefix_len_of(items);
    let mut sums = Vec::with_capacity(items.len() + 1);
    sums.push(0);
    let mut total = 0;
    for item in items {
        total += item.len_with(whole);
        sums.push(total);
    }
    // What a longer prefix of a part saves counts too: with a key that shares little with the others, only one cut may fit.
    let len = |from: usize, to: usize| {
        let count = to - from;
        let shared = prefix_len_of(&items[from..to]);
        (sums[to] - sums[from] + shared).saturating_sub(count * (shared - whole))
    };
    let mut best = (usize::MAX, 1);
    for cut in 1..items.len() - skip {
        let longer = len(0, cut).max(len(cut + skip, items.len()));
        if longer < best.0 {
            best = (longer, cut);
        }
    }
    best.1
}

/// Where to split a leaf's entries, of which there are two at least: the second part begins there.
pub(crate) fn split_leaf(items: &[LeafItem<'_>]) -> usize {
    best_cut(items, 0)
}

/// Which separator goes up when an internal page with three at least is split.
pub(crate) fn split_internal(items: &[InternalItem<'_>]) -> usize {
    best_cut(items, 1)
}

/// The shortest key that is greater than `left` and not greater than `right`.
pub(crate) fn separator(left: &Key<'_>, right: &Key<'_>) -> Vec<u8> {
    right.bytes().take(left.shared_len(right) + 1).copied().collect()
}
