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
use crate::checksum::{Site, is_same};
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
    header: FoundHeader,
}

enum FoundHeader {
    Intact(SegmentHeader),
    /// It never reached the disk, and so no sync of the segment has returned: nothing in it was promised.
    Unwritten,
    /// It was written and is no longer what was written.
    Damaged(Error),
}

impl Found {
    const fn intact(&self) -> Option<&SegmentHeader> {
        match &self.header {
            FoundHeader::Intact(header) => Some(header),
            FoundHeader::Unwritten | FoundHeader::Damaged(_) => None,
        }
    }
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
        // Behind the last record read: the index of its segment, and an offset in it.
        let mut stop = (0, SEGMENT_HEADER_LEN as u64);
        let mut index = 0;
        loop {
            let continues = |segment: &Found| segment.intact().is_some_and(|header| header.first_seq == end.next_seq);
            let rest = found.get(index..).unwrap_or_default();
            let next = match rest.iter().position(continues) {
                Some(position) => (index + position, SEGMENT_HEADER_LEN as u64),
                None => match self.judge_end(&found, stop, &mut window, &mut end)? {
                    Some(behind_gap) => behind_gap,
                    None => return Ok(end),
                },
            };
            let Some(segment) = found.get(next.0) else { return Ok(end) };
            stop = (next.0, self.read_run(segment, next.1, &mut window, &mut end, sink)?);
            index = next.0 + 1;
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
            let header = match read_header(&*file, &path, number) {
                // Left over from a compaction that was not finished.
                Ok(SegmentHeader { kind: SegmentKind::Values, .. }) => continue,
                Ok(header) => FoundHeader::Intact(header),
                Err(error @ Error::Corrupt { .. }) if header_was_written(&*file, &path, number)? => {
                    FoundHeader::Damaged(error)
                }
                Err(Error::Corrupt { .. }) => FoundHeader::Unwritten,
                Err(error) => return Err(error),
            };
            found.push(Found { segment, file, len, header });
        }
        Ok(found)
    }

    /// Reads records from `offset` on while each continues the sequence. Returns where it stopped.
    fn read_run(
        &self,
        found: &Found,
        offset: u64,
        window: &mut Window,
        end: &mut LogEnd,
        sink: &mut dyn FnMut(Replayed<'_>) -> Result<()>,
    ) -> Result<u64> {
        let Some(segment_header) = found.intact() else { return Ok(offset) };
        let mut at = offset;
        let mut has_values = false;
        window.open(found);
        while let Some(header) = window.record(at, segment_header.incarnation)? {
            if header.first_seq != end.next_seq || !window.body_is_intact(at, &header)? {
                break;
            }
            let data_offset = at + RECORD_HEADER_LEN as u64 + u64::from(header.meta_len);
            sink(Replayed { segment: &found.segment, header, meta: &window.meta, data_offset })?;
            end.next_seq = header.end_seq();
            end.records += 1;
            end.bytes += header.record_len();
            has_values |= header.data_len > 0;
            at += header.record_len();
        }
        let first_seq = segment_header.first_seq;
        if let Some(last) = end.segments.last_mut().filter(|last| last.segment.number == found.segment.number) {
            last.len = last.len.max(at);
            last.has_values |= has_values;
        } else {
            let segment = Arc::clone(&found.segment);
            end.segments.push(LogSegment { segment, first_seq, len: at, has_values, has_small_syncs: false });
        }
        Ok(at)
    }

    /// Judges an end of the log at `stop`. Returns where reading goes on behind damage (salvage only): segment and offset.
    fn judge_end(
        &self,
        found: &[Found],
        stop: (usize, u64),
        window: &mut Window,
        end: &mut LogEnd,
    ) -> Result<Option<(usize, u64)>> {
        let (index, offset) = stop;
        let evidence = self.evidence(found, index, offset, window)?;
        let promised = evidence.durable.max(self.durable);
        let last_read = end.next_seq.get().saturating_sub(1);
        let number = found.get(index).map_or(0, |here| here.segment.number);
        if promised.get() <= last_read && evidence.damaged.is_none() {
            if evidence.remains {
                if self.mode == RecoveryMode::Strict {
                    let what = "the log ends in a torn record, which strict recovery refuses; mode `tail` drops it";
                    return Err(Error::corrupt(
                        found.get(index).map_or(self.dir, |here| here.segment.path()),
                        offset,
                        what,
                    ));
                }
                end.torn = Some((number, offset));
            }
            return Ok(None);
        }
        if self.mode != RecoveryMode::Salvage {
            return Err(match (found.get(index), evidence.damaged) {
                (_, Some(error)) => error,
                (Some(here), None) => {
                    let what = format!(
                        "the log breaks off after operation {last_read}, but everything up to operation {promised} was acknowledged as durable"
                    );
                    Error::corrupt(here.segment.path(), offset, what)
                }
                (None, None) => {
                    let what = format!(
                        "the log's segments are missing: it ends at operation {last_read}, but everything up to operation {promised} was acknowledged as durable"
                    );
                    Error::corrupt(self.dir, 0, what)
                }
            });
        }
        let behind = self.next_intact(found, stop, end.next_seq, window)?;
        let last = match &behind {
            Some((_, first)) => Some(Seq::new(first.get() - 1)),
            None => Some(promised).filter(|promised| promised.get() > last_read),
        };
        end.lost.push(LostLog { first: end.next_seq, last, segment: number, offset });
        end.next_seq = last.map_or(end.next_seq, |last| last.plus(1));
        Ok(behind.map(|(place, _)| place))
    }

    /// The first intact record behind `stop` that continues the log after a gap: its place and its first sequence.
    fn next_intact(
        &self,
        found: &[Found],
        stop: (usize, u64),
        next: Seq,
        window: &mut Window,
    ) -> Result<Option<((usize, u64), Seq)>> {
        for (index, segment) in found.iter().enumerate().skip(stop.0) {
            let Some(segment_header) = segment.intact() else { continue };
            // What a later segment claims is its own: records here with those numbers are a tail that was dropped before.
            let following = found.get(index + 1..).unwrap_or_default();
            let below = following.iter().find_map(Found::intact).map_or(Seq::MAX, |header| header.first_seq);
            let mut at = if index == stop.0 { stop.1 } else { SEGMENT_HEADER_LEN as u64 };
            window.open(segment);
            while at + RECORD_HEADER_LEN as u64 <= segment.len {
                if let Some(header) = window.record(at, segment_header.incarnation)?
                    && header.first_seq >= next.max(segment_header.first_seq)
                    && header.end_seq() <= below
                    && window.body_is_intact(at, &header)?
                {
                    return Ok(Some(((index, at), header.first_seq)));
                }
                at = window.next_tag(at + ALIGNMENT, segment_header.incarnation)?;
            }
        }
        Ok(None)
    }

    /// What stands behind an end of the log: the greatest durable sequence claimed there, whether a record was begun, and damage that
    /// hides what it was.
    fn evidence(&self, found: &[Found], index: usize, offset: u64, window: &mut Window) -> Result<Evidence> {
        let mut evidence = Evidence { durable: Seq::ZERO, remains: false, damaged: None };
        for (position, segment) in found.iter().enumerate().skip(index) {
            let header = match &segment.header {
                FoundHeader::Intact(header) => header,
                FoundHeader::Unwritten => {
                    evidence.remains |= segment.len > 0;
                    continue;
                }
                FoundHeader::Damaged(error) => {
                    evidence.damaged.get_or_insert_with(|| error.clone());
                    continue;
                }
            };
            evidence.durable = evidence.durable.max(header.durable);
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
    damaged: Option<Error>,
}

/// Tells a header that is damaged from one that a crash kept from being written. It lies within one sector, so a crash leaves
/// all of it or what was there before: nothing, zeros, or the header of the segment that the file was before it was recycled.
fn header_was_written(file: &dyn File, path: &Path, number: u64) -> Result<bool> {
    let mut bytes = [0; SEGMENT_HEADER_LEN];
    match file.read_exact_at(0, &mut bytes) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
        Err(error) => return Err(Error::io("read", path, error)),
    }
    let recycled = SegmentHeader::decode(&bytes).is_ok_and(|header| header.number < number);
    Ok(!recycled && bytes.iter().any(|&byte| byte != 0))
}

const WINDOW_LEN: usize = 256 << 10;
/// What the disk is told to read behind a window.
const PREFETCH_LEN: u64 = 1 << 20;
/// Values are checked in pieces of this many bytes, so that a large one needs no memory of its size.
const PIECE_LEN: usize = 64 << 10;

/// Reads a segment forward through one buffer.
pub(super) struct Window {
    file: Option<(Arc<dyn File>, u64, std::path::PathBuf)>,
    buffer: Vec<u8>,
    /// File offset of the buffer's first byte.
    start: u64,
    /// The operations of the record that was checked last.
    meta: Vec<u8>,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { file: None, buffer: Vec::new(), start: 0, meta: Vec::new() }
    }

    fn open(&mut self, found: &Found) {
        self.over(Arc::clone(&found.file), found.len, found.segment.path());
    }

    /// Begins to read the first `len` bytes of `file`.
    pub(super) fn over(&mut self, file: Arc<dyn File>, len: u64, path: &Path) {
        self.file = Some((file, len, path.to_owned()));
        self.buffer.clear();
        self.start = 0;
    }

    /// The operations of the record that was checked last.
    pub(super) fn operations(&self) -> &[u8] {
        &self.meta
    }

    /// The bytes `offset..offset + len`, or `None` where the file ends before.
    pub(super) fn bytes(&mut self, offset: u64, len: usize) -> Result<Option<&[u8]>> {
        let Some((file, file_len, path)) = &self.file else { return Ok(None) };
        if offset.checked_add(len as u64).is_none_or(|end| end > *file_len) {
            return Ok(None);
        }
        let held = offset >= self.start && offset + len as u64 <= self.start + self.buffer.len() as u64;
        if !held {
            let want = (len.max(WINDOW_LEN) as u64).min(file_len - offset) as usize;
            // Who goes on where the window ends, or shortly before in a record that it cuts, reads the log as a whole: the disk works ahead.
            let end = self.start + self.buffer.len() as u64;
            if offset <= end && offset + WINDOW_LEN as u64 > end {
                file.prefetch(offset + want as u64, PREFETCH_LEN);
            }
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

    pub(super) fn record(&mut self, offset: u64, incarnation: u64) -> Result<Option<RecordHeader>> {
        let Some(bytes) = self.bytes(offset, RECORD_HEADER_LEN)? else { return Ok(None) };
        Ok(bytes.first_chunk().and_then(|bytes| RecordHeader::decode(bytes, incarnation, offset)))
    }

    /// Checks the operations and every value; leaves the operations in `meta`.
    pub(super) fn body_is_intact(&mut self, offset: u64, header: &RecordHeader) -> Result<bool> {
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
                sum = crate::checksum::crc32c_append(sum, bytes);
                at += piece;
            }
            if !is_same(Site::ReplayedValue, sum, crc) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
