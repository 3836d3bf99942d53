//! The index of the working state: what each recorded path was when it was last looked at, so that only what changed is read.
//!
//! This module is the only one that knows where the entries are kept. Everything else sees [`Index`], which answers for one path or walks over a directory, and
//! [`IndexChanges`], which gathers what the next checkpoint will change.
//!
//! Invariant: while the state is settled, there is one entry for each path of the tree that the state names, of the same kind, mode, id and size.

mod align;
mod changes;
mod entry;

use granite::{Db, Keyspace, WriteBatch};
use tl_core::{ObjectId, RepoPath, RepoPathBuf};

use crate::error::Result;
use crate::journal::{REFS, keyspace_options};
use crate::wire::Reader;

pub use align::{IndexFinding, IndexProblem};
pub(crate) use changes::IndexChanges;
#[cfg(feature = "mutation")]
pub(crate) use changes::leave_out_ahead_mark;
pub use entry::IndexEntry;

const INDEX: &str = "index";
const STATE_KEY: &[u8] = b"index";
const SETTLED: u8 = 0;
const AHEAD: u8 = 1;

/// Of which tree the entries are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IndexState {
    /// There never was one.
    Absent,
    /// Of exactly this root.
    Settled(ObjectId),
    /// Some are of a checkpoint that is not there (yet).
    Ahead,
}

/// The entries, by path.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    db: Db,
    entries: Keyspace,
    refs: Keyspace,
}

/// A zero byte in place of `/`: no name holds one, so a directory is followed by what is in it.
fn key_of(path: &RepoPath) -> Vec<u8> {
    path.as_bytes().iter().map(|&byte| if byte == b'/' { 0 } else { byte }).collect()
}

fn path_of(key: &[u8]) -> Option<RepoPathBuf> {
    if key.contains(&b'/') {
        return None;
    }
    let bytes: Vec<u8> = key.iter().map(|&byte| if byte == 0 { b'/' } else { byte }).collect();
    RepoPath::new(&bytes).ok().map(ToOwned::to_owned)
}

impl IndexState {
    fn decode(value: &[u8]) -> Self {
        let mut reader = Reader::new(value);
        match (reader.u8(), reader.array().map(ObjectId::from_bytes), reader.end()) {
            (Some(SETTLED), Some(root), Some(())) => Self::Settled(root),
            // What is malformed is as good as ahead: it is compared with the tree.
            _ => Self::Ahead,
        }
    }
}

fn encode_settled(root: &ObjectId) -> Vec<u8> {
    [&[SETTLED], &root.as_bytes()[..]].concat()
}

impl Index {
    pub(crate) fn open(db: &Db) -> Result<Self> {
        let entries = db.keyspace(INDEX, keyspace_options())?;
        let refs = db.keyspace(REFS, keyspace_options())?;
        Ok(Self { db: db.clone(), entries, refs })
    }

    pub(crate) fn open_read_only(db: &Db) -> Result<Self> {
        Ok(Self { db: db.clone(), entries: db.existing_keyspace(INDEX)?, refs: db.existing_keyspace(REFS)? })
    }

    /// The entry of `path`. One that cannot be read counts as absent: the file is read again then, and the entry replaced.
    pub(crate) fn get(&self, path: &RepoPath) -> Result<Option<IndexEntry>> {
        if path.is_root() {
            return Ok(None);
        }
        let value = self.entries.get(&key_of(path))?;
        Ok(value.and_then(|value| IndexEntry::decode(&value)))
    }

    /// All entries in the order of their paths, without those whose keys are no paths. One that cannot be read is `None`.
    pub(crate) fn scan(&self) -> Result<impl Iterator<Item = Result<(RepoPathBuf, Option<IndexEntry>)>>> {
        Ok(self.entries.scan::<&[u8], _>(..)?.filter_map(|found| match found {
            Ok((key, value)) => path_of(&key).map(|path| Ok((path, IndexEntry::decode(&value)))),
            Err(error) => Some(Err(error.into())),
        }))
    }

    pub(crate) fn state(&self) -> Result<IndexState> {
        Ok(self.refs.get(STATE_KEY)?.map_or(IndexState::Absent, |value| IndexState::decode(&value)))
    }

    /// Puts into `batch` that the entries, those of the batch included, are of the tree `root`.
    pub(crate) fn stage_settled(&self, root: &ObjectId, batch: &mut WriteBatch) {
        batch.put(&self.refs, STATE_KEY, &encode_settled(root));
    }

    fn stage_ahead(&self, batch: &mut WriteBatch) {
        batch.put(&self.refs, STATE_KEY, &[&[AHEAD], &[0; ObjectId::LEN][..]].concat());
    }
}

/// The decoders of this module, for a fuzzer.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing {
    use super::{IndexEntry, IndexState, encode_settled, key_of, path_of};

    /// An entry.
    pub(crate) fn entry(bytes: &[u8]) {
        if let Some(entry) = IndexEntry::decode(bytes) {
            debug_assert_eq!(entry.encode(), bytes, "an entry with two encodings: {entry:?}");
        }
    }

    /// The key of an entry.
    pub(crate) fn key(bytes: &[u8]) {
        if let Some(path) = path_of(bytes) {
            debug_assert_eq!(key_of(&path), bytes, "a path with two keys: {path:?}");
        }
    }

    /// Of which tree the entries are.
    pub(crate) fn state(bytes: &[u8]) {
        if let IndexState::Settled(root) = IndexState::decode(bytes) {
            debug_assert_eq!(encode_settled(&root), bytes);
        }
    }
}
