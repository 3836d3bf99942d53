//! From entries in the order of their keys to a file, in one pass.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vfs::{File, OpenMode, Vfs};

use super::coding::{crc32c, padding};
use super::error::{Error, Result};
use super::header::{
    ALIGNMENT, HEADER_LEN, Header, Kind, Position, SECTIONS_MAX, SectionEntry, SectionKind, StreamId, TABLE_ENTRY_LEN,
};
use super::index::{INDEX_LEN_MAX, IndexBuilder};
use super::section::SectionBuilder;

/// Bytes that are gathered for one write.
const WRITE_LEN: usize = 256 << 10;

/// Writes one cartridge under a temporary name.
#[derive(Debug)]
pub(crate) struct Writer {
    file: Arc<dyn File>,
    path: PathBuf,
    /// What is not written yet, and where it goes.
    pending: Vec<u8>,
    offset: u64,
    section: SectionBuilder,
    index: IndexBuilder,
    sections: Vec<SectionEntry>,
    entries: u64,
}

impl Writer {
    /// Begins the file at `path`, which is not there.
    pub(crate) fn create(vfs: &dyn Vfs, path: &Path) -> Result<Self> {
        let file = vfs.open(path, OpenMode::CreateNew).map_err(|error| Error::io("create", path, error))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            pending: Vec::new(),
            // The header is written last, when what it says is known.
            offset: HEADER_LEN as u64,
            section: SectionBuilder::default(),
            index: IndexBuilder::default(),
            sections: Vec::new(),
            entries: 0,
        })
    }

    /// Appends an entry. Its key is greater than the last one, and both are within their limits.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        debug_assert!(self.entries == 0 || self.section.last_key() < key);
        if self.section.count() == 0 {
            self.index.add(self.section.last_key(), key, self.entries);
        }
        self.section.add(key, value);
        self.entries += 1;
        if self.section.is_full() {
            self.end_section()?;
        }
        Ok(())
    }

    fn end_section(&mut self) -> Result<()> {
        let section = self.section.finish();
        self.put_section(&section, SectionKind::Data)
    }

    fn put_section(&mut self, bytes: &[u8], kind: SectionKind) -> Result<()> {
        if self.sections.len() >= SECTIONS_MAX {
            let len = self.sections.len() as u64 + 1;
            return Err(Error::TooLarge { what: "a number of sections", len, max: SECTIONS_MAX as u64 });
        }
        let offset = self.align();
        self.sections.push(SectionEntry { offset, len: bytes.len() as u64, crc: crc32c(bytes), kind });
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= WRITE_LEN {
            self.write_pending()?;
        }
        Ok(())
    }

    /// Where the next byte goes, once zeros were put up to the next multiple of the alignment.
    fn align(&mut self) -> u64 {
        let end = self.offset + self.pending.len() as u64;
        let zeros = padding(end, ALIGNMENT);
        self.pending.resize(self.pending.len() + zeros as usize, 0);
        end + zeros
    }

    fn write_pending(&mut self) -> Result<()> {
        self.write(self.offset, &self.pending)?;
        self.offset += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_at(offset, bytes).map_err(|error| Error::io("write", &self.path, error))
    }

    /// Writes what is left, and the header, and syncs.
    pub(crate) fn finish(mut self, kind: &Kind, stream: StreamId, position: Position) -> Result<Header> {
        if self.section.count() > 0 {
            self.end_section()?;
        }
        if self.index.len() > INDEX_LEN_MAX {
            return Err(Error::TooLarge { what: "an index", len: self.index.len(), max: INDEX_LEN_MAX });
        }
        let index = std::mem::take(&mut self.index).finish();
        self.put_section(&index, SectionKind::Index)?;
        let table_offset = self.align();
        let mut table = Vec::with_capacity(self.sections.len() * TABLE_ENTRY_LEN);
        for section in &self.sections {
            section.encode_to(&mut table);
        }
        self.pending.extend_from_slice(&table);
        self.write_pending()?;
        let header = Header {
            kind: kind.clone(),
            stream,
            position,
            entries: self.entries,
            file_len: table_offset + table.len() as u64,
            table_offset,
            sections: self.sections.len() as u32,
            table_crc: crc32c(&table),
        };
        self.write(0, &header.encode())?;
        self.file.sync_all().map_err(|error| Error::io("sync", &self.path, error))?;
        Ok(header)
    }
}
