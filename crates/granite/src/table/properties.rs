//! What a table says about itself.

use super::Malformed;
use super::codec::StoredCodec;
use super::options::KeyLayout;
use crate::coding::{Decoder, put_bytes, put_varint};
use crate::key::Seq;

/// Counts, sums and bounds over a table's entries, and how it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Properties {
    /// Entries, without range tombstones.
    pub(crate) entries: u64,
    /// Of these, deletes.
    pub(crate) deletes: u64,
    pub(crate) range_tombstones: u64,
    pub(crate) data_blocks: u64,
    pub(crate) partitions: u64,
    pub(crate) raw_key_bytes: u64,
    pub(crate) raw_value_bytes: u64,
    /// Over entries and range tombstones; zero for a table of nothing.
    pub(crate) min_seq: Seq,
    pub(crate) max_seq: Seq,
    /// The smallest user key, starts of range tombstones included.
    pub(crate) smallest: Vec<u8>,
    /// The largest user key, ends of range tombstones included.
    pub(crate) largest: Vec<u8>,
    pub(crate) key_layout: KeyLayout,
    /// The number of the codec that was asked for; single blocks may be stored uncompressed.
    pub(crate) codec: u8,
    /// Of the filters, 0 for none.
    pub(crate) bits_per_key: u8,
    /// The number that the file was written under.
    pub(crate) file_number: u64,
    pub(crate) block_size: u64,
    /// The keyspace that the table belongs to, for repair.
    pub(crate) keyspace: u32,
    /// The entries were written before their place in the order of commits was known: every one has the sequence `max_seq`, and
    /// 0 stands in its place in the blocks.
    pub(crate) stamped: bool,
}

impl Properties {
    pub(super) fn encode(&self) -> Vec<u8> {
        let numbers = [
            (1, self.entries),
            (2, self.deletes),
            (3, self.range_tombstones),
            (4, self.data_blocks),
            (5, self.partitions),
            (6, self.raw_key_bytes),
            (7, self.raw_value_bytes),
            (8, self.min_seq.get()),
            (9, self.max_seq.get()),
        ];
        let more = [
            (12, u64::from(self.key_layout.width())),
            (13, u64::from(self.codec)),
            (14, u64::from(self.bits_per_key)),
            (15, self.file_number),
            (16, self.block_size),
            (17, u64::from(self.keyspace)),
        ];
        let mut out = Vec::new();
        out.extend_from_slice(&(17 + u32::from(self.stamped)).to_le_bytes());
        let put = |out: &mut Vec<u8>, (id, number): (u64, u64)| {
            let mut value = Vec::new();
            put_varint(&mut value, number);
            put_varint(out, id);
            put_bytes(out, &value);
        };
        for number in numbers {
            put(&mut out, number);
        }
        for (id, key) in [(10, &self.smallest), (11, &self.largest)] {
            put_varint(&mut out, id);
            put_bytes(&mut out, key);
        }
        for number in more {
            put(&mut out, number);
        }
        if self.stamped {
            put(&mut out, (18, 1));
        }
        out
    }

    pub(crate) fn decode(block: &[u8]) -> Result<Self, Malformed> {
        const SHORT: Malformed = Malformed("the properties end early");
        const RANGE: Malformed = Malformed("a property is out of its range");
        let mut input = Decoder::new(block);
        // By identifier; the first is unused.
        let mut values: [Option<&[u8]>; 19] = [None; 19];
        let mut last = 0;
        for _ in 0..input.u32().ok_or(SHORT)? {
            let id = input.varint().ok_or(SHORT)?;
            let value = input.bytes().ok_or(SHORT)?;
            if id <= last {
                return Err(Malformed("the properties do not rise"));
            }
            last = id;
            if let Some(slot) = usize::try_from(id).ok().and_then(|id| values.get_mut(id)) {
                *slot = Some(value);
            }
        }
        if !input.is_empty() {
            return Err(Malformed("the properties are followed by something else"));
        }
        let bytes = |id: usize| values.get(id).copied().flatten().ok_or(Malformed("a property is missing"));
        let number = |id: usize| {
            let mut value = Decoder::new(bytes(id)?);
            value.varint().filter(|_| value.is_empty()).ok_or(Malformed("a property is no number"))
        };
        let seq = |id: usize| {
            let number = number(id)?;
            Some(Seq::new(number)).filter(|seq| seq.get() == number).ok_or(RANGE)
        };
        let properties = Self {
            entries: number(1)?,
            deletes: number(2)?,
            range_tombstones: number(3)?,
            data_blocks: number(4)?,
            partitions: number(5)?,
            raw_key_bytes: number(6)?,
            raw_value_bytes: number(7)?,
            min_seq: seq(8)?,
            max_seq: seq(9)?,
            smallest: bytes(10)?.to_vec(),
            largest: bytes(11)?.to_vec(),
            key_layout: KeyLayout::from_width(u16::try_from(number(12)?).map_err(|_| RANGE)?),
            codec: u8::try_from(number(13)?).ok().filter(|&id| StoredCodec::from_u8(id).is_some()).ok_or(RANGE)?,
            bits_per_key: u8::try_from(number(14)?).map_err(|_| RANGE)?,
            file_number: number(15)?,
            block_size: number(16)?,
            keyspace: u32::try_from(number(17)?).map_err(|_| RANGE)?,
            stamped: bytes(18).is_ok() && number(18)? == 1,
        };
        if properties.stamped && (properties.min_seq != properties.max_seq || properties.range_tombstones > 0) {
            return Err(RANGE);
        }
        if properties.deletes > properties.entries
            || properties.min_seq > properties.max_seq
            || properties.smallest > properties.largest
        {
            return Err(RANGE);
        }
        Ok(properties)
    }
}
