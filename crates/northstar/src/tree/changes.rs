//! The pages that a write transaction has made, and the editor that makes them.
//!
//! A page that a reader may see is never changed: the first change copies it to a new id, and the parent's pointer follows, up to the
//! root. Pages of the transaction itself are changed where they are.

use std::sync::atomic::{AtomicU32, Ordering};

use crossbeam_epoch::Guard;
use hashbrown::HashMap;
use parking_lot::Mutex;

use super::read::View;
use crate::error::Result;
use crate::id::{PageId, TxnId};
use crate::page::{Page, PageHeader, PageKind, PageMut};
use crate::store::{Freed, PageStore, Run, Space};

#[derive(Debug)]
struct Dirty {
    page: PageMut,
    /// The savepoint since which it has been changed or was made; 0 before the first.
    level: u32,
}

/// What takes a step back, newest last.
#[derive(Debug)]
enum Undo {
    Made(PageId),
    Changed(PageId, PageMut, u32),
    Removed(PageId, PageMut, u32),
}

/// All that a transaction has changed and not committed.
#[derive(Debug)]
pub(crate) struct Changes {
    /// The transaction that the pages will belong to.
    pub(crate) txn: TxnId,
    dirty: HashMap<PageId, Dirty>,
    freed: Vec<Freed>,
    undo: Vec<Undo>,
    level: u32,
}

/// A place to come back to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    level: u32,
    undo: usize,
    freed: usize,
}

impl Changes {
    pub(crate) fn new(txn: TxnId) -> Self {
        Self { txn, dirty: HashMap::new(), freed: Vec::new(), undo: Vec::new(), level: 0 }
    }

    #[inline]
    pub(super) fn own(&self, id: PageId) -> Option<&PageMut> {
        self.dirty.get(&id).map(|dirty| &dirty.page)
    }

    /// Everything from here on can be taken back.
    pub(crate) fn mark(&mut self) -> Mark {
        let mark = Mark { level: self.level, undo: self.undo.len(), freed: self.freed.len() };
        self.level += 1;
        mark
    }

    /// Takes back what was changed since `mark`, which can be used again.
    pub(crate) fn back_to(&mut self, mark: Mark, space: &mut Allocator<'_>) {
        for step in self.undo.drain(mark.undo..).rev() {
            match step {
                Undo::Made(id) => {
                    if let Some(dirty) = self.dirty.remove(&id) {
                        space.release(id, dirty.page.len());
                    }
                }
                Undo::Changed(id, page, level) | Undo::Removed(id, page, level) => {
                    self.dirty.insert(id, Dirty { page, level });
                }
            }
        }
        self.freed.truncate(mark.freed);
        self.level = mark.level + 1;
    }

    /// Gives back the ids of all pages that were made: the transaction is given up.
    pub(crate) fn abandon(self, space: &mut Allocator<'_>) {
        for (id, dirty) in &self.dirty {
            space.release(*id, dirty.page.len());
        }
        Self::release_removed(&self.undo, space);
    }

    fn release_removed(undo: &[Undo], space: &mut Allocator<'_>) {
        for step in undo {
            if let Undo::Removed(id, page, _) = step {
                space.release(*id, page.len());
            }
        }
    }

    /// The pages as readers will see them, and what they replace.
    pub(crate) fn finish(
        self,
        space: &mut Allocator<'_>,
    ) -> (impl Iterator<Item = (PageId, Page)> + use<>, Vec<Freed>) {
        Self::release_removed(&self.undo, space);
        (self.dirty.into_iter().map(|(id, dirty)| (id, dirty.page.freeze())), self.freed)
    }

    /// Bytes of the pages that were made.
    pub(crate) fn page_count(&self) -> usize {
        self.dirty.len()
    }
}

/// Ids of pages that live in memory only: states of the past, and what a reader of another process has seen since the last checkpoint.
#[derive(Debug, Default)]
pub(crate) struct VirtualPages {
    next: AtomicU32,
    spare: Mutex<Vec<Run>>,
}

impl VirtualPages {
    fn allocate(&self, pages: u32) -> PageId {
        if pages == 1
            && let Some(run) = self.spare.lock().pop()
        {
            return run.start;
        }
        PageId(PageId::VIRTUAL + self.next.fetch_add(pages, Ordering::Relaxed))
    }

    /// Gives ids back.
    pub(crate) fn release(&self, start: PageId, pages: u32) {
        let mut spare = self.spare.lock();
        spare.extend((0..pages).map(|place| Run { start: PageId(start.0 + place), pages: 1 }));
    }
}

/// Where ids of new pages come from.
#[derive(Debug)]
pub(crate) enum Allocator<'a> {
    /// The file.
    File { space: &'a mut Space, page_size: usize },
    /// Memory.
    Virtual { pages: &'a VirtualPages, page_size: usize },
}

impl Allocator<'_> {
    fn allocate(&mut self, store: &PageStore, pages: u32, txn: TxnId) -> Result<PageId> {
        match self {
            Self::File { space, .. } => space.allocate(store, pages, txn),
            Self::Virtual { pages: ids, .. } => Ok(ids.allocate(pages)),
        }
    }

    fn release(&mut self, id: PageId, len: usize) {
        match self {
            Self::File { space, page_size } => {
                space.release(Run { start: id, pages: (len / *page_size) as u32 });
            }
            Self::Virtual { pages, page_size } => pages.release(id, (len / *page_size) as u32),
        }
    }
}

/// Changes pages of one transaction.
#[derive(Debug)]
pub(crate) struct Editor<'a> {
    pub(crate) store: &'a PageStore,
    pub(crate) space: Allocator<'a>,
    pub(crate) changes: &'a mut Changes,
}

impl Editor<'_> {
    pub(crate) fn view(&self) -> View<'_> {
        View { store: self.store, changes: Some(self.changes) }
    }

    pub(super) fn page_size(&self) -> usize {
        self.store.page_size()
    }

    /// The bytes of a page, whoever made it.
    #[inline]
    pub(super) fn bytes<'b>(&'b self, id: PageId, guard: &'b Guard) -> Result<&'b [u8]> {
        match self.changes.own(id) {
            Some(page) => Ok(page),
            None => self.store.node(id, guard),
        }
    }

    /// Adds a page or run of the transaction's own.
    pub(super) fn add(&mut self, pages: u32, make: impl FnOnce(&mut [u8], PageId, TxnId)) -> Result<PageId> {
        let txn = self.changes.txn;
        let id = self.space.allocate(self.store, pages, txn)?;
        let mut page = PageMut::zeroed(pages as usize * self.page_size());
        make(&mut page, id, txn);
        let level = self.changes.level;
        self.changes.dirty.insert(id, Dirty { page, level });
        if level > 0 {
            self.changes.undo.push(Undo::Made(id));
        }
        Ok(id)
    }

    /// The id under which the page can be changed: its own if the transaction made it, that of a copy otherwise.
    #[inline]
    pub(super) fn make_own(&mut self, id: PageId) -> Result<PageId> {
        if self.changes.dirty.contains_key(&id) {
            return Ok(id);
        }
        let (copy, header) = {
            let guard = crossbeam_epoch::pin();
            let bytes = self.store.node(id, &guard)?;
            let header = PageHeader::read(bytes).ok_or_else(|| self.store.damaged(id, "no page header"))?;
            (PageMut::copy_of(bytes), header)
        };
        let mut copy = copy;
        let txn = self.changes.txn;
        let new = self.space.allocate(self.store, 1, txn)?;
        PageHeader::node(header.kind, new, txn).write(&mut copy);
        let level = self.changes.level;
        self.changes.dirty.insert(new, Dirty { page: copy, level });
        if level > 0 {
            self.changes.undo.push(Undo::Made(new));
        }
        self.changes.freed.push(Freed { run: Run { start: id, pages: 1 }, birth: header.txn, freed: txn });
        Ok(new)
    }

    /// A page of the transaction's own, to be changed.
    #[inline]
    pub(super) fn own_mut(&mut self, id: PageId) -> Result<&mut PageMut> {
        let level = self.changes.level;
        let Some(dirty) = self.changes.dirty.get_mut(&id) else {
            return Err(self.store.damaged(id, "it belongs to another transaction"));
        };
        if dirty.level < level {
            self.changes.undo.push(Undo::Changed(id, PageMut::copy_of(&dirty.page), dirty.level));
            dirty.level = level;
        }
        Ok(&mut dirty.page)
    }

    /// Gives up a tree page.
    pub(super) fn free_node(&mut self, id: PageId) -> Result<()> {
        if self.free_own(id) {
            return Ok(());
        }
        let birth = {
            let guard = crossbeam_epoch::pin();
            PageHeader::read(self.store.node(id, &guard)?).map(|header| header.txn)
        };
        let birth = birth.ok_or_else(|| self.store.damaged(id, "no page header"))?;
        let freed = self.changes.txn;
        self.changes.freed.push(Freed { run: Run { start: id, pages: 1 }, birth, freed });
        Ok(())
    }

    /// Gives up a run whose birth is known.
    pub(super) fn free_run(&mut self, run: Run, birth: TxnId) {
        if !self.free_own(run.start) {
            let freed = self.changes.txn;
            self.changes.freed.push(Freed { run, birth, freed });
        }
    }

    fn free_own(&mut self, id: PageId) -> bool {
        let Some(dirty) = self.changes.dirty.remove(&id) else { return false };
        if self.changes.level > 0 {
            self.changes.undo.push(Undo::Removed(id, dirty.page, dirty.level));
        } else {
            self.space.release(id, dirty.page.len());
        }
        true
    }

    pub(super) fn header(&self, kind: PageKind, id: PageId) -> PageHeader {
        PageHeader::node(kind, id, self.changes.txn)
    }
}
