//! Memory of pages: one allocation for the count of references and the bytes.
//!
//! A [`PageMut`] is the only handle to its memory and may write; [`PageMut::freeze`] makes it a [`Page`], which is shared and never written
//! again. What is upheld: the memory is initialised at all times; `len` never changes; bytes are written only through `&mut PageMut`, of
//! which there is one; the memory is given back when the last reference goes. Everything `unsafe` about pages is here and in
//! `store/table.rs`.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

/// Pages begin on a cache line, so that a search touches no line in vain.
const ALIGNMENT: usize = 64;

/// What stands before the bytes.
#[repr(C, align(64))]
pub(crate) struct Head {
    references: AtomicUsize,
    len: usize,
    /// Used since the cache looked for something to let go.
    used: AtomicBool,
    /// Not in the file yet: the cache must keep it.
    unwritten: AtomicBool,
}

const HEAD_LEN: usize = size_of::<Head>();

fn layout(len: usize) -> Layout {
    // A page is at most a value's length plus headers; the sum is far from overflowing.
    Layout::from_size_align(HEAD_LEN + len, ALIGNMENT).unwrap_or(Layout::new::<Head>())
}

/// A page that only its holder sees.
pub(crate) struct PageMut {
    head: NonNull<Head>,
}

/// A page that nobody changes any more. Cloning is cheap.
pub(crate) struct Page {
    head: NonNull<Head>,
}

// SAFETY: a `PageMut` owns its memory alone, like a `Box<[u8]>`.
unsafe impl Send for PageMut {}
// SAFETY: through `&PageMut` bytes are only read.
unsafe impl Sync for PageMut {}
// SAFETY: the bytes behind a `Page` are never written; the count is atomic.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

impl PageMut {
    /// `len` zeros.
    pub(crate) fn zeroed(len: usize) -> Self {
        let layout = layout(len);
        // SAFETY: the layout is not of size zero: the head is part of it.
        let memory = unsafe { alloc_zeroed(layout) };
        // SAFETY: it was allocated with this layout, and its bytes are zeros.
        unsafe { Self::with_head(memory, layout) }
    }

    /// # Safety
    /// `memory` was allocated with `layout`, which is one of [`layout`]'s, and is initialised behind the head. It may be null.
    unsafe fn with_head(memory: *mut u8, layout: Layout) -> Self {
        let Some(head) = NonNull::new(memory.cast::<Head>()) else { handle_alloc_error(layout) };
        let value = Head {
            references: AtomicUsize::new(1),
            len: layout.size() - HEAD_LEN,
            used: AtomicBool::new(true),
            unwritten: AtomicBool::new(false),
        };
        // SAFETY: freshly allocated with room and alignment for a head.
        unsafe { head.write(value) };
        Self { head }
    }

    /// A copy of `bytes`.
    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        let layout = layout(bytes.len());
        if layout.size() != HEAD_LEN + bytes.len() {
            return Self::zeroed(0);
        }
        // SAFETY: the layout is not of size zero: the head is part of it.
        let memory = unsafe { alloc(layout) };
        if !memory.is_null() {
            // SAFETY: there is room for as many bytes behind the head, in memory that nobody else has.
            unsafe { memory.add(HEAD_LEN).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        }
        // SAFETY: it was allocated with this layout, and its bytes were just written.
        unsafe { Self::with_head(memory, layout) }
    }

    /// From now on it is shared and constant.
    pub(crate) fn freeze(self) -> Page {
        let page = Page { head: self.head };
        std::mem::forget(self);
        page
    }
}

impl Deref for PageMut {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `head` is valid as long as `self`, and `len` bytes follow it, initialised.
        unsafe { bytes(self.head) }
    }
}

impl DerefMut for PageMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`; `&mut self` is the only handle.
        unsafe {
            let len = self.head.as_ref().len;
            std::slice::from_raw_parts_mut(self.head.as_ptr().cast::<u8>().add(HEAD_LEN), len)
        }
    }
}

impl Drop for PageMut {
    fn drop(&mut self) {
        // SAFETY: nobody else has the memory; it came from `alloc_zeroed` with this layout.
        unsafe {
            let layout = layout(self.head.as_ref().len);
            dealloc(self.head.as_ptr().cast(), layout);
        }
    }
}

/// The bytes after a head.
///
/// # Safety
/// `head` is alive and not written for `'a`.
unsafe fn bytes<'a>(head: NonNull<Head>) -> &'a [u8] {
    // SAFETY: the allocation holds a head and then `len` initialised bytes.
    unsafe {
        let len = head.as_ref().len;
        std::slice::from_raw_parts(head.as_ptr().cast::<u8>().add(HEAD_LEN).cast_const(), len)
    }
}

impl Page {
    fn head(&self) -> &Head {
        // SAFETY: a handle keeps the memory alive.
        unsafe { self.head.as_ref() }
    }

    /// How many handles there are.
    pub(crate) fn references(&self) -> usize {
        self.head().references.load(Ordering::Relaxed)
    }

    pub(crate) fn set_unwritten(&self, unwritten: bool) {
        self.head().unwritten.store(unwritten, Ordering::Release);
    }

    pub(crate) fn is_unwritten(&self) -> bool {
        self.head().unwritten.load(Ordering::Acquire)
    }

    /// Whether it was used since the last time this was asked.
    pub(crate) fn take_used(&self) -> bool {
        let used = &self.head().used;
        used.load(Ordering::Relaxed) && used.swap(false, Ordering::Relaxed)
    }

    /// The handle as a pointer that [`Page::from_raw`] takes back.
    pub(crate) fn into_raw(self) -> *mut Head {
        let raw = self.head.as_ptr();
        std::mem::forget(self);
        raw
    }

    /// Takes back a handle.
    ///
    /// # Safety
    /// `raw` comes from [`Page::into_raw`] and is taken back once.
    pub(crate) unsafe fn from_raw(raw: NonNull<Head>) -> Self {
        Self { head: raw }
    }
}

impl Clone for Page {
    fn clone(&self) -> Self {
        // Relaxed as in `Arc`: who clones has a handle already.
        self.head().references.fetch_add(1, Ordering::Relaxed);
        Self { head: self.head }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if self.head().references.fetch_sub(1, Ordering::Release) == 1 {
            // What the other holders did with the bytes happened before.
            fence(Ordering::Acquire);
            drop(PageMut { head: self.head });
        }
    }
}

impl Deref for Page {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the handle keeps the memory alive, and nobody writes to it.
        unsafe { bytes(self.head) }
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Page({} bytes)", self.len())
    }
}

impl fmt::Debug for PageMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PageMut({} bytes)", self.len())
    }
}

/// A page that something else keeps alive for `'g`. It costs nothing to copy.
#[derive(Clone, Copy)]
pub(crate) struct PageRef<'g> {
    head: NonNull<Head>,
    lifetime: PhantomData<&'g Head>,
}

impl<'g> PageRef<'g> {
    /// Looks at a page without a handle of its own.
    ///
    /// # Safety
    /// The memory stays alive for `'g`.
    pub(crate) unsafe fn from_raw(head: NonNull<Head>) -> Self {
        Self { head, lifetime: PhantomData }
    }

    /// The bytes, for as long as the page is kept alive.
    pub(crate) fn bytes(self) -> &'g [u8] {
        // SAFETY: `'g` is the promise of `from_raw`.
        unsafe { bytes(self.head) }
    }

    /// Notes that the page is in use. The line is written only when it says otherwise, so that readers do not fight for it.
    pub(crate) fn touch(self) {
        // SAFETY: `'g` is the promise of `from_raw`.
        let used = unsafe { &self.head.as_ref().used };
        if !used.load(Ordering::Relaxed) {
            used.store(true, Ordering::Relaxed);
        }
    }

    /// A handle that outlives `'g`.
    pub(crate) fn to_page(self) -> Page {
        // SAFETY: the memory is alive, so its count is at least one and may be raised.
        unsafe {
            self.head.as_ref().references.fetch_add(1, Ordering::Relaxed);
            Page::from_raw(self.head)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader would see bytes of a page that was given back.
    #[test]
    fn the_last_handle_gives_the_memory_back() {
        let mut page = PageMut::copy_of(b"abcd");
        page[1] = b'x';
        let page = page.freeze();
        let others: Vec<Page> = (0..4).map(|_| page.clone()).collect();
        assert_eq!(page.references(), 5);
        let threads: Vec<_> =
            others.into_iter().map(|other| std::thread::spawn(move || assert_eq!(&*other, b"axcd"))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(page.references(), 1);
        // SAFETY: taken back once.
        let back = unsafe { Page::from_raw(NonNull::new(page.into_raw()).unwrap()) };
        // SAFETY: `back` outlives the reference.
        let again = unsafe { PageRef::from_raw(back.head) }.to_page();
        drop(back);
        assert_eq!(&*again, b"axcd");
    }
}
