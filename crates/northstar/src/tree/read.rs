//! Where pages of a state come from, and the way from a key to its value.

use std::fmt;
use std::ops::Deref;

use crossbeam_epoch::Guard;

use super::DEPTH_MAX;
use super::changes::Changes;
use crate::error::Result;
use crate::id::PageId;
use crate::node::{LeafValue, Node, OverflowPointer};
use crate::page::{PAGE_HEADER_LEN, Page, PageKind, PageMut, run_pages};
use crate::store::PageStore;

/// The pages of one state: those of the store, and, within a write transaction, its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) store: &'a PageStore,
    pub(crate) changes: Option<&'a Changes>,
}

/// A page that stays as it is while this is held.
#[derive(Debug)]
pub(crate) enum Held<'a> {
    Shared(Page),
    Own(&'a PageMut),
}

impl Deref for Held<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Shared(page) => page,
            Self::Own(page) => page,
        }
    }
}

impl<'a> View<'a> {
    pub(crate) const fn of(store: &'a PageStore) -> Self {
        Self { store, changes: None }
    }

    fn own(&self, id: PageId) -> Option<&'a PageMut> {
        self.changes?.own(id)
    }

    #[inline]
    pub(crate) fn node<'b>(&self, id: PageId, guard: &'b Guard) -> Result<Node<'b>>
    where
        'a: 'b,
    {
        match self.own(id) {
            Some(page) => Ok(Node::new(page)),
            None => Ok(Node::new(self.store.node(id, guard)?)),
        }
    }

    pub(crate) fn held(&self, id: PageId) -> Result<Held<'a>> {
        match self.own(id) {
            Some(page) => Ok(Held::Own(page)),
            None => Ok(Held::Shared(self.store.held_node(id)?)),
        }
    }

    /// A value that stands in pages of its own.
    pub(crate) fn overflow(&self, pointer: OverflowPointer) -> Result<Value> {
        if let Some(page) = self.own(pointer.page) {
            let content = page.get(PAGE_HEADER_LEN..PAGE_HEADER_LEN + pointer.len as usize);
            return Ok(Value::copy_of(content.unwrap_or_default()));
        }
        let pages = run_pages(pointer.len as usize, self.store.page_size());
        let page = self.store.run(pointer.page, pages, PageKind::Value)?;
        Ok(Value { page, start: PAGE_HEADER_LEN as u32, len: pointer.len })
    }

    pub(crate) fn too_deep(&self, id: PageId) -> crate::error::Error {
        self.store.damaged(id, "the tree is deeper than any can be")
    }
}

/// A value that was read: bytes that stay as they are for as long as they are held, whatever is written meanwhile.
///
/// A small value holds the page it stands in, without a copy. Take a copy of what is to be kept for long.
#[derive(Clone)]
pub struct Value {
    page: Page,
    start: u32,
    len: u32,
}

impl Value {
    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        Self { page: PageMut::copy_of(bytes).freeze(), start: 0, len: bytes.len() as u32 }
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let start = self.start as usize;
        self.page.get(start..start + self.len as usize).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({:?})", &**self)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Value {}

impl PartialEq<[u8]> for Value {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}

impl<const N: usize> PartialEq<[u8; N]> for Value {
    fn eq(&self, other: &[u8; N]) -> bool {
        **self == *other
    }
}

impl<const N: usize> PartialEq<&[u8; N]> for Value {
    fn eq(&self, other: &&[u8; N]) -> bool {
        **self == **other
    }
}

impl From<Value> for Vec<u8> {
    fn from(value: Value) -> Self {
        value.to_vec()
    }
}

/// Goes down to the leaf that has `key` if any has, and hands over its id, its page and the place of the key. `None`: no such key.
#[inline]
fn find<'g, T>(
    view: &View<'g>,
    root: PageId,
    key: &[u8],
    guard: &'g Guard,
    found: impl FnOnce(PageId, Node<'g>, usize) -> Result<T>,
) -> Result<Option<T>> {
    if root.is_none() {
        return Ok(None);
    }
    let mut id = root;
    for _ in 0..DEPTH_MAX {
        let node = view.node(id, guard)?;
        if node.is_leaf() {
            return match node.search_leaf(key) {
                Ok(index) => found(id, node, index).map(Some),
                Err(_) => Ok(None),
            };
        }
        id = node.child(node.search_child(key));
    }
    Err(view.too_deep(id))
}

/// The value of `key`.
pub(crate) fn get(view: &View<'_>, root: PageId, key: &[u8]) -> Result<Option<Value>> {
    let guard = crossbeam_epoch::pin();
    let view = View { store: view.store, changes: view.changes };
    find(&view, root, key, &guard, |id, node, index| match node.leaf_value(index) {
        LeafValue::Inline(value) if view.own(id).is_some() => Ok(Value::copy_of(value)),
        LeafValue::Inline(value) => {
            let start = node.leaf_value_start(index) as u32;
            Ok(Value { page: view.store.shared(id, &guard)?, start, len: value.len() as u32 })
        }
        LeafValue::Overflow(pointer) => view.overflow(pointer),
    })
}

/// Whether `key` is there.
pub(crate) fn contains(view: &View<'_>, root: PageId, key: &[u8]) -> Result<bool> {
    let guard = crossbeam_epoch::pin();
    let view = View { store: view.store, changes: view.changes };
    Ok(find(&view, root, key, &guard, |_, _, _| Ok(()))?.is_some())
}
