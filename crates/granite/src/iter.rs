//! Walks over a keyspace at one moment.

use std::borrow::Cow;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use crate::cursor::Cursor;
use crate::error::{Error, Result};
use crate::key::{Kind, Seq, Trailer};
use crate::log::pointer::ValuePointer;
use crate::log::segment::Segment;
use crate::snapshot::SnapshotGuard;
use crate::tree::View;
use crate::tree::fragments::Fragments;
use crate::tree::merge::{MergeCursor, Source};

/// Where the value of the current entry is.
enum CurrentValue {
    /// The merge stands on the entry.
    AtCursor,
    /// The merge has gone past it (backward walks do).
    Saved { bytes: Vec<u8>, segment: Option<Arc<Segment>> },
}

/// A walk over the entries of a keyspace as they were when it was made, in both directions, within bounds.
///
/// Made by [`Keyspace::scan`](crate::Keyspace::scan) and [`Snapshot::scan`](crate::Snapshot::scan). As an [`Iterator`] it starts at the first entry and yields
/// keys with values; as a cursor it is positioned by `seek*` and moved by `next` and `prev`. An iterator keeps the tables and segments that
/// it may read from being removed: do not keep one for long.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// let db = granite::Db::open(dir.path(), &granite::Options::new())?;
/// let fruit = db.keyspace("fruit", granite::KeyspaceOptions::new())?;
/// for name in ["apple", "banana", "cherry"] {
///     fruit.put(name.as_bytes(), b"1")?;
/// }
/// let mut walk = fruit.scan::<&[u8], _>(..)?;
/// walk.seek_to_last()?;
/// assert_eq!(walk.key(), b"cherry");
/// walk.prev()?;
/// assert_eq!(walk.key(), b"banana");
/// # Ok::<(), granite::Error>(())
/// ```
pub struct Iter {
    merge: MergeCursor<Source>,
    at: Seq,
    lower: Bound<Vec<u8>>,
    upper: Bound<Vec<u8>>,
    range_deletes: Fragments,
    key: Vec<u8>,
    value: CurrentValue,
    valid: bool,
    backward: bool,
    started: bool,
    _pin: SnapshotGuard,
}

impl std::fmt::Debug for Iter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Iter").field("at", &self.at).field("valid", &self.valid).finish_non_exhaustive()
    }
}

pub(crate) fn owned_bounds<K: AsRef<[u8]>>(range: &impl RangeBounds<K>) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let own = |bound: Bound<&K>| bound.map(|key| key.as_ref().to_vec());
    (own(range.start_bound()), own(range.end_bound()))
}

/// The first key behind all keys that begin with `prefix`.
pub(crate) fn prefix_end(prefix: &[u8]) -> Bound<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Bound::Excluded(end);
        }
    }
    Bound::Unbounded
}

impl Iter {
    pub(crate) fn new(
        view: &View,
        at: Seq,
        lower: Bound<Vec<u8>>,
        upper: Bound<Vec<u8>>,
        pin: SnapshotGuard,
    ) -> Result<Self> {
        Ok(Self {
            merge: MergeCursor::new(Source::of_view(view, true)?),
            at,
            lower,
            upper,
            range_deletes: Fragments::new(&view.range_deletes(at)?),
            key: Vec::new(),
            value: CurrentValue::AtCursor,
            valid: false,
            backward: false,
            started: false,
            _pin: pin,
        })
    }

    /// True while the walk stands on an entry.
    #[must_use]
    pub const fn valid(&self) -> bool {
        self.valid
    }

    /// The key of the entry; empty if the walk stands on none.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        if self.valid { &self.key } else { &[] }
    }

    /// The value of the entry, read when asked for; empty if the walk stands on none.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or an error of the disk, if the value stands in a segment.
    pub fn value(&self) -> Result<Cow<'_, [u8]>> {
        if !self.valid {
            return Ok(Cow::Borrowed(&[]));
        }
        match &self.value {
            CurrentValue::AtCursor if self.merge.trailer().kind() == Kind::Separated => {
                let origin = self.merge.current().and_then(Source::origin);
                let read = origin.map(|origin| origin.value(self.merge.trailer(), self.merge.value()));
                read.unwrap_or_else(|| Ok(Vec::new())).map(Cow::Owned)
            }
            CurrentValue::AtCursor => Ok(Cow::Borrowed(self.merge.value())),
            CurrentValue::Saved { bytes, segment: None } => Ok(Cow::Borrowed(bytes)),
            CurrentValue::Saved { bytes, segment: Some(segment) } => {
                let pointer = ValuePointer::decode(bytes).ok_or_else(|| {
                    Error::corrupt(segment.path(), 0, "a value pointer into this segment is malformed")
                })?;
                segment.read(&pointer).map(Cow::Owned)
            }
        }
    }

    /// Moves to the first entry within the bounds.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or an error of the disk; the walk is not valid then.
    pub fn seek_to_first(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.lower, Bound::Unbounded) {
            Bound::Unbounded => self.forward(|merge| merge.seek_to_first(), None),
            Bound::Included(key) => {
                let moved = self.forward(|merge| merge.seek(&key, Trailer::NEWEST), None);
                self.lower = Bound::Included(key);
                moved
            }
            Bound::Excluded(key) => {
                let moved = self.forward(|merge| merge.seek(&key, Trailer::OLDEST), Some(&key));
                self.lower = Bound::Excluded(key);
                moved
            }
        }
    }

    /// Moves to the last entry within the bounds.
    ///
    /// # Errors
    /// As for [`Iter::seek_to_first`].
    pub fn seek_to_last(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.upper, Bound::Unbounded) {
            Bound::Unbounded => self.backward(|merge| merge.seek_to_last()),
            Bound::Included(key) => {
                let moved = self.backward(|merge| {
                    // Strictly before the key's end: the key's oldest version counts.
                    let mut after = key.clone();
                    after.push(0);
                    merge.seek_before(&after, Trailer::NEWEST)
                });
                self.upper = Bound::Included(key);
                moved
            }
            Bound::Excluded(key) => {
                let moved = self.backward(|merge| merge.seek_before(&key, Trailer::NEWEST));
                self.upper = Bound::Excluded(key);
                moved
            }
        }
    }

    /// Moves to the first entry at or after `key`, within the bounds.
    ///
    /// # Errors
    /// As for [`Iter::seek_to_first`].
    pub fn seek(&mut self, key: &[u8]) -> Result<()> {
        if self.is_below(key) {
            return self.seek_to_first();
        }
        self.forward(|merge| merge.seek(key, Trailer::NEWEST), None)
    }

    /// Moves to the last entry at or before `key`, within the bounds.
    ///
    /// # Errors
    /// As for [`Iter::seek_to_first`].
    pub fn seek_for_prev(&mut self, key: &[u8]) -> Result<()> {
        if self.is_above(key) {
            return self.seek_to_last();
        }
        let mut after = key.to_vec();
        after.push(0);
        self.backward(|merge| merge.seek_before(&after, Trailer::NEWEST))
    }

    /// Narrows the bounds to the keys that begin with `prefix` and moves to the first of them.
    ///
    /// # Errors
    /// As for [`Iter::seek_to_first`].
    pub fn seek_prefix(&mut self, prefix: &[u8]) -> Result<()> {
        if !self.is_below(prefix) {
            self.lower = Bound::Included(prefix.to_vec());
        }
        let end = prefix_end(prefix);
        if let Bound::Excluded(key) = &end
            && !self.is_above(key)
        {
            self.upper = end;
        }
        self.seek_to_first()
    }

    /// Moves to the following entry. Without effect if the walk stands on none.
    ///
    /// # Errors
    /// As for [`Iter::seek_to_first`].
    #[expect(clippy::should_implement_trait, reason = "a cursor's step; the Iterator is implemented as well")]
    pub fn next(&mut self) -> Result<()> {
        if !self.valid {
            return Ok(());
        }
        if self.backward {
            let key = std::mem::take(&mut self.key);
            let moved = self.forward(|merge| merge.seek(&key, Trailer::NEWEST), Some(&key));
            return moved;
        }
        let moved = self.merge.next().and_then(|()| self.find_forward(true));
        self.checked(moved)
    }

    /// Moves to the preceding entry. Without effect if the walk stands on none.
    ///
    /// # Errors
    /// As for [`Iter::seek_to_first`].
    pub fn prev(&mut self) -> Result<()> {
        if !self.valid {
            return Ok(());
        }
        if self.backward {
            let moved = self.find_backward();
            return self.checked(moved);
        }
        let key = std::mem::take(&mut self.key);
        self.backward(|merge| merge.seek_before(&key, Trailer::NEWEST))
    }

    fn is_below(&self, key: &[u8]) -> bool {
        match &self.lower {
            Bound::Unbounded => false,
            Bound::Included(lower) => key < lower.as_slice(),
            Bound::Excluded(lower) => key <= lower.as_slice(),
        }
    }

    fn is_above(&self, key: &[u8]) -> bool {
        match &self.upper {
            Bound::Unbounded => false,
            Bound::Included(upper) => key > upper.as_slice(),
            Bound::Excluded(upper) => key >= upper.as_slice(),
        }
    }

    fn checked(&mut self, moved: Result<()>) -> Result<()> {
        self.valid &= moved.is_ok();
        self.started = true;
        moved
    }

    fn forward(
        &mut self,
        position: impl FnOnce(&mut MergeCursor<Source>) -> Result<()>,
        behind: Option<&[u8]>,
    ) -> Result<()> {
        self.backward = false;
        self.valid = false;
        self.key.clear();
        if let Some(key) = behind {
            self.key.extend_from_slice(key);
        }
        let moved = position(&mut self.merge).and_then(|()| self.find_forward(behind.is_some()));
        self.checked(moved)
    }

    fn backward(&mut self, position: impl FnOnce(&mut MergeCursor<Source>) -> Result<()>) -> Result<()> {
        self.backward = true;
        self.valid = false;
        let moved = position(&mut self.merge).and_then(|()| self.find_backward());
        self.checked(moved)
    }

    /// Goes on to the first visible entry from where the merge stands; with `behind`, one of another key than `self.key`.
    fn find_forward(&mut self, mut behind: bool) -> Result<()> {
        self.valid = false;
        self.value = CurrentValue::AtCursor;
        while self.merge.valid() {
            let trailer = self.merge.trailer();
            let key = self.merge.key();
            if trailer.seq() > self.at || (behind && key == self.key.as_slice()) {
                self.merge.next()?;
                continue;
            }
            if self.is_above(key) {
                return Ok(());
            }
            let visible = trailer.kind() != Kind::Delete && !self.range_deletes.cover(key, trailer.seq());
            self.key.clear();
            self.key.extend_from_slice(self.merge.key());
            behind = true;
            if visible {
                self.valid = true;
                return Ok(());
            }
            self.merge.next()?;
        }
        Ok(())
    }

    /// Goes back to the last key with a visible entry from where the merge stands, and saves it: the merge ends up before it.
    fn find_backward(&mut self) -> Result<()> {
        self.valid = false;
        while self.merge.valid() {
            if self.is_below(self.merge.key()) {
                return Ok(());
            }
            self.key.clear();
            self.key.extend_from_slice(self.merge.key());
            // Versions come oldest first: the last one that counts is the newest.
            let mut found = false;
            while self.merge.valid() && self.merge.key() == self.key.as_slice() {
                let trailer = self.merge.trailer();
                if trailer.seq() <= self.at {
                    found = trailer.kind() != Kind::Delete && !self.range_deletes.cover(&self.key, trailer.seq());
                    if found {
                        self.save_value()?;
                    }
                }
                self.merge.prev()?;
            }
            if found {
                self.valid = true;
                return Ok(());
            }
        }
        Ok(())
    }

    fn save_value(&mut self) -> Result<()> {
        let mut bytes = match std::mem::replace(&mut self.value, CurrentValue::AtCursor) {
            CurrentValue::Saved { bytes, .. } => bytes,
            CurrentValue::AtCursor => Vec::new(),
        };
        bytes.clear();
        bytes.extend_from_slice(self.merge.value());
        let segment = match self.merge.trailer().kind() {
            Kind::Separated => {
                let origin = self.merge.current().and_then(Source::origin);
                origin.map(|origin| origin.segment_of(&bytes)).transpose()?
            }
            _ => None,
        };
        self.value = CurrentValue::Saved { bytes, segment };
        Ok(())
    }

    fn entry(&self) -> Option<Result<(Vec<u8>, Vec<u8>)>> {
        self.valid.then(|| Ok((self.key.clone(), self.value()?.into_owned())))
    }
}

impl Iterator for Iter {
    type Item = Result<(Vec<u8>, Vec<u8>)>;

    /// The following entry; the first one if the walk was not positioned yet. An error ends the walk.
    fn next(&mut self) -> Option<Self::Item> {
        let moved = if self.started { Self::next(self) } else { self.seek_to_first() };
        match moved {
            Ok(()) => self.entry(),
            Err(error) => Some(Err(error)),
        }
    }
}
