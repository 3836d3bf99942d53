//! The header of a cartridge, the section table, and what they speak of: kinds, streams, positions.

use std::fmt;

use super::coding::{Reader, crc32c};

/// `NSCARTR` and 0x1a.
const MAGIC: [u8; 8] = *b"NSCARTR\x1a";
/// The newest format that is read, and the one that is written.
pub const FORMAT_VERSION: u32 = 1;
/// Length of the header.
pub(crate) const HEADER_LEN: usize = 192;
/// What sections and the table are aligned to.
pub(crate) const ALIGNMENT: u64 = 64;
/// Length of an entry of the section table.
pub(crate) const TABLE_ENTRY_LEN: usize = 32;
/// Most sections.
pub(crate) const SECTIONS_MAX: usize = 1 << 20;
/// Longest name of a kind.
const NAME_LEN_MAX: usize = 32;
const RESERVED_LEN: usize = 44;

/// Longest key in bytes.
pub const KEY_LEN_MAX: usize = 128 << 10;
/// Longest value in bytes.
pub const VALUE_LEN_MAX: usize = 1 << 20;

/// What a cartridge indexes, and by which version of the rules.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kind {
    name: String,
    version: u32,
}

impl Kind {
    /// A kind of this name: 1 to 32 of `a` to `z`, `0` to `9` and `_`. `None` for any other.
    #[must_use]
    pub fn new(name: &str, version: u32) -> Option<Self> {
        is_name(name.as_bytes()).then(|| Self { name: name.to_owned(), version })
    }

    /// A kind whose name stands in the source.
    pub(crate) fn of(name: &'static str, version: u32) -> Self {
        debug_assert!(is_name(name.as_bytes()));
        Self { name: name.to_owned(), version }
    }

    /// Its name, and that of the file without its ending.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version of the rules by which changes become entries.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} version {}", self.name, self.version)
    }
}

pub(crate) fn is_name(name: &[u8]) -> bool {
    let is_fine = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    (1..=NAME_LEN_MAX).contains(&name.len()) && name.iter().all(is_fine)
}

/// Which stream of changes: a file of northstar, a journal, ...
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamId(pub [u8; 16]);

/// A place in a stream: behind the changes with this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// Number of the last change (a transaction, a checkpoint), 0 before the first.
    pub sequence: u64,
    /// What tells this place from the same number in a stream that went another way: the id of the record with this number, or a hash of it.
    pub anchor: [u8; 32],
}

impl Position {
    /// Before the first change.
    pub const START: Self = Self { sequence: 0, anchor: [0; 32] };
}

/// What a cartridge says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What it indexes.
    pub kind: Kind,
    /// Of which stream.
    pub stream: StreamId,
    /// The last changes that it covers.
    pub position: Position,
    /// Entries.
    pub entries: u64,
    /// Length of the file in bytes.
    pub file_len: u64,
    pub(crate) table_offset: u64,
    pub(crate) sections: u32,
    pub(crate) table_crc: u32,
}

/// Why a header is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderError {
    NotACartridge,
    Newer(u32),
    Damaged(&'static str),
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(self.kind.name.as_bytes());
        out.resize(48, 0);
        out.extend_from_slice(&self.kind.version.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.stream.0);
        out.extend_from_slice(&self.position.sequence.to_le_bytes());
        out.extend_from_slice(&self.position.anchor);
        out.extend_from_slice(&self.entries.to_le_bytes());
        out.extend_from_slice(&self.file_len.to_le_bytes());
        out.extend_from_slice(&self.table_offset.to_le_bytes());
        out.extend_from_slice(&self.sections.to_le_bytes());
        out.extend_from_slice(&self.table_crc.to_le_bytes());
        out.extend_from_slice(&[0; RESERVED_LEN]);
        let crc = crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Takes the header of a file whose length is `file_len`.
    pub(crate) fn decode(bytes: &[u8], file_len: u64) -> Result<Self, HeaderError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(HeaderError::NotACartridge);
        }
        let ends = HeaderError::Damaged("the file ends in its header");
        let (header, _) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(ends)?;
        let (body, crc) = header.split_last_chunk::<4>().ok_or(ends)?;
        if crc32c(body) != u32::from_le_bytes(*crc) {
            return Err(HeaderError::Damaged("the checksum of the header"));
        }
        let mut reader = Reader::new(body);
        reader.array::<8>().ok_or(ends)?;
        let version = reader.u32().ok_or(ends)?;
        let features = reader.u32().ok_or(ends)?;
        if version > FORMAT_VERSION || features != 0 {
            return Err(HeaderError::Newer(version.max(FORMAT_VERSION + 1)));
        }
        if version == 0 {
            return Err(HeaderError::Damaged("the version"));
        }
        let name = reader.array::<NAME_LEN_MAX>().ok_or(ends)?;
        let kind_version = reader.u32().ok_or(ends)?;
        let reserved = reader.u32().ok_or(ends)?;
        let name_len = name.iter().position(|byte| *byte == 0).unwrap_or(NAME_LEN_MAX);
        let (name, zeros) = name.split_at_checked(name_len).ok_or(ends)?;
        let name = std::str::from_utf8(name).ok().filter(|name| is_name(name.as_bytes()));
        let name = name.filter(|_| zeros.iter().all(|byte| *byte == 0));
        let name = name.ok_or(HeaderError::Damaged("the name of the kind"))?;
        let header = Self {
            kind: Kind { name: name.to_owned(), version: kind_version },
            stream: StreamId(reader.array().ok_or(ends)?),
            position: Position { sequence: reader.u64().ok_or(ends)?, anchor: reader.array().ok_or(ends)? },
            entries: reader.u64().ok_or(ends)?,
            file_len: reader.u64().ok_or(ends)?,
            table_offset: reader.u64().ok_or(ends)?,
            sections: reader.u32().ok_or(ends)?,
            table_crc: reader.u32().ok_or(ends)?,
        };
        if reserved != 0 || reader.rest().iter().any(|byte| *byte != 0) {
            return Err(HeaderError::Damaged("reserved bytes of the header"));
        }
        if header.file_len != file_len {
            return Err(HeaderError::Damaged("the length of the file"));
        }
        let table_len = u64::from(header.sections) * TABLE_ENTRY_LEN as u64;
        let is_placed = header.table_offset.checked_add(table_len) == Some(file_len)
            && header.table_offset >= HEADER_LEN as u64
            && header.table_offset.is_multiple_of(ALIGNMENT)
            && (1..=SECTIONS_MAX).contains(&(header.sections as usize));
        if !is_placed {
            return Err(HeaderError::Damaged("the place of the section table"));
        }
        Ok(header)
    }
}

/// What a section holds. The numbers are on disk: do not change them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum SectionKind {
    Data = 1,
    Index = 2,
}

/// Where a section is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SectionEntry {
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) crc: u32,
    pub(crate) kind: SectionKind,
}

impl SectionEntry {
    pub(crate) fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.extend_from_slice(&(self.kind as u32).to_le_bytes());
        out.extend_from_slice(&[0; 8]);
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let (offset, len, crc) = (reader.u64()?, reader.u64()?, reader.u32()?);
        let kind = match reader.u32()? {
            1 => SectionKind::Data,
            2 => SectionKind::Index,
            _ => return None,
        };
        let reserved = reader.u64()?;
        (reserved == 0).then_some(Self { offset, len, crc, kind })
    }
}
