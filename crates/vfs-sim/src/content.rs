//! The bytes of one file, as copy-on-write pages.
#![expect(clippy::indexing_slicing, reason = "offsets within a page and a chunk are reduced modulo their sizes")]

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

/// Size of a page, which is also the unit of space accounting.
pub(crate) const PAGE_BYTES: u64 = 4096;
const CHUNK_PAGES: u64 = 64;

type Page = [u8; PAGE_BYTES as usize];

static ZERO_PAGE: LazyLock<Arc<Page>> = LazyLock::new(|| Arc::new([0; PAGE_BYTES as usize]));

#[derive(Clone)]
struct Chunk {
    pages: [Option<Arc<Page>>; CHUNK_PAGES as usize],
}

impl Default for Chunk {
    fn default() -> Self {
        Self { pages: [const { None }; CHUNK_PAGES as usize] }
    }
}

/// A sparse file. Cloning copies one pointer per 256 KiB; pages are shared until one side writes.
///
/// Invariant: every byte at or past `len` is zero in the pages, so growing never uncovers old data.
#[derive(Clone, Default)]
pub(crate) struct Content {
    len: u64,
    chunks: BTreeMap<u64, Arc<Chunk>>,
    pages: u64,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("len", &self.len).field("pages", &self.pages).finish_non_exhaustive()
    }
}

/// Splits `range` at multiples of `unit`.
pub(crate) fn split_at_multiples(range: Range<u64>, unit: u64) -> impl Iterator<Item = Range<u64>> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        (at < range.end).then(|| {
            let start = at;
            at = range.end.min((start / unit + 1).saturating_mul(unit));
            start..at
        })
    })
}

impl Content {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of disk space taken.
    pub(crate) fn allocated(&self) -> u64 {
        self.pages * PAGE_BYTES
    }

    fn page(&self, number: u64) -> Option<&Arc<Page>> {
        self.chunks.get(&(number / CHUNK_PAGES))?.pages[(number % CHUNK_PAGES) as usize].as_ref()
    }

    fn slot(&mut self, number: u64) -> &mut Option<Arc<Page>> {
        let chunk = self.chunks.entry(number / CHUNK_PAGES).or_default();
        &mut Arc::make_mut(chunk).pages[(number % CHUNK_PAGES) as usize]
    }

    /// True if writing anywhere in the page that holds `offset` needs a new page.
    pub(crate) fn is_hole(&self, offset: u64) -> bool {
        self.page(offset / PAGE_BYTES).is_none()
    }

    /// Reads what lies before the end of the file, and says how many bytes that was.
    pub(crate) fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let end = self.len.min(offset.saturating_add(buf.len() as u64));
        for piece in split_at_multiples(offset..end, PAGE_BYTES) {
            let into = &mut buf[(piece.start - offset) as usize..(piece.end - offset) as usize];
            let within = (piece.start % PAGE_BYTES) as usize;
            match self.page(piece.start / PAGE_BYTES) {
                Some(page) => into.copy_from_slice(&page[within..within + into.len()]),
                None => into.fill(0),
            }
        }
        end.saturating_sub(offset) as usize
    }

    /// Everything, in one piece.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len as usize];
        self.read(0, &mut bytes);
        bytes
    }

    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let end = offset + data.len() as u64;
        for piece in split_at_multiples(offset..end, PAGE_BYTES) {
            let from = &data[(piece.start - offset) as usize..(piece.end - offset) as usize];
            self.change_page(piece.start, |page, within| page[within..within + from.len()].copy_from_slice(from));
        }
        self.len = self.len.max(end);
    }

    fn change_page(&mut self, offset: u64, change: impl FnOnce(&mut Page, usize)) {
        let slot = self.slot(offset / PAGE_BYTES);
        let new = slot.is_none();
        let page = slot.get_or_insert_with(|| Arc::clone(&ZERO_PAGE));
        change(Arc::make_mut(page), (offset % PAGE_BYTES) as usize);
        self.pages += u64::from(new);
    }

    /// Grows to at least `len` bytes, without taking space.
    pub(crate) fn grow(&mut self, len: u64) {
        self.len = self.len.max(len);
    }

    pub(crate) fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.cut(len);
        }
        self.len = len;
    }

    fn cut(&mut self, len: u64) {
        let first_gone = len.div_ceil(PAGE_BYTES);
        let within = (len % PAGE_BYTES) as usize;
        if within != 0 && !self.is_hole(len) {
            self.change_page(len, |page, _| page[within..].fill(0));
        }
        let gone_chunks = self.chunks.split_off(&first_gone.div_ceil(CHUNK_PAGES));
        let mut freed: usize = gone_chunks.values().map(|chunk| chunk.pages.iter().flatten().count()).sum();
        if let Some(chunk) = self.chunks.get_mut(&(first_gone / CHUNK_PAGES)) {
            for page in &mut Arc::make_mut(chunk).pages[(first_gone % CHUNK_PAGES) as usize..] {
                freed += usize::from(page.take().is_some());
            }
        }
        self.pages -= freed as u64;
    }

    /// Takes space for `range` and grows to its end.
    pub(crate) fn allocate(&mut self, range: Range<u64>) {
        for piece in split_at_multiples(range.clone(), PAGE_BYTES) {
            let slot = self.slot(piece.start / PAGE_BYTES);
            if slot.is_none() {
                *slot = Some(Arc::clone(&ZERO_PAGE));
                self.pages += 1;
            }
        }
        self.grow(range.end);
    }

    /// Passes each byte of `range` that lies before the end of the file through `change`.
    pub(crate) fn change_bytes(&mut self, range: Range<u64>, mut change: impl FnMut(u64, u8) -> u8) {
        for piece in split_at_multiples(range.start..range.end.min(self.len), PAGE_BYTES) {
            self.change_page(piece.start, |page, within| {
                for (byte, offset) in page[within..].iter_mut().zip(piece.clone()) {
                    *byte = change(offset, *byte);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_after_a_cut_reads_zeros_and_a_cut_gives_space_back() {
        let mut content = Content::default();
        let end = 3 * CHUNK_PAGES * PAGE_BYTES;
        content.write(0, &vec![7; end as usize]);
        assert_eq!(content.allocated(), end);
        content.set_len(PAGE_BYTES * 70 + 5);
        assert_eq!(content.allocated(), PAGE_BYTES * 71);
        content.set_len(end);
        let bytes = content.to_vec();
        assert!(bytes[..(PAGE_BYTES * 70 + 5) as usize].iter().all(|byte| *byte == 7));
        assert!(bytes[(PAGE_BYTES * 70 + 5) as usize..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_clone_shares_pages_until_one_side_writes() {
        let mut content = Content::default();
        content.write(0, &[1; 3 * PAGE_BYTES as usize]);
        let before = content.clone();
        content.write(PAGE_BYTES, b"x");
        assert!(Arc::ptr_eq(before.page(0).unwrap(), content.page(0).unwrap()));
        assert!(!Arc::ptr_eq(before.page(1).unwrap(), content.page(1).unwrap()));
        assert_eq!(before.to_vec(), vec![1; 3 * PAGE_BYTES as usize]);
    }
}
