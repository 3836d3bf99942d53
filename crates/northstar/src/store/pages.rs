//! The pages of a file: read into a bounded cache and checked once, kept while they are not in the file yet, written out in runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_epoch::Guard;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::collections::VecDeque;
use vfs::File;

use super::table::PageTable;
use crate::error::{Error, Result};
use crate::id::PageId;
use crate::node::Node;
use crate::page::{self, Page, PageHeader, PageKind, PageMut, PageRef};

/// Pages side by side are written at once, this many bytes at most.
const WRITE_LEN_MAX: usize = 1 << 20;
/// A run of more than this share of the budget is read for its reader alone.
const CACHED_SHARE: usize = 16;
/// Entries that the ring may have beyond twice the pages that are in memory.
const RING_SLACK: usize = 4096;

#[derive(Debug)]
pub(crate) struct PageStore {
    file: Arc<dyn File>,
    path: PathBuf,
    page_size: usize,
    table: PageTable,
    /// Bytes that pages in memory may take, as far as they can be let go.
    budget: usize,
    /// Bytes that they take: clean, unwritten and virtual ones.
    resident: AtomicUsize,
    /// Clean pages, in the order in which they are asked whether they were used.
    ring: Mutex<VecDeque<PageId>>,
    /// Pages that the file does not have yet.
    unwritten: Mutex<HashMap<PageId, Page>>,
    unwritten_len: AtomicUsize,
    reads: AtomicU64,
}

/// What the cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CacheUse {
    pub(crate) resident: usize,
    pub(crate) unwritten: usize,
    pub(crate) reads: u64,
}

impl PageStore {
    pub(crate) fn new(file: Arc<dyn File>, path: &Path, page_size: usize, budget: usize) -> Self {
        Self {
            file,
            path: path.to_owned(),
            page_size,
            table: PageTable::new(),
            budget,
            resident: AtomicUsize::new(0),
            ring: Mutex::default(),
            unwritten: Mutex::default(),
            unwritten_len: AtomicUsize::new(0),
            reads: AtomicU64::new(0),
        }
    }

    pub(crate) fn page_size(&self) -> usize {
        self.page_size
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> &dyn File {
        &*self.file
    }

    pub(crate) fn usage(&self) -> CacheUse {
        CacheUse {
            resident: self.resident.load(Ordering::Relaxed),
            unwritten: self.unwritten_len.load(Ordering::Relaxed),
            reads: self.reads.load(Ordering::Relaxed),
        }
    }

    /// Bytes of pages that the file does not have yet.
    pub(crate) fn unwritten_len(&self) -> usize {
        self.unwritten_len.load(Ordering::Relaxed)
    }

    /// The byte offset of a page in the file.
    pub(crate) fn offset(&self, id: PageId) -> u64 {
        u64::from(id.0) * self.page_size as u64
    }

    /// A tree page.
    #[inline]
    pub(crate) fn node<'g>(&self, id: PageId, guard: &'g Guard) -> Result<&'g [u8]> {
        match self.table.get(id, guard) {
            Some(page) => {
                page.touch();
                Ok(page.bytes())
            }
            None => Ok(self.fill(id, 1, guard)?.bytes()),
        }
    }

    /// A tree page with a handle that outlives the guard.
    pub(crate) fn held_node(&self, id: PageId) -> Result<Page> {
        let guard = crossbeam_epoch::pin();
        let page = match self.table.get(id, &guard) {
            Some(page) => page,
            None => self.fill(id, 1, &guard)?,
        };
        page.touch();
        Ok(page.to_page())
    }

    /// A handle to a page that was just looked at.
    #[inline]
    pub(crate) fn shared(&self, id: PageId, guard: &Guard) -> Result<Page> {
        match self.table.get(id, guard) {
            Some(page) => Ok(page.to_page()),
            None => Ok(self.fill(id, 1, guard)?.to_page()),
        }
    }

    /// A run of pages that is no tree page.
    pub(crate) fn run(&self, id: PageId, pages: u32, kind: PageKind) -> Result<Page> {
        let guard = crossbeam_epoch::pin();
        let cached = self.table.get(id, &guard).filter(|page| page.bytes().len() == pages as usize * self.page_size);
        let page = match cached {
            Some(page) => page.to_page(),
            None if pages as usize * self.page_size > self.budget / CACHED_SHARE => self.read(id, pages)?,
            None => self.fill(id, pages, &guard)?.to_page(),
        };
        match PageHeader::read(&page) {
            Some(header) if header.kind == kind => Ok(page),
            _ => Err(self.damaged(id, "it is a page of another kind")),
        }
    }

    /// A page that must not come from memory: for the check of what is on the disk.
    pub(crate) fn read_uncached(&self, id: PageId, pages: u32) -> Result<Page> {
        if id.is_virtual() || self.unwritten.lock().contains_key(&id) {
            return self.held_node(id);
        }
        self.read(id, pages)
    }

    pub(crate) fn damaged(&self, id: PageId, what: &str) -> Error {
        Error::corrupt(&self.path, self.offset(id), format!("page {id}: {what}"))
    }

    fn read(&self, id: PageId, pages: u32) -> Result<Page> {
        if id.is_virtual() || id.is_none() || pages == 0 {
            return Err(self.damaged(id, "no such page"));
        }
        let len = pages as usize * self.page_size;
        let offset = self.offset(id);
        if len > self.page_size {
            // A length out of a damaged page must not decide how much memory is taken.
            let file_len = self.file.len().map_err(|error| Error::io("measure", &self.path, error))?;
            if offset + len as u64 > file_len {
                return Err(self.damaged(id, "it reaches past the end of the file"));
            }
        }
        let mut page = PageMut::zeroed(len);
        self.file.read_exact_at(offset, &mut page).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.damaged(id, "it is past the end of the file"),
            _ => Error::io("read", &self.path, error),
        })?;
        self.reads.fetch_add(1, Ordering::Relaxed);
        let header = page::check(&page, id, self.page_size, &self.path)?;
        if matches!(header.kind, PageKind::Leaf | PageKind::Internal) {
            Node::new(&page).validate().map_err(|what| self.damaged(id, what))?;
        }
        Ok(page.freeze())
    }

    #[cold]
    fn fill<'g>(&self, id: PageId, pages: u32, guard: &'g Guard) -> Result<PageRef<'g>> {
        let page = self.read(id, pages)?;
        if pages == 1 && !matches!(page.get(7), Some(1..=6)) {
            return Err(self.damaged(id, "it is a page of another kind"));
        }
        let len = page.len();
        let (there, is_new) =
            self.table.put_if_absent(id, page, guard).ok_or_else(|| self.damaged(id, "no such page"))?;
        if is_new {
            self.resident.fetch_add(len, Ordering::Relaxed);
            self.ring.lock().push_back(id);
            self.make_room(guard);
        }
        Ok(there)
    }

    /// Lets go of clean pages that nobody has used or holds, until the rest is within the budget.
    fn make_room(&self, guard: &Guard) {
        if self.resident.load(Ordering::Relaxed) <= self.budget {
            return;
        }
        let mut ring = self.ring.lock();
        // Each page is asked twice at most: once to forget that it was used, once to go.
        for _ in 0..ring.len() * 2 {
            if self.resident.load(Ordering::Relaxed) <= self.budget {
                return;
            }
            let Some(id) = ring.pop_front() else { return };
            let Some(page) = self.table.get(id, guard).map(PageRef::to_page) else { continue };
            // An unwritten page with this id is a later one; it joins the ring when it is written.
            if page.is_unwritten() {
                continue;
            }
            // One reference is the table's, the other is here.
            if page.references() > 2 || page.take_used() {
                ring.push_back(id);
            } else if self.table.remove_page(id, &page, guard) {
                self.resident.fetch_sub(page.len(), Ordering::Relaxed);
            }
        }
    }

    /// Takes in pages that the file does not have yet, and that nobody sees yet.
    pub(crate) fn insert_unwritten(&self, pages: impl Iterator<Item = (PageId, Page)>) {
        let guard = crossbeam_epoch::pin();
        let mut unwritten = self.unwritten.lock();
        for (id, page) in pages {
            self.resident.fetch_add(page.len(), Ordering::Relaxed);
            if !id.is_virtual() {
                page.set_unwritten(true);
                self.unwritten_len.fetch_add(page.len(), Ordering::Relaxed);
                unwritten.insert(id, page.clone());
            }
            let replaced = self.table.put(id, page, &guard);
            self.resident.fetch_sub(replaced, Ordering::Relaxed);
        }
        drop(unwritten);
        self.make_room(&guard);
    }

    /// Forgets pages that nobody will read under these ids again.
    pub(crate) fn forget(&self, ids: impl Iterator<Item = PageId>) {
        let guard = crossbeam_epoch::pin();
        let mut unwritten = self.unwritten.lock();
        for id in ids {
            if let Some(page) = unwritten.remove(&id) {
                self.unwritten_len.fetch_sub(page.len(), Ordering::Relaxed);
            }
            let removed = self.table.remove(id, &guard);
            self.resident.fetch_sub(removed, Ordering::Relaxed);
        }
    }

    /// Writes all pages that the file does not have yet, without a sync. Pages that come while it works may be left.
    pub(crate) fn write_out(&self) -> Result<()> {
        let mut pages: Vec<(PageId, Page)> =
            self.unwritten.lock().iter().map(|(id, page)| (*id, page.clone())).collect();
        pages.sort_unstable_by_key(|(id, _)| *id);
        let mut buffer = Vec::with_capacity(WRITE_LEN_MAX.min(pages.len() * self.page_size));
        let mut first = PageId::NONE;
        for (id, page) in &pages {
            let at_end = self.offset(first) + buffer.len() as u64 == self.offset(*id);
            if !buffer.is_empty() && (!at_end || buffer.len() + page.len() > WRITE_LEN_MAX) {
                self.write(first, &buffer)?;
                buffer.clear();
            }
            if buffer.is_empty() {
                first = *id;
            }
            let start = buffer.len();
            buffer.extend_from_slice(page);
            if let Some(copy) = buffer.get_mut(start..) {
                page::seal(copy);
            }
        }
        if !buffer.is_empty() {
            self.write(first, &buffer)?;
        }
        self.note_written(pages);
        Ok(())
    }

    fn write(&self, first: PageId, buffer: &[u8]) -> Result<()> {
        self.file.write_at(self.offset(first), buffer).map_err(|error| Error::io("write", &self.path, error))
    }

    fn note_written(&self, pages: Vec<(PageId, Page)>) {
        let mut unwritten = self.unwritten.lock();
        let mut written = Vec::with_capacity(pages.len());
        for (id, page) in pages {
            // Meanwhile the id may have been given back and given out again: then it is another page, which is not written.
            let is_same = unwritten.get(&id).is_some_and(|there| std::ptr::eq(there.as_ptr(), page.as_ptr()));
            if is_same {
                unwritten.remove(&id);
                page.set_unwritten(false);
                self.unwritten_len.fetch_sub(page.len(), Ordering::Relaxed);
                written.push(id);
            }
        }
        drop(unwritten);
        let mut ring = self.ring.lock();
        ring.extend(written);
        // Ids of forgotten pages stay in the ring until they are asked; where nothing has to go nobody asks.
        if ring.len() > RING_SLACK + 2 * self.resident.load(Ordering::Relaxed) / self.page_size {
            let mut seen = hashbrown::HashSet::new();
            ring.retain(|id| seen.insert(*id));
        }
        drop(ring);
        self.make_room(&crossbeam_epoch::pin());
    }

    /// The barrier: everything written so far is durable once this returns.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| Error::sync(&self.path, error))
    }
}
