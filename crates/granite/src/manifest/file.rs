//! The manifest's file: read whole at open, appended to, rewritten when it has grown.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vfs::{File, OpenMode, Vfs};

use super::format::{
    Edit, HEADER_LEN, RECORD_HEADER_LEN, VERSION, decode_edits, decode_header, encode_header, record_crc,
};
use super::state::ManifestState;
use crate::checksum::{Site, is_same};
use crate::error::{Error, Result};

pub(crate) const MANIFEST: &str = "MANIFEST";
const TEMPORARY: &str = "MANIFEST.tmp";
/// Rewritten when it is longer than this many bytes and than [`GROWTH_MAX`] times its size after the last rewrite.
const LEN_MIN: u64 = 64 << 10;
const GROWTH_MAX: u64 = 4;

/// The smallest unit in which a disk writes, in bytes.
const SECTOR_LEN: usize = 512;

/// The manifest, open for appending.
#[derive(Debug)]
pub(crate) struct ManifestFile {
    dir: PathBuf,
    path: PathBuf,
    vfs: Arc<dyn Vfs>,
    file: Arc<dyn File>,
    len: u64,
    len_after_rewrite: u64,
    state: ManifestState,
    /// The failure after which nothing more is appended.
    failed: Option<Arc<str>>,
}

/// What was read from a manifest.
#[derive(Debug)]
pub(crate) struct ManifestRead {
    pub(crate) state: ManifestState,
    /// Length of what counts, in bytes; anything behind it is a change that never happened.
    pub(crate) len: u64,
    pub(crate) torn: bool,
}

/// Reads and checks the manifest of the database in `dir`, as it stands.
///
/// # Errors
/// [`Error::NotADatabase`] if there is none.
pub(crate) fn read(vfs: &dyn Vfs, dir: &Path) -> Result<ManifestRead> {
    let path = dir.join(MANIFEST);
    read_file(&*open_file(vfs, dir, OpenMode::Read)?, &path)
}

fn open_file(vfs: &dyn Vfs, dir: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
    let path = dir.join(MANIFEST);
    vfs.open(&path, mode).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::NotADatabase { path: dir.to_owned() },
        _ => Error::io("open", &path, error),
    })
}

fn read_file(file: &dyn File, path: &Path) -> Result<ManifestRead> {
    let len = file.len().map_err(|error| Error::io("read the length of", path, error))?;
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    file.read_exact_at(0, &mut bytes).map_err(|error| Error::io("read", path, error))?;
    let header = bytes.first_chunk::<HEADER_LEN>().ok_or_else(|| Error::corrupt(path, 0, "the manifest is cut off"))?;
    let version = decode_header(header).map_err(|what| Error::corrupt(path, 0, what))?;
    if version != VERSION {
        return Err(Error::NewerFormat { path: path.to_owned(), found: version, supported: VERSION });
    }
    let mut state = ManifestState::default();
    let mut at = HEADER_LEN;
    while let Some((edits, record_len)) = record_at(&bytes, at) {
        let edits = decode_edits(edits).ok_or_else(|| {
            Error::corrupt(path, at as u64, "a manifest record passes its checksum but makes no sense")
        })?;
        for edit in edits {
            state.apply(edit).map_err(|what| Error::corrupt(path, at as u64, what))?;
        }
        at += record_len;
    }
    // A record that failed although a later one stands is no torn append: appends are synced one by one.
    let damaged = (at + 1..bytes.len()).any(|later| record_at(&bytes, later).is_some());
    if damaged {
        return Err(Error::corrupt(path, at as u64, "a manifest record fails its checksum, and valid ones follow it"));
    }
    if !is_torn(&bytes, at) {
        return Err(Error::corrupt(
            path,
            at as u64,
            "the manifest's last record fails its checksum, and no crash leaves such bytes",
        ));
    }
    if at == HEADER_LEN {
        return Err(Error::corrupt(path, at as u64, "the manifest's first record is damaged"));
    }
    Ok(ManifestRead { state, len: at as u64, torn: at < bytes.len() })
}

/// True if a crash can have left what stands from `at` on, where no valid record begins: an append of which a sector is missing.
///
/// Sectors reach the disk whole or not at all, and one that was never written reads as zeros or lies behind the end of the file. A record
/// without any such gap was written whole, so it was damaged later.
fn is_torn(bytes: &[u8], at: usize) -> bool {
    let rest = bytes.get(at..).unwrap_or_default();
    let len =
        rest.get(4..RECORD_HEADER_LEN).and_then(|len| len.first_chunk()).map_or(0, |len| u32::from_le_bytes(*len));
    let record = rest.get(..RECORD_HEADER_LEN.saturating_add(len as usize));
    let is_cut = record.is_none() && bytes.len().is_multiple_of(SECTOR_LEN);
    // The first piece reaches from the record's begin to the next border of a sector.
    let (first, others) =
        record.unwrap_or(rest).split_at((SECTOR_LEN - at % SECTOR_LEN).min(record.unwrap_or(rest).len()));
    let is_missing = |piece: &[u8]| piece.iter().all(|&byte| byte == 0);
    is_cut || is_missing(first) || others.chunks(SECTOR_LEN).any(is_missing)
}

/// The edits of the record at `offset` and the record's length, if a valid one stands there.
fn record_at(bytes: &[u8], offset: usize) -> Option<(&[u8], usize)> {
    let (header, rest) = bytes.get(offset..)?.split_first_chunk::<RECORD_HEADER_LEN>()?;
    let (crc, len) = header.split_first_chunk::<4>()?;
    let crc = u32::from_le_bytes(*crc);
    let len = u32::from_le_bytes(*len.first_chunk::<4>()?);
    let edits = rest.get(..len as usize)?;
    (len > 0 && is_same(Site::ManifestRecord, record_crc(offset as u64, len, edits), crc))
        .then_some((edits, RECORD_HEADER_LEN + len as usize))
}

/// A place of a manifest: a record, or bytes (`edits` is `None`) that are none.
#[derive(Debug)]
pub(crate) struct RecordFound {
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) edits: Option<Vec<Edit>>,
}

/// All that stands behind the header of a manifest of these bytes, past damage.
pub(crate) fn find_records(bytes: &[u8]) -> Vec<RecordFound> {
    let mut found: Vec<RecordFound> = Vec::new();
    let mut at = HEADER_LEN;
    while at < bytes.len() {
        let record = record_at(bytes, at).map(|(edits, len)| (decode_edits(edits), len));
        let (edits, len) = record.unwrap_or((None, 1));
        match found.last_mut().filter(|last| last.edits.is_none() && edits.is_none()) {
            Some(gap) => gap.len += len as u64,
            None => found.push(RecordFound { offset: at as u64, len: len as u64, edits }),
        }
        at += len;
    }
    found
}

fn encode_record(offset: u64, edits: &[Edit]) -> Vec<u8> {
    let mut body = Vec::new();
    for edit in edits {
        edit.encode(&mut body);
    }
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut record = Vec::with_capacity(RECORD_HEADER_LEN + body.len());
    record.extend_from_slice(&record_crc(offset, len, &body).to_le_bytes());
    record.extend_from_slice(&len.to_le_bytes());
    record.extend_from_slice(&body);
    record
}

impl ManifestFile {
    /// Makes `state` the manifest of `dir`, replacing the one that is there.
    pub(crate) fn create(vfs: &Arc<dyn Vfs>, dir: &Path, state: ManifestState) -> Result<Self> {
        let (file, len) = write_whole(&**vfs, dir, &state)?;
        Ok(Self {
            dir: dir.to_owned(),
            path: dir.join(MANIFEST),
            vfs: Arc::clone(vfs),
            file,
            len,
            len_after_rewrite: len,
            state,
            failed: None,
        })
    }

    /// Opens the manifest of `dir` for appending.
    ///
    /// What an earlier process appended but did not get to sync becomes durable here, before anybody acts on it (by removing the files
    /// that it says are not needed).
    pub(crate) fn open(vfs: &Arc<dyn Vfs>, dir: &Path) -> Result<Self> {
        let path = dir.join(MANIFEST);
        let file = open_file(&**vfs, dir, OpenMode::ReadWrite)?;
        file.sync_data().map_err(|error| Error::io("sync", &path, error))?;
        file.drop_cache().map_err(|error| Error::io("drop the cache of", &path, error))?;
        vfs.sync_dir(dir).map_err(|error| Error::io("sync", dir, error))?;
        let read = read_file(&*file, &path)?;
        if read.torn {
            return Self::create(vfs, dir, read.state);
        }
        let len = read.len;
        Ok(Self {
            dir: dir.to_owned(),
            path,
            vfs: Arc::clone(vfs),
            file,
            len,
            len_after_rewrite: len.min(LEN_MIN),
            state: read.state,
            failed: None,
        })
    }

    /// What was read, for looking at only.
    pub(crate) fn frozen(vfs: &Arc<dyn Vfs>, dir: &Path, read: ManifestRead) -> Result<Self> {
        let file = open_file(&**vfs, dir, OpenMode::Read)?;
        Ok(Self {
            dir: dir.to_owned(),
            path: dir.join(MANIFEST),
            vfs: Arc::clone(vfs),
            file,
            len: read.len,
            len_after_rewrite: read.len,
            state: read.state,
            failed: Some("the database is open read-only".into()),
        })
    }

    /// A state that is in memory only. Nothing can be appended to it; `file` is never looked at.
    pub(crate) fn detached(vfs: &Arc<dyn Vfs>, dir: &Path, state: ManifestState, file: Arc<dyn File>) -> Self {
        Self {
            dir: dir.to_owned(),
            path: dir.join(MANIFEST),
            vfs: Arc::clone(vfs),
            file,
            len: 0,
            len_after_rewrite: 0,
            state,
            failed: Some("the database is being repaired".into()),
        }
    }

    pub(crate) const fn state(&self) -> &ManifestState {
        &self.state
    }

    /// Length of the file in bytes.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// Applies `edits` as one atomic, durable change.
    ///
    /// # Errors
    /// [`Error::StorageFull`] leaves everything as it was. After any other error nothing more is accepted.
    pub(crate) fn commit(&mut self, edits: &[Edit]) -> Result<()> {
        if let Some(cause) = &self.failed {
            return Err(Error::Poisoned { cause: Arc::clone(cause) });
        }
        let mut next = self.state.clone();
        for edit in edits.iter().cloned() {
            next.apply(edit).map_err(|what| Error::corrupt(&self.path, self.len, what))?;
        }
        let record = encode_record(self.len, edits);
        let written = self.file.write_at(self.len, &record).map_err(|error| Error::io("write", &self.path, error));
        if let Err(error) = written {
            // What was written of it is wiped, so that the next append does not stand in front of a half record.
            let wiped = self.file.set_len(self.len).and_then(|()| self.file.sync_data());
            if wiped.is_err() || !matches!(error, Error::StorageFull { .. }) {
                self.failed = Some(error.to_string().into());
            }
            return Err(error);
        }
        if let Err(error) = self.file.sync_data() {
            let error = Error::sync(&self.path, error);
            self.failed = Some(error.to_string().into());
            return Err(error);
        }
        self.len += record.len() as u64;
        self.state = next;
        if self.len > LEN_MIN && self.len > GROWTH_MAX * self.len_after_rewrite {
            self.rewrite();
        }
        Ok(())
    }

    /// Shortens the file to the state it stands for. The change is durable already: a failure here only leaves the file long.
    fn rewrite(&mut self) {
        match write_whole(&*self.vfs, &self.dir, &self.state) {
            Ok((file, len)) => {
                self.file = file;
                self.len = len;
                self.len_after_rewrite = len;
            }
            Err(Error::StorageFull { .. }) => self.len_after_rewrite = self.len,
            // The rename may or may not have happened, so it is not known which file the next open will read.
            Err(error) => self.failed = Some(error.to_string().into()),
        }
    }
}

fn write_whole(vfs: &dyn Vfs, dir: &Path, state: &ManifestState) -> Result<(Arc<dyn File>, u64)> {
    let temporary = dir.join(TEMPORARY);
    let path = dir.join(MANIFEST);
    let mut bytes = encode_header().to_vec();
    bytes.extend_from_slice(&encode_record(HEADER_LEN as u64, &state.to_edits()));
    let file = vfs.open(&temporary, OpenMode::OpenOrCreate).map_err(|error| Error::io("create", &temporary, error))?;
    file.set_len(0).and_then(|()| file.write_at(0, &bytes)).map_err(|error| Error::io("write", &temporary, error))?;
    file.sync_data().map_err(|error| Error::io("sync", &temporary, error))?;
    vfs.rename(&temporary, &path).map_err(|error| Error::io("rename", &temporary, error))?;
    // From here on the old file is no longer the manifest, whatever happens.
    vfs.sync_dir(dir).map_err(|error| Error::sync(dir, error))?;
    Ok((file, bytes.len() as u64))
}
