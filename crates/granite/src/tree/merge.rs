//! A merge of sorted sources into one sorted walk, in both directions.

use std::cmp::Ordering;
use std::sync::Arc;

use super::level_cursor::LevelCursor;
use super::table_handle::TableHandle;
use super::view::{MemBuffer, Origin, View};
use crate::cursor::Cursor;
use crate::error::Result;
use crate::key::{Trailer, compare};
use crate::memtable::BufferCursor;
use crate::table::TableCursor;

/// One sorted source, with what its value pointers need.
pub(crate) enum Source {
    Memory { memory: Arc<MemBuffer>, cursor: BufferCursor },
    Table { handle: Arc<TableHandle>, cursor: TableCursor },
    Level(LevelCursor),
}

macro_rules! each {
    ($self:expr, $cursor:ident => $call:expr) => {
        match $self {
            Source::Memory { cursor: $cursor, .. } => $call,
            Source::Table { cursor: $cursor, .. } => $call,
            Source::Level($cursor) => $call,
        }
    };
}

impl Source {
    pub(crate) fn memory(memory: &Arc<MemBuffer>) -> Self {
        Self::Memory { memory: Arc::clone(memory), cursor: memory.buffer.cursor() }
    }

    pub(crate) fn table(handle: &Arc<TableHandle>, fill_cache: bool) -> Result<Self> {
        Ok(Self::Table { handle: Arc::clone(handle), cursor: handle.table()?.cursor(fill_cache) })
    }

    /// The sources of everything in a view.
    pub(crate) fn of_view(view: &View, fill_cache: bool) -> Result<Vec<Self>> {
        let mut sources: Vec<Self> =
            view.memory().filter(|memory| !memory.buffer.is_empty()).map(Self::memory).collect();
        for (level, tables) in view.version.levels().iter().enumerate().filter(|(_, tables)| !tables.is_empty()) {
            if level == 0 {
                for handle in tables {
                    sources.push(Self::table(handle, fill_cache)?);
                }
            } else {
                sources.push(Self::Level(LevelCursor::new(tables, fill_cache)));
            }
        }
        Ok(sources)
    }

    /// What holds the segments of the entry that the source stands on.
    pub(crate) fn origin(&self) -> Option<Origin<'_>> {
        match self {
            Self::Memory { memory, .. } => Some(Origin::Memory(memory)),
            Self::Table { handle, .. } => Some(Origin::Table(handle)),
            Self::Level(level) => level.table().map(|table| Origin::Table(table)),
        }
    }
}

impl Cursor for Source {
    fn valid(&self) -> bool {
        each!(self, cursor => cursor.valid())
    }
    fn seek_to_first(&mut self) -> Result<()> {
        each!(self, cursor => cursor.seek_to_first())
    }
    fn seek_to_last(&mut self) -> Result<()> {
        each!(self, cursor => cursor.seek_to_last())
    }
    fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        each!(self, cursor => cursor.seek(key, trailer))
    }
    fn seek_before(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        each!(self, cursor => cursor.seek_before(key, trailer))
    }
    #[inline]
    fn next(&mut self) -> Result<()> {
        each!(self, cursor => cursor.next())
    }
    #[inline]
    fn prev(&mut self) -> Result<()> {
        each!(self, cursor => cursor.prev())
    }
    #[inline]
    fn key(&self) -> &[u8] {
        each!(self, cursor => cursor.key())
    }
    #[inline]
    fn trailer(&self) -> Trailer {
        each!(self, cursor => cursor.trailer())
    }
    #[inline]
    fn value(&self) -> &[u8] {
        each!(self, cursor => cursor.value())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Backward,
}

/// A binary heap of sources with the one to be read next on top. Internal keys are unique, so ties do not occur.
pub(crate) struct MergeCursor<C = Source> {
    sources: Vec<C>,
    /// Indexes of valid sources; the first `heap_len` in heap order.
    heap: Vec<usize>,
    direction: Direction,
}

impl<C: Cursor> MergeCursor<C> {
    pub(crate) fn new(sources: Vec<C>) -> Self {
        let heap = Vec::with_capacity(sources.len());
        Self { sources, heap, direction: Direction::Forward }
    }

    /// The source that the cursor stands on.
    #[inline]
    pub(crate) fn current(&self) -> Option<&C> {
        self.heap.first().and_then(|&top| self.sources.get(top))
    }

    fn before(&self, a: usize, b: usize) -> bool {
        let (Some(a), Some(b)) = (self.sources.get(a), self.sources.get(b)) else { return false };
        let order = compare(a.key(), a.trailer(), b.key(), b.trailer());
        match self.direction {
            Direction::Forward => order == Ordering::Less,
            Direction::Backward => order == Ordering::Greater,
        }
    }

    fn rebuild(&mut self, direction: Direction) {
        self.direction = direction;
        self.heap.clear();
        let valid = self.sources.iter().enumerate().filter(|(_, source)| source.valid()).map(|(index, _)| index);
        self.heap.extend(valid);
        for at in (0..self.heap.len() / 2).rev() {
            self.sift_down(at);
        }
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let left = 2 * at + 1;
            let Some(&left_index) = self.heap.get(left) else { return };
            let mut child = (left, left_index);
            if let Some(&right_index) = self.heap.get(left + 1)
                && self.before(right_index, left_index)
            {
                child = (left + 1, right_index);
            }
            let Some(&here) = self.heap.get(at) else { return };
            if !self.before(child.1, here) {
                return;
            }
            self.heap.swap(at, child.0);
            at = child.0;
        }
    }

    /// Puts the source on top in its new place after it moved.
    #[inline]
    fn settle_top(&mut self) {
        let Some(&top) = self.heap.first() else { return };
        if !self.sources.get(top).is_some_and(Cursor::valid) {
            self.heap.swap_remove(0);
        }
        if self.heap.len() > 1 {
            self.sift_down(0);
        }
    }

    fn position_all(&mut self, direction: Direction, mut position: impl FnMut(&mut C) -> Result<()>) -> Result<()> {
        self.heap.clear();
        for source in &mut self.sources {
            position(source)?;
        }
        self.rebuild(direction);
        Ok(())
    }
}

impl<C: Cursor> Cursor for MergeCursor<C> {
    #[inline]
    fn valid(&self) -> bool {
        !self.heap.is_empty()
    }

    fn seek_to_first(&mut self) -> Result<()> {
        self.position_all(Direction::Forward, C::seek_to_first)
    }

    fn seek_to_last(&mut self) -> Result<()> {
        self.position_all(Direction::Backward, C::seek_to_last)
    }

    fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        self.position_all(Direction::Forward, |source| source.seek(key, trailer))
    }

    fn seek_before(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        self.position_all(Direction::Backward, |source| source.seek_before(key, trailer))
    }

    fn next(&mut self) -> Result<()> {
        if self.direction == Direction::Backward {
            let (key, trailer) = (self.key().to_vec(), self.trailer());
            self.seek(&key, trailer)?;
        }
        if let Some(&top) = self.heap.first()
            && let Some(source) = self.sources.get_mut(top)
            && let Err(error) = source.next()
        {
            self.heap.clear();
            return Err(error);
        }
        self.settle_top();
        Ok(())
    }

    fn prev(&mut self) -> Result<()> {
        if self.direction == Direction::Forward {
            // Strictly before the entry that it stands on: that is the step itself.
            let (key, trailer) = (self.key().to_vec(), self.trailer());
            return self.seek_before(&key, trailer);
        }
        if let Some(&top) = self.heap.first()
            && let Some(source) = self.sources.get_mut(top)
            && let Err(error) = source.prev()
        {
            self.heap.clear();
            return Err(error);
        }
        self.settle_top();
        Ok(())
    }

    #[inline]
    fn key(&self) -> &[u8] {
        self.current().map_or(&[], Cursor::key)
    }

    #[inline]
    fn trailer(&self) -> Trailer {
        self.current().map_or(Trailer::OLDEST, Cursor::trailer)
    }

    #[inline]
    fn value(&self) -> &[u8] {
        self.current().map_or(&[], Cursor::value)
    }
}
