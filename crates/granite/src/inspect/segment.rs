//! A segment: log records, or values that were moved.

use std::path::Path;

use super::{Content, Damage, open};
use crate::error::Result;
use crate::key::Seq;
use crate::log::format::{Action, OpReader, RECORD_HEADER_LEN, RecordHeader, SegmentKind as Stored};
use crate::log::walk::{SegmentWalk, Step};

/// What a segment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentKind {
    /// Batches, as they were committed.
    Log,
    /// Values that a compaction or a bulk load put there.
    Values,
}

/// A segment.
pub struct SegmentDump {
    /// Length of the file in bytes.
    pub file_len: u64,
    /// What it is for; `None` if the header is damaged, as are the fields that follow.
    pub kind: Option<SegmentKind>,
    /// The segment's number.
    pub number: Option<u64>,
    /// The random number that all its records carry.
    pub incarnation: Option<u64>,
    /// The sequence of the first operation that it can hold.
    pub first_seq: Option<Seq>,
    /// Every operation up to this one was durable when it was begun.
    pub durable: Option<Seq>,
    /// Why nothing in it can be told from garbage, if that is so.
    pub damage: Option<Damage>,
    walk: SegmentWalk,
}

impl std::fmt::Debug for SegmentDump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SegmentDump").field("number", &self.number).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// An operation of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOperation {
    /// The keyspace written to; `u32::MAX` for an operation that only takes its sequence number.
    pub keyspace: u32,
    /// The operation's sequence number; 0 in a segment of values.
    pub seq: Seq,
    /// The key.
    pub key: Vec<u8>,
    /// What is written.
    pub content: Content,
}

/// A record: one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Where in the file.
    pub offset: u64,
    /// Its length, header and padding included.
    pub len: u64,
    /// The sequence of its first operation.
    pub first_seq: Seq,
    /// Every operation up to this one was durable when it was written.
    pub durable: Seq,
    /// The number of operations that it states.
    pub operation_count: u32,
    /// Bytes of separated values.
    pub value_bytes: u64,
    /// Its operations; `None` if they or their values fail their checksums.
    pub operations: Option<Vec<LogOperation>>,
}

/// What stands at a place of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentItem {
    /// A record.
    Record(LogRecord),
    /// No record of this segment. With a record behind it this is damage, at the end of the file unused space.
    Gap {
        /// Where in the file.
        offset: u64,
        /// Its length in bytes.
        len: u64,
        /// A record follows.
        followed: bool,
    },
}

/// Reads the header of the segment at `path`.
///
/// # Errors
/// [`Error::NewerFormat`](crate::Error::NewerFormat) or an error of the disk. Damage is no error.
pub fn segment(path: impl AsRef<Path>) -> Result<SegmentDump> {
    let path = path.as_ref();
    let (file, file_len) = open(path)?;
    let walk = SegmentWalk::new(&file, path)?;
    let header = walk.header.ok();
    Ok(SegmentDump {
        file_len,
        kind: header.map(|header| match header.kind {
            Stored::Log => SegmentKind::Log,
            Stored::Values => SegmentKind::Values,
        }),
        number: header.map(|header| header.number),
        incarnation: header.map(|header| header.incarnation),
        first_seq: header.map(|header| header.first_seq),
        durable: header.map(|header| header.durable),
        damage: walk.header.err().map(|what| Damage { offset: 0, what: what.to_owned() }),
        walk,
    })
}

impl SegmentDump {
    /// What stands in the segment, from its beginning to the end of the file. Whether a record still counts as log depends on the other
    /// segments and on the manifest.
    #[must_use]
    pub fn into_records(self) -> Records {
        Records { walk: self.walk, number: self.number.unwrap_or(0), kind: self.kind, failed: false }
    }
}

/// A walk over a segment. Made by [`SegmentDump::into_records`].
pub struct Records {
    walk: SegmentWalk,
    number: u64,
    kind: Option<SegmentKind>,
    failed: bool,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Records {
    fn operations(&self, offset: u64, header: &RecordHeader) -> Vec<LogOperation> {
        let mut seq = header.first_seq;
        let mut value_at = offset + RECORD_HEADER_LEN as u64 + u64::from(header.meta_len);
        let operation = |op: crate::log::format::Op<'_>| {
            let content = match op.action {
                Action::Delete => Content::Delete,
                Action::Put(value) => Content::Inline(value.to_vec()),
                Action::DeleteRange { end } => Content::DeleteRange { end: end.to_vec() },
                Action::PutSeparated { len, crc } => {
                    let content = Content::Separated { segment: self.number, offset: value_at, len, crc };
                    value_at += u64::from(len);
                    content
                }
            };
            let operation = LogOperation { keyspace: op.keyspace, seq, key: op.key.to_vec(), content };
            if self.kind == Some(SegmentKind::Log) {
                seq = seq.plus(1);
            }
            operation
        };
        OpReader::new(self.walk.operations()).map(operation).collect()
    }
}

impl Iterator for Records {
    type Item = Result<SegmentItem>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = match self.walk.step() {
            Ok(step) => step?,
            Err(error) => {
                self.failed = true;
                return Some(Err(error));
            }
        };
        Some(Ok(match step {
            Step::Gap { offset, len, followed } => SegmentItem::Gap { offset, len, followed },
            Step::Record { offset, header, intact } => SegmentItem::Record(LogRecord {
                offset,
                len: header.record_len(),
                first_seq: header.first_seq,
                durable: header.durable,
                operation_count: header.op_count,
                value_bytes: header.data_len,
                operations: intact.then(|| self.operations(offset, &header)),
            }),
        }))
    }
}
