//! Reads whatever can be read of a table, and says where the damage is.
//!
//! Where the indexes are intact they say what lies where. Where one is damaged, its data blocks are found by their trailers: every position
//! whose nine bytes could be a trailer is tried against the checksum, which is bound to the block's place and to the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vfs::File;

use super::block::Block;
use super::block_cursor::BlockCursor;
use super::filter::Filter;
use super::format::{BlockHandle, BlockKind, FOOTER_LEN, Footer, Metaindex};
use super::frame::{Place, TRAILER_LEN};
use super::index::{Index, Partition, TopIndex};
use super::properties::Properties;
use super::range_tombstone_block;
use super::reader::read_block;
use crate::coding::Decoder;
use crate::error::{Error, Result};
use crate::key::Trailer;
use crate::range_tombstone::RangeTombstone;

/// Bytes of the file that are searched for trailers at a time.
const WINDOW_LEN: u64 = 1 << 20;
/// Longest block, before compression, that is looked for by its trailer.
const RAW_LEN_MAX: u32 = 4 << 20;
/// Positions of possible trailers from which a block may begin that are tried for each possible end.
const STARTS_MAX: usize = 16;

/// A block of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlockRef {
    pub(crate) kind: BlockKind,
    pub(crate) handle: BlockHandle,
    /// No key of the block is greater; known where its index is intact.
    pub(crate) upper: Option<Vec<u8>>,
}

/// Something of a table that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) offset: u64,
    pub(crate) what: String,
}

/// What was found out about a table without reading its data blocks.
pub(crate) struct Survey {
    file: Arc<dyn File>,
    path: PathBuf,
    blocks_end: u64,
    file_id: u64,
    pub(crate) properties: Option<Properties>,
    pub(crate) range_tombstones: Vec<RangeTombstone>,
    /// All blocks that were found, by rising offsets.
    pub(crate) blocks: Vec<BlockRef>,
    pub(crate) damage: Vec<Damage>,
    /// Parts of the file in which data blocks may have been lost: where they begin and end.
    pub(crate) gaps: Vec<(u64, u64)>,
    /// The range deletes could not be read, if there were any.
    pub(crate) lost_range_tombstones: bool,
}

/// Takes damage down; other failures go on.
fn note<T>(damage: &mut Vec<Damage>, read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(Error::Corrupt { offset, what, .. }) => {
            damage.push(Damage { offset, what });
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Survey {
    /// Looks at the table `file` of `file_len` bytes at `path`.
    ///
    /// # Errors
    /// [`Error::NewerFormat`] or an error of the disk. Damage is no error here.
    pub(crate) fn new(file: Arc<dyn File>, path: &Path, file_len: u64) -> Result<Self> {
        let mut survey = Self {
            file,
            path: path.to_owned(),
            blocks_end: file_len.saturating_sub(FOOTER_LEN as u64),
            file_id: 0,
            properties: None,
            range_tombstones: Vec::new(),
            blocks: Vec::new(),
            damage: Vec::new(),
            gaps: Vec::new(),
            lost_range_tombstones: false,
        };
        if file_len < FOOTER_LEN as u64 {
            survey.damage.push(Damage { offset: 0, what: "a table is longer than this".to_owned() });
            survey.lost_range_tombstones = true;
            return Ok(survey);
        }
        let mut footer = [0; FOOTER_LEN];
        let read = survey.file.read_exact_at(survey.blocks_end, &mut footer);
        read.map_err(|error| Error::io("read", path, error))?;
        let decoded = note(&mut survey.damage, Footer::decode(&footer, path, file_len))?;
        // Where only some of the footer is damaged, this may still be right: the blocks' checksums tell.
        survey.file_id = match decoded {
            Some(footer) => footer.file_id,
            None => footer.get(16..).and_then(|rest| Decoder::new(rest).u64()).unwrap_or(0),
        };
        let top = survey.read_whole_table_blocks(decoded)?;
        match top {
            Some(top) => {
                for at in 0..top.len() {
                    if let Some(partition) = top.get(at) {
                        survey.read_partition(*partition)?;
                    }
                }
            }
            None => survey.search(0, survey.blocks_end)?,
        }
        survey.blocks.sort_by_key(|block| block.handle.offset);
        Ok(survey)
    }

    fn read(&self, kind: BlockKind, handle: BlockHandle) -> Result<Vec<u8>> {
        let place = Place { kind, file_id: self.file_id, offset: handle.offset };
        read_block(&*self.file, &self.path, handle, self.blocks_end, place)
    }

    /// Reads a block of one kind and parses it; `None` and a note where that fails.
    fn parsed<T>(
        &mut self,
        kind: BlockKind,
        handle: BlockHandle,
        parse: impl FnOnce(Vec<u8>, u64) -> Result<T, super::Malformed>,
    ) -> Result<Option<T>> {
        let end = self.blocks_end;
        let read = self.read(kind, handle);
        let parsed =
            read.and_then(|bytes| parse(bytes, end).map_err(|malformed| malformed.at(&self.path, handle.offset)));
        let parsed = note(&mut self.damage, parsed)?;
        if parsed.is_some() {
            self.blocks.push(BlockRef { kind, handle, upper: None });
        }
        Ok(parsed)
    }

    fn read_whole_table_blocks(&mut self, footer: Option<Footer>) -> Result<Option<TopIndex>> {
        let metaindex = match footer {
            Some(footer) => {
                self.parsed(BlockKind::Metaindex, footer.metaindex, |bytes, _| Metaindex::decode(&bytes))?
            }
            None => None,
        };
        let Some(metaindex) = metaindex else {
            self.lost_range_tombstones = true;
            return Ok(None);
        };
        self.properties =
            self.parsed(BlockKind::Properties, metaindex.properties, |bytes, _| Properties::decode(&bytes))?;
        if let Some(handle) = metaindex.range_tombstones {
            let decode = |bytes: Vec<u8>, _| range_tombstone_block::decode(&bytes);
            match self.parsed(BlockKind::RangeTombstones, handle, decode)? {
                Some(tombstones) => self.range_tombstones = tombstones,
                None => self.lost_range_tombstones = true,
            }
        }
        self.parsed(BlockKind::TopIndex, metaindex.top_index, |bytes, end| {
            Block::parse(bytes, 0).and_then(|block| TopIndex::parse(&block, end))
        })
    }

    fn read_partition(&mut self, partition: Partition) -> Result<()> {
        if let Some(handle) = partition.filter {
            self.parsed(BlockKind::Filter, handle, |bytes, _| Filter::parse(&bytes))?;
        }
        let index = self.parsed(BlockKind::Index, partition.index, |bytes, end| {
            Block::parse(bytes, 0).and_then(|block| Index::parse(&block, end))
        })?;
        let Some(index) = index else {
            let end = partition.filter.map_or(partition.index.offset, |filter| filter.offset);
            return self.search(partition.start, end);
        };
        for at in 0..index.len() {
            if let Some(handle) = index.get(at) {
                let upper = Some(index.separator(at).0.to_vec());
                self.blocks.push(BlockRef { kind: BlockKind::Data, handle, upper });
            }
        }
        Ok(())
    }

    /// Looks for data blocks from `start` up to `end`.
    fn search(&mut self, start: u64, end: u64) -> Result<()> {
        // Where a block could begin: behind the last one found, and behind everything since that looks like a trailer.
        let mut starts = vec![start];
        let mut found_to = start;
        let mut window: Vec<u8> = Vec::new();
        let mut from = start;
        while from < end {
            let len = (end - from).min(WINDOW_LEN + TRAILER_LEN as u64);
            window.resize(usize::try_from(len).unwrap_or(0), 0);
            self.file.read_exact_at(from, &mut window).map_err(|error| Error::io("read", &self.path, error))?;
            let fresh = len.min(WINDOW_LEN) as usize;
            for (at, trailer) in window.windows(TRAILER_LEN).enumerate().take(fresh) {
                let Some(raw_len) = possible_raw_len(trailer) else { continue };
                let trailer_at = from + at as u64;
                if trailer_at < found_to {
                    continue;
                }
                let begins = |start: &&u64| **start < trailer_at && trailer_at - **start <= u64::from(raw_len);
                let block = starts.iter().find(|start| begins(start) && self.is_data(**start, trailer_at)).copied();
                let behind = trailer_at + TRAILER_LEN as u64;
                if let Some(block_start) = block {
                    if block_start > found_to {
                        self.gaps.push((found_to, block_start));
                    }
                    let handle = BlockHandle { offset: block_start, len: trailer_at - block_start };
                    self.blocks.push(BlockRef { kind: BlockKind::Data, handle, upper: None });
                    starts.clear();
                    found_to = behind;
                } else if starts.len() >= STARTS_MAX {
                    // The first one is the surest.
                    starts.remove(1);
                }
                starts.push(behind);
            }
            from += WINDOW_LEN;
        }
        if found_to < end {
            self.gaps.push((found_to, end));
        }
        Ok(())
    }

    fn is_data(&self, start: u64, trailer_at: u64) -> bool {
        let handle = BlockHandle { offset: start, len: trailer_at - start };
        self.read(BlockKind::Data, handle).is_ok()
    }

    /// The data blocks that were found, in order.
    pub(crate) fn data_blocks(&self) -> impl Iterator<Item = &BlockRef> {
        self.blocks.iter().filter(|block| block.kind == BlockKind::Data)
    }

    /// The entries of a data block, in order.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it cannot be read, or an error of the disk.
    pub(crate) fn entries(&self, block: &BlockRef) -> Result<Entries> {
        let offset = block.handle.offset;
        let bytes = self.read(BlockKind::Data, block.handle)?;
        let stated = bytes.last_chunk().map_or(0, |width| u16::from_le_bytes(*width));
        let width = self.properties.as_ref().map_or(stated, |properties| properties.key_layout.width());
        let wrong = |malformed: super::Malformed| malformed.at(&self.path, offset);
        let block = Block::parse(bytes, width).map_err(wrong)?;
        let mut cursor = BlockCursor::new();
        cursor.enter(Arc::new(block));
        cursor.seek_to_first().map_err(wrong)?;
        let stamp =
            self.properties.as_ref().filter(|properties| properties.stamped).map(|properties| properties.max_seq);
        Ok(Entries { cursor, stamp })
    }
}

/// The length before compression that the bytes would state if they were the trailer of a data block.
fn possible_raw_len(trailer: &[u8]) -> Option<u32> {
    let mut fields = Decoder::new(trailer);
    let codec = fields.u8()?;
    let raw_len = fields.u32()?;
    (codec <= 2 && (super::block::TAIL_LEN as u32..=RAW_LEN_MAX).contains(&raw_len)).then_some(raw_len)
}

/// A walk over the entries of one block.
pub(crate) struct Entries {
    cursor: BlockCursor,
    stamp: Option<crate::key::Seq>,
}

impl Entries {
    pub(crate) const fn valid(&self) -> bool {
        self.cursor.valid()
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.cursor.key()
    }

    pub(crate) fn trailer(&self) -> Trailer {
        let stored = self.cursor.trailer();
        self.stamp.map_or(stored, |seq| Trailer::new(seq, stored.kind()))
    }

    pub(crate) fn value(&self) -> &[u8] {
        self.cursor.value()
    }

    /// Moves on. What follows on a malformed entry cannot be read.
    pub(crate) fn next(&mut self) -> std::result::Result<(), &'static str> {
        self.cursor.next().map_err(|malformed| malformed.0)
    }
}
