//! A segment that values can be read from, and that removes its file when nobody needs it any more.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use vfs::{File, OpenMode, Vfs};

use super::format::{HeaderFault, SEGMENT_HEADER_LEN, SegmentHeader, VERSION};
use super::pointer::ValuePointer;
use crate::checksum::{Site, is_same};
use crate::error::{Error, Result};
use crate::handles::{Handle, HandleCache};

/// The path of segment `number`.
pub(crate) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.seg"))
}

/// Hands out one [`Segment`] for each number, as long as anybody holds it.
#[derive(Debug)]
pub(crate) struct SegmentRegistry {
    dir: PathBuf,
    vfs: Arc<dyn Vfs>,
    handles: Arc<HandleCache>,
    known: Mutex<HashMap<u64, Weak<Segment>>>,
}

impl SegmentRegistry {
    pub(crate) fn new(dir: &Path, vfs: &Arc<dyn Vfs>, handles: &Arc<HandleCache>) -> Arc<Self> {
        Arc::new(Self {
            dir: dir.to_owned(),
            vfs: Arc::clone(vfs),
            handles: Arc::clone(handles),
            known: Mutex::default(),
        })
    }

    pub(crate) fn get(&self, number: u64) -> Arc<Segment> {
        let mut known = self.known.lock();
        if let Some(segment) = known.get(&number).and_then(Weak::upgrade) {
            return segment;
        }
        known.retain(|_, segment| segment.strong_count() > 0);
        let segment = Arc::new(Segment {
            number,
            path: segment_path(&self.dir, number),
            vfs: Arc::clone(&self.vfs),
            file: Handle::empty(),
            handles: Arc::clone(&self.handles),
            obsolete: AtomicBool::new(false),
            value_bytes: OnceLock::new(),
        });
        known.insert(number, Arc::downgrade(&segment));
        segment
    }

    pub(crate) fn vfs(&self) -> &Arc<dyn Vfs> {
        &self.vfs
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

/// A file that values are read from. Whoever can lead a reader to a value in it (a memtable, a table) holds an `Arc` of it.
pub(crate) struct Segment {
    pub(crate) number: u64,
    path: PathBuf,
    vfs: Arc<dyn Vfs>,
    file: Handle<dyn File>,
    handles: Arc<HandleCache>,
    obsolete: AtomicBool,
    /// What the header says of the values in the segment, once it is known.
    value_bytes: OnceLock<u64>,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Segment {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file, opened for reading if it is not open now.
    pub(crate) fn file(&self) -> Result<Arc<dyn File>> {
        self.file.get(&self.handles, || {
            self.vfs.open(&self.path, OpenMode::Read).map_err(|error| Error::io("open", &self.path, error))
        })
    }

    /// Uses `file` for reading until the handle cache wants it back.
    pub(crate) fn adopt(&self, file: Arc<dyn File>) {
        self.file.put(&self.handles, file);
    }

    /// Reads a value and checks it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the bytes are not the ones that were written.
    pub(crate) fn read(&self, pointer: &ValuePointer) -> Result<Vec<u8>> {
        let mut value = vec![0; pointer.len as usize];
        self.file()?.read_exact_at(pointer.offset, &mut value).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                Error::corrupt(&self.path, pointer.offset, "the file ends before the value that a table points to")
            }
            _ => Error::io("read", &self.path, error),
        })?;
        if !is_same(Site::Value, crate::checksum::crc32c(&value), pointer.crc) {
            return Err(Error::corrupt(&self.path, pointer.offset, "a separated value fails its checksum"));
        }
        Ok(value)
    }

    /// Of a values segment: bytes of the values that were written to it. 0 for a log segment.
    ///
    /// # Errors
    /// A header that is damaged or cannot be read.
    pub(crate) fn value_bytes(&self) -> Result<u64> {
        if let Some(&bytes) = self.value_bytes.get() {
            return Ok(bytes);
        }
        let header = read_header(&*self.file()?, &self.path, self.number)?;
        Ok(*self.value_bytes.get_or_init(|| header.value_bytes))
    }

    pub(crate) fn note_value_bytes(&self, bytes: u64) {
        // The header that this says the same as is the only one that the segment ever gets.
        self.value_bytes.get_or_init(|| bytes);
    }

    /// Removes the file once the last holder lets go.
    pub(crate) fn mark_obsolete(&self) {
        self.obsolete.store(true, Ordering::Release);
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if self.obsolete.load(Ordering::Acquire) {
            self.file.clear();
            remove_obsolete(&*self.vfs, &self.path);
        }
    }
}

/// Removes a file that the manifest no longer names. A failure costs only space: the next open removes it.
pub(crate) fn remove_obsolete(vfs: &dyn Vfs, path: &Path) {
    if let Err(error) = vfs.remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "an obsolete file could not be removed; the next open tries again");
    }
}

/// Reads and checks a segment's header.
pub(crate) fn read_header(file: &dyn File, path: &Path, number: u64) -> Result<SegmentHeader> {
    let mut bytes = [0; SEGMENT_HEADER_LEN];
    file.read_exact_at(0, &mut bytes).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::corrupt(path, 0, "the segment header is cut off"),
        _ => Error::io("read", path, error),
    })?;
    let header = SegmentHeader::decode(&bytes).map_err(|fault| match fault {
        HeaderFault::Newer { version } => {
            Error::NewerFormat { path: path.to_owned(), found: version, supported: VERSION }
        }
        HeaderFault::Damaged(what) => Error::corrupt(path, 0, what),
    })?;
    if header.number != number {
        let what = format!("the header is of segment {}, not of segment {number}", header.number);
        return Err(Error::corrupt(path, 16, what));
    }
    Ok(header)
}
