//! Walking over a tree, as users see it.

use std::ops::{Bound, RangeBounds};

use crate::error::Result;
use crate::id::PageId;
use crate::tree::{self, Position, Value, View};

/// A position in a tree that moves both ways, over a [`Snapshot`](crate::Snapshot) or within a [`WriteTxn`](crate::WriteTxn).
///
/// It starts outside. Each move says whether it arrived at an entry; one that did not leaves it outside, and from there
/// [`next`](Self::next) goes to the first entry and [`prev`](Self::prev) to the last.
///
/// ```
/// # use northstar::{Database, Options, Tree};
/// # fn main() -> northstar::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let db = Database::open(dir.path().join("db"), Options::new())?;
/// db.write(|txn| {
///     for name in ["ada", "grace", "mary"] {
///         txn.put(Tree::DEFAULT, name.as_bytes(), b"1")?;
///     }
///     Ok(())
/// })?;
/// let snapshot = db.snapshot();
/// let mut cursor = snapshot.cursor(Tree::DEFAULT)?;
/// assert!(cursor.seek(b"b")?);
/// assert_eq!(cursor.key(), b"grace");
/// assert!(cursor.prev()?);
/// assert_eq!(cursor.entry()?, Some((&b"ada"[..], &b"1"[..])));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Cursor<'a> {
    inner: tree::Cursor<'a>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(view: View<'a>, root: PageId) -> Self {
        Self { inner: tree::Cursor::new(view, root) }
    }

    /// Moves to the first entry.
    ///
    /// # Errors
    /// A damaged page, or an error of the disk. So for all moves.
    pub fn first(&mut self) -> Result<bool> {
        self.inner.first()
    }

    /// Moves to the last entry.
    ///
    /// # Errors
    /// As for [`first`](Self::first).
    pub fn last(&mut self) -> Result<bool> {
        self.inner.last()
    }

    /// Moves to the first entry whose key is not less than `key`.
    ///
    /// # Errors
    /// As for [`first`](Self::first).
    pub fn seek(&mut self, key: &[u8]) -> Result<bool> {
        self.inner.seek(key)
    }

    /// Moves to the last entry whose key is less than `key`.
    ///
    /// # Errors
    /// As for [`first`](Self::first).
    pub fn seek_before(&mut self, key: &[u8]) -> Result<bool> {
        self.inner.seek_before(key)
    }

    /// Moves to the next entry.
    ///
    /// # Errors
    /// As for [`first`](Self::first).
    #[expect(clippy::should_implement_trait, reason = "it lends its entry, and can fail")]
    pub fn next(&mut self) -> Result<bool> {
        self.inner.next()
    }

    /// Moves to the entry before.
    ///
    /// # Errors
    /// As for [`first`](Self::first).
    pub fn prev(&mut self) -> Result<bool> {
        self.inner.prev()
    }

    /// Whether it stands at an entry.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.inner.position() == Position::Entry
    }

    /// The key of the entry; empty when there is none.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.inner.key()
    }

    /// The value of the entry; empty when there is none. A value in pages of its own is read now.
    ///
    /// # Errors
    /// As for [`first`](Self::first).
    pub fn value(&mut self) -> Result<&[u8]> {
        self.inner.load_value()?;
        Ok(self.inner.value())
    }

    /// Key and value of the entry.
    ///
    /// # Errors
    /// As for [`first`](Self::first).
    pub fn entry(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        if !self.is_valid() {
            return Ok(None);
        }
        self.inner.load_value()?;
        Ok(Some((self.inner.key(), self.inner.value())))
    }
}

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Value,
}

/// The entries in a range of keys, from either end. From [`Snapshot::range`](crate::Snapshot::range) and
/// [`WriteTxn::range`](crate::WriteTxn::range).
#[derive(Debug)]
pub struct Scan<'a> {
    front: Cursor<'a>,
    back: Option<Cursor<'a>>,
    view: View<'a>,
    root: PageId,
    low: Bound<Vec<u8>>,
    high: Bound<Vec<u8>>,
    started: bool,
    over: bool,
}

fn owned<K: AsRef<[u8]>>(bound: Bound<&K>) -> Bound<Vec<u8>> {
    bound.map(|key| key.as_ref().to_vec())
}

impl<'a> Scan<'a> {
    pub(super) fn new<K: AsRef<[u8]>>(view: View<'a>, root: PageId, range: &impl RangeBounds<K>) -> Self {
        Self {
            front: Cursor::new(view, root),
            back: None,
            view,
            root,
            low: owned(range.start_bound()),
            high: owned(range.end_bound()),
            started: false,
            over: false,
        }
    }

    fn inside_low(&self, key: &[u8]) -> bool {
        match &self.low {
            Bound::Included(low) => key >= low.as_slice(),
            Bound::Excluded(low) => key > low.as_slice(),
            Bound::Unbounded => true,
        }
    }

    fn inside_high(&self, key: &[u8]) -> bool {
        match &self.high {
            Bound::Included(high) => key <= high.as_slice(),
            Bound::Excluded(high) => key < high.as_slice(),
            Bound::Unbounded => true,
        }
    }

    /// Moves to the next entry from the front, without copying it: [`key`](Self::key) and [`value`](Self::value) lend it.
    ///
    /// # Errors
    /// A damaged page, or an error of the disk.
    pub fn advance(&mut self) -> Result<bool> {
        if self.over {
            return Ok(false);
        }
        let found = if self.started {
            self.front.next()?
        } else {
            self.started = true;
            match &self.low {
                Bound::Unbounded => self.front.first()?,
                Bound::Included(low) => self.front.seek(low)?,
                Bound::Excluded(low) => {
                    self.front.seek(low)? && (self.front.key() != low.as_slice() || self.front.next()?)
                }
            }
        };
        let met = self.back.as_ref().is_some_and(|back| !back.is_valid() || self.front.key() >= back.key());
        if !found || met || !self.inside_high(self.front.key()) {
            self.over = true;
            return Ok(false);
        }
        Ok(true)
    }

    /// The key that [`advance`](Self::advance) went to.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.front.key()
    }

    /// The value that [`advance`](Self::advance) went to.
    ///
    /// # Errors
    /// As for [`advance`](Self::advance).
    pub fn value(&mut self) -> Result<&[u8]> {
        self.front.value()
    }

    fn advance_back(&mut self) -> Result<bool> {
        if self.over {
            return Ok(false);
        }
        let mut back = match self.back.take() {
            Some(mut back) => {
                if !back.prev()? {
                    self.over = true;
                }
                back
            }
            None => {
                let mut back = Cursor::new(self.view, self.root);
                let found = match &self.high {
                    Bound::Unbounded => back.last()?,
                    Bound::Excluded(high) => back.seek_before(high)?,
                    Bound::Included(high) => {
                        (back.seek(high)? && back.key() == high.as_slice()) || back.seek_before(high)?
                    }
                };
                if !found {
                    self.over = true;
                }
                back
            }
        };
        let met = self.started && self.front.is_valid() && back.is_valid() && back.key() <= self.front.key();
        if !self.over && (met || !back.is_valid() || !self.inside_low(back.key())) {
            self.over = true;
        }
        let found = !self.over && back.entry()?.is_some();
        self.back = Some(back);
        Ok(found)
    }
}

fn entry_of(cursor: &mut Cursor<'_>) -> Result<Entry> {
    let key = cursor.key().to_vec();
    Ok(Entry { key, value: Value::copy_of(cursor.value()?) })
}

impl Iterator for Scan<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = match self.advance() {
            Ok(true) => entry_of(&mut self.front),
            Ok(false) => return None,
            Err(error) => Err(error),
        };
        self.over |= entry.is_err();
        Some(entry)
    }
}

impl DoubleEndedIterator for Scan<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let entry = match self.advance_back() {
            Ok(true) => self.back.as_mut().map(entry_of)?,
            Ok(false) => return None,
            Err(error) => Err(error),
        };
        self.over |= entry.is_err();
        Some(entry)
    }
}
