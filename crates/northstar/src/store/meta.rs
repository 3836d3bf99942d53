//! The two meta pages, of which the newer valid one says where everything is: `docs/format/northstar.md`, "Meta pages".
//!
//! ```text
//!   0  4  CRC of bytes 4..256
//!   4  8  magic "NRTHSTAR"
//!  12  4  format version = 1
//!  16  4  page size
//!  20  4  number of pages in the file
//!  24  8  number of the checkpoint; it is written to page (number mod 2)
//!  32 16  identity of the database: random, made with it
//!  48 40  the newest root
//!  88  4  catalog: first page
//!  92  4  catalog: number of pages
//!  96     zeros, to 256
//! ```

use std::path::Path;

use super::catalog::RootRecord;
use crate::checksum::{Site, crc32c, is_same};
use crate::coding::Reader;
use crate::error::{Error, Result};
use crate::id::PageId;

pub(crate) const META_LEN: usize = 256;
const MAGIC: &[u8; 8] = b"NRTHSTAR";
const VERSION: u32 = 1;
/// Sizes that a page can have.
pub(crate) const PAGE_SIZES: [usize; 3] = [4096, 8192, 16384];
/// Pages of the file that are metas.
pub(crate) const META_PAGES: u32 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) page_size: usize,
    pub(crate) page_count: u32,
    pub(crate) number: u64,
    pub(crate) identity: [u64; 2],
    pub(crate) root: RootRecord,
    pub(crate) catalog: PageId,
    pub(crate) catalog_pages: u32,
}

/// Why bytes are no meta page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoMeta {
    /// There is no magic number.
    Foreign,
    /// It was written by a newer program.
    Newer(u32),
    /// There was one once.
    Damaged(&'static str),
}

impl Meta {
    /// Where it stands in the file.
    pub(crate) const fn offset(&self) -> u64 {
        (self.number % META_PAGES as u64) * self.page_size as u64
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(META_LEN);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&(self.page_size as u32).to_le_bytes());
        out.extend_from_slice(&self.page_count.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        self.identity.iter().for_each(|part| out.extend_from_slice(&part.to_le_bytes()));
        self.root.put(&mut out);
        out.extend_from_slice(&self.catalog.0.to_le_bytes());
        out.extend_from_slice(&self.catalog_pages.to_le_bytes());
        out.resize(META_LEN, 0);
        crate::page::seal(&mut out);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, NoMeta> {
        let short = NoMeta::Damaged("the meta page is cut off");
        let Some((crc, rest)) = bytes.get(..META_LEN).and_then(|bytes| bytes.split_first_chunk::<4>()) else {
            return Err(NoMeta::Foreign);
        };
        let mut fields = Reader::new(rest);
        if fields.bytes(8) != Some(MAGIC) {
            return Err(NoMeta::Foreign);
        }
        if !is_same(Site::Meta, crc32c(rest), u32::from_le_bytes(*crc)) {
            return Err(NoMeta::Damaged("the checksum of the meta page does not match"));
        }
        let version = fields.u32().ok_or(short.clone())?;
        if version > VERSION {
            return Err(NoMeta::Newer(version));
        }
        let meta = Self::fields(&mut fields).ok_or(short)?;
        if version != VERSION || !PAGE_SIZES.contains(&meta.page_size) || meta.page_count >= PageId::VIRTUAL {
            return Err(NoMeta::Damaged(
                "the meta page has no version, page size or number of pages that there can be",
            ));
        }
        Ok(meta)
    }

    fn fields(fields: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            page_size: fields.u32()? as usize,
            page_count: fields.u32()?,
            number: fields.u64()?,
            identity: [fields.u64()?, fields.u64()?],
            root: RootRecord::read(fields)?,
            catalog: PageId(fields.u32()?),
            catalog_pages: fields.u32()?,
        })
    }
}

/// Reads the file's metas and returns the newer valid one.
pub(crate) fn read_newest(file: &dyn vfs::File, path: &Path) -> Result<Meta> {
    let read = |offset: usize| {
        let mut bytes = vec![0; META_LEN];
        match file.read_exact_at(offset as u64, &mut bytes) {
            Ok(()) => Ok(Meta::decode(&bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(Err(NoMeta::Foreign)),
            Err(error) => Err(Error::io("read", path, error)),
        }
    };
    let mut newest: Option<Meta> = None;
    let mut why = NoMeta::Foreign;
    let mut consider = |offset: usize, found: Result<Meta, NoMeta>| match found {
        Ok(meta) if meta.offset() == offset as u64 => {
            newest = newest.filter(|newest| newest.number > meta.number).or(Some(meta));
            true
        }
        Ok(_) | Err(NoMeta::Foreign) => false,
        Err(other) => {
            why = other;
            true
        }
    };
    let first = read(0)?;
    let page_size = first.as_ref().ok().map(|meta| meta.page_size);
    consider(0, first);
    match page_size {
        Some(page_size) => {
            consider(page_size, read(page_size)?);
        }
        // The second stands one page behind the first, whose size is not known. What is behind both can be anything, also a forged meta:
        // it is not looked at.
        None => {
            for offset in PAGE_SIZES {
                if consider(offset, read(offset)?) {
                    break;
                }
            }
        }
    }
    match (newest, why) {
        // A newer program's meta beside an older one of ours: ours is out of date.
        (_, NoMeta::Newer(found)) => Err(Error::NewerFormat { path: path.to_owned(), found, supported: VERSION }),
        (Some(meta), _) => Ok(meta),
        (None, NoMeta::Damaged(what)) => Err(Error::corrupt(path, 0, what)),
        (None, NoMeta::Foreign) => Err(Error::NotADatabase { path: path.to_owned() }),
    }
}
