//! The first 32 bytes of each page in the file: `docs/format/northstar.md`, "Pages".
//!
//! ```text
//!  0  4  CRC of everything after it, to the end of the page or run of pages
//!  4  2  magic "NP"
//!  6  1  format version
//!  7  1  type
//!  8  4  page id
//! 12  4  number of pages in the run, 1 for most
//! 16  8  transaction that made it
//! 24  4  length in bytes of the content of a run; 0 in tree nodes
//! 28  4  zero
//! ```

use std::path::Path;

use crate::checksum::{Site, crc32c, is_same};
use crate::coding::Reader;
use crate::error::{Error, Result};
use crate::id::{PageId, TxnId};

pub(crate) const PAGE_HEADER_LEN: usize = 32;
pub(crate) const FORMAT_VERSION: u8 = 1;
const MAGIC: u16 = u16::from_le_bytes(*b"NP");

/// What a page holds. Do not change the numbers: they are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum PageKind {
    Leaf = 1,
    Internal = 2,
    Value = 3,
    Directory = 4,
    Catalog = 5,
    FreeList = 6,
}

impl PageKind {
    const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Leaf,
            2 => Self::Internal,
            3 => Self::Value,
            4 => Self::Directory,
            5 => Self::Catalog,
            6 => Self::FreeList,
            _ => return None,
        })
    }
}

/// The header, without its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageHeader {
    pub(crate) kind: PageKind,
    pub(crate) id: PageId,
    pub(crate) run_pages: u32,
    pub(crate) txn: TxnId,
    pub(crate) content_len: u32,
}

impl PageHeader {
    pub(crate) const fn node(kind: PageKind, id: PageId, txn: TxnId) -> Self {
        Self { kind, id, run_pages: 1, txn, content_len: 0 }
    }

    /// Writes the header; the checksum follows with [`seal`].
    pub(crate) fn write(&self, page: &mut [u8]) {
        let mut bytes = [0; PAGE_HEADER_LEN];
        let mut fields = bytes.iter_mut();
        let mut put = |value: &[u8]| value.iter().zip(&mut fields).for_each(|(byte, place)| *place = *byte);
        put(&[0; 4]);
        put(&MAGIC.to_le_bytes());
        put(&[FORMAT_VERSION, self.kind as u8]);
        put(&self.id.0.to_le_bytes());
        put(&self.run_pages.to_le_bytes());
        put(&self.txn.0.to_le_bytes());
        put(&self.content_len.to_le_bytes());
        if let Some(place) = page.first_chunk_mut::<PAGE_HEADER_LEN>() {
            *place = bytes;
        }
    }

    /// The header of a page in memory, whose checksum was compared when it came there.
    pub(crate) fn read(page: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(page.get(4..PAGE_HEADER_LEN)?);
        if fields.u16()? != MAGIC || fields.u8()? != FORMAT_VERSION {
            return None;
        }
        Some(Self {
            kind: PageKind::from_byte(fields.u8()?)?,
            id: PageId(fields.u32()?),
            run_pages: fields.u32()?,
            txn: TxnId(fields.u64()?),
            content_len: fields.u32()?,
        })
    }

    /// The content of a run.
    pub(crate) fn content<'a>(&self, page: &'a [u8]) -> Option<&'a [u8]> {
        page.get(PAGE_HEADER_LEN..PAGE_HEADER_LEN.checked_add(self.content_len as usize)?)
    }
}

/// Puts the checksum into a page that is about to be written.
pub(crate) fn seal(page: &mut [u8]) {
    if let Some((place, rest)) = page.split_first_chunk_mut::<4>() {
        *place = crc32c(rest).to_le_bytes();
    }
}

/// Checks a page or run that was read from the file, and returns its header.
pub(crate) fn check(page: &[u8], id: PageId, page_size: usize, path: &Path) -> Result<PageHeader> {
    let damaged = |what: &str| Error::corrupt(path, u64::from(id.0) * page_size as u64, format!("page {id}: {what}"));
    let Some((crc, rest)) = page.split_first_chunk::<4>() else { return Err(damaged("no page")) };
    if !is_same(Site::Page, crc32c(rest), u32::from_le_bytes(*crc)) {
        return Err(damaged("the checksum does not match"));
    }
    let header = PageHeader::read(page).ok_or_else(|| damaged("no page header"))?;
    if header.id != id {
        return Err(damaged("it is another page"));
    }
    if u64::from(header.run_pages) * page_size as u64 != page.len() as u64 {
        return Err(damaged("its run is of another length"));
    }
    if header.content(page).is_none() {
        return Err(damaged("its content is longer than its pages"));
    }
    Ok(header)
}

/// How many pages a run with this much content takes.
pub(crate) fn run_pages(content_len: usize, page_size: usize) -> u32 {
    u32::try_from((content_len + PAGE_HEADER_LEN).div_ceil(page_size)).unwrap_or(u32::MAX)
}
