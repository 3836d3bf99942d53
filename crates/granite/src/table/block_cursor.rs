//! Walks the entries of one block, both ways.

use std::cmp::Ordering;
use std::sync::Arc;

use super::Malformed;
use super::block::{Block, Position, ValueRange};
use crate::key::{self, Trailer};

/// A position in a block, or none.
#[derive(Debug)]
pub(super) struct BlockCursor {
    block: Option<Arc<Block>>,
    valid: bool,
    /// Where the current entry stands, and the one after it.
    position: Position,
    next: Position,
    key: Vec<u8>,
    trailer: Trailer,
    value: ValueRange,
    /// The entries from a restart point on, put together once for all backward steps among them.
    run: Vec<RunEntry>,
    run_keys: Vec<u8>,
    /// The current entry's place in `run`, as long as its position agrees.
    run_at: usize,
}

#[derive(Debug, Clone, Copy)]
struct RunEntry {
    position: Position,
    next: Position,
    key_start: usize,
    key_end: usize,
    trailer: Trailer,
    value: ValueRange,
}

impl BlockCursor {
    pub(super) fn new() -> Self {
        Self {
            block: None,
            valid: false,
            position: Position::default(),
            next: Position::default(),
            key: Vec::new(),
            trailer: Trailer::OLDEST,
            value: ValueRange::default(),
            run: Vec::new(),
            run_keys: Vec::new(),
            run_at: 0,
        }
    }

    /// Goes over to another block, without a position in it.
    pub(super) fn enter(&mut self, block: Arc<Block>) {
        self.block = Some(block);
        self.run.clear();
        self.valid = false;
    }

    pub(super) const fn invalidate(&mut self) {
        self.valid = false;
    }

    #[inline]
    pub(super) const fn valid(&self) -> bool {
        self.valid
    }

    #[inline]
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    #[inline]
    pub(super) const fn trailer(&self) -> Trailer {
        self.trailer
    }

    #[inline]
    pub(super) fn value(&self) -> &[u8] {
        self.block.as_ref().map_or(&[], |block| block.value(self.value))
    }

    pub(super) fn seek_to_first(&mut self) -> Result<(), Malformed> {
        self.load_anchor(0)
    }

    pub(super) fn seek_to_last(&mut self) -> Result<(), Malformed> {
        let Some(block) = &self.block else { return Ok(()) };
        self.position = Position { key: block.end(), value: block.values_end() };
        self.prev()
    }

    /// Moves to the first entry at or after the given internal key.
    pub(super) fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<(), Malformed> {
        self.valid = false;
        let Some(block) = &self.block else { return Ok(()) };
        if block.anchors() == 0 {
            return Ok(());
        }
        let anchor = block.anchor_before(key, trailer)?;
        self.load_anchor(anchor)?;
        while self.valid && key::compare(&self.key, self.trailer, key, trailer) == Ordering::Less {
            self.next()?;
        }
        Ok(())
    }

    /// Moves to the last entry before the given internal key.
    pub(super) fn seek_before(&mut self, key: &[u8], trailer: Trailer) -> Result<(), Malformed> {
        self.seek(key, trailer)?;
        if self.valid { self.prev() } else { self.seek_to_last() }
    }

    #[inline]
    pub(super) fn next(&mut self) -> Result<(), Malformed> {
        self.load(self.next)
    }

    pub(super) fn prev(&mut self) -> Result<(), Malformed> {
        let here = self.run.get(self.run_at).is_some_and(|entry| entry.position == self.position);
        match self.run_at.checked_sub(1).filter(|_| here) {
            Some(before) => self.run_at = before,
            None => {
                self.valid = false;
                if !self.load_run()? {
                    return Ok(());
                }
                self.run_at = self.run.len().saturating_sub(1);
            }
        }
        let Some(&entry) = self.run.get(self.run_at) else { return Ok(()) };
        self.position = entry.position;
        self.next = entry.next;
        self.trailer = entry.trailer;
        self.value = entry.value;
        self.key.clear();
        self.key.extend_from_slice(self.run_keys.get(entry.key_start..entry.key_end).unwrap_or_default());
        self.valid = true;
        Ok(())
    }

    /// Puts the entries together from the anchor before the current position up to it. False at the block's start.
    fn load_run(&mut self) -> Result<bool, Malformed> {
        const UNMET: Malformed = Malformed("the entries of a data block do not meet its restart points");
        self.run.clear();
        self.run_keys.clear();
        let Some(block) = &self.block else { return Ok(false) };
        let Some(anchor) = block.anchor_before_position(self.position)? else { return Ok(false) };
        let mut position = block.anchor(anchor)?;
        let mut before = 0..0;
        while position.key < self.position.key {
            let entry = block.entry_at(position)?;
            if entry.shared > before.len() {
                return Err(SHARED);
            }
            let key_start = self.run_keys.len();
            self.run_keys.extend_from_within(before.start..before.start + entry.shared);
            self.run_keys.extend_from_slice(entry.suffix);
            before = key_start..self.run_keys.len();
            self.run.push(RunEntry {
                position,
                next: entry.next,
                key_start,
                key_end: before.end,
                trailer: entry.trailer,
                value: entry.value,
            });
            position = entry.next;
        }
        if position == self.position { Ok(true) } else { Err(UNMET) }
    }

    fn load_anchor(&mut self, anchor: usize) -> Result<(), Malformed> {
        self.valid = false;
        self.key.clear();
        let Some(block) = self.block.as_ref().filter(|block| block.anchors() > 0) else { return Ok(()) };
        let position = block.anchor(anchor)?;
        self.load(position)
    }

    /// Stands on the entry at `position`, which follows the current one or is an anchor.
    #[inline]
    fn load(&mut self, position: Position) -> Result<(), Malformed> {
        self.valid = false;
        let Some(block) = &self.block else { return Ok(()) };
        if position.key >= block.end() {
            return Ok(());
        }
        let entry = block.entry_at(position)?;
        if entry.shared > self.key.len() {
            return Err(SHARED);
        }
        self.key.truncate(entry.shared);
        self.key.extend_from_slice(entry.suffix);
        self.position = position;
        self.next = entry.next;
        self.trailer = entry.trailer;
        self.value = entry.value;
        self.valid = true;
        Ok(())
    }
}

const SHARED: Malformed = Malformed("an entry shares more bytes than the key before it has");
