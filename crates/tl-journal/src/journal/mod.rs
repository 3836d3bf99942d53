//! The journal: checkpoints in the order in which they were appended, the names that point to them, and the counters.
//!
//! It knows ids and numbers. What a root tree holds, and what is on disk, is no business of this module.

mod ancestry;
mod append;
mod rebuild;
mod refs;
mod walk;

use std::ops::{Bound, RangeBounds};
use std::time::Duration;

use granite::{Db, Keyspace, KeyspaceOptions};
use parking_lot::{Mutex, RwLock};

use crate::checkpoint::{Checkpoint, CheckpointId, Reason};
use crate::error::{Error, Result};
use crate::wire::{Reader, put_varint};

pub use ancestry::Ancestors;
pub use append::Append;
pub use refs::{PIN_NAME_LEN_MAX, Pin, Publication};
pub use walk::{Ids, Order, Walk};

/// Keyspace of records and of ids by number.
const JOURNAL: &str = "journal";
/// Keyspace of names and marks.
pub(crate) const REFS: &str = "refs";

const HEAD_KEY: &[u8] = b"head";
const COUNTERS_KEY: &[u8] = b"counters";

/// Small values that are read far more often than they are written: none is separated.
pub(crate) const fn keyspace_options() -> KeyspaceOptions {
    KeyspaceOptions::new().separation_threshold(None)
}

fn record_key(id: CheckpointId) -> [u8; 17] {
    let mut key = [b'c'; 17];
    if let Some(rest) = key.last_chunk_mut() {
        *rest = id.to_bytes();
    }
    key
}

fn sequence_key(sequence: u64) -> [u8; 9] {
    let mut key = [b's'; 9];
    if let Some(rest) = key.last_chunk_mut() {
        *rest = sequence.to_be_bytes();
    }
    key
}

fn sequence_of(key: &[u8]) -> Result<u64> {
    let sequence = key.split_first().and_then(|(_, sequence)| sequence.try_into().ok()).map(u64::from_be_bytes);
    sequence.ok_or_else(|| Error::damaged("the list of sequence numbers", "a key of another length"))
}

fn id_of(value: &[u8], what: impl FnOnce() -> String) -> Result<CheckpointId> {
    let id = value.try_into().map(CheckpointId::from_bytes);
    id.map_err(|_| Error::damaged(what(), format!("{} bytes instead of 16", value.len())))
}

/// Where the journal ends.
#[derive(Debug, Clone, Default)]
struct Tail {
    /// The newest checkpoint of the working directory.
    head: Option<Checkpoint>,
    last_id: Option<CheckpointId>,
    last_sequence: u64,
    count: u64,
}

impl Tail {
    fn encode_counters(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32);
        put_varint(&mut out, self.count);
        put_varint(&mut out, self.last_sequence);
        out.extend_from_slice(&self.last_id.unwrap_or(CheckpointId::MIN).to_bytes());
        out
    }

    fn decode_counters(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let (count, last_sequence) = (reader.varint()?, reader.varint()?);
        let last_id = CheckpointId::from_bytes(reader.array()?);
        reader.end()?;
        (count <= last_sequence).then_some(Self { head: None, last_id: Some(last_id), last_sequence, count })
    }
}

/// The checkpoints of one repository. Readers never wait for writers.
#[derive(Debug)]
pub struct Journal {
    db: Db,
    journal: Keyspace,
    refs: Keyspace,
    /// Held by whoever appends, deletes or marks: one at a time.
    writing: Mutex<()>,
    /// Changed once a write is committed; never held during one.
    tail: RwLock<Tail>,
}

impl Journal {
    /// Opens the journal in `db`, or creates an empty one.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the counters or HEAD cannot be read, [`Error::Engine`].
    pub fn open(db: &Db) -> Result<Self> {
        let journal = Self::without_tail(db)?;
        *journal.tail.write() = journal.read_tail()?;
        Ok(journal)
    }

    /// Opens the journal in a database that is open read-only and holds one.
    ///
    /// # Errors
    /// As for [`Journal::open`].
    pub fn open_read_only(db: &Db) -> Result<Self> {
        let (journal, refs) = (db.existing_keyspace(JOURNAL)?, db.existing_keyspace(REFS)?);
        let journal = Self { db: db.clone(), journal, refs, writing: Mutex::default(), tail: RwLock::default() };
        *journal.tail.write() = journal.read_tail()?;
        Ok(journal)
    }

    /// The journal with nothing believed of its end yet, for a repair.
    pub(crate) fn without_tail(db: &Db) -> Result<Self> {
        let journal = db.keyspace(JOURNAL, keyspace_options())?;
        let refs = db.keyspace(REFS, keyspace_options())?;
        Ok(Self { db: db.clone(), journal, refs, writing: Mutex::default(), tail: RwLock::default() })
    }

    fn read_tail(&self) -> Result<Tail> {
        let Some(counters) = self.refs.get(COUNTERS_KEY)? else {
            return match self.latest()? {
                None => Ok(Tail::default()),
                Some(newest) => Err(Error::damaged("the journal's counters", format!("{} has none", newest.id))),
            };
        };
        let malformed = || Error::damaged("the journal's counters", "they are malformed");
        let mut tail = Tail::decode_counters(&counters).ok_or_else(malformed)?;
        if let Some(newest) = self.latest()?
            && (Some(newest.id) > tail.last_id || newest.sequence > tail.last_sequence)
        {
            return Err(Error::damaged("the journal's counters", format!("{} is newer than they are", newest.id)));
        }
        if let Some(head) = self.refs.get(HEAD_KEY)? {
            let head = id_of(&head, || "the reference HEAD".into())?;
            let missing = || Error::damaged("the reference HEAD", format!("its checkpoint {head} is missing"));
            tail.head = Some(self.get(head)?.ok_or_else(missing)?);
        }
        Ok(tail)
    }

    /// The checkpoint `id`, if the journal has it.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Newer`] or [`Error::Engine`].
    pub fn get(&self, id: CheckpointId) -> Result<Option<Checkpoint>> {
        let record = self.journal.get(&record_key(id))?;
        record.map(|record| Checkpoint::decode(id, &record).map_err(|error| Error::record(id, error))).transpose()
    }

    /// The checkpoint `id`.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`], or as for [`Journal::get`].
    pub fn require(&self, id: CheckpointId) -> Result<Checkpoint> {
        self.get(id)?.ok_or(Error::NoCheckpoint { id })
    }

    /// True if the journal has the checkpoint `id`.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub fn contains(&self, id: CheckpointId) -> Result<bool> {
        Ok(self.journal.contains_key(&record_key(id))?)
    }

    /// The checkpoint with the number `sequence`, if the journal has it.
    ///
    /// # Errors
    /// As for [`Journal::get`].
    pub fn get_by_sequence(&self, sequence: u64) -> Result<Option<Checkpoint>> {
        match self.journal.get(&sequence_key(sequence))? {
            None => Ok(None),
            Some(id) => self.get(id_of(&id, || format!("the id of sequence number {sequence}"))?),
        }
    }

    /// The numbers of all checkpoints that are left, rising.
    pub(crate) fn sequences(&self) -> Result<impl Iterator<Item = Result<u64>>> {
        let numbers = self.journal.scan_prefix(b"s")?;
        Ok(numbers.map(|entry| sequence_of(&entry?.0)))
    }

    /// The greatest number below `sequence` of a checkpoint that is left.
    pub(crate) fn sequence_before(&self, sequence: u64) -> Result<Option<u64>> {
        let range = (Bound::Included(b"s".to_vec()), Bound::Excluded(sequence_key(sequence).to_vec()));
        let mut numbers = self.journal.scan(range)?;
        numbers.seek_to_last()?;
        if numbers.valid() { sequence_of(numbers.key()).map(Some) } else { Ok(None) }
    }

    /// The newest checkpoint of the working directory.
    #[must_use]
    pub fn head(&self) -> Option<Checkpoint> {
        self.tail.read().head.clone()
    }

    /// The newest checkpoint of any kind, imported ones included.
    ///
    /// # Errors
    /// As for [`Journal::get`].
    pub fn latest(&self) -> Result<Option<Checkpoint>> {
        self.walk(.., Order::NewestFirst)?.next().transpose()
    }

    /// The newest `count` checkpoints, newest first.
    ///
    /// # Errors
    /// As for [`Journal::get`].
    pub fn last_n(&self, count: usize) -> Result<Vec<Checkpoint>> {
        self.walk(.., Order::NewestFirst)?.take(count).collect()
    }

    /// What was appended after the checkpoint with the number `sequence` (which need not be there any more), oldest first.
    ///
    /// # Errors
    /// As for [`Journal::get`]; those of single records come with the walk.
    pub fn since(&self, sequence: u64) -> Result<Walk> {
        let mut numbers = self.journal.scan_prefix(b"s")?;
        numbers.seek(&sequence_key(sequence.saturating_add(1)))?;
        let first = match numbers.valid() {
            true => id_of(&numbers.value()?, || "an id in the list of sequence numbers".into())?,
            false => CheckpointId::MAX,
        };
        self.walk(first.., Order::OldestFirst)
    }

    /// The checkpoints whose ids are in `range`.
    ///
    /// # Errors
    /// [`Error::Engine`]; those of single records come with the walk.
    pub fn walk(&self, range: impl RangeBounds<CheckpointId>, order: Order) -> Result<Walk> {
        Walk::new(&self.journal, key_bounds(&range), order)
    }

    /// The checkpoints of the times from `from` up to and including `to` (since 1970, in whole milliseconds), as their ids tell time.
    ///
    /// # Errors
    /// As for [`Journal::walk`].
    pub fn range(&self, from: Duration, to: Duration, order: Order) -> Result<Walk> {
        self.walk(CheckpointId::bounds_at(from).0..=CheckpointId::bounds_at(to).1, order)
    }

    /// The ids in `range`, without reading records.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub fn ids(&self, range: impl RangeBounds<CheckpointId>, order: Order) -> Result<Ids> {
        Ids::new(&self.journal, key_bounds(&range), order)
    }

    /// The state of the working directory at `time`: its newest checkpoint that is not younger.
    ///
    /// # Errors
    /// As for [`Journal::get`].
    pub fn at(&self, time: Duration) -> Result<Option<Checkpoint>> {
        let last = CheckpointId::bounds_at(time).1;
        let mut walk = self.walk(..=last, Order::NewestFirst)?;
        walk.find(|found| !matches!(found, Ok(checkpoint) if checkpoint.reason == Reason::Import)).transpose()
    }

    pub(crate) const fn db(&self) -> &Db {
        &self.db
    }

    /// How many checkpoints there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.tail.read().count
    }

    /// The number of the newest checkpoint that was ever appended, 0 before the first.
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        self.tail.read().last_sequence
    }
}

/// The decoders of this module, for a fuzzer.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing {
    pub(crate) use super::refs::fuzzing::{label, pin, publication};
    use super::{Tail, id_of};

    /// The counters.
    pub(crate) fn counters(value: &[u8]) {
        if let Some(tail) = Tail::decode_counters(value) {
            debug_assert!(tail.count <= tail.last_sequence);
            debug_assert_eq!(tail.encode_counters(), value, "counters with two encodings: {tail:?}");
        }
    }

    /// An id that a reference holds.
    pub(crate) fn id(value: &[u8]) {
        if let Ok(id) = id_of(value, String::new) {
            debug_assert_eq!(id.to_bytes(), value);
        }
    }
}

fn key_bounds(range: &impl RangeBounds<CheckpointId>) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let key = |bound: Bound<&CheckpointId>| bound.map(|id| record_key(*id).to_vec());
    let lower = match key(range.start_bound()) {
        Bound::Unbounded => Bound::Included(b"c".to_vec()),
        bounded => bounded,
    };
    let upper = match key(range.end_bound()) {
        Bound::Unbounded => Bound::Excluded(b"d".to_vec()),
        bounded => bounded,
    };
    (lower, upper)
}
