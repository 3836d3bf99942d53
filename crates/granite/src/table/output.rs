//! The end of the file that is being written: blocks go in, large sequential writes come out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vfs::File;

use super::codec::{Codec, Compressor, StoredCodec};
use super::format::{BlockHandle, BlockKind};
use super::frame::{self, Place};
use crate::error::{Error, Result};

/// Bytes gathered for one write.
const WRITE_LEN: usize = 256 << 10;

pub(super) struct Output {
    file: Arc<dyn File>,
    path: PathBuf,
    file_id: u64,
    compressor: Compressor,
    /// What follows on the `written` bytes in the file.
    buffer: Vec<u8>,
    written: u64,
}

/// Where an output stopped, everything written out.
pub(super) struct OutputEnd {
    file: Arc<dyn File>,
    path: PathBuf,
    file_id: u64,
    written: u64,
}

impl Output {
    /// Goes on where another output ended, without compression.
    pub(super) fn resume(end: OutputEnd) -> Result<Self> {
        let mut output = Self::new(end.file, &end.path, end.file_id, Codec::None)?;
        output.written = end.written;
        Ok(output)
    }

    /// Where the output stands. The caller has flushed it.
    pub(super) fn end(&self) -> OutputEnd {
        let (file, path) = (Arc::clone(&self.file), self.path.clone());
        OutputEnd { file, path, file_id: self.file_id, written: self.len() }
    }

    pub(super) const fn file_id(&self) -> u64 {
        self.file_id
    }

    pub(super) fn new(file: Arc<dyn File>, path: &Path, file_id: u64, codec: Codec) -> Result<Self> {
        let compressor =
            Compressor::new(codec).map_err(|error| Error::io("prepare the compression of", path, error))?;
        Ok(Self { file, path: path.to_owned(), file_id, compressor, buffer: Vec::new(), written: 0 })
    }

    /// Length of the file so far.
    pub(super) fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Appends a block with its trailer.
    pub(super) fn block(&mut self, kind: BlockKind, raw: &[u8]) -> Result<BlockHandle> {
        let raw_len = u32::try_from(raw.len()).ok().filter(|_| raw.len() <= frame::RAW_LEN_MAX).ok_or_else(|| {
            Error::InvalidOption { what: "table", reason: format!("a block of {} bytes is too large", raw.len()) }
        })?;
        let handle_offset = self.len();
        let compressed = match kind {
            BlockKind::Data | BlockKind::Index => self.compressor.compress(raw, raw.len() - raw.len().div_ceil(8)),
            _ => None,
        };
        let (codec, stored) = compressed
            .filter(|(_, stored)| frame::ratio_allowed(raw.len(), stored.len()))
            .unwrap_or((StoredCodec::None, raw));
        let place = Place { kind, file_id: self.file_id, offset: handle_offset };
        let trailer = frame::seal(stored, codec, raw_len, place);
        if stored.len() >= WRITE_LEN {
            // Large enough for a write of its own.
            write(&*self.file, &self.path, &mut self.written, &self.buffer)?;
            self.buffer.clear();
            write(&*self.file, &self.path, &mut self.written, stored)?;
        } else {
            self.buffer.extend_from_slice(stored);
        }
        let handle = BlockHandle { offset: handle_offset, len: stored.len() as u64 };
        self.compressor.shrink(2 * WRITE_LEN);
        self.append(&trailer)?;
        Ok(handle)
    }

    /// Appends bytes that are no block.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_LEN { self.flush() } else { Ok(()) }
    }

    /// Writes out what was gathered.
    pub(super) fn flush(&mut self) -> Result<()> {
        write(&*self.file, &self.path, &mut self.written, &self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

fn write(file: &dyn File, path: &Path, written: &mut u64, bytes: &[u8]) -> Result<()> {
    if !bytes.is_empty() {
        file.write_at(*written, bytes).map_err(|error| Error::io("write", path, error))?;
        *written += bytes.len() as u64;
    }
    Ok(())
}
