//! Reading records in order, from one segment to the next, and telling a torn end from damage: `docs/format/northstar.md`, "Where the log
//! ends".

use super::format::{ALIGNMENT, RECORD_HEADER_LEN, RecordHeader, SEGMENT_HEADER_LEN, TRAILER_LEN};
use super::segments::SegmentFile;
use crate::error::{Error, Result};
use crate::id::{CommitTime, TxnId};
use crate::store::LogPosition;

/// Bytes that are read at once.
const WINDOW_LEN: usize = 256 << 10;

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) txn: TxnId,
    pub(crate) time: CommitTime,
    pub(crate) payload: Vec<u8>,
    pub(crate) operations: u32,
    pub(crate) at: LogPosition,
    /// Where the next record would begin.
    pub(crate) end: LogPosition,
}

/// Where a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WalkEnd {
    pub(crate) last: TxnId,
    pub(crate) position: LogPosition,
}

/// Records from a place on, as long as each is the one expected.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    segments: &'a [SegmentFile],
    /// Which segment is read.
    current: usize,
    offset: u64,
    expected: TxnId,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> Walk<'a> {
    /// Starts at `position`, where the record of `expected` is if there is one. `None`: that segment is not there.
    pub(crate) fn new(segments: &'a [SegmentFile], position: LogPosition, expected: TxnId) -> Option<Self> {
        let current = segments.iter().position(|segment| segment.header.number == position.segment)?;
        let offset = position.offset.max(SEGMENT_HEADER_LEN as u64);
        Some(Self { segments, current, offset, expected, window: Vec::new(), window_at: 0 })
    }

    /// Bytes at `offset` of the current segment: fewer than `len` at its end.
    fn bytes(&mut self, offset: u64, len: usize) -> Result<&[u8]> {
        let inside = offset >= self.window_at && offset + len as u64 <= self.window_at + self.window.len() as u64;
        if !inside {
            let Some(segment) = self.segments.get(self.current) else { return Ok(&[]) };
            let file_len = segment.file.len().map_err(|error| Error::io("measure", &segment.path, error))?;
            let wanted = (len.max(WINDOW_LEN) as u64).min(file_len.saturating_sub(offset));
            self.window.resize(wanted as usize, 0);
            self.window_at = offset;
            let mut done = 0;
            while let Some(rest) = self.window.get_mut(done..).filter(|rest| !rest.is_empty()) {
                match segment.file.read_at(offset + done as u64, rest) {
                    Ok(0) => break,
                    Ok(count) => done += count,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(Error::io("read", &segment.path, error)),
                }
            }
            self.window.truncate(done);
        }
        let start = (offset - self.window_at) as usize;
        let rest = self.window.get(start..).unwrap_or_default();
        Ok(rest.get(..len).unwrap_or(rest))
    }

    fn incarnation(&self) -> u64 {
        self.segments.get(self.current).map_or(0, |segment| segment.header.incarnation)
    }

    fn position(&self) -> LogPosition {
        let segment = self.segments.get(self.current).map_or(0, |segment| segment.header.number);
        LogPosition { segment, offset: self.offset }
    }

    fn header_at(&mut self, offset: u64) -> Result<Option<RecordHeader>> {
        let incarnation = self.incarnation();
        Ok(RecordHeader::decode(self.bytes(offset, RECORD_HEADER_LEN)?, incarnation, offset))
    }

    /// The next record; `None` at the end.
    pub(crate) fn next_record(&mut self) -> Result<Option<Record>> {
        loop {
            let expected = self.expected;
            if let Some(header) = self.header_at(self.offset)?.filter(|header| header.txn == expected) {
                let (offset, payload_len) = (self.offset, header.payload_len as usize);
                let body = self.bytes(offset + RECORD_HEADER_LEN as u64, payload_len + TRAILER_LEN)?;
                if let Some((payload, trailer)) = body.split_at_checked(payload_len)
                    && header.matches(payload, trailer)
                {
                    let payload = payload.to_vec();
                    let at = self.position();
                    self.offset += header.record_len();
                    self.expected = expected.next();
                    let (time, operations) = (header.time, header.operations);
                    let end = self.position();
                    return Ok(Some(Record { txn: expected, time, payload, operations, at, end }));
                }
            }
            // The log goes on in the segment that begins with what is expected, or it ends here.
            let later = self.segments.iter().enumerate().skip(self.current + 1);
            let Some((next, _)) = later.into_iter().find(|(_, segment)| segment.header.first == expected) else {
                return Ok(None);
            };
            self.current = next;
            self.offset = SEGMENT_HEADER_LEN as u64;
            self.window.clear();
        }
    }

    /// Where the walk stands now.
    pub(crate) fn end(&self) -> WalkEnd {
        WalkEnd { last: TxnId(self.expected.0.saturating_sub(1)), position: self.position() }
    }

    /// At the end: whether anything behind it says that more was durable. What was promised and cannot be read is damage.
    pub(crate) fn check_end(&mut self) -> Result<()> {
        let end = self.end();
        let mut offset = self.offset;
        while let Some(segment) = self.segments.get(self.current) {
            let (path, incarnation) = (segment.path.clone(), segment.header.incarnation);
            let damaged = |durable: TxnId| {
                let what =
                    format!("transactions up to {durable} were durable, but only those up to {} can be read", end.last);
                Error::corrupt(&path, end.position.offset, what)
            };
            if segment.header.durable > end.last {
                return Err(damaged(segment.header.durable));
            }
            loop {
                let bytes = self.bytes(offset, RECORD_HEADER_LEN)?;
                if bytes.len() < RECORD_HEADER_LEN {
                    break;
                }
                if let Some(header) = RecordHeader::decode(bytes, incarnation, offset)
                    && header.durable > end.last
                {
                    return Err(damaged(header.durable));
                }
                offset += ALIGNMENT;
            }
            self.current += 1;
            self.window.clear();
            offset = SEGMENT_HEADER_LEN as u64;
        }
        Ok(())
    }
}
