//! Headers of segments and records, byte by byte.

use crate::checksum::{Site, crc32c, crc32c_of, is_same};
use crate::coding::Reader;
use crate::id::{CommitTime, TxnId};

pub(crate) const SEGMENT_HEADER_LEN: usize = 64;
pub(crate) const RECORD_HEADER_LEN: usize = 48;
pub(crate) const TRAILER_LEN: usize = 8;
pub(crate) const ALIGNMENT: u64 = 8;
const MAGIC: &[u8; 8] = b"NRTHLOG\n";
pub(crate) const LOG_VERSION: u32 = 1;

/// The first 64 bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u64,
    /// Random, new for each file: a record of one file is never taken for one of another.
    pub(crate) incarnation: u64,
    /// The transaction of the first record that it can hold.
    pub(crate) first: TxnId,
    /// Every transaction up to this one was durable when the header was written.
    pub(crate) durable: TxnId,
    /// The first half of the database's identity.
    pub(crate) identity: u64,
}

/// What the first bytes of a segment are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SegmentStart {
    Valid(SegmentHeader),
    Newer(u32),
    Invalid,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut out = Vec::with_capacity(SEGMENT_HEADER_LEN);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&LOG_VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for field in [self.number, self.incarnation, self.first.0, self.durable.0, self.identity] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&[0; 4]);
        let crc = crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.try_into().unwrap_or([0; SEGMENT_HEADER_LEN])
    }

    pub(crate) fn decode(bytes: &[u8]) -> SegmentStart {
        Self::fields(bytes).unwrap_or(SegmentStart::Invalid)
    }

    fn fields(bytes: &[u8]) -> Option<SegmentStart> {
        let (checked, crc) = bytes.get(..SEGMENT_HEADER_LEN)?.split_last_chunk::<4>()?;
        let mut fields = Reader::new(checked);
        if fields.bytes(8)? != MAGIC || !is_same(Site::SegmentHeader, crc32c(checked), u32::from_le_bytes(*crc)) {
            return None;
        }
        let version = fields.u32()?;
        if version != LOG_VERSION {
            return (version > LOG_VERSION).then_some(SegmentStart::Newer(version));
        }
        fields.u32()?;
        Some(SegmentStart::Valid(Self {
            number: fields.u64()?,
            incarnation: fields.u64()?,
            first: TxnId(fields.u64()?),
            durable: TxnId(fields.u64()?),
            identity: fields.u64()?,
        }))
    }
}

/// The first 48 bytes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) txn: TxnId,
    pub(crate) time: CommitTime,
    /// Every transaction up to this one was known to be durable when the record was written.
    pub(crate) durable: TxnId,
    pub(crate) payload_len: u32,
    pub(crate) operations: u32,
}

impl RecordHeader {
    /// Appends a whole record: header, payload, trailer, padding.
    pub(crate) fn encode(&self, incarnation: u64, offset: u64, payload: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&(incarnation as u32).to_le_bytes());
        let fields_at = out.len() + 4;
        out.extend_from_slice(&[0; 4]);
        for field in [self.txn.0, self.time.0, self.durable.0] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&self.payload_len.to_le_bytes());
        out.extend_from_slice(&self.operations.to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        let crc = header_crc(incarnation, offset, out.get(fields_at..).unwrap_or_default());
        if let Some(place) = out.get_mut(fields_at - 4..fields_at) {
            place.copy_from_slice(&crc.to_le_bytes());
        }
        out.extend_from_slice(payload);
        out.extend_from_slice(&crc32c(payload).to_le_bytes());
        out.extend_from_slice(&self.payload_len.to_le_bytes());
        let len = (out.len() - start) as u64;
        out.resize(start + len.next_multiple_of(ALIGNMENT) as usize, 0);
    }

    /// The header of a record at `offset`, if there is one of this incarnation.
    pub(crate) fn decode(bytes: &[u8], incarnation: u64, offset: u64) -> Option<Self> {
        let header = bytes.get(..RECORD_HEADER_LEN)?;
        let mut fields = Reader::new(header);
        if fields.u32()? != incarnation as u32 {
            return None;
        }
        let crc = fields.u32()?;
        if !is_same(Site::RecordHeader, header_crc(incarnation, offset, header.get(8..)?), crc) {
            return None;
        }
        Some(Self {
            txn: TxnId(fields.u64()?),
            time: CommitTime(fields.u64()?),
            durable: TxnId(fields.u64()?),
            payload_len: fields.u32()?,
            operations: fields.u32()?,
        })
    }

    /// Length of the whole record in the file.
    pub(crate) fn record_len(&self) -> u64 {
        (RECORD_HEADER_LEN as u64 + u64::from(self.payload_len) + TRAILER_LEN as u64).next_multiple_of(ALIGNMENT)
    }

    /// Whether payload and trailer belong together.
    pub(crate) fn matches(&self, payload: &[u8], trailer: &[u8]) -> bool {
        let mut fields = Reader::new(trailer);
        let (Some(crc), Some(len)) = (fields.u32(), fields.u32()) else { return false };
        len == self.payload_len && is_same(Site::RecordTrailer, crc32c(payload), crc)
    }
}

fn header_crc(incarnation: u64, offset: u64, fields: &[u8]) -> u32 {
    crc32c_of(&[&incarnation.to_le_bytes(), &offset.to_le_bytes(), fields])
}
