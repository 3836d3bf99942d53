//! Appends batches to the newest segment and syncs what was appended, oldest segment first.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use vfs::{File, OpenMode};

use super::format::{
    ALIGNMENT, MAX_META_LEN, RECORD_HEADER_LEN, RecordHeader, SEGMENT_HEADER_LEN, SegmentHeader, SegmentKind,
};
use super::segment::{Segment, SegmentRegistry};
use crate::error::{Error, Result};
use crate::key::Seq;

/// Commits of at most this many bytes are written into space that was filled with zeros before: a sync of blocks that were
/// already written need not wait for the filesystem's own journal.
const SMALL_COMMIT_LEN: u64 = 16 << 10;
/// How far ahead zeros are written, in bytes.
const ZERO_AHEAD_LEN: u64 = 256 << 10;
/// Space reserved ahead for larger commits: as much as the segment holds already, within these bounds in bytes.
const RESERVE_LEN_MIN: u64 = 256 << 10;
const RESERVE_LEN_MAX: u64 = 8 << 20;
/// A value area of at least this many bytes is written from where it stands instead of through the buffer.
const DIRECT_LEN_MIN: usize = 32 << 10;
/// The buffer is given back when it has grown beyond this.
const BUFFER_LEN_MAX: usize = 256 << 10;
/// A commit of at least this many bytes is on its way to the disk while it is put into the memtables.
const WRITEBACK_LEN_MIN: u64 = 32 << 10;
/// Segments kept for another use.
const RECYCLED_MAX: usize = 2;

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The bytes of one batch, as they go into one record.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct RecordBody {
    /// Encoded operations.
    pub(crate) meta: Vec<u8>,
    /// Separated values, one after the other.
    pub(crate) data: Vec<u8>,
    pub(crate) op_count: u32,
}

/// Files of segments that may be written over, as paths under their old numbers.
#[derive(Debug, Default)]
pub(crate) struct Recycler {
    files: Mutex<Vec<PathBuf>>,
    /// How many want no file to be written over now.
    refusals: AtomicUsize,
}

/// While it is there, no file is taken over.
#[derive(Debug)]
pub(crate) struct Refusal<'a>(&'a Recycler);

impl Drop for Refusal<'_> {
    fn drop(&mut self) {
        self.0.refusals.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Recycler {
    /// Takes over no file until the answer is dropped.
    pub(crate) fn refuse(&self) -> Refusal<'_> {
        self.refusals.fetch_add(1, Ordering::AcqRel);
        Refusal(self)
    }

    /// Takes over a file that nobody needs. Gives it back if there are enough.
    pub(crate) fn offer(&self, path: PathBuf) -> Option<PathBuf> {
        let mut files = self.files.lock();
        if files.len() >= RECYCLED_MAX || self.refusals.load(Ordering::Acquire) > 0 {
            return Some(path);
        }
        files.push(path);
        None
    }

    fn take(&self) -> Option<PathBuf> {
        self.files.lock().pop()
    }

    /// Lets go of everything, for removal.
    pub(crate) fn drain(&self) -> Vec<PathBuf> {
        std::mem::take(&mut *self.files.lock())
    }
}

/// What the log knows of a segment that is still needed for recovery.
#[derive(Debug, Clone)]
pub(crate) struct LogSegment {
    pub(crate) segment: Arc<Segment>,
    pub(crate) first_seq: Seq,
    /// Where the next record would begin.
    pub(crate) len: u64,
    pub(crate) has_values: bool,
    /// Small durable commits went into it: written over, its file saves the next ones the zeros.
    pub(crate) has_small_syncs: bool,
}

#[derive(Debug)]
struct Active {
    info: LogSegment,
    file: Arc<dyn File>,
    incarnation: u64,
    /// Blocks before this were written once, so that overwriting them is cheap to sync.
    written_to: u64,
    /// Space before this is reserved.
    reserved_to: u64,
}

/// The end of the log. One thread at a time appends; that is the caller's lock.
#[derive(Debug)]
pub(crate) struct LogWriter {
    segments: Arc<SegmentRegistry>,
    recycler: Arc<Recycler>,
    segment_len: u64,
    /// A segment without values is closed at this length already, so that the log that a recovery reads is no longer than it must be.
    plain_segment_len: u64,
    active: Option<Active>,
    /// The active segment's end is unknown after a failed write: nothing more goes into it.
    broken: bool,
    /// Closed segments with bytes that no sync has covered yet, oldest first.
    unsynced: Vec<(PathBuf, Arc<dyn File>)>,
    /// The active segment has bytes that no sync has covered yet.
    dirty: bool,
    buffer: Vec<u8>,
}

/// Where an appended batch stands.
#[derive(Debug, Clone)]
pub(crate) struct Appended {
    pub(crate) segment: Arc<Segment>,
    /// Offset of the value area in the file.
    pub(crate) data_offset: u64,
}

impl LogWriter {
    pub(crate) fn new(
        segments: &Arc<SegmentRegistry>,
        recycler: &Arc<Recycler>,
        segment_len: u64,
        plain_segment_len: u64,
    ) -> Self {
        Self {
            segments: Arc::clone(segments),
            recycler: Arc::clone(recycler),
            segment_len,
            plain_segment_len,
            active: None,
            broken: false,
            unsynced: Vec::new(),
            dirty: false,
            buffer: Vec::new(),
        }
    }

    /// True if the next append needs [`LogWriter::begin_segment`] first.
    pub(crate) fn needs_segment(&self) -> bool {
        let Some(active) = &self.active else { return true };
        let full = if active.info.has_values { self.segment_len } else { self.plain_segment_len.min(self.segment_len) };
        self.broken || active.info.len >= full
    }

    /// The segment that is being written, as far as it got.
    pub(crate) fn active(&self) -> Option<&LogSegment> {
        self.active.as_ref().map(|active| &active.info)
    }

    /// Closes the active segment, and hands out what there is to know of it.
    pub(crate) fn close_segment(&mut self) -> Option<LogSegment> {
        let active = self.active.take()?;
        self.broken = false;
        if std::mem::take(&mut self.dirty) {
            self.unsynced.push((active.info.segment.path().to_owned(), active.file));
        }
        Some(active.info)
    }

    /// Begins segment `number`. The active one must have been closed before.
    ///
    /// The new name is durable when this returns; the header becomes durable with the first sync.
    pub(crate) fn begin_segment(&mut self, number: u64, first_seq: Seq, durable: Seq) -> Result<()> {
        debug_assert!(self.active.is_none(), "the active segment is still open");
        let segment = self.segments.get(number);
        let path = segment.path().to_owned();
        let (file, written_to) = self.create_file(&path)?;
        let vfs = self.segments.vfs();
        let incarnation = vfs.random_u64();
        let header = SegmentHeader { kind: SegmentKind::Log, number, incarnation, first_seq, durable, value_bytes: 0 };
        if let Err(error) = file.write_at(0, &header.encode()) {
            // Half a header would be taken for damage.
            super::segment::remove_obsolete(&**vfs, &path);
            return Err(Error::io("write", &path, error));
        }
        let dir = self.segments.dir();
        vfs.sync_dir(dir).map_err(|error| Error::sync(dir, error))?;
        segment.adopt(Arc::clone(&file));
        let len = SEGMENT_HEADER_LEN as u64;
        let info = LogSegment { segment, first_seq, len, has_values: false, has_small_syncs: false };
        self.active = Some(Active { info, file, incarnation, written_to, reserved_to: written_to });
        self.dirty = true;
        Ok(())
    }

    /// A file to write to, and up to where its blocks were written before.
    fn create_file(&self, path: &Path) -> Result<(Arc<dyn File>, u64)> {
        let vfs = self.segments.vfs();
        while let Some(old) = self.recycler.take() {
            // Another name may have been given to the file (by a checkpoint): its bytes are not ours to overwrite then.
            let own = vfs.metadata(&old).is_ok_and(|metadata| metadata.links == 1);
            if own && vfs.rename(&old, path).is_ok() {
                let file = self.open(path, OpenMode::ReadWrite)?;
                let len = file.len().map_err(|error| Error::io("read the length of", path, error))?;
                return Ok((file, len));
            }
            super::segment::remove_obsolete(&**vfs, &old);
        }
        // A failed attempt at the same number may have left a file behind.
        Ok((self.open(path, OpenMode::OpenOrCreate)?, 0))
    }

    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        self.segments.vfs().open(path, mode).map_err(|error| Error::io("create", path, error))
    }

    /// Appends each batch as one record, the first with sequence `first_seq`. Nothing is synced.
    ///
    /// After an error nothing of the batches counts as written. [`Error::Poisoned`] means that this could not be made certain.
    /// With `sync_follows` the disk is told to begin with a large commit at once.
    pub(crate) fn append<'a>(
        &mut self,
        batches: impl Iterator<Item = &'a RecordBody> + Clone,
        first_seq: Seq,
        durable: Seq,
        sync_follows: bool,
        appended: &mut Vec<Appended>,
    ) -> Result<()> {
        let Some(active) = self.active.as_mut() else {
            return Err(Error::corrupt(self.segments.dir(), 0, "no segment is open for writing"));
        };
        let segment = Arc::clone(&active.info.segment);
        let path = segment.path();
        let start = active.info.len;
        let total: u64 = batches.clone().map(|batch| header_of(batch, first_seq, durable).record_len()).sum();
        reserve(active, path, start + total, total, self.segment_len, sync_follows)?;
        let written = write_batches(active, batches, first_seq, durable, &mut self.buffer, appended);
        if self.buffer.capacity() > BUFFER_LEN_MAX {
            self.buffer = Vec::new();
        }
        self.dirty = true;
        let Err(error) = written else {
            if sync_follows && total >= WRITEBACK_LEN_MIN {
                active.file.start_writeback(start, total);
            }
            active.info.len = start + total;
            active.written_to = active.written_to.max(active.info.len);
            active.info.has_values |= appended.iter().any(|batch| batch.data_offset != 0);
            return Ok(());
        };
        appended.clear();
        self.broken = true;
        // Part of the records may stand in the file, even whole ones. The first header is wiped, durably, before anything else is
        // acknowledged; the rest can then not be reached, because the sequence numbers go on in another segment.
        let wiped = active
            .file
            .write_at(start, ZEROS.get(..RECORD_HEADER_LEN).unwrap_or_default())
            .and_then(|()| active.file.sync_data());
        let error = Error::io("write", path, error);
        match wiped {
            Ok(()) => Err(error),
            Err(_) => Err(Error::Poisoned { cause: error.to_string().into() }),
        }
    }

    /// Syncs everything that was appended, oldest segment first.
    ///
    /// # Errors
    /// After an error nothing more may be acknowledged through this writer.
    pub(crate) fn sync(&mut self) -> Result<()> {
        for (path, file) in self.unsynced.drain(..) {
            file.sync_data().map_err(|error| Error::sync(&path, error))?;
        }
        if self.dirty
            && let Some(active) = &self.active
        {
            active.file.sync_data().map_err(|error| Error::sync(active.info.segment.path(), error))?;
        }
        self.dirty = false;
        Ok(())
    }
}

fn header_of(batch: &RecordBody, first_seq: Seq, durable: Seq) -> RecordHeader {
    RecordHeader {
        first_seq,
        durable,
        op_count: batch.op_count,
        meta_len: u32::try_from(batch.meta.len()).unwrap_or(u32::MAX),
        meta_crc: 0,
        data_len: batch.data.len() as u64,
    }
}

/// Makes sure that there is room up to `end`, in the way that syncs fastest for commits of `total` bytes if a sync follows.
fn reserve(active: &mut Active, path: &Path, end: u64, total: u64, segment_len: u64, sync_follows: bool) -> Result<()> {
    let into_zeros = sync_follows && total <= SMALL_COMMIT_LEN && !active.info.has_values;
    active.info.has_small_syncs |= into_zeros;
    if end <= active.written_to || (!into_zeros && end <= active.reserved_to) {
        return Ok(());
    }
    let no_room = |error| Error::io("write", path, error);
    if into_zeros {
        let target = end.next_multiple_of(ZERO_AHEAD_LEN).min(segment_len.max(end));
        let mut at = active.written_to.max(active.info.len);
        while at < target {
            let count = (target - at).min(ZEROS.len() as u64);
            active.file.write_at(at, ZEROS.get(..count as usize).unwrap_or(&ZEROS)).map_err(no_room)?;
            at += count;
        }
        active.written_to = target;
        active.reserved_to = active.reserved_to.max(target);
    } else {
        let ahead = active.info.len.clamp(RESERVE_LEN_MIN, RESERVE_LEN_MAX);
        let target = (end + ahead).min(segment_len).max(end);
        active.file.allocate(active.reserved_to, target - active.reserved_to).map_err(no_room)?;
        active.reserved_to = target;
    }
    Ok(())
}

fn write_batches<'a>(
    active: &Active,
    batches: impl Iterator<Item = &'a RecordBody>,
    mut seq: Seq,
    durable: Seq,
    buffer: &mut Vec<u8>,
    appended: &mut Vec<Appended>,
) -> std::io::Result<()> {
    buffer.clear();
    let mut buffer_offset = active.info.len;
    let mut offset = active.info.len;
    for batch in batches {
        debug_assert!(batch.meta.len() <= MAX_META_LEN);
        let mut header = header_of(batch, seq, durable);
        header.meta_crc = crate::checksum::crc32c(&batch.meta);
        let data_offset = offset + RECORD_HEADER_LEN as u64 + batch.meta.len() as u64;
        buffer.extend_from_slice(&header.encode(active.incarnation, offset));
        buffer.extend_from_slice(&batch.meta);
        if batch.data.len() >= DIRECT_LEN_MIN {
            active.file.write_at(buffer_offset, buffer)?;
            active.file.write_at(data_offset, &batch.data)?;
            buffer.clear();
            // What stands in the padding does not matter: nobody reads it.
            buffer_offset = offset + header.record_len();
        } else {
            buffer.extend_from_slice(&batch.data);
            let padding = header.record_len() - header.body_len();
            debug_assert!(padding < ALIGNMENT);
            buffer.extend_from_slice(ZEROS.get(..padding as usize).unwrap_or_default());
        }
        appended.push(Appended {
            segment: Arc::clone(&active.info.segment),
            data_offset: if batch.data.is_empty() { 0 } else { data_offset },
        });
        offset += header.record_len();
        seq = header.end_seq();
    }
    if !buffer.is_empty() {
        active.file.write_at(buffer_offset, buffer)?;
    }
    Ok(())
}
