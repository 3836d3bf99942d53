//! From page ids to the pages that are in memory: three levels of arrays, read without a lock.
//!
//! What is upheld: a slot holds one reference to its page. A page that leaves its slot is given back only by
//! [`Guard::defer`], so whoever loaded the pointer under a guard may look at the page until that guard goes.

use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use crossbeam_epoch::Guard;

use crate::id::PageId;
use crate::page::{Head, Page, PageRef};

const LEAF_BITS: u32 = 10;
const MIDDLE_BITS: u32 = 11;
const TOP_BITS: u32 = 32 - MIDDLE_BITS - LEAF_BITS;

type Leaf = Box<[AtomicPtr<Head>]>;
type Middle = Box<[OnceLock<Leaf>]>;

#[derive(Debug)]
pub(crate) struct PageTable {
    top: Box<[OnceLock<Middle>]>,
}

const fn places(id: PageId) -> (usize, usize, usize) {
    let id = id.0;
    let top = id >> (LEAF_BITS + MIDDLE_BITS);
    let middle = (id >> LEAF_BITS) & ((1 << MIDDLE_BITS) - 1);
    let leaf = id & ((1 << LEAF_BITS) - 1);
    (top as usize, middle as usize, leaf as usize)
}

impl PageTable {
    pub(crate) fn new() -> Self {
        Self { top: (0..1 << TOP_BITS).map(|_| OnceLock::new()).collect() }
    }

    #[inline]
    fn slot(&self, id: PageId) -> Option<&AtomicPtr<Head>> {
        let (top, middle, leaf) = places(id);
        self.top.get(top)?.get()?.get(middle)?.get()?.get(leaf)
    }

    fn slot_to_fill(&self, id: PageId) -> Option<&AtomicPtr<Head>> {
        let (top, middle, leaf) = places(id);
        let middles = self.top.get(top)?.get_or_init(|| (0..1 << MIDDLE_BITS).map(|_| OnceLock::new()).collect());
        let leaves = middles.get(middle)?;
        leaves.get_or_init(|| (0..1 << LEAF_BITS).map(|_| AtomicPtr::new(ptr::null_mut())).collect()).get(leaf)
    }

    /// The page, if it is in memory.
    #[inline]
    pub(crate) fn get<'g>(&self, id: PageId, _guard: &'g Guard) -> Option<PageRef<'g>> {
        let head = NonNull::new(self.slot(id)?.load(Ordering::Acquire))?;
        // SAFETY: the slot's reference is dropped by `defer` only, after all guards that were there when the pointer left the slot.
        Some(unsafe { PageRef::from_raw(head) })
    }

    /// Puts a page in, in place of the one that may be there, whose length is returned.
    pub(crate) fn put(&self, id: PageId, page: Page, guard: &Guard) -> usize {
        let Some(slot) = self.slot_to_fill(id) else { return 0 };
        Self::retire(slot.swap(page.into_raw(), Ordering::AcqRel), guard)
    }

    /// Puts a page in unless there is one. Returns the one that is there now, and whether it is the new one.
    pub(crate) fn put_if_absent<'g>(&self, id: PageId, page: Page, _guard: &'g Guard) -> Option<(PageRef<'g>, bool)> {
        let slot = self.slot_to_fill(id)?;
        let raw = page.into_raw();
        let (now, is_new) = match slot.compare_exchange(ptr::null_mut(), raw, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => (raw, true),
            Err(there) => {
                Self::drop_raw(raw);
                (there, false)
            }
        };
        // SAFETY: as in `get`; a new one may leave the slot at once, but not before this guard goes.
        NonNull::new(now).map(|head| (unsafe { PageRef::from_raw(head) }, is_new))
    }

    /// Takes a page out. Returns its length, or 0 if there was none.
    pub(crate) fn remove(&self, id: PageId, guard: &Guard) -> usize {
        self.slot(id).map_or(0, |slot| Self::retire(slot.swap(ptr::null_mut(), Ordering::AcqRel), guard))
    }

    /// Takes a page out if it is still this one.
    pub(crate) fn remove_page(&self, id: PageId, page: &Page, guard: &Guard) -> bool {
        let Some(slot) = self.slot(id) else { return false };
        let raw = page.clone().into_raw();
        let removed = slot.compare_exchange(raw, ptr::null_mut(), Ordering::AcqRel, Ordering::Relaxed).is_ok();
        Self::drop_raw(raw);
        if removed {
            Self::retire(raw, guard);
        }
        removed
    }

    fn retire(raw: *mut Head, guard: &Guard) -> usize {
        let Some(head) = NonNull::new(raw) else { return 0 };
        // SAFETY: the pointer left its slot, whose reference this is.
        let page = unsafe { Page::from_raw(head) };
        let len = page.len();
        guard.defer(move || drop(page));
        len
    }

    fn drop_raw(raw: *mut Head) {
        if let Some(head) = NonNull::new(raw) {
            // SAFETY: the caller made the pointer from a page of its own and gives it up.
            drop(unsafe { Page::from_raw(head) });
        }
    }
}

impl Drop for PageTable {
    fn drop(&mut self) {
        let middles = self.top.iter().filter_map(OnceLock::get).flatten();
        for slot in middles.filter_map(OnceLock::get).flatten() {
            Self::drop_raw(slot.swap(ptr::null_mut(), Ordering::AcqRel));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::PageMut;

    /// A reader would look at memory that was given back, or a page would never be given back.
    #[test]
    fn a_page_lives_as_long_as_somebody_looks() {
        let table = PageTable::new();
        let id = PageId(1 << 31 | 77);
        let page = PageMut::copy_of(b"one").freeze();
        let guard = crossbeam_epoch::pin();
        assert!(table.get(id, &guard).is_none());
        assert!(table.put_if_absent(id, page.clone(), &guard).unwrap().1);
        let (there, is_new) = table.put_if_absent(id, PageMut::copy_of(b"two").freeze(), &guard).unwrap();
        assert_eq!((there.bytes(), is_new), (&b"one"[..], false));
        assert_eq!(page.references(), 2);
        assert!(!table.remove_page(id, &PageMut::copy_of(b"one").freeze(), &guard));
        assert!(table.remove_page(id, &page, &guard));
        assert_eq!((table.remove(id, &guard), there.bytes()), (0, &b"one"[..]));
        assert_eq!(table.put(id, PageMut::copy_of(b"three").freeze(), &guard), 0);
        assert_eq!(table.put(id, page.clone(), &guard), 5);
        drop(guard);
        drop(table);
        while page.references() > 1 {
            crossbeam_epoch::pin().flush();
        }
    }
}
