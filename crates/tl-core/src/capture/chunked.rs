//! Large blobs: cut by content, chunk by chunk.

use std::io::{self, Read};
use std::sync::Arc;

use fastcdc::v2020::FastCDC;

use super::Capture;
use crate::collect::gate::Presence;
use crate::error::{Error, Result};
use crate::id::{IdHasher, ObjectId, ObjectKind};
use crate::stored::{Chunk, ChunkList, MAX_BLOB_LEN, encode_chunked};
use crate::tree::Blob;

/// Lengths of chunks in bytes. They trade the cost of an edit against the number of objects; a change only costs sharing with what is stored.
const CHUNK_LEN_MIN: usize = 16 << 10;
const CHUNK_LEN_TYPICAL: usize = 64 << 10;
const CHUNK_LEN_MAX: usize = 256 << 10;
/// What is read at first when nothing is known about a length.
const READ_LEN_MIN: usize = 8 << 10;

/// A large blob on its way into a capture.
pub(super) struct ChunkedPut<'a> {
    capture: &'a Capture,
    whole: IdHasher,
    chunks: ChunkList,
}

impl<'a> ChunkedPut<'a> {
    pub(super) fn new(capture: &'a Capture) -> Self {
        Self { capture, whole: IdHasher::new(ObjectKind::Blob), chunks: ChunkList::default() }
    }

    /// Puts as many chunks as `bytes` surely hold, all of it at the end of the content. Returns the number of bytes that were taken.
    pub(super) fn take_chunks(&mut self, bytes: &[u8], is_end: bool) -> Result<usize> {
        let cutter = FastCDC::new(bytes, CHUNK_LEN_MIN, CHUNK_LEN_TYPICAL, CHUNK_LEN_MAX);
        let mut taken = 0;
        // Where a chunk ends must not depend on where the bytes at hand do.
        while let Some(rest) = bytes.get(taken..).filter(|rest| rest.len() >= if is_end { 1 } else { CHUNK_LEN_MAX }) {
            let (_, end) = cutter.cut(taken, rest.len());
            let chunk = bytes.get(taken..end).unwrap_or_default();
            self.put(chunk)?;
            taken = end;
        }
        Ok(taken)
    }

    fn put(&mut self, content: &[u8]) -> Result<()> {
        let id = ObjectId::of(ObjectKind::Blob, content);
        self.whole.update(content);
        self.chunks.push(Chunk { id, len: content.len() as u32 });
        if !self.chunks.is_within_limits() {
            return Err(Error::BlobTooLarge { len: self.chunks.content_len(), max: MAX_BLOB_LEN });
        }
        self.capture.put_whole(id, content, None)
    }

    /// Puts the list of chunks.
    pub(super) fn finish(self) -> Result<Blob> {
        let id = self.whole.finish();
        let presence = self.capture.presence(&id)?;
        if presence != Presence::Stored {
            let mut value = Vec::new();
            encode_chunked(&self.chunks, &mut value);
            self.capture.put_value(id, &value, None, presence)?;
        }
        Ok(Blob { id, len: self.chunks.content_len() })
    }
}

/// Reads until `buffer` holds `len_max` bytes; true if the source ended before that.
pub(super) fn fill(source: &mut dyn Read, buffer: &mut Vec<u8>, len_max: usize, len_hint: usize) -> Result<bool> {
    let mut len = buffer.len();
    let ended = loop {
        if len >= len_max {
            break Ok(false);
        }
        if len == buffer.len() {
            // One byte more than expected shows the end without another round.
            let more = len.max(READ_LEN_MIN).max(if len == 0 { len_hint.saturating_add(1) } else { 0 });
            buffer.resize(len.saturating_add(more).min(len_max), 0);
        }
        match source.read(buffer.get_mut(len..).unwrap_or_default()) {
            Ok(0) => break Ok(true),
            Ok(count) => len = buffer.len().min(len + count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(Error::Source(Arc::new(error))),
        }
    };
    buffer.truncate(len);
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives at most `step` bytes a call, and is interrupted before each.
    struct Slow<'a> {
        rest: &'a [u8],
        step: usize,
        interrupted: bool,
    }

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.interrupted = !self.interrupted;
            if self.interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let len = self.step.min(buffer.len());
            (&mut self.rest).take(len as u64).read(buffer)
        }
    }

    #[test]
    fn short_reads_interruptions_and_wrong_hints_lose_nothing() {
        let content: Vec<u8> = (0..30_000u32).map(|number| number as u8).collect();
        for (step, hint) in [(1, 0), (7, 30_000), (100_000, 10), (4096, 29_999), (30_000, usize::MAX)] {
            let mut source = Slow { rest: &content, step, interrupted: false };
            let mut buffer = Vec::new();
            assert!(!fill(&mut source, &mut buffer, 20_000, hint).unwrap());
            assert_eq!(buffer, content[..20_000]);
            assert!(fill(&mut source, &mut buffer, 40_000, hint).unwrap());
            assert_eq!(buffer, content);
        }
    }

    #[test]
    fn what_was_read_before_an_error_is_not_padded() {
        struct Failing(bool);
        impl Read for Failing {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(io::ErrorKind::PermissionDenied.into());
                }
                buffer[..3].copy_from_slice(b"abc");
                Ok(3)
            }
        }
        let mut buffer = Vec::new();
        let error = fill(&mut Failing(false), &mut buffer, 100, 100).unwrap_err();
        assert!(matches!(error, Error::Source(error) if error.kind() == io::ErrorKind::PermissionDenied));
        assert_eq!(buffer, b"abc");
    }
}
