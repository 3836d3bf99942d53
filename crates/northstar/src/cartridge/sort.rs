//! Edits in the order of a stream become edits in the order of keys, of each key the last one, within a budget of memory: what does not fit is
//! sorted and written to runs, which are merged in the end.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vfs::{File, OpenMode, Vfs};

use super::coding::{Reader, crc32c, put_varint};
use super::error::{Error, Result};
use super::header::{KEY_LEN_MAX, VALUE_LEN_MAX};

/// Runs that are merged at a time. Each needs a frame in memory.
const RUNS_MAX: usize = 32;
/// Bytes of a run that are read and checked at a time; one entry may make it longer.
const FRAME_LEN: usize = 32 << 10;
const FRAME_LEN_MAX: usize = FRAME_LEN + KEY_LEN_MAX + VALUE_LEN_MAX + 32;
/// What one edit costs beside its bytes.
const EDIT_COST: usize = size_of::<Slot>();

/// An edit: a key's new value, or its removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

/// An edit in the buffer: key and value stand one after the other.
#[derive(Debug, Clone, Copy)]
struct Slot {
    start: usize,
    key_len: u32,
    /// `None` for a removal.
    value_len: Option<u32>,
}

/// Sorts edits.
#[derive(Debug)]
pub(crate) struct Sorter {
    vfs: Arc<dyn Vfs>,
    /// Where runs are: a number is appended.
    run_path: PathBuf,
    memory_bytes: usize,
    bytes: Vec<u8>,
    edits: Vec<Slot>,
    /// Runs, the oldest first.
    runs: Vec<Run>,
    runs_made: u64,
}

/// A sorted piece on the disk; its file goes with it.
#[derive(Debug)]
struct Run {
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
}

impl Drop for Run {
    fn drop(&mut self) {
        // The next builder removes what is left.
        let _left_over = self.vfs.remove_file(&self.path);
    }
}

impl Sorter {
    pub(crate) fn new(vfs: Arc<dyn Vfs>, run_path: PathBuf, memory_bytes: usize) -> Self {
        Self { vfs, run_path, memory_bytes, bytes: Vec::new(), edits: Vec::new(), runs: Vec::new(), runs_made: 0 }
    }

    /// Takes an edit, which overrides all earlier ones of its key. Key and value are within their limits.
    pub(crate) fn add(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        let needed = key.len() + value.map_or(0, <[u8]>::len) + EDIT_COST;
        let used = self.bytes.len() + self.edits.len() * EDIT_COST;
        if !self.edits.is_empty() && used + needed > self.memory_bytes {
            self.spill()?;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        // Both limits are far below 4 GiB.
        let value_len = value.map(|value| value.len() as u32);
        self.edits.push(Slot { start, key_len: key.len() as u32, value_len });
        Ok(())
    }

    fn spill(&mut self) -> Result<()> {
        if self.runs.len() >= RUNS_MAX {
            let merged = self.write_run(self.runs.iter().map(|run| run.open().map(Source::Run)).collect())?;
            // Newer than all that it was made of, and older than what comes.
            self.runs.clear();
            self.runs.push(merged);
        }
        let sorted = self.take_sorted();
        let run = self.write_run(vec![Ok(Source::Memory(sorted))])?;
        self.runs.push(run);
        Ok(())
    }

    fn take_sorted(&mut self) -> Sorted {
        let (bytes, mut edits) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.edits));
        let key = |slot: &Slot| bytes.get(slot.start..slot.start + slot.key_len as usize).unwrap_or_default();
        // Of one key the newest first: it stands last in the buffer.
        edits.sort_unstable_by(|a, b| key(a).cmp(key(b)).then(b.start.cmp(&a.start)));
        edits.dedup_by(|later, first| key(later) == key(first));
        Sorted { bytes, edits, at: 0 }
    }

    fn write_run(&mut self, sources: Vec<Result<Source>>) -> Result<Run> {
        let mut name = self.run_path.clone().into_os_string();
        name.push(self.runs_made.to_string());
        self.runs_made += 1;
        let path = PathBuf::from(name);
        let file = self.vfs.open(&path, OpenMode::CreateNew).map_err(|error| Error::io("create", &path, error))?;
        let run = Run { vfs: Arc::clone(&self.vfs), path };
        let mut merge = Merge::new(sources.into_iter().collect::<Result<_>>()?)?;
        let mut frame = vec![0; 8];
        let mut offset = 0;
        loop {
            let edit = merge.next()?;
            let is_over = edit.is_none();
            if let Some(Edit { key, value }) = edit {
                put_varint(&mut frame, key.len() as u64);
                frame.extend_from_slice(&key);
                put_varint(&mut frame, value.as_ref().map_or(0, |value| value.len() as u64 + 1));
                frame.extend_from_slice(value.as_deref().unwrap_or_default());
            }
            if frame.len() > 8 && (is_over || frame.len() >= FRAME_LEN) {
                let (len, crc) = (frame.len() as u32 - 8, crc32c(frame.get(8..).unwrap_or_default()));
                if let Some(head) = frame.first_chunk_mut::<8>() {
                    *head = (u64::from(len) | u64::from(crc) << 32).to_le_bytes();
                }
                file.write_at(offset, &frame).map_err(|error| Error::io("write", &run.path, error))?;
                offset += frame.len() as u64;
                frame.truncate(8);
            }
            if is_over {
                return Ok(run);
            }
        }
    }

    /// All edits in the order of their keys, of each key the last one.
    pub(crate) fn finish(mut self) -> Result<SortedEdits> {
        let memory = Source::Memory(self.take_sorted());
        let mut sources = self.runs.iter().map(|run| run.open().map(Source::Run)).collect::<Result<Vec<_>>>()?;
        sources.push(memory);
        Ok(SortedEdits { merge: Merge::new(sources)?, _runs: self.runs })
    }
}

/// The edits of a [`Sorter`], sorted.
#[derive(Debug)]
pub(crate) struct SortedEdits {
    merge: Merge,
    _runs: Vec<Run>,
}

impl SortedEdits {
    pub(crate) fn next(&mut self) -> Result<Option<Edit>> {
        self.merge.next()
    }
}

/// Sorted edits in memory.
#[derive(Debug)]
struct Sorted {
    bytes: Vec<u8>,
    edits: Vec<Slot>,
    at: usize,
}

impl Sorted {
    fn next(&mut self) -> Option<Edit> {
        let slot = self.edits.get(self.at)?;
        self.at += 1;
        let key_end = slot.start + slot.key_len as usize;
        let value = slot.value_len.map(|len| self.bytes.get(key_end..key_end + len as usize));
        let key = self.bytes.get(slot.start..key_end)?;
        Some(Edit { key: key.to_vec(), value: value.map(|value| value.unwrap_or_default().to_vec()) })
    }
}

impl Run {
    fn open(&self) -> Result<RunReader> {
        let file = self.vfs.open(&self.path, OpenMode::Read).map_err(|error| Error::io("open", &self.path, error))?;
        let len = file.len().map_err(|error| Error::io("measure", &self.path, error))?;
        Ok(RunReader { file, path: self.path.clone(), len, offset: 0, frame: Vec::new(), at: 0 })
    }
}

/// Reads a run, frame by frame.
#[derive(Debug)]
struct RunReader {
    file: Arc<dyn File>,
    path: PathBuf,
    len: u64,
    offset: u64,
    frame: Vec<u8>,
    at: usize,
}

impl RunReader {
    fn next(&mut self) -> Result<Option<Edit>> {
        if self.at >= self.frame.len() && !self.next_frame()? {
            return Ok(None);
        }
        let mut reader = Reader::new(self.frame.get(self.at..).unwrap_or_default());
        let edit = decode(&mut reader).ok_or_else(|| self.damaged("an entry of a run"))?;
        self.at = self.frame.len() - reader.rest().len();
        Ok(Some(edit))
    }

    fn next_frame(&mut self) -> Result<bool> {
        if self.offset >= self.len {
            return Ok(false);
        }
        let mut head = [0; 8];
        self.read(self.offset, &mut head)?;
        let head = u64::from_le_bytes(head);
        let (len, crc) = (head as u32 as usize, (head >> 32) as u32);
        if len == 0 || len > FRAME_LEN_MAX {
            return Err(self.damaged("the length of a frame of a run"));
        }
        let mut frame = std::mem::take(&mut self.frame);
        frame.resize(len, 0);
        self.read(self.offset + 8, &mut frame)?;
        if crc32c(&frame) != crc {
            return Err(self.damaged("the checksum of a frame of a run"));
        }
        self.frame = frame;
        self.at = 0;
        self.offset += 8 + len as u64;
        Ok(true)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(offset, into).map_err(|error| Error::io("read", &self.path, error))
    }

    fn damaged(&self, what: &'static str) -> Error {
        Error::Damaged { path: self.path.clone(), offset: self.offset, what }
    }
}

fn decode(reader: &mut Reader<'_>) -> Option<Edit> {
    let key_len = reader.count(KEY_LEN_MAX)?;
    let key = reader.take(key_len)?.to_vec();
    let value = match reader.count(VALUE_LEN_MAX + 1)?.checked_sub(1) {
        None => None,
        Some(len) => Some(reader.take(len)?.to_vec()),
    };
    Some(Edit { key, value })
}

#[derive(Debug)]
enum Source {
    Memory(Sorted),
    Run(RunReader),
}

impl Source {
    fn next(&mut self) -> Result<Option<Edit>> {
        match self {
            Self::Memory(sorted) => Ok(sorted.next()),
            Self::Run(run) => run.next(),
        }
    }
}

/// The next edit of a source.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    edit: Edit,
    source: usize,
}

impl Ord for Head {
    /// The greatest is the one to take: of the least key that of the newest source.
    fn cmp(&self, other: &Self) -> Ordering {
        other.edit.key.cmp(&self.edit.key).then(self.source.cmp(&other.source))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Several sorted sources as one. Of equal keys the last source's edit counts.
#[derive(Debug)]
struct Merge {
    sources: Vec<Source>,
    heads: BinaryHeap<Head>,
}

impl Merge {
    fn new(sources: Vec<Source>) -> Result<Self> {
        let heads = BinaryHeap::with_capacity(sources.len());
        let mut merge = Self { sources, heads };
        for source in 0..merge.sources.len() {
            merge.advance(source)?;
        }
        Ok(merge)
    }

    fn advance(&mut self, source: usize) -> Result<()> {
        if let Some(edit) = self.sources.get_mut(source).map(Source::next).transpose()?.flatten() {
            self.heads.push(Head { edit, source });
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Edit>> {
        let Some(Head { edit, source }) = self.heads.pop() else { return Ok(None) };
        self.advance(source)?;
        while self.heads.peek().is_some_and(|head| head.edit.key == edit.key) {
            if let Some(Head { source, .. }) = self.heads.pop() {
                self.advance(source)?;
            }
        }
        Ok(Some(edit))
    }
}

/// The files beside `run_path` that are runs.
pub(crate) fn leftovers(vfs: &dyn Vfs, run_path: &Path) -> Result<Vec<PathBuf>> {
    let (Some(dir), Some(prefix)) = (run_path.parent(), run_path.file_name()) else { return Ok(Vec::new()) };
    let mut found = vfs.read_dir(dir).map_err(|error| Error::io("list", dir, error))?;
    found.retain(|path| {
        path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(prefix.as_encoded_bytes()))
    });
    Ok(found)
}
