//! A walk over the tables of one sorted level, opened one at a time.

use std::sync::Arc;

use super::table_handle::TableHandle;
use crate::cursor::Cursor;
use crate::error::Result;
use crate::key::Trailer;
use crate::table::TableCursor;

pub(crate) struct LevelCursor {
    tables: Arc<[Arc<TableHandle>]>,
    /// The table that `cursor` is in.
    at: usize,
    cursor: Option<TableCursor>,
    fill_cache: bool,
}

impl LevelCursor {
    pub(crate) fn new(tables: &[Arc<TableHandle>], fill_cache: bool) -> Self {
        Self { tables: tables.into(), at: 0, cursor: None, fill_cache }
    }

    /// The table that the cursor stands in.
    pub(crate) fn table(&self) -> Option<&Arc<TableHandle>> {
        self.tables.get(self.at)
    }

    /// Makes `at` the current table; `None` leaves the cursor invalid.
    fn enter(&mut self, at: Option<usize>) -> Result<Option<&mut TableCursor>> {
        let Some((at, handle)) = at.and_then(|at| Some((at, self.tables.get(at)?))) else {
            self.cursor = None;
            return Ok(None);
        };
        if self.cursor.is_none() || self.at != at {
            self.cursor = None;
            self.cursor = Some(handle.table()?.cursor(self.fill_cache));
            self.at = at;
        }
        Ok(self.cursor.as_mut())
    }

    /// Goes on to the following tables while the cursor is at the end of one.
    fn skip_forward(&mut self) -> Result<()> {
        while self.cursor.as_ref().is_some_and(|cursor| !cursor.valid()) {
            let next = self.at + 1;
            if let Some(cursor) = self.enter(Some(next))? {
                cursor.seek_to_first()?;
            }
        }
        Ok(())
    }

    fn skip_backward(&mut self) -> Result<()> {
        while self.cursor.as_ref().is_some_and(|cursor| !cursor.valid()) {
            let previous = self.at.checked_sub(1);
            if let Some(cursor) = self.enter(previous)? {
                cursor.seek_to_last()?;
            }
        }
        Ok(())
    }
}

impl Cursor for LevelCursor {
    fn valid(&self) -> bool {
        self.cursor.as_ref().is_some_and(Cursor::valid)
    }

    fn seek_to_first(&mut self) -> Result<()> {
        if let Some(cursor) = self.enter(Some(0))? {
            cursor.seek_to_first()?;
        }
        self.skip_forward()
    }

    fn seek_to_last(&mut self) -> Result<()> {
        if let Some(cursor) = self.enter(self.tables.len().checked_sub(1))? {
            cursor.seek_to_last()?;
        }
        self.skip_backward()
    }

    fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        let at = self.tables.partition_point(|table| table.meta.largest.as_slice() < key);
        if let Some(cursor) = self.enter(Some(at))? {
            cursor.seek(key, trailer)?;
        }
        self.skip_forward()
    }

    fn seek_before(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        let after = self.tables.partition_point(|table| table.meta.smallest.as_slice() <= key);
        if let Some(cursor) = self.enter(after.checked_sub(1))? {
            cursor.seek_before(key, trailer)?;
        }
        self.skip_backward()
    }

    fn next(&mut self) -> Result<()> {
        if let Some(cursor) = &mut self.cursor {
            cursor.next()?;
        }
        self.skip_forward()
    }

    fn prev(&mut self) -> Result<()> {
        if let Some(cursor) = &mut self.cursor {
            cursor.prev()?;
        }
        self.skip_backward()
    }

    fn key(&self) -> &[u8] {
        self.cursor.as_ref().map_or(&[], Cursor::key)
    }

    fn trailer(&self) -> Trailer {
        self.cursor.as_ref().map_or(Trailer::OLDEST, Cursor::trailer)
    }

    fn value(&self) -> &[u8] {
        self.cursor.as_ref().map_or(&[], Cursor::value)
    }
}
