//! Chunks of the free list in pages of their own: `docs/format/northstar.md`, "Free list".
//!
//! ```text
//! content: u32 next chunk (0: none), u32 kind (0 free, 1 waiting), entries
//! free:    u32 first page, u32 pages
//! waiting: u32 first page, u32 pages, u64 birth, u64 freed
//! ```

use crate::coding::Reader;
use crate::id::{PageId, TxnId};
use crate::page::{PAGE_HEADER_LEN, Page, PageHeader, PageKind, PageMut};

const CHUNK_HEADER_LEN: usize = 8;
const FREE_LEN: usize = 8;
const WAITING_LEN: usize = 24;
const FREE: u32 = 0;
const WAITING: u32 = 1;

/// Pages side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) start: PageId,
    pub(crate) pages: u32,
}

/// Pages that are part of the states from `birth` up to, and without, `freed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Freed {
    pub(crate) run: Run,
    pub(crate) birth: TxnId,
    pub(crate) freed: TxnId,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Chunk {
    Free { next: PageId, runs: Vec<Run> },
    Waiting { next: PageId, freed: Vec<Freed> },
}

/// How many entries a chunk can have.
pub(crate) const fn capacity(page_size: usize, waiting: bool) -> usize {
    (page_size - PAGE_HEADER_LEN - CHUNK_HEADER_LEN) / if waiting { WAITING_LEN } else { FREE_LEN }
}

impl Chunk {
    pub(crate) fn encode(&self, id: PageId, txn: TxnId, page_size: usize) -> Page {
        let mut content = Vec::with_capacity(page_size);
        let put_run = |content: &mut Vec<u8>, run: &Run| {
            content.extend_from_slice(&run.start.0.to_le_bytes());
            content.extend_from_slice(&run.pages.to_le_bytes());
        };
        match self {
            Self::Free { next, runs } => {
                content.extend_from_slice(&next.0.to_le_bytes());
                content.extend_from_slice(&FREE.to_le_bytes());
                runs.iter().for_each(|run| put_run(&mut content, run));
            }
            Self::Waiting { next, freed } => {
                content.extend_from_slice(&next.0.to_le_bytes());
                content.extend_from_slice(&WAITING.to_le_bytes());
                for freed in freed {
                    put_run(&mut content, &freed.run);
                    content.extend_from_slice(&freed.birth.0.to_le_bytes());
                    content.extend_from_slice(&freed.freed.0.to_le_bytes());
                }
            }
        }
        content_run(PageKind::FreeList, id, txn, &content, page_size)
    }

    pub(crate) fn decode(page: &[u8]) -> Option<Self> {
        let header = PageHeader::read(page)?;
        let mut fields = Reader::new(header.content(page)?);
        let next = PageId(fields.u32()?);
        let kind = fields.u32()?;
        let run = |fields: &mut Reader<'_>| Some(Run { start: PageId(fields.u32()?), pages: fields.u32()? });
        match kind {
            FREE => {
                let mut runs = Vec::with_capacity(fields.remaining() / FREE_LEN);
                while !fields.is_empty() {
                    runs.push(run(&mut fields)?);
                }
                Some(Self::Free { next, runs })
            }
            WAITING => {
                let mut freed = Vec::with_capacity(fields.remaining() / WAITING_LEN);
                while !fields.is_empty() {
                    let run = run(&mut fields)?;
                    freed.push(Freed { run, birth: TxnId(fields.u64()?), freed: TxnId(fields.u64()?) });
                }
                Some(Self::Waiting { next, freed })
            }
            _ => None,
        }
    }
}

/// A run of pages with this content.
pub(crate) fn content_run(kind: PageKind, id: PageId, txn: TxnId, content: &[u8], page_size: usize) -> Page {
    let run_pages = crate::page::run_pages(content.len(), page_size);
    let mut page = PageMut::zeroed(run_pages as usize * page_size);
    PageHeader { kind, id, run_pages, txn, content_len: content.len() as u32 }.write(&mut page);
    if let Some(place) = page.get_mut(PAGE_HEADER_LEN..PAGE_HEADER_LEN + content.len()) {
        place.copy_from_slice(content);
    }
    page.freeze()
}
