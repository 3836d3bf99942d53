//! The fixed parts of the file: footer, handles, metaindex.

use std::path::Path;

use super::Malformed;
use crate::checksum::{Site, is_same};
use crate::coding::{Decoder, put_varint};
use crate::error::{Error, Result};

pub(super) const FOOTER_LEN: usize = 64;
pub(super) const FORMAT_VERSION: u32 = 1;
const MAGIC: [u8; 8] = *b"GRNTABL\x1a";

/// What a block holds; bound to its checksum. The numbers are on disk: do not change them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum BlockKind {
    Data = 1,
    Index = 2,
    Filter = 3,
    TopIndex = 4,
    RangeTombstones = 5,
    Properties = 6,
    Metaindex = 7,
}

/// Where a block lies: its first byte, and its stored bytes without the trailer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockHandle {
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl BlockHandle {
    pub(super) fn put(self, out: &mut Vec<u8>) {
        put_varint(out, self.offset);
        put_varint(out, self.len);
    }

    pub(super) fn decode(input: &mut Decoder<'_>) -> Option<Self> {
        Some(Self { offset: input.varint()?, len: input.varint()? })
    }

    /// The offset after the block and its trailer.
    pub(super) const fn end(self) -> u64 {
        self.offset.saturating_add(self.len).saturating_add(super::frame::TRAILER_LEN as u64)
    }

    /// Checks that the block with its trailer ends at or before `end`.
    pub(super) fn check(self, end: u64) -> Result<Self, Malformed> {
        if self.end() <= end { Ok(self) } else { Err(Malformed("a block handle points outside of the file")) }
    }
}

/// The last bytes of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) metaindex: BlockHandle,
    pub(crate) file_id: u64,
    pub(crate) file_len: u64,
}

impl Footer {
    pub(super) fn encode(&self) -> [u8; FOOTER_LEN] {
        let mut out = Vec::with_capacity(FOOTER_LEN);
        for number in [self.metaindex.offset, self.metaindex.len, self.file_id, self.file_len, 0, 0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&crate::checksum::crc32c(&out).to_le_bytes());
        out.extend_from_slice(&MAGIC);
        let mut footer = [0; FOOTER_LEN];
        footer.iter_mut().zip(out).for_each(|(to, from)| *to = from);
        footer
    }

    /// Checks the last bytes of the file at `path`, which has `file_len` bytes.
    pub(crate) fn decode(bytes: &[u8; FOOTER_LEN], path: &Path, file_len: u64) -> Result<Self> {
        let at = file_len.saturating_sub(FOOTER_LEN as u64);
        let (footer, version, features) = Self::parse(bytes, file_len).map_err(|malformed| malformed.at(path, at))?;
        if version > FORMAT_VERSION || features != 0 {
            let found = version.max(FORMAT_VERSION + 1);
            return Err(Error::NewerFormat { path: path.to_owned(), found, supported: FORMAT_VERSION });
        }
        Ok(footer)
    }

    fn parse(bytes: &[u8; FOOTER_LEN], file_len: u64) -> Result<(Self, u32, u64), Malformed> {
        const SHORT: Malformed = Malformed("the footer is too short");
        let mut input = Decoder::new(bytes);
        let covered = Decoder::new(bytes).take(52).ok_or(SHORT)?;
        let mut number = || input.u64().ok_or(SHORT);
        let metaindex = BlockHandle { offset: number()?, len: number()? };
        let (file_id, stated_len, features, reserved) = (number()?, number()?, number()?, number()?);
        let version = input.u32().ok_or(SHORT)?;
        let checksum = input.u32().ok_or(SHORT)?;
        if input.rest() != MAGIC {
            return Err(Malformed("the file does not end like a granite table"));
        }
        if !is_same(Site::TableFooter, crate::checksum::crc32c(covered), checksum) {
            return Err(Malformed("the footer's checksum does not match"));
        }
        // What a newer version makes of the other fields is not known here.
        if version <= FORMAT_VERSION && features == 0 {
            if version == 0 || reserved != 0 {
                return Err(Malformed("the footer holds values that no version writes"));
            }
            if stated_len != file_len {
                return Err(Malformed("the file does not have the length that its footer states"));
            }
        }
        Ok((Self { metaindex, file_id, file_len }, version, features))
    }
}

/// Where the blocks are that belong to the whole table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Metaindex {
    pub(crate) top_index: BlockHandle,
    pub(crate) range_tombstones: Option<BlockHandle>,
    pub(crate) properties: BlockHandle,
}

impl Metaindex {
    pub(super) fn encode(&self) -> Vec<u8> {
        let blocks = [
            (BlockKind::TopIndex, Some(self.top_index)),
            (BlockKind::RangeTombstones, self.range_tombstones),
            (BlockKind::Properties, Some(self.properties)),
        ];
        let mut out = Vec::new();
        out.extend_from_slice(&(blocks.iter().filter(|(_, handle)| handle.is_some()).count() as u32).to_le_bytes());
        for (kind, handle) in blocks {
            if let Some(handle) = handle {
                out.push(kind as u8);
                handle.put(&mut out);
            }
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        const SHORT: Malformed = Malformed("the metaindex ends early");
        let mut input = Decoder::new(bytes);
        let (mut top_index, mut range_tombstones, mut properties) = (None, None, None);
        let mut last = 0;
        for _ in 0..input.u32().ok_or(SHORT)? {
            let kind = input.u8().ok_or(SHORT)?;
            let handle = BlockHandle::decode(&mut input).ok_or(SHORT)?;
            if kind <= last {
                return Err(Malformed("the blocks of the metaindex do not rise"));
            }
            last = kind;
            match kind {
                kind if kind == BlockKind::TopIndex as u8 => top_index = Some(handle),
                kind if kind == BlockKind::RangeTombstones as u8 => range_tombstones = Some(handle),
                kind if kind == BlockKind::Properties as u8 => properties = Some(handle),
                _ => {}
            }
        }
        if !input.is_empty() {
            return Err(Malformed("the metaindex is longer than its blocks"));
        }
        match (top_index, properties) {
            (Some(top_index), Some(properties)) => Ok(Self { top_index, range_tombstones, properties }),
            _ => Err(Malformed("the metaindex lacks a block that every table has")),
        }
    }
}
