//! The stack of restores: what `undo` takes back, and `redo` does again. Specified in docs/format/journal.md, "Restore".

use std::collections::BTreeSet;

use granite::{Db, Keyspace, WriteBatch};

use super::intent::Direction;
use crate::checkpoint::CheckpointId;
use crate::error::{Error, Result};
use crate::journal::{REFS, keyspace_options};
use crate::wire::{Reader, put_varint};

const KEY: &[u8] = b"restores";
const VERSION: u8 = 1;
/// Restores that can be undone.
pub const UNDO_DEPTH_MAX: usize = 64;

/// One restore: the checkpoints around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// The state before, with what was overwritten.
    pub(super) before: CheckpointId,
    /// The state after, with what had changed meanwhile.
    pub(super) after: CheckpointId,
}

/// Restores that can be undone and redone, the newest last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stack {
    pub(super) undo: Vec<Step>,
    pub(super) redo: Vec<Step>,
}

impl Stack {
    /// What it becomes by a restore.
    pub(super) fn push(&mut self, direction: Direction, step: Step) {
        match direction {
            Direction::Restore => {
                self.redo.clear();
                self.undo.push(step);
            }
            Direction::Undo => {
                self.undo.pop();
                self.redo.push(step);
            }
            Direction::Redo => {
                self.redo.pop();
                self.undo.push(step);
            }
            Direction::RollBack => {}
        }
        for steps in [&mut self.undo, &mut self.redo] {
            let excess = steps.len().saturating_sub(UNDO_DEPTH_MAX);
            steps.drain(..excess);
        }
    }

    /// The checkpoints that a step can lead to.
    pub(super) fn checkpoints(&self) -> BTreeSet<CheckpointId> {
        self.undo.iter().chain(&self.redo).flat_map(|step| [step.before, step.after]).collect()
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        for steps in [&self.undo, &self.redo] {
            put_varint(&mut out, steps.len() as u64);
            for step in steps {
                out.extend_from_slice(&step.before.to_bytes());
                out.extend_from_slice(&step.after.to_bytes());
            }
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let _version = reader.u8().filter(|version| *version == VERSION)?;
        let mut steps = || {
            let count = reader.count(UNDO_DEPTH_MAX)?;
            let step = |reader: &mut Reader<'_>| {
                let before = CheckpointId::from_bytes(reader.array()?);
                let after = CheckpointId::from_bytes(reader.array()?);
                Some(Step { before, after })
            };
            (0..count).map(|_| step(&mut reader)).collect::<Option<Vec<_>>>()
        };
        let (undo, redo) = (steps()?, steps()?);
        reader.end()?;
        Some(Self { undo, redo })
    }
}

/// Where the stack is kept.
#[derive(Debug, Clone)]
pub(super) struct Stacks {
    refs: Keyspace,
}

impl Stacks {
    pub(super) fn open(db: &Db) -> Result<Self> {
        Ok(Self { refs: db.keyspace(REFS, keyspace_options())? })
    }

    pub(super) fn load(&self) -> Result<Stack> {
        let Some(value) = self.refs.get(KEY)? else { return Ok(Stack::default()) };
        let what = "the stack of restores";
        match value.first() {
            Some(&version) if version > VERSION => {
                Err(Error::Newer { what: what.into(), reason: format!("version {version}") })
            }
            _ => Stack::decode(&value).ok_or_else(|| Error::damaged(what, "it is malformed")),
        }
    }

    pub(super) fn stage(&self, stack: &Stack, batch: &mut WriteBatch) {
        batch.put(&self.refs, KEY, &stack.encode());
    }
}

/// The stack of restores, for a fuzzer.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn fuzz(bytes: &[u8]) {
    if let Some(stack) = Stack::decode(bytes) {
        debug_assert!(stack.undo.len() <= UNDO_DEPTH_MAX && stack.redo.len() <= UNDO_DEPTH_MAX);
        debug_assert_eq!(stack.encode(), bytes, "a stack with two encodings: {stack:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(number: u8) -> Step {
        Step { before: CheckpointId::from_bytes([number; 16]), after: CheckpointId::from_bytes([number + 100; 16]) }
    }

    #[test]
    fn a_stack_survives_its_encoding() {
        let stack = Stack { undo: vec![step(1), step(2)], redo: vec![step(3)] };
        let bytes = stack.encode();
        assert_eq!(Stack::decode(&bytes), Some(stack));
        assert_eq!(Stack::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Stack::decode(&[VERSION, 65]), None);
    }

    /// If it fails, undo after undo goes back and forth between two states, or redo survives a restore that made it meaningless.
    #[test]
    fn undo_and_redo_walk_along_the_restores() {
        let mut stack = Stack::default();
        stack.push(Direction::Restore, step(1));
        stack.push(Direction::Restore, step(2));
        stack.push(Direction::Undo, step(3));
        assert_eq!(stack, Stack { undo: vec![step(1)], redo: vec![step(3)] });
        stack.push(Direction::Undo, step(4));
        assert_eq!(stack, Stack { undo: vec![], redo: vec![step(3), step(4)] });
        stack.push(Direction::Redo, step(5));
        assert_eq!(stack, Stack { undo: vec![step(5)], redo: vec![step(3)] });
        stack.push(Direction::Restore, step(6));
        assert_eq!(stack, Stack { undo: vec![step(5), step(6)], redo: vec![] });
        for _ in 0..100 {
            stack.push(Direction::Restore, step(7));
        }
        assert_eq!(stack.undo.len(), UNDO_DEPTH_MAX);
    }
}
