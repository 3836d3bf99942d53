//! Walks over all of one segment, past whatever is damaged in it, without judging what counts as log.

use std::path::Path;
use std::sync::Arc;

use vfs::File;

use super::format::{
    ALIGNMENT, HeaderFault, RECORD_HEADER_LEN, RecordHeader, SEGMENT_HEADER_LEN, SegmentHeader, VERSION,
};
use super::replay::Window;
use crate::error::{Error, Result};

/// What stands at a place of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A record; `intact` if its operations and values pass their checksums.
    Record { offset: u64, header: RecordHeader, intact: bool },
    /// No record of this segment. `followed` if one comes after it: then it is no end.
    Gap { offset: u64, len: u64, followed: bool },
}

/// A position in a segment.
pub(crate) struct SegmentWalk {
    window: Window,
    /// Why nothing in the segment can be told from garbage, if that is so.
    pub(crate) header: std::result::Result<SegmentHeader, &'static str>,
    pub(crate) file_len: u64,
    at: u64,
    /// The record behind a gap.
    found: Option<RecordHeader>,
}

impl SegmentWalk {
    /// Reads the header of the segment `file` at `path`.
    ///
    /// # Errors
    /// [`Error::NewerFormat`] or an error of the disk. Damage is no error here.
    pub(crate) fn new(file: &Arc<dyn File>, path: &Path) -> Result<Self> {
        let file_len = file.len().map_err(|error| Error::io("read the length of", path, error))?;
        let mut window = Window::new();
        window.over(Arc::clone(file), file_len, path);
        let header = match window.bytes(0, SEGMENT_HEADER_LEN)?.and_then(<[u8]>::first_chunk) {
            None => Err("the segment header is cut off"),
            Some(bytes) => match SegmentHeader::decode(bytes) {
                Ok(header) => Ok(header),
                Err(HeaderFault::Damaged(what)) => Err(what),
                Err(HeaderFault::Newer { version }) => {
                    return Err(Error::NewerFormat { path: path.to_owned(), found: version, supported: VERSION });
                }
            },
        };
        Ok(Self { window, header, file_len, at: SEGMENT_HEADER_LEN as u64, found: None })
    }

    /// The operations of the record that was stepped on last, if it is intact.
    pub(crate) fn operations(&self) -> &[u8] {
        self.window.operations()
    }

    /// What comes next, up to the end of the file.
    ///
    /// # Errors
    /// An error of the disk.
    pub(crate) fn step(&mut self) -> Result<Option<Step>> {
        let Ok(segment) = self.header else { return Ok(None) };
        let start = self.at;
        let mut found = self.found.take();
        while found.is_none() && self.at + RECORD_HEADER_LEN as u64 <= self.file_len {
            found = self.window.record(self.at, segment.incarnation)?;
            if found.is_none() {
                self.at += ALIGNMENT;
            }
        }
        let Some(header) = found else {
            self.at = self.file_len;
            return Ok((start < self.file_len).then_some(Step::Gap {
                offset: start,
                len: self.file_len - start,
                followed: false,
            }));
        };
        if self.at > start {
            self.found = Some(header);
            return Ok(Some(Step::Gap { offset: start, len: self.at - start, followed: true }));
        }
        let intact = self.window.body_is_intact(start, &header)?;
        // The length of a record whose body is damaged is right: the header has a checksum of its own. The file may end before it does.
        self.at = start.saturating_add(header.record_len()).min(self.file_len);
        Ok(Some(Step::Record { offset: start, header, intact }))
    }
}
