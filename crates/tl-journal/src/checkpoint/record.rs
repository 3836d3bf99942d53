//! The encoding of a checkpoint's record: docs/format/journal.md, "Record".

use std::time::Duration;

use tl_core::{ObjectId, RepoPath, RepoPathBuf};

use super::{
    ChangeStats, Checkpoint, CheckpointId, Completeness, Gap, GapCause, LISTED_MAX, MESSAGE_LEN_MAX, NAME_LEN_MAX,
    PARENTS_MAX, Provenance, Reason, Touched,
};
use crate::wire::{Reader, put_bytes, put_varint};

const VERSION: u8 = 1;
/// Longest record in bytes.
const RECORD_LEN_MAX: usize = 64 << 10;
/// All paths of a record together, in bytes.
const PATHS_LEN_MAX: usize = 4096;

const HAS_SAVED: u8 = 1;
const MORE_TOUCHED: u8 = 2;
const HAS_SESSION: u8 = 4;
const HAS_ACTOR: u8 = 8;
const HAS_LABEL: u8 = 16;
const HAS_MESSAGE: u8 = 32;
const ALL_FLAGS: u8 = 63;

/// Why a record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRecord {
    /// It is of a version that this program does not know.
    #[error("record version {0}, this program reads version {VERSION}")]
    NewerVersion(u8),
    /// It is not what the format says.
    #[error("the record is malformed")]
    Malformed,
}

/// Writes paths in their order, each without the bytes that it shares with the one before, as long as they fit.
struct PathWriter<'a> {
    previous: &'a [u8],
    room: usize,
}

impl<'a> PathWriter<'a> {
    const fn new(room: usize) -> Self {
        Self { previous: &[], room }
    }

    /// True if there is room for the path.
    const fn admit(&mut self, path: &[u8]) -> bool {
        match self.room.checked_sub(path.len()) {
            Some(room) => {
                self.room = room;
                true
            }
            None => false,
        }
    }

    fn put(&mut self, out: &mut Vec<u8>, path: &'a [u8]) {
        let shared = self.previous.iter().zip(path).take_while(|(a, b)| a == b).count();
        put_varint(out, shared as u64);
        put_bytes(out, path.get(shared..).unwrap_or_default());
        self.previous = path;
    }
}

/// The reverse of [`PathWriter`]: refuses paths that do not rise, that share more with the one before than is said, or are longer together than may be.
struct PathReader {
    previous: Vec<u8>,
    previous_path: RepoPathBuf,
    room: usize,
}

impl PathReader {
    fn new(room: usize) -> Self {
        Self { previous: Vec::new(), previous_path: RepoPathBuf::root(), room }
    }

    fn next(&mut self, reader: &mut Reader<'_>) -> Option<RepoPathBuf> {
        let shared = reader.count(self.previous.len())?;
        let rest = reader.bytes(self.room)?;
        let (kept, differing) = self.previous.split_at_checked(shared)?;
        if rest.first().is_some_and(|first| differing.first() == Some(first)) {
            return None;
        }
        let mut path = kept.to_vec();
        path.extend_from_slice(rest);
        self.room = self.room.checked_sub(path.len())?;
        let found = RepoPath::new(&path).ok()?.to_owned();
        if *found < *self.previous_path {
            return None;
        }
        self.previous = path;
        self.previous_path.clone_from(&found);
        Some(found)
    }
}

fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

impl Checkpoint {
    /// The record. Texts over their limits are cut, paths for which there is no room are left out.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut touched_paths = PathWriter::new(PATHS_LEN_MAX);
        let touched: Vec<&[u8]> = (self.touched.listed.iter().map(|path| path.as_bytes()).take(LISTED_MAX))
            .filter(|path| touched_paths.admit(path))
            .collect();
        let mut gap_paths = PathWriter::new(touched_paths.room);
        let gaps: Vec<&Gap> = (self.completeness.listed.iter().take(LISTED_MAX))
            .filter(|gap| gap_paths.admit(gap.path.as_bytes()))
            .collect();
        let texts = [
            (HAS_SESSION, &self.provenance.session, NAME_LEN_MAX),
            (HAS_ACTOR, &self.provenance.actor, NAME_LEN_MAX),
            (HAS_LABEL, &self.provenance.label, NAME_LEN_MAX),
            (HAS_MESSAGE, &self.provenance.message, MESSAGE_LEN_MAX),
        ];
        let mut flags = if self.saved.is_some() { HAS_SAVED } else { 0 };
        if self.touched.more || touched.len() < self.touched.listed.len() {
            flags |= MORE_TOUCHED;
        }
        for (flag, text, _) in &texts {
            flags |= if text.is_some() { *flag } else { 0 };
        }

        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(&[VERSION, self.reason as u8, flags]);
        put_varint(&mut out, self.sequence);
        put_varint(&mut out, micros(self.time));
        put_varint(&mut out, self.generation);
        let parents = self.parents.get(..PARENTS_MAX).unwrap_or(&self.parents);
        out.push(parents.len() as u8);
        for parent in parents {
            out.extend_from_slice(&parent.to_bytes());
        }
        out.extend_from_slice(self.root.as_bytes());
        if let Some(saved) = &self.saved {
            out.extend_from_slice(saved.as_bytes());
        }
        let ChangeStats { files_added, files_changed, files_removed, bytes_added, bytes_removed } = self.stats;
        for number in [files_added, files_changed, files_removed, bytes_added, bytes_removed] {
            put_varint(&mut out, number);
        }
        put_varint(&mut out, touched.len() as u64);
        for path in touched {
            touched_paths.put(&mut out, path);
        }
        put_varint(&mut out, self.completeness.missing);
        put_varint(&mut out, self.completeness.skipped);
        put_varint(&mut out, gaps.len() as u64);
        for gap in gaps {
            out.push(gap.cause as u8);
            gap_paths.put(&mut out, gap.path.as_bytes());
        }
        for (_, text, max) in texts {
            if let Some(text) = text {
                put_bytes(&mut out, cut(text, max).as_bytes());
            }
        }
        out
    }

    /// The checkpoint `id` from its record.
    ///
    /// # Errors
    /// [`InvalidRecord`] if that is not what [`Checkpoint::encode`] writes for any checkpoint, or is of a version that is not known.
    pub fn decode(id: CheckpointId, record: &[u8]) -> Result<Self, InvalidRecord> {
        match record.first() {
            Some(&VERSION) if record.len() <= RECORD_LEN_MAX => {}
            Some(&version) if version > VERSION => return Err(InvalidRecord::NewerVersion(version)),
            _ => return Err(InvalidRecord::Malformed),
        }
        let mut reader = Reader::new(record);
        decode_fields(id, &mut reader).ok_or(InvalidRecord::Malformed)
    }
}

/// Whole microseconds.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn decode_fields(id: CheckpointId, reader: &mut Reader<'_>) -> Option<Checkpoint> {
    let _version = reader.u8()?;
    let reason = *Reason::ALL.get(usize::from(reader.u8()?))?;
    let flags = reader.u8().filter(|flags| flags & !ALL_FLAGS == 0)?;
    let sequence = reader.varint()?;
    let time = Duration::from_micros(reader.varint()?);
    let generation = reader.varint()?;
    let parent_count = usize::from(reader.u8()?);
    if parent_count > PARENTS_MAX {
        return None;
    }
    let mut parents = Vec::with_capacity(parent_count);
    for _ in 0..parent_count {
        let parent = CheckpointId::from_bytes(reader.array()?);
        // Walks over ancestors end because of this.
        if parent >= id {
            return None;
        }
        parents.push(parent);
    }
    let root = ObjectId::from_bytes(reader.array()?);
    let saved = if flags & HAS_SAVED == 0 { None } else { Some(ObjectId::from_bytes(reader.array()?)) };
    let stats = ChangeStats {
        files_added: reader.varint()?,
        files_changed: reader.varint()?,
        files_removed: reader.varint()?,
        bytes_added: reader.varint()?,
        bytes_removed: reader.varint()?,
    };
    let mut paths = PathReader::new(PATHS_LEN_MAX);
    let touched_count = reader.count(LISTED_MAX)?;
    let listed = (0..touched_count).map(|_| paths.next(reader)).collect::<Option<Vec<_>>>()?;
    let touched = Touched { listed, more: flags & MORE_TOUCHED != 0 };
    let missing = reader.varint()?;
    let skipped = reader.varint()?;
    let gap_count = reader.count(LISTED_MAX)?;
    let mut paths = PathReader::new(paths.room);
    let mut listed = Vec::with_capacity(gap_count);
    for _ in 0..gap_count {
        let cause = *GapCause::ALL.get(usize::from(reader.u8()?))?;
        listed.push(Gap { path: paths.next(reader)?, cause });
    }
    let mut text = |flag: u8, max: usize| -> Option<Option<String>> {
        if flags & flag == 0 {
            return Some(None);
        }
        let bytes = reader.bytes(max)?;
        std::str::from_utf8(bytes).ok().map(|text| Some(text.to_owned()))
    };
    let provenance = Provenance {
        session: text(HAS_SESSION, NAME_LEN_MAX)?,
        actor: text(HAS_ACTOR, NAME_LEN_MAX)?,
        label: text(HAS_LABEL, NAME_LEN_MAX)?,
        message: text(HAS_MESSAGE, MESSAGE_LEN_MAX)?,
    };
    reader.end()?;
    let completeness = Completeness { missing, skipped, listed };
    Some(Checkpoint {
        id,
        sequence,
        time,
        reason,
        generation,
        parents,
        root,
        saved,
        stats,
        touched,
        completeness,
        provenance,
    })
}

#[cfg(test)]
mod tests;
