//! The intent of a restore: what has to be finished or taken back if the process or the machine dies. Specified in docs/format/journal.md, "Restore".

use granite::{Db, Keyspace, WriteBatch};
use tl_core::ObjectId;

use super::plan::Goal;
use crate::checkpoint::{CheckpointId, MESSAGE_LEN_MAX, NAME_LEN_MAX, Provenance};
use crate::error::{Error, Result};
use crate::journal::{REFS, keyspace_options};
use crate::wire::{Reader, put_bytes, put_varint};

const KEY: &[u8] = b"restore";
const VERSION: u8 = 1;
const HAS_OVERLAY: u8 = 1;
const HAS_SAVED: u8 = 2;
const HAS_LATE: u8 = 4;
const HAS_TARGET: u8 = 8;
const HAS_RESTORED: u8 = 16;
const ALL_FLAGS: u8 = 31;

/// How far a restore is. The numbers are on disk: do not change them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Paths may be in either state, or between them.
    Applying = 1,
    /// The restored state is recorded; the filesystem may not be synced.
    Written = 2,
}

/// Whether the restore moves along the stack of restores. The numbers are on disk: do not change them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Direction {
    /// To a state that was named.
    Restore = 0,
    /// Back to what was before the last restore.
    Undo = 1,
    /// Forth to what was before the last undo.
    Redo = 2,
    /// Back to the safety checkpoint of a restore that could not be finished. It leaves no checkpoint of its own.
    RollBack = 3,
}

/// What a restore is about to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Intent {
    pub(super) phase: Phase,
    pub(super) direction: Direction,
    /// Part of the names of files that are on their way.
    pub(super) nonce: u64,
    /// When it began, in microseconds since 1970; from [`Phase::Written`] on, when it was written.
    pub(super) time_us: u64,
    pub(super) goal: Goal,
    /// The checkpoint of the state before.
    pub(super) safety: CheckpointId,
    /// The checkpoint that was asked for.
    pub(super) target: Option<CheckpointId>,
    /// The checkpoint of the state after, in [`Phase::Written`].
    pub(super) restored: Option<CheckpointId>,
    /// A tree of what had changed since the safety checkpoint and was replaced nevertheless.
    pub(super) late: Option<ObjectId>,
    pub(super) provenance: Provenance,
}

impl Intent {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.phase as u8, self.direction as u8];
        let flag = |is_some: bool, flag: u8| if is_some { flag } else { 0 };
        out.push(
            flag(self.goal.overlay.is_some(), HAS_OVERLAY)
                | flag(self.goal.saved.is_some(), HAS_SAVED)
                | flag(self.late.is_some(), HAS_LATE)
                | flag(self.target.is_some(), HAS_TARGET)
                | flag(self.restored.is_some(), HAS_RESTORED),
        );
        out.extend_from_slice(&self.nonce.to_be_bytes());
        put_varint(&mut out, self.time_us);
        out.extend_from_slice(self.goal.from.as_bytes());
        out.extend_from_slice(self.goal.to.as_bytes());
        for tree in [self.goal.overlay, self.goal.saved, self.late].iter().flatten() {
            out.extend_from_slice(tree.as_bytes());
        }
        out.extend_from_slice(&self.safety.to_bytes());
        for checkpoint in [self.target, self.restored].iter().flatten() {
            out.extend_from_slice(&checkpoint.to_bytes());
        }
        let Provenance { session, actor, label, message } = &self.provenance;
        for text in [session, actor, label, message] {
            put_bytes(&mut out, text.as_deref().unwrap_or_default().as_bytes());
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let _version = reader.u8().filter(|version| *version == VERSION)?;
        let phase = match reader.u8()? {
            1 => Phase::Applying,
            2 => Phase::Written,
            _ => return None,
        };
        let direction = match reader.u8()? {
            0 => Direction::Restore,
            1 => Direction::Undo,
            2 => Direction::Redo,
            3 => Direction::RollBack,
            _ => return None,
        };
        let flags = reader.u8().filter(|flags| flags & !ALL_FLAGS == 0)?;
        let nonce = u64::from_be_bytes(reader.array()?);
        let time_us = reader.varint()?;
        let (from, to) = (tree(&mut reader)?, tree(&mut reader)?);
        let overlay = if_flagged(flags, HAS_OVERLAY, || tree(&mut reader))?;
        let saved = if_flagged(flags, HAS_SAVED, || tree(&mut reader))?;
        let late = if_flagged(flags, HAS_LATE, || tree(&mut reader))?;
        let safety = checkpoint(&mut reader)?;
        let target = if_flagged(flags, HAS_TARGET, || checkpoint(&mut reader))?;
        let restored = if_flagged(flags, HAS_RESTORED, || checkpoint(&mut reader))?;
        let provenance = Provenance {
            session: text(&mut reader, NAME_LEN_MAX)?,
            actor: text(&mut reader, NAME_LEN_MAX)?,
            label: text(&mut reader, NAME_LEN_MAX)?,
            message: text(&mut reader, MESSAGE_LEN_MAX)?,
        };
        reader.end()?;
        let goal = Goal { from, to, overlay, saved };
        Some(Self { phase, direction, nonce, time_us, goal, safety, target, restored, late, provenance })
    }

    /// The trees that a collection must keep for it.
    pub(super) fn trees(&self) -> impl Iterator<Item = ObjectId> {
        let Goal { from, to, overlay, saved } = self.goal;
        [Some(from), Some(to), overlay, saved, self.late].into_iter().flatten()
    }
}

fn tree(reader: &mut Reader<'_>) -> Option<ObjectId> {
    reader.array().map(ObjectId::from_bytes)
}

fn checkpoint(reader: &mut Reader<'_>) -> Option<CheckpointId> {
    reader.array().map(CheckpointId::from_bytes)
}

/// `Some(None)` if the flag is not set; `None` if it is and nothing readable follows.
fn if_flagged<T>(flags: u8, flag: u8, read: impl FnOnce() -> Option<T>) -> Option<Option<T>> {
    if flags & flag == 0 { Some(None) } else { read().map(Some) }
}

/// An absent text is an empty one.
fn text(reader: &mut Reader<'_>, len_max: usize) -> Option<Option<String>> {
    let text = std::str::from_utf8(reader.bytes(len_max)?).ok()?;
    Some(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

/// Where the intent is kept: there is at most one.
#[derive(Debug, Clone)]
pub(super) struct Intents {
    refs: Keyspace,
}

impl Intents {
    pub(super) fn open(db: &Db) -> Result<Self> {
        // A store that is open read-only has the keyspace; only a new one must be given it.
        let refs = match db.existing_keyspace(REFS) {
            Ok(refs) => refs,
            Err(granite::Error::UnknownKeyspace { .. }) => db.keyspace(REFS, keyspace_options())?,
            Err(error) => return Err(error.into()),
        };
        Ok(Self { refs })
    }

    pub(super) fn load(&self) -> Result<Option<Intent>> {
        let Some(value) = self.refs.get(KEY)? else { return Ok(None) };
        let what = "the intent of a restore";
        match value.first() {
            Some(&version) if version > VERSION => {
                Err(Error::Newer { what: what.into(), reason: format!("version {version}") })
            }
            _ => match Intent::decode(&value) {
                Some(intent) => Ok(Some(intent)),
                None => Err(Error::damaged(what, "it is malformed")),
            },
        }
    }

    pub(super) fn stage(&self, intent: &Intent, batch: &mut WriteBatch) {
        batch.put(&self.refs, KEY, &intent.encode());
    }

    pub(super) fn stage_removal(&self, batch: &mut WriteBatch) {
        batch.delete(&self.refs, KEY);
    }
}

/// The intent of a restore, for a fuzzer.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn fuzz(bytes: &[u8]) {
    if let Some(intent) = Intent::decode(bytes) {
        debug_assert_eq!(intent.encode(), bytes, "an intent with two encodings: {intent:?}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_intent() -> impl Strategy<Value = Intent> {
        let tree = || any::<[u8; 32]>().prop_map(ObjectId::from_bytes);
        let maybe = || proptest::option::of(any::<[u8; 32]>().prop_map(ObjectId::from_bytes));
        let checkpoint = || any::<[u8; 16]>().prop_map(CheckpointId::from_bytes);
        let maybe_checkpoint = || proptest::option::of(any::<[u8; 16]>().prop_map(CheckpointId::from_bytes));
        let text = || proptest::option::of("[a-z]{1,20}");
        (
            (any::<bool>(), 0u8..4, any::<u64>(), any::<u64>()),
            (tree(), tree(), maybe(), maybe(), maybe()),
            (checkpoint(), maybe_checkpoint(), maybe_checkpoint()),
            (text(), text(), text(), text()),
        )
            .prop_map(|(head, trees, checkpoints, texts)| Intent {
                phase: if head.0 { Phase::Applying } else { Phase::Written },
                direction: [Direction::Restore, Direction::Undo, Direction::Redo, Direction::RollBack]
                    [usize::from(head.1)],
                nonce: head.2,
                time_us: head.3,
                goal: Goal { from: trees.0, to: trees.1, overlay: trees.2, saved: trees.3 },
                late: trees.4,
                safety: checkpoints.0,
                target: checkpoints.1,
                restored: checkpoints.2,
                provenance: Provenance { session: texts.0, actor: texts.1, label: texts.2, message: texts.3 },
            })
    }

    proptest! {
        /// If it fails, a start after a crash finishes something else than what was begun.
        #[test]
        fn an_intent_survives_its_encoding(intent in any_intent()) {
            let bytes = intent.encode();
            prop_assert_eq!(Intent::decode(&bytes), Some(intent));
            for len in 0..bytes.len() {
                prop_assert_eq!(Intent::decode(&bytes[..len]), None);
            }
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
            if let Some(intent) = Intent::decode(&bytes) {
                prop_assert_eq!(Intent::decode(&intent.encode()), Some(intent));
            }
        }
    }
}
