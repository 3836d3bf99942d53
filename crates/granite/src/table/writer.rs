//! Writes a table from front to back.

use std::cmp::Ordering;
use std::path::Path;
use std::sync::Arc;

use vfs::File;

use super::block_builder::BlockBuilder;
use super::filter::{self, KeyHash};
use super::format::{BlockHandle, BlockKind, FOOTER_LEN, Footer, Metaindex};
use super::index::Partition;
use super::options::TableOptions;
use super::output::{Output, OutputEnd};
use super::properties::Properties;
use super::range_tombstone_block;
use super::separators;
use crate::error::{Error, Result};
use crate::key::{self, Kind, MAX_KEY_LEN, MAX_VALUE_LEN, Seq, Trailer};
use crate::range_tombstone::RangeTombstone;

/// Memory that a builder keeps after an oversized block.
const KEEP_LEN: usize = 256 << 10;
/// An index block of this size closes its partition, however few its data blocks: keys can be long.
const INDEX_LEN_MAX: usize = 64 << 10;

/// What a finished table is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableSummary {
    pub(crate) file_len: u64,
    pub(crate) properties: Properties,
}

/// A table whose entries are written and whose sequence is not known yet. Holds no buffers.
pub(crate) struct UnstampedTable {
    end: OutputEnd,
    top: Vec<u8>,
    properties: Properties,
}

impl UnstampedTable {
    /// Gives every entry the sequence `seq` and completes the file. Little is left to write, however large the table is. The caller
    /// syncs the file.
    pub(crate) fn finish(mut self, seq: Seq) -> Result<TableSummary> {
        self.properties.stamped = true;
        self.properties.min_seq = seq;
        self.properties.max_seq = seq;
        let mut output = Output::resume(self.end)?;
        let file_len = write_tail(&mut output, &self.top, &mut [], &self.properties)?;
        Ok(TableSummary { file_len, properties: self.properties })
    }
}

/// Writes what follows the entries. Returns the length of the file.
fn write_tail(
    output: &mut Output,
    top: &[u8],
    range_tombstones: &mut [RangeTombstone],
    properties: &Properties,
) -> Result<u64> {
    let range_tombstones = if range_tombstones.is_empty() {
        None
    } else {
        Some(output.block(BlockKind::RangeTombstones, &range_tombstone_block::encode(range_tombstones))?)
    };
    let top_index = output.block(BlockKind::TopIndex, top)?;
    let properties = output.block(BlockKind::Properties, &properties.encode())?;
    let metaindex = Metaindex { top_index, range_tombstones, properties }.encode();
    let metaindex = output.block(BlockKind::Metaindex, &metaindex)?;
    let file_len = output.len() + FOOTER_LEN as u64;
    output.append(&Footer { metaindex, file_id: output.file_id(), file_len }.encode())?;
    output.flush()?;
    Ok(file_len)
}

/// Writes one table. Entries come in order; the file is complete after [`TableWriter::finish`], and durable when the
/// caller has synced it. After an error the file is of no use.
pub(crate) struct TableWriter {
    options: TableOptions,
    output: Output,
    data: BlockBuilder,
    index: BlockBuilder,
    top: BlockBuilder,
    /// The hashes of the distinct user keys in the current partition.
    filter: Vec<KeyHash>,
    /// The data block that was written last and has no separator yet: that depends on the key after it.
    pending: Option<BlockHandle>,
    /// Data blocks in the current partition, and where the first one begins.
    partition_blocks: u32,
    partition_start: u64,
    last_trailer: Trailer,
    range_tombstones: Vec<RangeTombstone>,
    properties: Properties,
    separator: Vec<u8>,
}

impl TableWriter {
    /// Writes into `file`, which is empty and lies at `path`.
    pub(crate) fn new(file: Arc<dyn File>, path: &Path, file_number: u64, options: TableOptions) -> Result<Self> {
        let output = Output::new(file, path, options.file_id, options.codec)?;
        let properties = Properties {
            entries: 0,
            deletes: 0,
            range_tombstones: 0,
            data_blocks: 0,
            partitions: 0,
            raw_key_bytes: 0,
            raw_value_bytes: 0,
            min_seq: Seq::MAX,
            max_seq: Seq::ZERO,
            smallest: Vec::new(),
            largest: Vec::new(),
            key_layout: options.key_layout,
            codec: options.codec.stored() as u8,
            bits_per_key: options.filter.bits_per_key(),
            file_number,
            block_size: u64::from(options.block_size),
            keyspace: options.keyspace,
            stamped: false,
        };
        Ok(Self {
            output,
            data: BlockBuilder::data(options.key_layout.width(), options.restart_interval, true),
            index: BlockBuilder::index(),
            top: BlockBuilder::index(),
            filter: Vec::new(),
            pending: None,
            partition_blocks: 0,
            partition_start: 0,
            last_trailer: Trailer::OLDEST,
            range_tombstones: Vec::new(),
            properties,
            separator: Vec::new(),
            options,
        })
    }

    /// Appends an entry, which must sort after the one before.
    pub(crate) fn add(&mut self, key: &[u8], trailer: Trailer, value: &[u8]) -> Result<()> {
        self.check(key, trailer, value)?;
        let hash = KeyHash::of(key);
        let repeats = self.properties.entries > 0 && self.data.last_key() == key;
        if !self.data.is_empty() && self.data.len_with(key, value) > self.options.block_size as usize {
            self.finish_block()?;
        }
        if self.pending.is_some() {
            self.separate(Some(key))?;
        }
        // A key whose versions run over into a new partition is in its filter too.
        if self.options.filter.bits_per_key() > 0 && (!repeats || (self.partition_blocks == 0 && self.data.is_empty()))
        {
            self.filter.push(hash);
        }
        if self.properties.entries == 0 {
            self.properties.smallest = key.to_vec();
        }
        self.data.add(key, hash, trailer, value);
        self.last_trailer = trailer;
        self.properties.entries += 1;
        self.properties.deletes += u64::from(trailer.kind() == Kind::Delete);
        self.properties.raw_key_bytes += key.len() as u64;
        self.properties.raw_value_bytes += value.len() as u64;
        self.count_seq(trailer.seq());
        Ok(())
    }

    /// Adds a range tombstone, in any order, at any time before the end.
    pub(crate) fn add_range_tombstone(&mut self, start: &[u8], end: &[u8], seq: Seq) -> Result<()> {
        if start >= end {
            return Err(Error::InvalidOption {
                what: "range to delete",
                reason: "it ends at or before its start".to_owned(),
            });
        }
        check_key_len(start)?;
        check_key_len(end)?;
        self.count_seq(seq);
        self.range_tombstones.push(RangeTombstone { start: start.to_vec(), end: end.to_vec(), seq });
        Ok(())
    }

    /// Length of the file if it were finished now, about.
    pub(crate) fn estimated_len(&self) -> u64 {
        let open = self.data.len()
            + self.index.len()
            + self.top.len()
            + filter::estimated_len(self.filter.len(), self.options.filter.bits_per_key())
            + self.range_tombstones.iter().map(range_tombstone_block::heap_bytes).sum::<usize>()
            + FOOTER_LEN;
        self.output.len() + open as u64
    }

    /// Writes out all entries and leaves the rest of the file to [`UnstampedTable::finish`]. They were all added with sequence 0.
    pub(crate) fn finish_entries(mut self) -> Result<UnstampedTable> {
        if self.properties.max_seq != Seq::ZERO || !self.range_tombstones.is_empty() {
            let reason = "only entries without a sequence of their own can be given one".to_owned();
            return Err(Error::InvalidOption { what: "table", reason });
        }
        self.complete_entries()?;
        self.complete_properties();
        self.output.flush()?;
        let top = self.top.finish().to_vec();
        let end = self.output.end();
        Ok(UnstampedTable { end, top, properties: self.properties })
    }

    /// Writes what is left. The caller syncs the file.
    pub(crate) fn finish(mut self) -> Result<TableSummary> {
        self.complete_entries()?;
        self.complete_properties();
        let range_tombstones = &mut self.range_tombstones;
        let file_len = write_tail(&mut self.output, self.top.finish(), range_tombstones, &self.properties)?;
        Ok(TableSummary { file_len, properties: self.properties })
    }

    fn complete_entries(&mut self) -> Result<()> {
        if !self.data.is_empty() {
            self.finish_block()?;
        }
        if self.pending.is_some() {
            self.separate(None)?;
        }
        Ok(())
    }

    fn check(&self, key: &[u8], trailer: Trailer, value: &[u8]) -> Result<()> {
        check_key_len(key)?;
        let width = usize::from(self.options.key_layout.width());
        if width != 0 && key.len() != width {
            return Err(Error::KeyLength { len: key.len(), limit: format!("every key has {width} bytes here") });
        }
        if value.len() > MAX_VALUE_LEN {
            return Err(Error::ValueTooLarge { len: value.len(), max: MAX_VALUE_LEN });
        }
        let invalid = |reason: &str| Error::InvalidOption { what: "table entry", reason: reason.to_owned() };
        if trailer.kind() == Kind::RangeDelete {
            return Err(invalid("a range tombstone is no point entry"));
        }
        if trailer.kind() == Kind::Delete && !value.is_empty() {
            return Err(invalid("a delete has no value"));
        }
        if self.properties.entries > 0
            && key::compare(self.data.last_key(), self.last_trailer, key, trailer) != Ordering::Less
        {
            return Err(invalid("it does not sort after the entry before it"));
        }
        Ok(())
    }

    fn count_seq(&mut self, seq: Seq) {
        self.properties.min_seq = self.properties.min_seq.min(seq);
        self.properties.max_seq = self.properties.max_seq.max(seq);
    }

    fn finish_block(&mut self) -> Result<()> {
        if self.partition_blocks == 0 {
            self.partition_start = self.output.len();
        }
        self.pending = Some(self.output.block(BlockKind::Data, self.data.finish())?);
        self.data.clear(KEEP_LEN);
        self.partition_blocks += 1;
        self.properties.data_blocks += 1;
        Ok(())
    }

    /// Gives the pending block its separator, and closes the partition where it is due: at the latest before the end.
    fn separate(&mut self, next: Option<&[u8]>) -> Result<()> {
        let Some(handle) = self.pending.take() else { return Ok(()) };
        let last = self.data.last_key();
        let mut trailer = Trailer::OLDEST;
        match next {
            Some(next) if next == last => {
                self.separator.clear();
                self.separator.extend_from_slice(last);
                trailer = self.last_trailer;
            }
            Some(next) => separators::shortest(last, next, &mut self.separator),
            None => {
                self.separator.clear();
                self.separator.extend_from_slice(last);
            }
        }
        let hash = KeyHash::of(&self.separator);
        let mut value = Vec::new();
        handle.put(&mut value);
        self.index.add(&self.separator, hash, trailer, &value);
        let full = self.filter.len() >= self.options.partition_keys as usize
            || self.partition_blocks >= self.options.partition_blocks
            || self.index.len() >= INDEX_LEN_MAX;
        if next.is_none() || full {
            let partition = self.finish_partition()?;
            self.top.add(&self.separator, hash, trailer, &partition.encode());
        }
        Ok(())
    }

    fn finish_partition(&mut self) -> Result<Partition> {
        let bits_per_key = self.options.filter.bits_per_key();
        let filter = if bits_per_key == 0 {
            None
        } else {
            Some(self.output.block(BlockKind::Filter, &filter::build(&self.filter, bits_per_key))?)
        };
        self.filter.clear();
        let index = self.output.block(BlockKind::Index, self.index.finish())?;
        self.index.clear(KEEP_LEN);
        self.partition_blocks = 0;
        self.properties.partitions += 1;
        Ok(Partition { start: self.partition_start, filter, index })
    }

    fn complete_properties(&mut self) {
        let properties = &mut self.properties;
        properties.range_tombstones = self.range_tombstones.len() as u64;
        if properties.entries > 0 {
            properties.largest = self.data.last_key().to_vec();
        }
        let starts = self.range_tombstones.iter().map(|tombstone| &tombstone.start);
        let ends = self.range_tombstones.iter().map(|tombstone| &tombstone.end);
        if let Some(start) = starts.min().filter(|&start| properties.entries == 0 || *start < properties.smallest) {
            properties.smallest.clone_from(start);
        }
        if let Some(end) = ends.max().filter(|&end| *end > properties.largest) {
            properties.largest.clone_from(end);
        }
        // A table of nothing has no sequence numbers.
        properties.min_seq = properties.min_seq.min(properties.max_seq);
    }
}

fn check_key_len(key: &[u8]) -> Result<()> {
    match key.len() {
        0 => Err(Error::EmptyKey),
        1..=MAX_KEY_LEN => Ok(()),
        len => Err(Error::KeyLength { len, limit: format!("a key has at most {MAX_KEY_LEN} bytes") }),
    }
}
