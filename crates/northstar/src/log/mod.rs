//! The commit log: one record for each transaction, in segments of which the newest is `DB.log`. The format is in
//! `docs/format/northstar.md`, "Commit log".

mod format;
mod operation;
mod segments;
mod walk;
mod writer;

pub(crate) use format::{RecordHeader, SEGMENT_HEADER_LEN, SegmentHeader};
pub(crate) use operation::{Operation, Operations, Payload};
pub(crate) use segments::{LogFiles, SegmentFile};
pub(crate) use walk::{Record, Walk, WalkEnd};
pub(crate) use writer::{AppendError, LogWriter};
