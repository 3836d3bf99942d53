//! Reads a log back, record by record, and judges where it ends.
//!
//! The rules are those of `docs/format/granite.md`, "Where a log ends".

use std::path::Path;
use std::sync::Arc;

use vfs::File;

use super::format::{
    ALIGNMENT, Action, OpReader, RECORD_HEADER_LEN, RecordHeader, SEGMENT_HEADER_LEN, SegmentHeader, SegmentKind,
    check_meta,
};
use super::segment::{Segment, SegmentRegistry, read_header};
use super::writer::LogSegment;
use crate::error::{Error, Result};
use crate::key::Seq;
use crate::options::RecoveryMode;

/// How segments are made ready for reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preparation {
    /// Sync, then drop the page cache: what is read is what the disk holds, whatever happened to earlier syncs.
    SyncAndDrop,
    /// Read as it is: the database is opened read-only, or its pages are known to hold what was acknowledged.
    AsIs,
}

/// A record that counts.
#[derive(Debug)]
pub(crate) struct Replayed<'a> {
    pub(crate) segment: &'a Arc<Segment>,
    pub(crate) header: RecordHeader,
    pub(crate) meta: &'a [u8],
    /// Offset of the value area in the file.
    pub(crate) data_offset: u64,
}

/// A stretch of the log that could not be read in salvage mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostLog {
    /// The first lost sequence number.
    pub first: Seq,
    /// The last lost sequence number; `None` if it is not known how many there were.
    pub last: Option<Seq>,
    /// The segment in which reading stopped.
    pub segment: u64,
    /// The offset at which reading stopped.
    pub offset: u64,
}

/// How a replay ended.
#[derive(Debug)]
pub(crate) struct LogEnd {
    /// The sequence of the next write.
    pub(crate) next_seq: Seq,
    /// The segments that were read, with the length that counts.
    pub(crate) segments: Vec<LogSegment>,
    /// Where a torn tail was dropped: segment and offset.
    pub(crate) torn: Option<(u64, u64)>,
    pub(crate) lost: Vec<LostLog>,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// What a replay reads.
pub(crate) struct Log<'a> {
    pub(crate) registry: &'a SegmentRegistry,
    pub(crate) dir: &'a Path,
    /// Numbers of the segments from the log start on, rising.
    pub(crate) segments: &'a [u64],
    /// The sequence that the log must begin with.
    pub(crate) first_seq: Seq,
    /// What is known to have been durable.
    pub(crate) durable: Seq,
    pub(crate) mode: RecoveryMode,
    pub(crate) preparation: Preparation,
}

/// Segment as found on disk.
struct Found {
    segment: Arc<Segment>,
    file: Arc<dyn File>,
    len: u64,
    /// `Err` where the header is cut off or damaged: nothing in the segment can be told from garbage then.
    header: Result<SegmentHeader>,
}

impl Log<'_> {
    /// Hands every record that counts to `sink`, in order.
    pub(crate) fn replay(&self, sink: &mut dyn FnMut(Replayed<'_>) -> Result<()>) -> Result<LogEnd> {
        let found = self.open_segments()?;
        let mut end = LogEnd {
            next_seq: self.first_seq,
            segments: Vec::with_capacity(found.len()),
            torn: None,
            lost: Vec::new(),
            records: 0,
            bytes: 0,
        };
        let mut window = Window::new();
        // Where reading goes on if the next segment is not to be found: the last segment read, and the offset behind its last record.
        let mut stop = (0, SEGMENT_HEADER_LEN as u64);
        let mut index = 0;
        loop {
            let continues =
                |segment: &Found| segment.header.as_ref().is_ok_and(|header| header.first_seq == end.next_seq);
            let rest = found.get(index..).unwrap_or_default();
            if let Some(next) = rest.iter().position(continues).map(|position| index + position)
                && let Some(segment) = found.get(next)
            {
                let offset = self.read_run(segment, SEGMENT_HEADER_LEN as u64, None, &mut window, &mut end, sink)?;
                stop = (next, offset);
                index = next + 1;
                continue;
            }
            if !self.cross_gap(&found, stop.0, stop.1, &mut window, &mut end, sink)? {
                return Ok(end);
            }
            index = index.max(stop.0 + 1);
            stop = (index, SEGMENT_HEADER_LEN as u64);
        }
    }

    fn open_segments(&self) -> Result<Vec<Found>> {
        let mut found = Vec::with_capacity(self.segments.len());
        for &number in self.segments {
            let segment = self.registry.get(number);
            let path = segment.path().to_owned();
            let file = segment.file()?;
            if self.preparation == Preparation::SyncAndDrop {
                file.sync_data().map_err(|error| Error::io("sync", &path, error))?;
                file.drop_cache().map_err(|error| Error::io("drop the cache of", &path, error))?;
            }
            let len = file.len().map_err(|error| Error::io("read the length of", &path, error))?;
            let header = read_header(&*file, &path, number);
            match header {
                Err(error @ (Error::Io { .. } | Error::NewerFormat { .. })) => return Err(error),
                // Left over from a compaction that was not finished.
                Ok(SegmentHeader { kind: SegmentKind::Values, .. }) => continue,
                _ => {}
            }
            found.push(Found { segment, file, len, header });
        }
        Ok(found)
    }

    /// Reads records from `offset` on while each continues the sequence; with `below`, only up to that sequence, and gaps are crossed.
    fn read_run(
        &self,
        found: &Found,
        offset: u64,
        below: Option<Seq>,
        window: &mut Window,
        end: &mut LogEnd,
        sink: &mut dyn FnMut(Replayed<'_>) -> Result<()>,
    ) -> Result<u64> {
        let Ok(segment_header) = &found.header else { return Ok(offset) };
        let mut at = offset;
        let mut counted_to = offset;
        let mut has_values = false;
        let mut gap_from = None;
        window.open(found);
        while at + RECORD_HEADER_LEN as u64 <= found.len {
            let step = match window.record(at, segment_header.incarnation)? {
                Some(header) if self.counts(&header, end.next_seq, below) && window.body_is_intact(at, &header)? => {
                    if let Some(offset) = gap_from.take().filter(|_| header.first_seq > end.next_seq) {
                        let last = Some(Seq::new(header.first_seq.get() - 1));
                        let segment = found.segment.number;
                        end.lost.push(LostLog { first: end.next_seq, last, segment, offset });
                    }
                    let data_offset = at + RECORD_HEADER_LEN as u64 + u64::from(header.meta_len);
                    sink(Replayed { segment: &found.segment, header, meta: &window.meta, data_offset })?;
                    end.next_seq = header.end_seq();
                    end.records += 1;
                    end.bytes += header.record_len();
                    has_values |= header.data_len > 0;
                    counted_to = at + header.record_len();
                    header.record_len()
                }
                _ if below.is_none() => break,
                _ => {
                    gap_from.get_or_insert(at);
                    window.next_tag(at + ALIGNMENT, segment_header.incarnation)? - at
                }
            };
            at += step;
        }
        let first_seq = segment_header.first_seq;
        match end.segments.last_mut().filter(|last| last.segment.number == found.segment.number) {
            Some(last) => {
                last.len = last.len.max(counted_to);
                last.has_values |= has_values;
            }
            None => end.segments.push(LogSegment {
                segment: Arc::clone(&found.segment),
                first_seq,
                len: counted_to,
                has_values,
            }),
        }
        Ok(at)
    }

    fn counts(&self, header: &RecordHeader, next: Seq, below: Option<Seq>) -> bool {
        match below {
            None => header.first_seq == next,
            Some(below) => header.first_seq >= next && header.end_seq() <= below,
        }
    }

    /// Judges an end of the log in segment `index` at `offset`. True if reading goes on with the following segment (salvage only).
    fn cross_gap(
        &self,
        found: &[Found],
        index: usize,
        offset: u64,
        window: &mut Window,
        end: &mut LogEnd,
        sink: &mut dyn FnMut(Replayed<'_>) -> Result<()>,
    ) -> Result<bool> {
        let Some(here) = found.get(index) else {
            // No segment is left at all.
            let last_read = end.next_seq.get().saturating_sub(1);
            if self.durable.get() <= last_read {
                return Ok(false);
            }
            if self.mode != RecoveryMode::Salvage {
                let what = format!(
                    "the log's segments are missing: it ends at operation {last_read}, but everything up to operation {} was acknowledged as durable",
                    self.durable
                );
                return Err(Error::corrupt(self.dir, 0, what));
            }
            end.lost.push(LostLog { first: end.next_seq, last: Some(self.durable), segment: 0, offset: 0 });
            end.next_seq = self.durable.plus(1);
            return Ok(false);
        };
        let evidence = self.evidence(found, index, offset, window)?;
        let promised = evidence.durable.max(self.durable);
        let number = here.segment.number;
        let last_read = end.next_seq.get().saturating_sub(1);
        if self.mode != RecoveryMode::Salvage {
            if promised.get() > last_read {
                let what = format!(
                    "the log breaks off after operation {last_read}, but everything up to operation {promised} was acknowledged as durable"
                );
                return Err(Error::corrupt(here.segment.path(), offset, what));
            }
            if evidence.remains {
                if self.mode == RecoveryMode::Strict {
                    let what = "the log ends in a torn record, which strict recovery refuses; mode `tail` drops it";
                    return Err(Error::corrupt(here.segment.path(), offset, what));
                }
                end.torn = Some((number, offset));
            }
            return Ok(false);
        }
        // Records behind the gap count as long as no later segment claims their sequence numbers.
        let following = found.get(index + 1..).unwrap_or_default();
        let next_first = following.iter().find_map(|later| later.header.as_ref().ok()).map(|header| header.first_seq);
        let before = end.next_seq;
        self.read_run(here, offset, Some(next_first.unwrap_or(Seq::MAX)), window, end, sink)?;
        match next_first {
            Some(first) if first > end.next_seq => {
                let last = Some(Seq::new(first.get() - 1));
                end.lost.push(LostLog { first: end.next_seq, last, segment: number, offset });
                end.next_seq = first;
            }
            None if end.next_seq == before && promised.get() > last_read => {
                end.lost.push(LostLog { first: end.next_seq, last: Some(promised), segment: number, offset });
                end.next_seq = promised.plus(1);
            }
            None if end.next_seq == before && evidence.remains => end.torn = Some((number, offset)),
            _ => {}
        }
        Ok(index + 1 < found.len())
    }

    /// What stands behind an end of the log: the greatest durable sequence claimed there, and whether a record was begun.
    fn evidence(&self, found: &[Found], index: usize, offset: u64, window: &mut Window) -> Result<Evidence> {
        let mut evidence = Evidence { durable: Seq::ZERO, remains: false };
        for (position, segment) in found.iter().enumerate().skip(index) {
            let Ok(header) = &segment.header else {
                evidence.remains |= segment.len > 0;
                continue;
            };
            if position > index {
                evidence.durable = evidence.durable.max(header.durable);
            }
            let mut at = if position == index { offset } else { SEGMENT_HEADER_LEN as u64 };
            window.open(segment);
            if position == index && window.begins_with_tag(at, header.incarnation)? {
                evidence.remains = true;
            }
            while at + RECORD_HEADER_LEN as u64 <= segment.len {
                match window.record(at, header.incarnation)? {
                    Some(record) => {
                        evidence.remains = true;
                        evidence.durable = evidence.durable.max(record.durable);
                        at += record.record_len();
                    }
                    None => at = window.next_tag(at + ALIGNMENT, header.incarnation)?,
                }
            }
        }
        Ok(evidence)
    }
}

struct Evidence {
    durable: Seq,
    remains: bool,
}

const WINDOW_LEN: usize = 256 << 10;
/// Values are checked in pieces of this many bytes, so that a large one needs no memory of its size.
const PIECE_LEN: usize = 64 << 10;

/// Reads a segment forward through one buffer.
struct Window {
    file: Option<(Arc<dyn File>, u64, std::path::PathBuf)>,
    buffer: Vec<u8>,
    /// File offset of the buffer's first byte.
    start: u64,
    /// The operations of the record that was checked last.
    meta: Vec<u8>,
}

impl Window {
    fn new() -> Self {
        Self { file: None, buffer: Vec::new(), start: 0, meta: Vec::new() }
    }

    fn open(&mut self, found: &Found) {
        self.file = Some((Arc::clone(&found.file), found.len, found.segment.path().to_owned()));
        self.buffer.clear();
        self.start = 0;
    }

    /// The bytes `offset..offset + len`, or `None` where the file ends before.
    fn bytes(&mut self, offset: u64, len: usize) -> Result<Option<&[u8]>> {
        let Some((file, file_len, path)) = &self.file else { return Ok(None) };
        if offset.checked_add(len as u64).is_none_or(|end| end > *file_len) {
            return Ok(None);
        }
        let held = offset >= self.start && offset + len as u64 <= self.start + self.buffer.len() as u64;
        if !held {
            let want = (len.max(WINDOW_LEN) as u64).min(file_len - offset) as usize;
            self.buffer.resize(want, 0);
            self.start = offset;
            if let Err(error) = file.read_exact_at(offset, &mut self.buffer) {
                self.buffer.clear();
                return Err(Error::io("read", path, error));
            }
        }
        let at = (offset - self.start) as usize;
        Ok(self.buffer.get(at..at + len))
    }

    fn begins_with_tag(&mut self, offset: u64, incarnation: u64) -> Result<bool> {
        Ok(self.bytes(offset, 4)?.is_some_and(|tag| tag == (incarnation as u32).to_le_bytes()))
    }

    /// The first multiple of 8 at or after `offset` where the incarnation's tag stands, or the end of the file.
    fn next_tag(&mut self, offset: u64, incarnation: u64) -> Result<u64> {
        let Some(file_len) = self.file.as_ref().map(|(_, len, _)| *len) else { return Ok(offset) };
        let tag = (incarnation as u32).to_le_bytes();
        let mut at = offset;
        while at < file_len {
            // What the window holds from here on, or a new window; its last bytes may be less than one step.
            let held = (self.start + self.buffer.len() as u64).checked_sub(at).filter(|_| at >= self.start);
            let len = held.filter(|&held| held >= ALIGNMENT).unwrap_or(WINDOW_LEN as u64).min(file_len - at);
            let Some(bytes) = self.bytes(at, len as usize)? else { return Ok(file_len) };
            let steps = bytes.chunks(ALIGNMENT as usize);
            if let Some(step) = steps.into_iter().position(|step| step.starts_with(&tag)) {
                return Ok(at + step as u64 * ALIGNMENT);
            }
            at += (len / ALIGNMENT).max(1) * ALIGNMENT;
        }
        Ok(file_len)
    }

    fn record(&mut self, offset: u64, incarnation: u64) -> Result<Option<RecordHeader>> {
        let Some(bytes) = self.bytes(offset, RECORD_HEADER_LEN)? else { return Ok(None) };
        Ok(bytes.first_chunk().and_then(|bytes| RecordHeader::decode(bytes, incarnation, offset)))
    }

    /// Checks the operations and every value; leaves the operations in `meta`.
    fn body_is_intact(&mut self, offset: u64, header: &RecordHeader) -> Result<bool> {
        let meta_offset = offset + RECORD_HEADER_LEN as u64;
        let mut meta = std::mem::take(&mut self.meta);
        meta.clear();
        let Some(bytes) = self.bytes(meta_offset, header.meta_len as usize)? else { return Ok(false) };
        meta.extend_from_slice(bytes);
        let intact = check_meta(header, &meta) && self.values_are_intact(&meta, meta_offset + meta.len() as u64)?;
        self.meta = meta;
        Ok(intact)
    }

    fn values_are_intact(&mut self, meta: &[u8], data_offset: u64) -> Result<bool> {
        let mut at = data_offset;
        for op in OpReader::new(meta) {
            let Action::PutSeparated { len, crc } = op.action else { continue };
            let end = at + u64::from(len);
            let mut sum = 0;
            while at < end {
                let piece = (end - at).min(PIECE_LEN as u64);
                let Some(bytes) = self.bytes(at, piece as usize)? else { return Ok(false) };
                sum = crc32c::crc32c_append(sum, bytes);
                at += piece;
            }
            if sum != crc {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
