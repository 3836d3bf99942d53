//! Checks a whole tree against everything that its pages claim, and lists the pages it has.

use hashbrown::HashSet;

use super::DEPTH_MAX;
use super::read::View;
use crate::error::Result;
use crate::id::PageId;
use crate::node::{LeafValue, Node};
use crate::page::{Page, PageHeader, PageKind, run_pages};
use crate::store::{Run, TreeState};

/// What a tree is made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct TreeSurvey {
    pub(crate) depth: usize,
    pub(crate) leaf_pages: u64,
    pub(crate) internal_pages: u64,
    pub(crate) value_pages: u64,
    /// Bytes of keys and values.
    pub(crate) content_len: u64,
    /// Bytes that hold something, of all tree pages.
    pub(crate) used_len: u64,
    /// All pages.
    pub(crate) runs: Vec<Run>,
    /// What is wrong, with the page.
    pub(crate) faults: Vec<(PageId, String)>,
}

struct Survey<'a> {
    view: View<'a>,
    newest: crate::id::TxnId,
    from_disk: bool,
    out: TreeSurvey,
    entries: u64,
    seen: HashSet<PageId>,
}

/// Goes over all pages of a tree. With `from_disk` they are read from the disk, whatever is in memory, as far as they are there.
pub(crate) fn survey(view: View<'_>, tree: &TreeState, newest: crate::id::TxnId, from_disk: bool) -> TreeSurvey {
    let mut survey = Survey { view, newest, from_disk, out: TreeSurvey::default(), entries: 0, seen: HashSet::new() };
    if !tree.root.is_none() {
        survey.below(tree.root, None, None, 1);
    }
    if survey.entries != tree.len {
        let what = format!("the tree {:?} has {} entries and should have {}", tree.name, survey.entries, tree.len);
        survey.out.faults.push((tree.root, what));
    }
    survey.out
}

impl Survey<'_> {
    fn fault(&mut self, id: PageId, what: impl Into<String>) {
        self.out.faults.push((id, what.into()));
    }

    fn load(&self, id: PageId, pages: u32) -> Result<Page> {
        if self.from_disk { self.view.store.read_uncached(id, pages) } else { self.view.store.held_node(id) }
    }

    fn below(&mut self, id: PageId, low: Option<&[u8]>, high: Option<&[u8]>, depth: usize) {
        if depth > DEPTH_MAX {
            return self.fault(id, "the tree is deeper than any can be");
        }
        let page = match self.load(id, 1) {
            Ok(page) => page,
            Err(error) => return self.fault(id, error.to_string()),
        };
        // A page that is met twice could lead around in circles.
        if !self.seen.insert(id) {
            return self.fault(id, "two pages have it as a child");
        }
        self.out.runs.push(Run { start: id, pages: 1 });
        let node = Node::new(&page);
        match PageHeader::read(&page) {
            Some(header) if header.id != id => self.fault(id, "it is another page"),
            Some(header) if header.txn > self.newest => self.fault(id, "it was made after the state that has it"),
            Some(header) if !matches!(header.kind, PageKind::Leaf | PageKind::Internal) => {
                return self.fault(id, "it is no tree page");
            }
            Some(_) => {}
            None => return self.fault(id, "no page header"),
        }
        if let Err(what) = node.validate() {
            return self.fault(id, what);
        }
        self.out.used_len += node.used_len() as u64;
        if node.is_leaf() {
            self.leaf(id, node, low, high, depth);
        } else {
            self.internal(id, node, low, high, depth);
        }
    }

    fn leaf(&mut self, id: PageId, node: Node<'_>, low: Option<&[u8]>, high: Option<&[u8]>, depth: usize) {
        self.out.leaf_pages += 1;
        if self.out.depth == 0 {
            self.out.depth = depth;
        } else if self.out.depth != depth {
            self.fault(id, "leaves are not all at one depth");
        }
        if node.count() == 0 {
            self.fault(id, "a leaf is empty");
        }
        self.entries += node.count() as u64;
        for index in 0..node.count() {
            let key = [node.prefix(), node.leaf_suffix(index)].concat();
            if low.is_some_and(|low| *key < *low) || high.is_some_and(|high| *key >= *high) {
                self.fault(id, "a key stands outside of the separators above it");
            }
            self.out.content_len += key.len() as u64;
            match node.leaf_value(index) {
                LeafValue::Inline(value) => self.out.content_len += value.len() as u64,
                LeafValue::Overflow(pointer) => {
                    let pages = run_pages(pointer.len as usize, self.view.store.page_size());
                    self.out.content_len += u64::from(pointer.len);
                    self.out.value_pages += u64::from(pages);
                    self.out.runs.push(Run { start: pointer.page, pages });
                    let page = if self.from_disk {
                        self.view.store.read_uncached(pointer.page, pages)
                    } else {
                        self.view.store.run(pointer.page, pages, PageKind::Value)
                    };
                    match page.map(|page| PageHeader::read(&page)) {
                        Err(error) => self.fault(pointer.page, error.to_string()),
                        Ok(Some(header))
                            if header.kind == PageKind::Value
                                && header.content_len == pointer.len
                                && header.txn == pointer.birth => {}
                        Ok(_) => self.fault(pointer.page, "it is not the value that its leaf points to"),
                    }
                }
            }
        }
    }

    fn internal(&mut self, id: PageId, node: Node<'_>, low: Option<&[u8]>, high: Option<&[u8]>, depth: usize) {
        self.out.internal_pages += 1;
        let separators: Vec<Vec<u8>> =
            (0..node.count()).map(|index| [node.prefix(), &node.separator_suffix(index).to_vec()].concat()).collect();
        let inside = |key: &Vec<u8>| low.is_none_or(|low| **key >= *low) && high.is_none_or(|high| **key < *high);
        if !separators.iter().all(inside) {
            self.fault(id, "a separator stands outside of those above it");
        }
        for place in 0..=node.count() {
            let below = place.checked_sub(1).and_then(|before| separators.get(before));
            let low = below.map(Vec::as_slice).or(low);
            let high = separators.get(place).map(Vec::as_slice).or(high);
            self.below(node.child(place), low, high, depth + 1);
        }
    }
}
