//! The files of the log: `DB.log` is written, `DB.log.NNNNNNNNNN` are complete.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vfs::{File, OpenMode, Vfs};

use super::format::{SEGMENT_HEADER_LEN, SegmentHeader, SegmentStart};
use crate::error::{Error, Result};

/// One segment that is there.
#[derive(Debug, Clone)]
pub(crate) struct SegmentFile {
    pub(crate) header: SegmentHeader,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
}

/// The names of a database's log.
#[derive(Debug, Clone)]
pub(crate) struct LogFiles {
    vfs: Arc<dyn Vfs>,
    active: PathBuf,
}

impl LogFiles {
    pub(crate) fn new(vfs: &Arc<dyn Vfs>, database: &Path) -> Self {
        Self { vfs: Arc::clone(vfs), active: with_suffix(database, ".log") }
    }

    pub(crate) fn vfs(&self) -> &dyn Vfs {
        &*self.vfs
    }

    /// The segment that is written.
    pub(crate) fn active(&self) -> &Path {
        &self.active
    }

    /// The name of a complete segment.
    pub(crate) fn sealed(&self, number: u64) -> PathBuf {
        with_suffix(&self.active, &format!(".{number:010}"))
    }

    /// A segment that is not part of the log yet.
    pub(crate) fn unnamed(&self) -> PathBuf {
        with_suffix(&self.active, ".new")
    }

    pub(crate) fn dir(&self) -> &Path {
        match self.active.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        }
    }

    pub(crate) fn sync_dir(&self) -> Result<()> {
        self.vfs.sync_dir(self.dir()).map_err(|error| Error::sync(self.dir(), error))
    }

    /// Numbers of the complete segments that are there, rising.
    pub(crate) fn sealed_numbers(&self) -> Result<Vec<u64>> {
        let dir = self.dir();
        let names = self.vfs.read_dir(dir).map_err(|error| Error::io("list", dir, error))?;
        // Names are bytes: one that is no text has segments too.
        let Some(active) = self.active.file_name() else { return Ok(Vec::new()) };
        let number = |path: &PathBuf| {
            let digits =
                path.file_name()?.as_encoded_bytes().strip_prefix(active.as_encoded_bytes())?.strip_prefix(b".")?;
            // Anything else is somebody else's file.
            std::str::from_utf8(digits).ok()?.parse::<u64>().ok()
        };
        let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    pub(crate) fn remove_sealed(&self, number: u64) -> Result<()> {
        let path = self.sealed(number);
        match self.vfs.remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &path, error)),
            _ => Ok(()),
        }
    }

    /// Opens a segment. `None`: it is not there, or nothing was ever written to it.
    pub(crate) fn open(&self, path: &Path, mode: OpenMode) -> Result<Option<SegmentFile>> {
        let file = match self.vfs.open(path, mode) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", path, error)),
        };
        let len = file.len().map_err(|error| Error::io("measure", path, error))?;
        let mut bytes = vec![0; SEGMENT_HEADER_LEN.min(usize::try_from(len).unwrap_or(SEGMENT_HEADER_LEN))];
        file.read_exact_at(0, &mut bytes).map_err(|error| Error::io("read", path, error))?;
        match SegmentHeader::decode(&bytes) {
            SegmentStart::Valid(header) => Ok(Some(SegmentFile { header, path: path.to_owned(), file })),
            SegmentStart::Newer(found) => {
                Err(Error::NewerFormat { path: path.to_owned(), found, supported: super::format::LOG_VERSION })
            }
            SegmentStart::Invalid if is_blank(&*file, path, SEGMENT_HEADER_LEN as u64)? => Ok(None),
            SegmentStart::Invalid => Err(Error::corrupt(path, 0, "the header of the log is damaged")),
        }
    }

    /// All segments of a database, in the order of their numbers.
    pub(crate) fn list(&self, identity: u64, mode: OpenMode) -> Result<Vec<SegmentFile>> {
        let mut found = Vec::new();
        for number in self.sealed_numbers()? {
            if let Some(segment) = self.open(&self.sealed(number), mode)? {
                if segment.header.number != number {
                    return Err(Error::corrupt(&segment.path, 16, "the segment has another number than its name says"));
                }
                found.push(segment);
            }
        }
        found.extend(self.open(&self.active, mode)?);
        if let Some(foreign) = found.iter().find(|segment| segment.header.identity != identity) {
            return Err(Error::corrupt(&foreign.path, 48, "it is the log of another database"));
        }
        found.sort_unstable_by_key(|segment| segment.header.number);
        // A rename that a reader met in the middle shows one segment twice.
        found.dedup_by_key(|segment| segment.header.number);
        Ok(found)
    }
}

/// True if the file has nothing but zeros from `offset` on.
pub(crate) fn is_blank(file: &dyn File, path: &Path, mut offset: u64) -> Result<bool> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read_at(offset, &mut buffer) {
            Ok(0) => return Ok(true),
            Ok(count) if buffer.iter().take(count).any(|byte| *byte != 0) => return Ok(false),
            Ok(count) => offset += count as u64,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read", path, error)),
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
