//! An open cartridge: what is looked at is checked, once, and what is not looked at is never read.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use vfs::{Mapping, OpenMode, Vfs};

use super::coding::crc32c;
use super::error::{Error, Result};
use super::header::{
    FORMAT_VERSION, HEADER_LEN, Header, HeaderError, Kind, SectionEntry, SectionKind, TABLE_ENTRY_LEN,
};
use super::index::{INDEX_LEN_MAX, Index};
use super::scan::{Cursor, Order, Scan};
use super::section::{Group, SECTION_LEN_MAX, Section};

/// How a cartridge comes into memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Mapped, where the disk can: pages are read as they are looked at, and shared with other processes.
    #[default]
    Mapped,
    /// Read as a whole. Slower to open, but nothing that happens to the file later is seen, not even an error of the disk.
    Read,
}

/// An open cartridge. Look-ups take no lock and wait for nobody; the file may be replaced meanwhile.
#[derive(Debug)]
pub struct Cartridge {
    path: PathBuf,
    content: Mapping,
    header: Header,
    /// Which sections had their checksum compared, and behind them the table. Relaxed: to compare one twice is harmless.
    checked: Box<[AtomicBool]>,
}

impl Cartridge {
    /// Opens the cartridge at `path`. Its header is read and nothing else.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NotACartridge`], [`Error::NewerFormat`] or [`Error::Damaged`].
    pub fn open(vfs: &dyn Vfs, path: &Path, access: Access) -> Result<Self> {
        let file = vfs.open(path, OpenMode::Read).map_err(|error| Error::io("open", path, error))?;
        let content = match access {
            // SAFETY: a file gets the name of a cartridge by a rename, once it is complete and synced, and is not written to from then on; it is replaced by
            // another file and removed, which leaves the mapped one as it is.
            Access::Mapped => unsafe { file.map() },
            Access::Read => file.read_whole(),
        };
        Self::from_content(path, content.map_err(|error| Error::io("read", path, error))?)
    }

    /// A cartridge that is in memory; `path` is what errors call it.
    ///
    /// # Errors
    /// As for [`Cartridge::open`].
    pub fn from_content(path: &Path, content: Mapping) -> Result<Self> {
        let header = Header::decode(&content, content.len() as u64).map_err(|error| match error {
            HeaderError::NotACartridge => Error::NotACartridge { path: path.to_owned() },
            HeaderError::Newer(found) => Error::NewerFormat { path: path.to_owned(), found, supported: FORMAT_VERSION },
            HeaderError::Damaged(what) => Error::Damaged { path: path.to_owned(), offset: 0, what },
        })?;
        // The table lies in the file, so there are no more sections than it has room for.
        let checked = (0..=header.sections).map(|_| AtomicBool::new(false)).collect();
        Ok(Self { path: path.to_owned(), content, header, checked })
    }

    /// What it says of itself.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Where it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// True if its pages are read as they are looked at.
    #[must_use]
    pub const fn is_mapped(&self) -> bool {
        self.content.is_mapped()
    }

    /// Passes if it is of this kind and version.
    ///
    /// # Errors
    /// [`Error::OtherKind`].
    pub fn expect_kind(&self, kind: &Kind) -> Result<()> {
        if self.header.kind == *kind {
            return Ok(());
        }
        let (found, expected) = (self.header.kind.to_string(), kind.to_string());
        Err(Error::OtherKind { path: self.path.clone(), found, expected })
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn get(&self, key: &[u8]) -> Result<Option<&[u8]>> {
        let Some((_, section, group, at)) = self.locate(key)? else { return Ok(None) };
        if group.key(at) != Some(key) {
            return Ok(None);
        }
        let value = group.slot(at).and_then(|slot| section.value(slot));
        value.map(Some).ok_or_else(|| self.damaged(0, "a value"))
    }

    /// The entries in a range of keys, in either order, found as they are asked for.
    #[must_use]
    pub fn scan<'a>(&'a self, range: (Bound<&[u8]>, Bound<&[u8]>), order: Order) -> Scan<'a> {
        Scan::new(self, range, order)
    }

    /// How many entries are in a range of keys. Costs two look-ups, however many there are.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn count(&self, range: (Bound<&[u8]>, Bound<&[u8]>)) -> Result<u64> {
        let from = match range.0 {
            Bound::Unbounded => 0,
            Bound::Included(key) => self.rank(key, false)?,
            Bound::Excluded(key) => self.rank(key, true)?,
        };
        let to = match range.1 {
            Bound::Unbounded => self.header.entries,
            Bound::Included(key) => self.rank(key, true)?,
            Bound::Excluded(key) => self.rank(key, false)?,
        };
        Ok(to.saturating_sub(from))
    }

    /// How many entries are before `key`, and with it if `including`.
    fn rank(&self, key: &[u8], including: bool) -> Result<u64> {
        let Some((before, _, group, at)) = self.locate(key)? else { return Ok(0) };
        let is_there = including && group.key(at) == Some(key);
        Ok(before + at as u64 + u64::from(is_there))
    }

    /// Where `key` is or would be: the entries before the group, its section, the group, and the place in it, which may be behind its end. `None` in an empty cartridge.
    fn locate(&self, key: &[u8]) -> Result<Option<(u64, Section<'_>, Group, usize)>> {
        let index = self.index()?;
        if index.count() == 0 {
            return Ok(None);
        }
        let number = index.section_of(key).ok_or_else(|| self.damaged_index())?;
        let section = self.data(number)?;
        let group_number = section.group_of(key).ok_or_else(|| self.damaged_data(number))?;
        let mut group = Group::default();
        section.group(group_number, &mut group).ok_or_else(|| self.damaged_data(number))?;
        let before = index.before(number).ok_or_else(|| self.damaged_index())?;
        let in_section = group_number as u64 * super::section::GROUP_LEN as u64;
        let before = before.checked_add(in_section).ok_or_else(|| self.damaged_index())?;
        let at = group.below(key);
        Ok(Some((before, section, group, at)))
    }

    pub(crate) fn cursor(&self) -> Cursor<'_> {
        Cursor::new(self)
    }

    /// Number of sections, the index among them.
    pub(crate) const fn sections(&self) -> usize {
        self.header.sections as usize
    }

    /// The section table, its checksum compared.
    pub(crate) fn table(&self) -> Result<&[u8]> {
        let offset = self.header.table_offset;
        let table = usize::try_from(offset).ok().and_then(|start| self.content.get(start..));
        let table = table.ok_or_else(|| self.damaged(offset, "the place of the section table"))?;
        let is_same = || crc32c(table) == self.header.table_crc;
        self.check(self.sections(), is_same, || self.damaged(offset, "the checksum of the section table"))?;
        Ok(table)
    }

    fn check(&self, number: usize, is_same: impl FnOnce() -> bool, error: impl FnOnce() -> Error) -> Result<()> {
        let Some(checked) = self.checked.get(number) else { return Err(error()) };
        if !checked.load(Ordering::Relaxed) {
            if !is_same() {
                return Err(error());
            }
            checked.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(crate) fn section_entry(&self, number: usize) -> Result<SectionEntry> {
        let start = number.saturating_mul(TABLE_ENTRY_LEN);
        let entry = self.table()?.get(start..).and_then(|rest| rest.get(..TABLE_ENTRY_LEN));
        entry
            .and_then(SectionEntry::decode)
            .ok_or_else(|| self.damaged(self.header.table_offset, "an entry of the section table"))
    }

    /// The bytes of a section, its checksum compared.
    pub(crate) fn section(&self, number: usize, kind: SectionKind, len_max: u64) -> Result<&[u8]> {
        let entry = self.section_entry(number)?;
        let end = entry.offset.checked_add(entry.len).filter(|end| *end <= self.header.table_offset);
        let is_fine = entry.kind == kind && entry.len <= len_max && entry.offset >= HEADER_LEN as u64;
        let place = usize::try_from(entry.offset).ok().zip(end.and_then(|end| usize::try_from(end).ok()));
        let bytes = place.filter(|_| is_fine).and_then(|(start, end)| self.content.get(start..end));
        let bytes = bytes.ok_or_else(|| self.damaged(entry.offset, "the place of a section"))?;
        self.check(number, || crc32c(bytes) == entry.crc, || self.damaged(entry.offset, "the checksum of a section"))?;
        Ok(bytes)
    }

    pub(crate) fn index(&self) -> Result<Index<'_>> {
        // There is at least one section, and the index is the last.
        let number = self.sections().saturating_sub(1);
        let index = Index::parse(self.section(number, SectionKind::Index, INDEX_LEN_MAX)?);
        index.filter(|index| index.count() == number).ok_or_else(|| self.damaged_index())
    }

    /// The data section with this number.
    pub(crate) fn data(&self, number: usize) -> Result<Section<'_>> {
        let bytes = self.section(number, SectionKind::Data, SECTION_LEN_MAX)?;
        Section::parse(bytes).ok_or_else(|| self.damaged_data(number))
    }

    /// Bytes of the file.
    pub(crate) fn bytes(&self, range: std::ops::Range<u64>) -> Option<&[u8]> {
        self.content.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
    }

    pub(crate) fn damaged(&self, offset: u64, what: &'static str) -> Error {
        Error::Damaged { path: self.path.clone(), offset, what }
    }

    pub(crate) fn damaged_index(&self) -> Error {
        self.damaged(self.offset_of(self.sections().saturating_sub(1)), "the index")
    }

    pub(crate) fn damaged_data(&self, number: usize) -> Error {
        self.damaged(self.offset_of(number), "a data section")
    }

    fn offset_of(&self, number: usize) -> u64 {
        self.section_entry(number).map_or(0, |entry| entry.offset)
    }
}
