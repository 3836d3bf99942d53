//! Values segments: written by bulk loads, and by compactions that move values out of segments that hold little else of use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vfs::{File, OpenMode};

use crate::db::DbCore;
use crate::error::{Error, Result};
use crate::key::Seq;
use crate::log::format::{Action, Op, RECORD_HEADER_LEN, RecordHeader, SEGMENT_HEADER_LEN, SegmentHeader, SegmentKind};
use crate::log::pointer::ValuePointer;
use crate::log::segment::{Segment, remove_obsolete};

/// Bytes that are collected before they are written.
const BUFFER_LEN: usize = 256 << 10;

struct Writer {
    segment: Arc<Segment>,
    file: Arc<dyn File>,
    header: SegmentHeader,
    /// File offset behind what was written.
    written: u64,
    buffer: Vec<u8>,
}

/// Writes values into segments of their own. Segments that were not finished are removed.
pub(crate) struct ValueWriter<'a> {
    db: &'a DbCore,
    current: Option<Writer>,
    done: MovedSegments,
    meta: Vec<u8>,
    finished: bool,
}

/// Segments that were written, with their lengths.
pub(crate) type MovedSegments = BTreeMap<u64, (Arc<Segment>, u64)>;

impl<'a> ValueWriter<'a> {
    pub(crate) const fn new(db: &'a DbCore) -> Self {
        Self { db, current: None, done: BTreeMap::new(), meta: Vec::new(), finished: false }
    }

    /// Writes the value of `key`, whose checksum is `crc`, and returns its place.
    pub(crate) fn append(&mut self, keyspace: u32, key: &[u8], value: &[u8], crc: u32) -> Result<ValuePointer> {
        if self.current.as_ref().is_some_and(|current| current.len() >= self.db.options.segment_len) {
            self.close()?;
        }
        let mut writer = match self.current.take() {
            Some(writer) => writer,
            None => self.begin()?,
        };
        self.meta.clear();
        let action = Action::PutSeparated { len: u32::try_from(value.len()).unwrap_or(u32::MAX), crc };
        Op { keyspace, key, action }.encode(&mut self.meta);
        let appended = writer.append(&self.meta, value, crc);
        self.current = Some(writer);
        appended
    }

    fn begin(&self) -> Result<Writer> {
        let number = self.db.take_file_number();
        let segment = self.db.segments.get(number);
        let path = segment.path();
        let vfs = &self.db.context.vfs;
        let file = vfs.open(path, OpenMode::CreateNew).map_err(|error| Error::io("create", path, error))?;
        let incarnation = vfs.random_u64();
        let kind = SegmentKind::Values;
        let (first_seq, durable) = (Seq::ZERO, Seq::ZERO);
        let header = SegmentHeader { kind, number, incarnation, first_seq, durable, value_bytes: 0 };
        let buffer = header.encode().to_vec();
        Ok(Writer { segment, file, header, written: 0, buffer })
    }

    fn close(&mut self) -> Result<()> {
        let Some(mut writer) = self.current.take() else { return Ok(()) };
        let len = writer.len();
        let number = writer.segment.number;
        let closed = writer
            .write_out()
            .and_then(|()| writer.write_header())
            .and_then(|()| writer.file.sync_data().map_err(|error| Error::io("sync", writer.segment.path(), error)));
        self.done.insert(number, (writer.segment, len));
        closed
    }

    /// Makes all values durable. The caller syncs the directory before anything points to them.
    pub(crate) fn finish(mut self) -> Result<MovedSegments> {
        self.close()?;
        self.finished = true;
        Ok(std::mem::take(&mut self.done))
    }
}

impl Drop for ValueWriter<'_> {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let unfinished = self.current.as_ref().map(|writer| &writer.segment);
        for segment in self.done.values().map(|(segment, _)| segment).chain(unfinished) {
            remove_obsolete(&*self.db.context.vfs, segment.path());
        }
    }
}

/// Copies values of stale segments as a compaction meets them.
pub(crate) struct ValueMover<'a> {
    evacuate: &'a BTreeSet<u64>,
    writer: ValueWriter<'a>,
}

impl<'a> ValueMover<'a> {
    pub(crate) const fn new(db: &'a DbCore, evacuate: &'a BTreeSet<u64>) -> Self {
        Self { evacuate, writer: ValueWriter::new(db) }
    }

    /// The value's new place, or `None` if it may stay where it is.
    pub(crate) fn relocate(
        &mut self,
        keyspace: u32,
        key: &[u8],
        pointer: &ValuePointer,
        segment: &Segment,
    ) -> Result<Option<ValuePointer>> {
        if !self.evacuate.contains(&pointer.segment) {
            return Ok(None);
        }
        let value = segment.read(pointer)?;
        let moved = self.writer.append(keyspace, key, &value, pointer.crc)?;
        self.writer.db.stats.moved_value_bytes.add(value.len() as u64);
        Ok(Some(moved))
    }

    /// Makes all moved values durable. The caller syncs the directory before anything points to them.
    pub(crate) fn finish(self) -> Result<MovedSegments> {
        self.writer.finish()
    }
}

impl Writer {
    const fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn append(&mut self, meta: &[u8], value: &[u8], crc: u32) -> Result<ValuePointer> {
        debug_assert!(self.len() >= SEGMENT_HEADER_LEN as u64);
        let header = RecordHeader {
            first_seq: Seq::ZERO,
            durable: Seq::ZERO,
            op_count: 1,
            meta_len: u32::try_from(meta.len()).unwrap_or(u32::MAX),
            meta_crc: crate::checksum::crc32c(meta),
            data_len: value.len() as u64,
        };
        let offset = self.len();
        self.buffer.extend_from_slice(&header.encode(self.header.incarnation, offset));
        self.buffer.extend_from_slice(meta);
        self.buffer.extend_from_slice(value);
        let padding = header.record_len() - header.body_len();
        self.buffer.resize(self.buffer.len() + padding as usize, 0);
        self.header.value_bytes += value.len() as u64;
        if self.buffer.len() >= BUFFER_LEN {
            self.write_out()?;
        }
        Ok(ValuePointer {
            segment: self.segment.number,
            offset: offset + RECORD_HEADER_LEN as u64 + meta.len() as u64,
            len: u32::try_from(value.len()).unwrap_or(u32::MAX),
            crc,
        })
    }

    /// Writes the header again, now that it is known how much the segment holds.
    fn write_header(&self) -> Result<()> {
        let written = self.file.write_at(0, &self.header.encode());
        written.map_err(|error| Error::io("write", self.segment.path(), error))?;
        self.segment.note_value_bytes(self.header.value_bytes);
        Ok(())
    }

    fn write_out(&mut self) -> Result<()> {
        let written = self.file.write_at(self.written, &self.buffer);
        written.map_err(|error| Error::io("write", self.segment.path(), error))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
