//! Bytes of segments and records. See `docs/format/granite.md`, "Segments".

use crate::checksum::{Site, is_same};
use crate::coding::{Decoder, put_bytes, put_varint};
use crate::key::{Kind, MAX_KEY_LEN, MAX_VALUE_LEN, Seq};

pub(crate) const MAGIC: [u8; 8] = *b"GRANSEG\n";
pub(crate) const VERSION: u32 = 1;
pub(crate) const SEGMENT_HEADER_LEN: usize = 64;
pub(crate) const RECORD_HEADER_LEN: usize = 48;
/// Records begin at multiples of this.
pub(crate) const ALIGNMENT: u64 = 8;
/// The keyspace of an operation that only takes its sequence number.
pub(crate) const NO_KEYSPACE: u32 = u32::MAX;
/// Longest operations part of a record, and longest value area, in bytes.
pub(crate) const MAX_META_LEN: usize = (1 << 30) + (64 << 20);
pub(crate) const MAX_DATA_LEN: u64 = (1 << 32) - 1;

/// What a segment is for. The numbers are on disk: do not change them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum SegmentKind {
    Log = 1,
    Values = 2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) kind: SegmentKind,
    pub(crate) number: u64,
    pub(crate) incarnation: u64,
    pub(crate) first_seq: Seq,
    pub(crate) durable: Seq,
    /// Of a values segment: bytes of the values in it, without keys and headers. 0 for a log segment.
    pub(crate) value_bytes: u64,
}

/// Why a segment header was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    Newer { version: u32 },
    Damaged(&'static str),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut out = Vec::with_capacity(SEGMENT_HEADER_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&(self.kind as u32).to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.incarnation.to_le_bytes());
        out.extend_from_slice(&self.first_seq.get().to_le_bytes());
        out.extend_from_slice(&self.durable.get().to_le_bytes());
        out.extend_from_slice(&self.value_bytes.to_le_bytes());
        out.resize(SEGMENT_HEADER_LEN - 4, 0);
        out.extend_from_slice(&crate::checksum::crc32c(&out).to_le_bytes());
        let mut header = [0; SEGMENT_HEADER_LEN];
        header.copy_from_slice(&out);
        header
    }

    pub(crate) fn decode(bytes: &[u8; SEGMENT_HEADER_LEN]) -> Result<Self, HeaderFault> {
        const CUT: HeaderFault = HeaderFault::Damaged("the segment header is cut off");
        let mut input = Decoder::new(bytes);
        if input.array() != Some(MAGIC) {
            return Err(HeaderFault::Damaged("this is not a segment: its magic is missing"));
        }
        let version = input.u32().ok_or(CUT)?;
        let kind = input.u32().ok_or(CUT)?;
        let number = input.u64().ok_or(CUT)?;
        let incarnation = input.u64().ok_or(CUT)?;
        let first_seq = input.u64().ok_or(CUT)?;
        let durable = input.u64().ok_or(CUT)?;
        let value_bytes = input.u64().ok_or(CUT)?;
        input.take(4).ok_or(CUT)?;
        let crc = input.u32().ok_or(CUT)?;
        let (summed, _) = bytes.split_at(SEGMENT_HEADER_LEN - 4);
        if !is_same(Site::SegmentHeader, crate::checksum::crc32c(summed), crc) {
            return Err(HeaderFault::Damaged("the segment header fails its checksum"));
        }
        if version != VERSION {
            return Err(HeaderFault::Newer { version });
        }
        let kind = match kind {
            1 => SegmentKind::Log,
            2 => SegmentKind::Values,
            _ => return Err(HeaderFault::Damaged("the segment's kind is unknown")),
        };
        let (first_seq, durable) = (Seq::new(first_seq), Seq::new(durable));
        Ok(Self { kind, number, incarnation, first_seq, durable, value_bytes })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) first_seq: Seq,
    pub(crate) durable: Seq,
    pub(crate) op_count: u32,
    pub(crate) meta_len: u32,
    pub(crate) meta_crc: u32,
    pub(crate) data_len: u64,
}

fn record_crc(incarnation: u64, offset: u64, body: &[u8]) -> u32 {
    // In one piece, because three small calls cost three times one.
    let mut bound = [0; 16 + RECORD_HEADER_LEN - 8];
    let (place, header) = bound.split_at_mut(16);
    let (first, second) = place.split_at_mut(8);
    first.copy_from_slice(&incarnation.to_le_bytes());
    second.copy_from_slice(&offset.to_le_bytes());
    let len = body.len().min(header.len());
    if let (Some(header), Some(body)) = (header.get_mut(..len), body.get(..len)) {
        header.copy_from_slice(body);
    }
    crate::checksum::crc32c(&bound)
}

impl RecordHeader {
    pub(crate) fn encode(&self, incarnation: u64, offset: u64) -> [u8; RECORD_HEADER_LEN] {
        let mut out = [0; RECORD_HEADER_LEN];
        let mut rest = out.as_mut_slice();
        let mut put = |bytes: &[u8]| {
            if let Some((field, behind)) = std::mem::take(&mut rest).split_at_mut_checked(bytes.len()) {
                field.copy_from_slice(bytes);
                rest = behind;
            }
        };
        put(&(incarnation as u32).to_le_bytes());
        put(&[0; 4]);
        put(&self.first_seq.get().to_le_bytes());
        put(&self.durable.get().to_le_bytes());
        put(&self.op_count.to_le_bytes());
        put(&self.meta_len.to_le_bytes());
        put(&self.meta_crc.to_le_bytes());
        put(&[0; 4]);
        put(&self.data_len.to_le_bytes());
        let (head, body) = out.split_at_mut(8);
        let crc = record_crc(incarnation, offset, body);
        head.split_at_mut(4).1.copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` if no record of this incarnation begins at `offset`.
    #[inline]
    pub(crate) fn decode(bytes: &[u8; RECORD_HEADER_LEN], incarnation: u64, offset: u64) -> Option<Self> {
        let mut input = Decoder::new(bytes);
        if input.u32()? != incarnation as u32 {
            return None;
        }
        let crc = input.u32()?;
        if !is_same(Site::RecordHeader, record_crc(incarnation, offset, input.rest()), crc) {
            return None;
        }
        let header = Self {
            first_seq: Seq::new(input.u64()?),
            durable: Seq::new(input.u64()?),
            op_count: input.u32()?,
            meta_len: input.u32()?,
            meta_crc: input.u32()?,
            data_len: {
                input.u32()?;
                input.u64()?
            },
        };
        let in_limits = header.meta_len as usize <= MAX_META_LEN && header.data_len <= MAX_DATA_LEN;
        in_limits.then_some(header)
    }

    /// Header, operations and values, without padding.
    pub(crate) fn body_len(&self) -> u64 {
        RECORD_HEADER_LEN as u64 + u64::from(self.meta_len) + self.data_len
    }

    /// Distance to where the next record begins.
    pub(crate) fn record_len(&self) -> u64 {
        self.body_len().next_multiple_of(ALIGNMENT)
    }

    /// The sequence after the record's last operation.
    pub(crate) fn end_seq(&self) -> Seq {
        self.first_seq.plus(u64::from(self.op_count))
    }
}

/// One operation of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Op<'a> {
    pub(crate) keyspace: u32,
    pub(crate) key: &'a [u8],
    pub(crate) action: Action<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action<'a> {
    Delete,
    Put(&'a [u8]),
    /// The value stands in the record's value area.
    PutSeparated {
        len: u32,
        crc: u32,
    },
    DeleteRange {
        end: &'a [u8],
    },
}

impl Op<'_> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let kind = match self.action {
            Action::Delete => Kind::Delete,
            Action::Put(_) => Kind::Inline,
            Action::PutSeparated { .. } => Kind::Separated,
            Action::DeleteRange { .. } => Kind::RangeDelete,
        };
        out.push(kind as u8);
        put_varint(out, u64::from(self.keyspace));
        put_bytes(out, self.key);
        match self.action {
            Action::Delete => {}
            Action::Put(value) => put_bytes(out, value),
            Action::PutSeparated { len, crc } => {
                put_varint(out, u64::from(len));
                out.extend_from_slice(&crc.to_le_bytes());
            }
            Action::DeleteRange { end } => put_bytes(out, end),
        }
    }
}

/// Walks the operations part of a record. Stops with `None`; [`OpReader::is_done`] tells the end from malformed input.
#[derive(Debug, Clone)]
pub(crate) struct OpReader<'a> {
    input: Decoder<'a>,
    malformed: bool,
}

impl<'a> OpReader<'a> {
    pub(crate) const fn new(meta: &'a [u8]) -> Self {
        Self { input: Decoder::new(meta), malformed: false }
    }

    /// True once every byte was understood.
    pub(crate) const fn is_done(&self) -> bool {
        !self.malformed && self.input.is_empty()
    }

    fn read(&mut self) -> Option<Op<'a>> {
        let kind = Kind::from_u8(self.input.u8()?)?;
        let keyspace = u32::try_from(self.input.varint()?).ok()?;
        let key = self.input.bytes()?;
        if key.is_empty() || key.len() > MAX_KEY_LEN {
            return None;
        }
        let action = match kind {
            Kind::Delete => Action::Delete,
            Kind::Inline => Action::Put(self.input.bytes()?),
            Kind::Separated => {
                let len = u32::try_from(self.input.varint()?).ok()?;
                // A segment without bytes of values is removed with the log, whatever points into it.
                if len == 0 || len as usize > MAX_VALUE_LEN {
                    return None;
                }
                Action::PutSeparated { len, crc: self.input.u32()? }
            }
            Kind::RangeDelete => Action::DeleteRange { end: self.input.bytes().filter(|end| *end > key)? },
        };
        Some(Op { keyspace, key, action })
    }
}

impl<'a> Iterator for OpReader<'a> {
    type Item = Op<'a>;

    #[inline]
    fn next(&mut self) -> Option<Op<'a>> {
        if self.malformed || self.input.is_empty() {
            return None;
        }
        let op = self.read();
        self.malformed = op.is_none();
        op
    }
}

/// Checks an operations part against its header: every operation well formed, as many as said, value lengths adding up.
pub(crate) fn check_meta(header: &RecordHeader, meta: &[u8]) -> bool {
    if !is_same(Site::RecordMeta, crate::checksum::crc32c(meta), header.meta_crc) {
        return false;
    }
    let mut reader = OpReader::new(meta);
    let mut count = 0u32;
    let mut data_len = 0u64;
    for op in reader.by_ref() {
        count = count.saturating_add(1);
        if let Action::PutSeparated { len, .. } = op.action {
            data_len += u64::from(len);
        }
    }
    reader.is_done() && count == header.op_count && data_len == header.data_len
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECORD: RecordHeader = RecordHeader {
        first_seq: Seq::new(7),
        durable: Seq::new(5),
        op_count: 2,
        meta_len: 30,
        meta_crc: 99,
        data_len: 1000,
    };

    #[test]
    fn a_segment_header_survives_its_encoding_and_no_flipped_bit() {
        let header = SegmentHeader {
            kind: SegmentKind::Log,
            number: 3,
            incarnation: 0x1234_5678_9abc_def0,
            first_seq: Seq::new(11),
            durable: Seq::new(10),
            value_bytes: 12,
        };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_record_header_is_bound_to_its_bytes_its_place_and_its_incarnation() {
        let bytes = RECORD.encode(0xabcd_0000_0001, 64);
        assert_eq!(RecordHeader::decode(&bytes, 0xabcd_0000_0001, 64), Some(RECORD));
        assert_eq!(RecordHeader::decode(&bytes, 0xabcd_0000_0001, 72), None, "another place");
        assert_eq!(RecordHeader::decode(&bytes, 0xabce_0000_0001, 64), None, "another incarnation with the same tag");
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&bad, 0xabcd_0000_0001, 64), None, "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn operations_survive_their_encoding(ops in prop::collection::vec(
            (any::<u32>(), prop::collection::vec(any::<u8>(), 1..40), 0..4u8, prop::collection::vec(any::<u8>(), 0..40), any::<u32>()), 0..20)
        ) {
            let ops: Vec<Op<'_>> = ops.iter().map(|(keyspace, key, kind, value, crc)| Op {
                keyspace: *keyspace,
                key,
                action: match kind {
                    0 => Action::Delete,
                    1 => Action::Put(value),
                    2 => Action::PutSeparated { len: 1 + value.len() as u32, crc: *crc },
                    _ if value > key => Action::DeleteRange { end: value },
                    _ => Action::Delete,
                },
            }).collect();
            let mut meta = Vec::new();
            for op in &ops {
                op.encode(&mut meta);
            }
            let mut reader = OpReader::new(&meta);
            prop_assert_eq!(reader.by_ref().collect::<Vec<_>>(), ops);
            prop_assert!(reader.is_done());
        }

        #[test]
        fn no_input_makes_the_reader_panic(meta: Vec<u8>) {
            let mut reader = OpReader::new(&meta);
            let read = reader.by_ref().count();
            prop_assert!(read <= meta.len());
        }
    }
}
