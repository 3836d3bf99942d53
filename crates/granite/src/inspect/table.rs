//! A table: properties, blocks, entries.

use std::path::Path;

use super::{Content, Damage, content, open};
use crate::error::{Error, Result};
use crate::key::Seq;
use crate::table::{BlockKind, Entries, Survey};

/// What a table says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableProperties {
    /// The keyspace that the table belongs to.
    pub keyspace: u32,
    /// The number that the file was written under.
    pub file_number: u64,
    /// Entries, without deletes of ranges.
    pub entries: u64,
    /// Of these, deletes.
    pub deletes: u64,
    /// Deletes of ranges.
    pub range_deletes: u64,
    /// Bytes of keys, uncompressed.
    pub key_bytes: u64,
    /// Bytes of values in the table, uncompressed.
    pub value_bytes: u64,
    /// The smallest sequence number.
    pub seq_min: Seq,
    /// The largest sequence number.
    pub seq_max: Seq,
    /// The smallest key.
    pub smallest: Vec<u8>,
    /// The largest key.
    pub largest: Vec<u8>,
    /// The table was written by a bulk load: all entries have the same sequence number.
    pub bulk_loaded: bool,
}

/// A block of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDump {
    /// What it holds: `data`, `index`, `filter`, `top index`, `range tombstones`, `properties` or `metaindex`.
    pub kind: &'static str,
    /// Where in the file.
    pub offset: u64,
    /// Length as it is stored, without its trailer.
    pub len: u64,
}

/// A delete of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeDelete {
    /// The first key deleted.
    pub start: Vec<u8>,
    /// The first key not deleted.
    pub end: Vec<u8>,
    /// When.
    pub seq: Seq,
}

/// An entry of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableEntry {
    /// The key.
    pub key: Vec<u8>,
    /// When it was written.
    pub seq: Seq,
    /// What was written.
    pub content: Content,
}

/// A table.
pub struct TableDump {
    /// Length of the file in bytes.
    pub file_len: u64,
    /// What it says about itself, if that can be read.
    pub properties: Option<TableProperties>,
    /// Deletes of ranges.
    pub range_deletes: Vec<RangeDelete>,
    /// All blocks that could be found, as they stand in the file. Data blocks are not read yet: damaged ones are among them.
    pub blocks: Vec<BlockDump>,
    /// What is wrong beside the data blocks.
    pub damage: Vec<Damage>,
    survey: Survey,
}

impl std::fmt::Debug for TableDump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableDump")
            .field("file_len", &self.file_len)
            .field("properties", &self.properties)
            .field("damage", &self.damage)
            .finish_non_exhaustive()
    }
}

/// Reads what there is to know of the table at `path`, without its entries.
///
/// # Errors
/// [`Error::NewerFormat`] or an error of the disk. Damage is no error.
pub fn table(path: impl AsRef<Path>) -> Result<TableDump> {
    let path = path.as_ref();
    let (file, file_len) = open(path)?;
    let survey = Survey::new(file, path, file_len)?;
    let properties = survey.properties.as_ref().map(|properties| TableProperties {
        keyspace: properties.keyspace,
        file_number: properties.file_number,
        entries: properties.entries,
        deletes: properties.deletes,
        range_deletes: properties.range_tombstones,
        key_bytes: properties.raw_key_bytes,
        value_bytes: properties.raw_value_bytes,
        seq_min: properties.min_seq,
        seq_max: properties.max_seq,
        smallest: properties.smallest.clone(),
        largest: properties.largest.clone(),
        bulk_loaded: properties.stamped,
    });
    let range_delete = |tombstone: &crate::range_tombstone::RangeTombstone| RangeDelete {
        start: tombstone.start.clone(),
        end: tombstone.end.clone(),
        seq: tombstone.seq,
    };
    let range_deletes = survey.range_tombstones.iter().map(range_delete).collect();
    let block = |block: &crate::table::BlockRef| BlockDump {
        kind: kind_name(block.kind),
        offset: block.handle.offset,
        len: block.handle.len,
    };
    let blocks = survey.blocks.iter().map(block).collect();
    let mut damage: Vec<Damage> =
        survey.damage.iter().map(|damage| Damage { offset: damage.offset, what: damage.what.clone() }).collect();
    damage.extend(survey.gaps.iter().map(|&(start, end)| Damage {
        offset: start,
        what: format!("no data block can be made out in {} bytes", end - start),
    }));
    Ok(TableDump { file_len, properties, range_deletes, blocks, damage, survey })
}

const fn kind_name(kind: BlockKind) -> &'static str {
    match kind {
        BlockKind::Data => "data",
        BlockKind::Index => "index",
        BlockKind::Filter => "filter",
        BlockKind::TopIndex => "top index",
        BlockKind::RangeTombstones => "range tombstones",
        BlockKind::Properties => "properties",
        BlockKind::Metaindex => "metaindex",
    }
}

impl TableDump {
    /// The entries, in order. A damaged block gives an error in the place of its entries, and the walk goes on behind it.
    #[must_use]
    pub fn entries(&self) -> TableEntries<'_> {
        TableEntries { survey: &self.survey, next_block: 0, current: None }
    }
}

/// A walk over the entries of a table. Made by [`TableDump::entries`].
pub struct TableEntries<'a> {
    survey: &'a Survey,
    next_block: usize,
    current: Option<Entries>,
}

impl std::fmt::Debug for TableEntries<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableEntries").field("next_block", &self.next_block).finish_non_exhaustive()
    }
}

impl Iterator for TableEntries<'_> {
    type Item = Result<TableEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entries) = self.current.as_mut().filter(|entries| entries.valid()) {
                let (key, trailer) = (entries.key().to_vec(), entries.trailer());
                let entry = TableEntry { key, seq: trailer.seq(), content: content(trailer, entries.value()) };
                if let Err(what) = entries.next() {
                    // The entry itself is whole; what is behind it in the block is not.
                    tracing::warn!(what, "the rest of a block cannot be read");
                    self.current = None;
                }
                return Some(Ok(entry));
            }
            let block = self.survey.blocks.get(self.next_block)?;
            self.next_block += 1;
            if block.kind != BlockKind::Data {
                continue;
            }
            match self.survey.entries(block) {
                Ok(entries) => self.current = Some(entries),
                Err(error @ Error::Corrupt { .. }) => return Some(Err(error)),
                Err(error) => {
                    self.next_block = usize::MAX;
                    return Some(Err(error));
                }
            }
        }
    }
}
