//! Appends records to the newest segment. One thread at a time: that is the caller's lock. Syncs are the business of `commit`.

use std::path::Path;
use std::sync::Arc;

use vfs::{File, OpenMode};

use super::format::{RecordHeader, SEGMENT_HEADER_LEN, SegmentHeader};
use super::segments::{LogFiles, SegmentFile, is_blank};
use crate::error::{Error, Result};
use crate::id::TxnId;
use crate::store::LogPosition;

/// Durable commits of at most this many bytes are written into space that was filled with zeros before: a sync of blocks that were
/// already written need not wait for the filesystem's own journal.
const SMALL_COMMIT_LEN: u64 = 16 << 10;
/// How far ahead zeros are written, in bytes.
const ZERO_AHEAD_LEN: u64 = 256 << 10;
/// Space reserved ahead for larger commits: as much as the segment holds already, within these bounds in bytes.
const RESERVE_LEN_MIN: u64 = 256 << 10;
const RESERVE_LEN_MAX: u64 = 8 << 20;
/// The buffer is given back when it has grown beyond this.
const BUFFER_LEN_MAX: usize = 1 << 20;
/// A commit of at least this many bytes is on its way to the disk while the caller does the rest.
const WRITEBACK_LEN_MIN: u64 = 32 << 10;

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

#[derive(Debug)]
pub(crate) struct LogWriter {
    files: LogFiles,
    header: SegmentHeader,
    file: Arc<dyn File>,
    offset: u64,
    /// Blocks before this were written once, so that overwriting them is cheap to sync.
    written_to: u64,
    /// Space before this is reserved.
    reserved_to: u64,
    buffer: Vec<u8>,
}

/// Why nothing was appended.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// All is as it was.
    Refused(Error),
    /// All is as it was once the file is synced. Nothing must be appended before that: a part of the record was there.
    Cut(Error),
    /// Bytes of the record may stay: nothing more must be appended.
    Broken(Error),
}

impl LogWriter {
    /// Begins the first segment, durable with its name before this returns.
    pub(crate) fn create(files: LogFiles, header: SegmentHeader) -> Result<Self> {
        let file = write_segment(&files, files.active(), &header)?;
        files.sync_dir()?;
        Ok(Self::empty(files, header, file))
    }

    fn empty(files: LogFiles, header: SegmentHeader, file: Arc<dyn File>) -> Self {
        let offset = SEGMENT_HEADER_LEN as u64;
        Self { files, header, file, offset, written_to: offset, reserved_to: offset, buffer: Vec::new() }
    }

    /// Goes on at the end of a segment, if there is nothing behind it that a later walk could take for a record. `None` if there is.
    pub(crate) fn resume(files: &LogFiles, segment: &SegmentFile, offset: u64) -> Result<Option<Self>> {
        if segment.path != files.active() || !is_blank(&*segment.file, &segment.path, offset)? {
            return Ok(None);
        }
        let len = segment.file.len().map_err(|error| Error::io("measure", &segment.path, error))?;
        Ok(Some(Self {
            files: files.clone(),
            header: segment.header,
            file: Arc::clone(&segment.file),
            offset,
            written_to: offset,
            reserved_to: len.max(offset),
            buffer: Vec::new(),
        }))
    }

    pub(crate) fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        self.files.active()
    }

    /// Where the next record begins.
    pub(crate) fn position(&self) -> LogPosition {
        LogPosition { segment: self.header.number, offset: self.offset }
    }

    /// Appends a record. It is in the file, and not synced.
    pub(crate) fn append(
        &mut self,
        record: &RecordHeader,
        payload: &[u8],
        durable_soon: bool,
    ) -> Result<(), AppendError> {
        self.buffer.clear();
        record.encode(self.header.incarnation, self.offset, payload, &mut self.buffer);
        let len = self.buffer.len() as u64;
        let end = self.offset + len;
        let room = if durable_soon && len <= SMALL_COMMIT_LEN { self.zero_ahead(end) } else { self.reserve(end) };
        room.map_err(AppendError::Refused)?;
        if let Err(error) = self.file.write_at(self.offset, &self.buffer) {
            let error = Error::io("write", self.path(), error);
            return Err(self.wipe(error));
        }
        if len >= WRITEBACK_LEN_MIN && durable_soon {
            self.file.start_writeback(self.offset, len);
        }
        self.offset = end;
        self.written_to = self.written_to.max(end);
        self.reserved_to = self.reserved_to.max(end);
        if self.buffer.capacity() > BUFFER_LEN_MAX {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// A part of a record may be in the file, under a number that will be given out again. It is cut off; the sync that makes this durable
    /// is the group's, which lets no two syncs of the log overlap.
    fn wipe(&mut self, error: Error) -> AppendError {
        let cut = self.file.set_len(self.offset);
        self.written_to = self.offset;
        self.reserved_to = self.offset;
        match cut {
            Ok(()) => AppendError::Cut(error),
            Err(_also) => AppendError::Broken(error),
        }
    }

    fn zero_ahead(&mut self, end: u64) -> Result<()> {
        while self.written_to < end {
            let target = (self.written_to.max(self.offset) + ZERO_AHEAD_LEN).max(end);
            let mut at = self.written_to.max(self.offset);
            while at < target {
                let len = (target - at).min(ZEROS.len() as u64);
                let zeros = ZEROS.get(..len as usize).unwrap_or(&ZEROS);
                self.file.write_at(at, zeros).map_err(|error| Error::io("extend", self.path(), error))?;
                at += len;
            }
            self.written_to = target;
            self.reserved_to = self.reserved_to.max(target);
        }
        Ok(())
    }

    fn reserve(&mut self, end: u64) -> Result<()> {
        if end <= self.reserved_to {
            return Ok(());
        }
        let ahead = self.offset.clamp(RESERVE_LEN_MIN, RESERVE_LEN_MAX);
        let from = self.reserved_to;
        let reserved = self.file.allocate(from, end + ahead - from);
        // Where there is no room for more than the record, the record may still fit.
        let reserved = reserved.map(|()| end + ahead).or_else(|_| self.file.allocate(from, end - from).map(|()| end));
        self.reserved_to = reserved.map_err(|error| Error::io("extend", self.path(), error))?;
        Ok(())
    }

    /// Closes the segment, all of which is synced, and begins the next. `Refused`: the segment is still open.
    pub(crate) fn rotate(&mut self, incarnation: u64, first: TxnId) -> Result<(), AppendError> {
        let header = SegmentHeader {
            number: self.header.number + 1,
            incarnation,
            first,
            durable: TxnId(first.0.saturating_sub(1)),
            identity: self.header.identity,
        };
        *self = Self::replace_active(&self.files, self.header.number, header)?;
        Ok(())
    }

    /// Gives the file `DB.log` the name of a complete segment and begins another. Each name is durable before the next: a new file under
    /// the old name must not be found beside a log that lacks its end.
    pub(crate) fn replace_active(files: &LogFiles, number: u64, header: SegmentHeader) -> Result<Self, AppendError> {
        let (new, active, sealed) = (files.unnamed(), files.active(), files.sealed(number));
        let file = write_segment(files, &new, &header).map_err(AppendError::Refused)?;
        let vfs = files.vfs();
        vfs.rename(active, &sealed).map_err(|error| AppendError::Refused(Error::io("rename", active, error)))?;
        let finish = || {
            files.sync_dir()?;
            vfs.rename(&new, active).map_err(|error| Error::io("rename", &new, error))?;
            files.sync_dir()
        };
        finish().map_err(AppendError::Broken)?;
        Ok(Self::empty(files.clone(), header, file))
    }
}

/// Writes a segment without records, synced, its name not.
fn write_segment(files: &LogFiles, path: &Path, header: &SegmentHeader) -> Result<Arc<dyn File>> {
    let io = |action: &'static str| move |error| Error::io(action, path, error);
    let file = files.vfs().open(path, OpenMode::OpenOrCreate).map_err(io("create"))?;
    file.set_len(0).map_err(io("truncate"))?;
    file.write_at(0, &header.encode()).map_err(io("write"))?;
    file.sync_data().map_err(|error| Error::sync(path, error))?;
    Ok(file)
}
