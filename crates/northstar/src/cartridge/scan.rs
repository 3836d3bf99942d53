//! Walks over an open cartridge, in either order.

use std::ops::Bound;

use super::error::Result;
use super::reader::Cartridge;
use super::section::Group;

/// Which end a scan begins at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Rising keys.
    Forward,
    /// Falling keys.
    Backward,
}

/// An entry: a key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// Stands on an entry, or beyond either end.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    cartridge: &'a Cartridge,
    section: usize,
    group: usize,
    at: usize,
    loaded: Group,
    is_valid: bool,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(cartridge: &'a Cartridge) -> Self {
        Self { cartridge, section: 0, group: 0, at: 0, loaded: Group::default(), is_valid: false }
    }

    fn load(&mut self, section: usize, group: usize) -> Result<()> {
        self.is_valid = false;
        let data = self.cartridge.data(section)?;
        data.group(group, &mut self.loaded).ok_or_else(|| self.cartridge.damaged_data(section))?;
        (self.section, self.group) = (section, group);
        Ok(())
    }

    /// Moves to the first entry whose key is not less than `key`.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<()> {
        let index = self.cartridge.index()?;
        self.is_valid = false;
        if index.count() == 0 {
            return Ok(());
        }
        let section = index.section_of(key).ok_or_else(|| self.cartridge.damaged_index())?;
        let data = self.cartridge.data(section)?;
        let group = data.group_of(key).ok_or_else(|| self.cartridge.damaged_data(section))?;
        self.load(section, group)?;
        self.at = self.loaded.below(key);
        self.is_valid = true;
        if self.at >= self.loaded.len() { self.next_group() } else { Ok(()) }
    }

    /// Moves to the last entry whose key is less than `key`, or not greater if `including`.
    pub(crate) fn seek_back(&mut self, key: &[u8], including: bool) -> Result<()> {
        self.seek(key)?;
        match self.key() {
            Some(found) if including && found == key => Ok(()),
            Some(_) => self.prev(),
            None => self.seek_last(),
        }
    }

    pub(crate) fn seek_first(&mut self) -> Result<()> {
        self.is_valid = false;
        if self.cartridge.index()?.count() > 0 {
            self.load(0, 0)?;
            self.at = 0;
            self.is_valid = true;
        }
        Ok(())
    }

    pub(crate) fn seek_last(&mut self) -> Result<()> {
        self.is_valid = false;
        if let Some(section) = self.cartridge.index()?.count().checked_sub(1) {
            self.load_last_group(section)?;
        }
        Ok(())
    }

    fn load_last_group(&mut self, section: usize) -> Result<()> {
        // A section has at least one entry, and so has a group.
        let group = self.cartridge.data(section)?.groups().saturating_sub(1);
        self.load(section, group)?;
        self.stand_on_last();
        Ok(())
    }

    fn stand_on_last(&mut self) {
        self.at = self.loaded.len().saturating_sub(1);
        self.is_valid = true;
    }

    pub(crate) fn next(&mut self) -> Result<()> {
        self.at += 1;
        if self.at < self.loaded.len() { Ok(()) } else { self.next_group() }
    }

    fn next_group(&mut self) -> Result<()> {
        let (section, group) = (self.section, self.group + 1);
        self.is_valid = false;
        if group < self.cartridge.data(section)?.groups() {
            self.load(section, group)?;
        } else if section + 1 < self.cartridge.index()?.count() {
            self.load(section + 1, 0)?;
        } else {
            return Ok(());
        }
        self.at = 0;
        self.is_valid = true;
        Ok(())
    }

    pub(crate) fn prev(&mut self) -> Result<()> {
        if let Some(before) = self.at.checked_sub(1) {
            self.at = before;
            return Ok(());
        }
        self.is_valid = false;
        if let Some(before) = self.group.checked_sub(1) {
            self.load(self.section, before)?;
            self.stand_on_last();
        } else if let Some(before) = self.section.checked_sub(1) {
            self.load_last_group(before)?;
        }
        Ok(())
    }

    /// The key, unless the cursor is beyond an end.
    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.is_valid.then(|| self.loaded.key(self.at)).flatten()
    }

    /// The value, which the cartridge holds.
    pub(crate) fn value(&self) -> Result<&'a [u8]> {
        let value = match self.loaded.slot(self.at).filter(|_| self.is_valid) {
            Some(slot) => self.cartridge.data(self.section)?.value(slot),
            None => None,
        };
        value.ok_or_else(|| self.cartridge.damaged_data(self.section))
    }
}

/// The entries of a range of keys, one after the other. An error ends the scan.
#[derive(Debug)]
pub struct Scan<'a> {
    cursor: Cursor<'a>,
    lower: Bound<Vec<u8>>,
    upper: Bound<Vec<u8>>,
    order: Order,
    is_started: bool,
    is_over: bool,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(cartridge: &'a Cartridge, range: (Bound<&[u8]>, Bound<&[u8]>), order: Order) -> Self {
        let (lower, upper) = (range.0.map(<[u8]>::to_vec), range.1.map(<[u8]>::to_vec));
        Self { cursor: cartridge.cursor(), lower, upper, order, is_started: false, is_over: false }
    }

    fn start(&mut self) -> Result<()> {
        let cursor = &mut self.cursor;
        match (self.order, &self.lower, &self.upper) {
            (Order::Forward, Bound::Unbounded, _) => cursor.seek_first(),
            (Order::Forward, Bound::Included(key), _) => cursor.seek(key),
            (Order::Forward, Bound::Excluded(key), _) => {
                cursor.seek(key)?;
                if cursor.key() == Some(key) { cursor.next() } else { Ok(()) }
            }
            (Order::Backward, _, Bound::Unbounded) => cursor.seek_last(),
            (Order::Backward, _, Bound::Included(key)) => cursor.seek_back(key, true),
            (Order::Backward, _, Bound::Excluded(key)) => cursor.seek_back(key, false),
        }
    }

    fn step(&mut self) -> Result<Option<Entry>> {
        match (std::mem::replace(&mut self.is_started, true), self.order) {
            (false, _) => self.start()?,
            (true, Order::Forward) => self.cursor.next()?,
            (true, Order::Backward) => self.cursor.prev()?,
        }
        let Some(key) = self.cursor.key() else { return Ok(None) };
        let is_in = match self.order {
            Order::Forward => match &self.upper {
                Bound::Unbounded => true,
                Bound::Included(upper) => key <= upper.as_slice(),
                Bound::Excluded(upper) => key < upper.as_slice(),
            },
            Order::Backward => match &self.lower {
                Bound::Unbounded => true,
                Bound::Included(lower) => key >= lower.as_slice(),
                Bound::Excluded(lower) => key > lower.as_slice(),
            },
        };
        if !is_in {
            return Ok(None);
        }
        Ok(Some(Entry { key: key.to_vec(), value: self.cursor.value()?.to_vec() }))
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let found = self.step().transpose();
        self.is_over = !matches!(found, Some(Ok(_)));
        found
    }
}

/// The least key that is greater than every key that begins with `prefix`, as the end of a range. `Unbounded` if there is none.
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Bound<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Bound::Excluded(end);
        }
    }
    Bound::Unbounded
}

/// A bound that borrows its key.
pub(crate) fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}
