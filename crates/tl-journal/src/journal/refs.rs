//! Names and marks: pins, labels, publish marks, sessions.

use std::collections::BTreeSet;
use std::time::Duration;

use granite::{Durability, WriteBatch};

use super::{Journal, Order, id_of};
use crate::checkpoint::{Checkpoint, CheckpointId, NAME_LEN_MAX};
use crate::error::{Error, Result};
use crate::wire::{Reader, put_varint};

/// Longest name of a pin in bytes.
pub const PIN_NAME_LEN_MAX: usize = 128;
/// Longest name of a place to publish to, in bytes.
const TARGET_LEN_MAX: usize = 256;

pub(super) const PIN: &[u8] = b"pin/";
const LABEL: &[u8] = b"label/";
const PUBLISH: &[u8] = b"publish/";
const SESSION: &[u8] = b"session/";
/// Marks that say something of one checkpoint, and what they are called.
pub(super) const PREFIXES: [(&[u8], &str); 3] = [(PIN, "pin"), (LABEL, "label"), (PUBLISH, "publish mark")];

/// A name that keeps a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The name.
    pub name: String,
    /// The checkpoint.
    pub id: CheckpointId,
    /// When it was set, since 1970, in whole microseconds.
    pub time: Duration,
}

/// What a checkpoint became elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The checkpoint.
    pub id: CheckpointId,
    /// Where it was published, such as the name of a Git ref.
    pub target: String,
    /// What it is there, such as a commit id.
    pub published_as: Vec<u8>,
}

fn key(prefix: &[u8], rest: &[u8]) -> Vec<u8> {
    [prefix, rest].concat()
}

fn check_name(what: &'static str, name: &str, len_max: usize) -> Result<()> {
    if name.is_empty() || name.len() > len_max {
        return Err(Error::Invalid { what, reason: format!("{} bytes, 1 to {len_max} are possible", name.len()) });
    }
    if name.chars().any(char::is_control) {
        return Err(Error::Invalid { what, reason: "it has control characters".into() });
    }
    Ok(())
}

/// The session as it stands in records and keys: cut where the record cuts it.
fn session_key(session: &str) -> Vec<u8> {
    let cut = session.get(..session.floor_char_boundary(NAME_LEN_MAX)).unwrap_or(session);
    key(SESSION, cut.as_bytes())
}

impl Journal {
    /// Gives the checkpoint `id` the name `name`, durably, at the time `now`. A pin of that name moves.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`]; [`Error::Invalid`] for a name that is empty, over [`PIN_NAME_LEN_MAX`] bytes, with control characters, or beginning
    /// with `@`, which means something else; [`Error::Engine`].
    pub fn pin(&self, name: &str, id: CheckpointId, now: Duration) -> Result<Pin> {
        check_name("name of a pin", name, PIN_NAME_LEN_MAX)?;
        if name.starts_with('@') {
            return Err(Error::Invalid { what: "name of a pin", reason: "`@` begins a name for a state".into() });
        }
        // Nothing is deleted while this is held.
        let _writing = self.writing.lock();
        self.require(id)?;
        let time = Duration::from_micros(crate::checkpoint::micros(now));
        let pin = Pin { name: name.to_owned(), id, time };
        let mut batch = WriteBatch::new();
        batch.put(&self.refs, &key(PIN, name.as_bytes()), &encode_pin(&pin));
        self.db.write(batch, Durability::Sync)?;
        Ok(pin)
    }

    /// Removes the pin `name`, durably. False if there is none.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub fn unpin(&self, name: &str) -> Result<bool> {
        let _writing = self.writing.lock();
        let key = key(PIN, name.as_bytes());
        if !self.refs.contains_key(&key)? {
            return Ok(false);
        }
        let mut batch = WriteBatch::new();
        batch.delete(&self.refs, &key);
        self.db.write(batch, Durability::Sync)?;
        Ok(true)
    }

    /// All pins in the order of their names.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Engine`].
    pub fn pins(&self) -> Result<Vec<Pin>> {
        let mut pins = Vec::new();
        for entry in self.refs.scan_prefix(PIN)? {
            let (key, value) = entry?;
            let name = key.get(PIN.len()..).unwrap_or_default();
            pins.push(decode_pin(name, &value)?);
        }
        Ok(pins)
    }

    /// The pin `name`.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Engine`].
    pub fn find_pin(&self, name: &str) -> Result<Option<Pin>> {
        let value = self.refs.get(&key(PIN, name.as_bytes()))?;
        value.map(|value| decode_pin(name.as_bytes(), &value)).transpose()
    }

    /// Gives a checkpoint a label in place of the one in its record, durably; none with an empty text.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`], [`Error::Invalid`], [`Error::Engine`].
    pub fn set_label(&self, id: CheckpointId, label: &str) -> Result<()> {
        if !label.is_empty() {
            check_name("label", label, NAME_LEN_MAX)?;
        }
        let _writing = self.writing.lock();
        self.require(id)?;
        let mut batch = WriteBatch::new();
        batch.put(&self.refs, &key(LABEL, &id.to_bytes()), label.as_bytes());
        self.db.write(batch, Durability::Sync)?;
        Ok(())
    }

    /// The checkpoint's label: the one that was set later, or the one in its record.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Engine`].
    pub fn label(&self, checkpoint: &Checkpoint) -> Result<Option<String>> {
        let Some(text) = self.refs.get(&key(LABEL, &checkpoint.id.to_bytes()))? else {
            return Ok(checkpoint.provenance.label.clone());
        };
        let damaged = || Error::damaged(format!("the label of {}", checkpoint.id), "it is malformed");
        decode_text(&text, 0, NAME_LEN_MAX).map(|text| Some(text).filter(|text| !text.is_empty())).ok_or_else(damaged)
    }

    pub(super) fn stage_unlabel(&self, id: CheckpointId, batch: &mut WriteBatch) {
        batch.delete(&self.refs, &key(LABEL, &id.to_bytes()));
    }

    /// Notes durably that the checkpoint `id` is `published_as` at `target`. From then on it is kept.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`], [`Error::Invalid`], [`Error::Engine`].
    pub fn mark_published(&self, id: CheckpointId, target: &str, published_as: &[u8]) -> Result<()> {
        check_name("place to publish to", target, TARGET_LEN_MAX)?;
        let _writing = self.writing.lock();
        self.require(id)?;
        let mut batch = WriteBatch::new();
        batch.put(&self.refs, &publish_key(id, target), published_as);
        self.db.write(batch, Durability::Sync)?;
        Ok(())
    }

    /// All publish marks, oldest checkpoint first.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Engine`].
    pub fn publications(&self) -> Result<Vec<Publication>> {
        let mut found = Vec::new();
        for entry in self.refs.scan_prefix(PUBLISH)? {
            let (key, published_as) = entry?;
            let damaged = || Error::damaged("a publish mark", "its key is malformed");
            let (id, target) = decode_publish_key(&key).ok_or_else(damaged)?;
            found.push(Publication { id, target, published_as });
        }
        Ok(found)
    }

    /// The checkpoints that are published anywhere.
    ///
    /// # Errors
    /// As for [`Journal::publications`].
    pub fn published_ids(&self) -> Result<BTreeSet<CheckpointId>> {
        Ok(self.publications()?.into_iter().map(|publication| publication.id).collect())
    }

    pub(super) fn stage_session(&self, session: &str, id: CheckpointId, batch: &mut WriteBatch) {
        batch.put(&self.refs, &session_key(session), &id.to_bytes());
    }

    /// The newest checkpoint of the session `name` that is left.
    ///
    /// # Errors
    /// As for [`Journal::get`].
    pub fn newest_of_session(&self, name: &str) -> Result<Option<Checkpoint>> {
        let Some(newest) = self.refs.get(&session_key(name))? else { return Ok(None) };
        let newest = id_of(&newest, || format!("the session {name:?}"))?;
        for found in self.walk(..=newest, Order::NewestFirst)? {
            let found = found?;
            if found.provenance.session.as_deref() == Some(name) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// A text of a length in that range, in bytes.
fn decode_text(bytes: &[u8], len_min: usize, len_max: usize) -> Option<String> {
    let text = Some(bytes).filter(|bytes| (len_min..=len_max).contains(&bytes.len()))?;
    std::str::from_utf8(text).ok().map(str::to_owned)
}

fn publish_key(id: CheckpointId, target: &str) -> Vec<u8> {
    [PUBLISH, &id.to_bytes(), b"/", target.as_bytes()].concat()
}

fn decode_publish_key(key: &[u8]) -> Option<(CheckpointId, String)> {
    let (id, rest) = key.strip_prefix(PUBLISH)?.split_first_chunk()?;
    Some((CheckpointId::from_bytes(*id), decode_text(rest.strip_prefix(b"/")?, 1, TARGET_LEN_MAX)?))
}

fn encode_pin(pin: &Pin) -> Vec<u8> {
    let mut value = pin.id.to_bytes().to_vec();
    put_varint(&mut value, crate::checkpoint::micros(pin.time));
    value
}

fn decode_pin(name: &[u8], value: &[u8]) -> Result<Pin> {
    let fields = || {
        let mut reader = Reader::new(value);
        let id = CheckpointId::from_bytes(reader.array()?);
        let time = Duration::from_micros(reader.varint()?);
        reader.end()?;
        Some(Pin { name: decode_text(name, 1, PIN_NAME_LEN_MAX)?, id, time })
    };
    fields().ok_or_else(|| Error::damaged(format!("the pin {:?}", String::from_utf8_lossy(name)), "it is malformed"))
}

/// The decoders of this module, for a fuzzer.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing {
    use super::{NAME_LEN_MAX, PIN_NAME_LEN_MAX, decode_pin, decode_publish_key, decode_text, encode_pin, publish_key};

    /// A pin: a name, as the rest of its key, and the value.
    pub(crate) fn pin(name: &[u8], value: &[u8]) {
        if let Ok(pin) = decode_pin(name, value) {
            debug_assert!((1..=PIN_NAME_LEN_MAX).contains(&pin.name.len()) && pin.name.as_bytes() == name);
            debug_assert_eq!(encode_pin(&pin), value, "a pin with two encodings: {pin:?}");
        }
    }

    /// A label.
    pub(crate) fn label(value: &[u8]) {
        if let Some(label) = decode_text(value, 0, NAME_LEN_MAX) {
            debug_assert!(label.len() <= NAME_LEN_MAX && label.as_bytes() == value);
        }
    }

    /// The key of a publish mark.
    pub(crate) fn publication(key: &[u8]) {
        if let Some((id, target)) = decode_publish_key(key) {
            debug_assert_eq!(publish_key(id, &target), key);
        }
    }
}
