//! States of the past: from the newest persistent root at or before, and what the log has on top of it.

use std::sync::Arc;

use super::Retained;
use super::database::Database;
use super::open::load_directory;
use super::replay::{Until, replay};
use super::root::{AddedPages, Lease, Past, Root};
use super::snapshot::Snapshot;
use super::write::check_name;
use crate::error::{Error, Result};
use crate::id::{CommitTime, TxnId};
use crate::store::PageStore;
use crate::tree::{Allocator, Changes, VirtualPages};
use vfs::OpenMode;

/// The log's files are listed anew this many times when one of them was renamed meanwhile.
const LISTINGS_MAX: usize = 4;

/// Which state of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum At {
    /// The one after this transaction.
    Txn(TxnId),
    /// The newest one at this time.
    Time(CommitTime),
}

impl From<TxnId> for At {
    fn from(txn: TxnId) -> Self {
        Self::Txn(txn)
    }
}

impl From<CommitTime> for At {
    fn from(time: CommitTime) -> Self {
        Self::Time(time)
    }
}

/// A state with a name, which stays until it is unpinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The name.
    pub name: String,
    /// The state.
    pub txn: TxnId,
}

/// A state that is on disk as a whole. Those between two of them are made from the older one and the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetainedState {
    /// The state.
    pub txn: TxnId,
    /// When it was committed.
    pub time: CommitTime,
}

impl Database {
    /// A state of the past: any within the [retention](crate::Options::retention), any that is pinned, and others as long as they happen to be
    /// kept. It costs the log between the state and the last checkpoint before it, in time and memory.
    ///
    /// ```
    /// use northstar::{Database, Options, Retention, Tree};
    ///
    /// # fn main() -> northstar::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("db");
    /// let options = Options::new().retention(Retention { transactions: 100, ..Retention::default() });
    /// let db = Database::open(&path, options.clone())?;
    /// db.write(|txn| txn.put(Tree::DEFAULT, b"k", b"old"))?;
    /// let then = db.snapshot().txn();
    /// db.write(|txn| txn.put(Tree::DEFAULT, b"k", b"new"))?;
    /// db.close()?;
    ///
    /// let db = Database::open(&path, options)?;
    /// assert_eq!(db.as_of(then)?.get(Tree::DEFAULT, b"k")?.unwrap(), b"old");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::OutsideWindow`] or [`Error::BeforeWindow`] for what is not kept, and errors of reading.
    pub fn as_of(&self, at: impl Into<At>) -> Result<Snapshot> {
        let at = at.into();
        let newest = self.snapshot();
        match at {
            At::Txn(txn) if txn == newest.txn() => return Ok(newest),
            At::Txn(txn) if txn > newest.txn() => return Err(self.outside(txn, newest.txn())),
            At::Time(time) if time >= newest.time() => return Ok(newest),
            At::Txn(_) | At::Time(_) => {}
        }
        let base = {
            let writer = self.inner.writer.lock();
            let before = |root: &&Retained| match at {
                At::Txn(txn) => root.record.txn <= txn,
                At::Time(time) => root.record.time <= time,
            };
            writer.roots.iter().rev().find(before).cloned()
        };
        let Some(base) = base else {
            return Err(match at {
                At::Txn(txn) => self.outside(txn, newest.txn()),
                At::Time(time) => Error::BeforeWindow { time },
            });
        };
        let root = self.root_at(at, &base, newest.txn())?;
        Ok(Snapshot { store: Arc::clone(&self.inner.store), root: Arc::new(root) })
    }

    fn outside(&self, txn: TxnId, newest: TxnId) -> Error {
        let oldest = self.retained().first().map_or(newest, |state| state.txn);
        Error::OutsideWindow { txn, oldest, newest }
    }

    fn root_at(&self, at: At, base: &Retained, newest: TxnId) -> Result<Root> {
        let store = &self.inner.store;
        let directory = load_directory(store, &base.record)?;
        let past = |added| Some(Past { _lease: Lease::Own { _count: Arc::clone(&base.lease) }, _added: added });
        let (txn, time) = (base.record.txn, base.record.time);
        if at == At::Txn(txn) {
            return Ok(Root { txn, time, directory: Arc::new(directory), _past: past(None) });
        }
        let until = match at {
            At::Txn(txn) => Until::Txn(txn),
            At::Time(time) => Until::Time(time),
        };
        for _ in 0..LISTINGS_MAX {
            let segments = self.inner.files.list(self.inner.identity[0], OpenMode::Read)?;
            let allocator = || Allocator::Virtual { pages: &self.inner.virtuals, page_size: store.page_size() };
            let replayed = match replay(store, allocator(), &segments, &base.record, directory.clone(), until) {
                Ok(replayed) => replayed,
                // The segment was closed, or removed, between two looks.
                Err(Error::Corrupt { .. }) if !segments.iter().any(|s| s.header.number == base.record.log.segment) => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            if matches!(at, At::Txn(txn) if replayed.txn != txn) {
                replayed.changes.abandon(&mut allocator());
                continue;
            }
            let (txn, time) = (replayed.txn, replayed.time);
            let directory = Arc::new(replayed.directory);
            let added = finish_virtual(store, &self.inner.virtuals, replayed.changes, None);
            return Ok(Root { txn, time, directory, _past: past(Some(Arc::new(added))) });
        }
        Err(match at {
            At::Txn(txn) => self.outside(txn, newest),
            At::Time(time) => Error::BeforeWindow { time },
        })
    }

    /// The states that are on disk as a whole, oldest first.
    #[must_use]
    pub fn retained(&self) -> Vec<RetainedState> {
        let writer = self.inner.writer.lock();
        writer.roots.iter().map(|root| RetainedState { txn: root.record.txn, time: root.record.time }).collect()
    }

    /// Gives the newest state a name under which it stays. Writes a checkpoint, and returns once the pin is durable.
    ///
    /// # Errors
    /// [`Error::Pin`] if there is one of that name; else as for [`checkpoint`](Self::checkpoint).
    pub fn pin(&self, name: &str) -> Result<TxnId> {
        check_name("pin name", name)?;
        let mut pinned = TxnId::ZERO;
        let written = self.inner.checkpoint_with(|writer| {
            pinned = writer.latest.txn;
            match writer.pins.binary_search_by(|(pin, _)| (**pin).cmp(name)) {
                Ok(_) => Err(Error::Pin { name: name.to_owned(), what: "exists already: remove it first" }),
                Err(place) => {
                    writer.pins.insert(place, (name.to_owned(), pinned));
                    writer.pins_changed = true;
                    Ok(())
                }
            }
        });
        match written {
            Ok(()) => Ok(pinned),
            Err(error @ Error::Pin { .. }) => Err(error),
            Err(error) => {
                // Its root may not be on disk: nobody must find it.
                let mut writer = self.inner.writer.lock();
                writer.pins.retain(|(pin, _)| pin != name);
                Err(error)
            }
        }
    }

    /// Takes a pin away. Its state goes when nothing else keeps it.
    ///
    /// # Errors
    /// [`Error::Pin`] if there is none of that name; else as for [`checkpoint`](Self::checkpoint).
    pub fn unpin(&self, name: &str) -> Result<()> {
        self.inner.checkpoint_with(|writer| {
            let Ok(place) = writer.pins.binary_search_by(|(pin, _)| (**pin).cmp(name)) else {
                return Err(Error::Pin { name: name.to_owned(), what: "is not there" });
            };
            writer.pins.remove(place);
            writer.pins_changed = true;
            Ok(())
        })
    }

    /// All pins, sorted by name.
    #[must_use]
    pub fn pins(&self) -> Vec<Pin> {
        let writer = self.inner.writer.lock();
        writer.pins.iter().map(|(name, txn)| Pin { name: name.clone(), txn: *txn }).collect()
    }

    /// The state of a pin.
    ///
    /// # Errors
    /// [`Error::Pin`] if there is none of that name, and errors of reading.
    pub fn pinned(&self, name: &str) -> Result<Snapshot> {
        let found = self.pins().into_iter().find(|pin| pin.name == name);
        let pin = found.ok_or_else(|| Error::Pin { name: name.to_owned(), what: "is not there" })?;
        self.as_of(pin.txn)
    }

    /// The first transaction in `first..=last` after which `changed` is true, if it is false before some transaction and true from then on.
    /// Looks at as many states as the number of transactions has binary digits. `None`: it is not true after the last either.
    ///
    /// # Errors
    /// Those of [`as_of`](Self::as_of) and of `changed`.
    pub fn bisect(
        &self,
        first: TxnId,
        last: TxnId,
        mut changed: impl FnMut(&Snapshot) -> Result<bool>,
    ) -> Result<Option<TxnId>> {
        if first > last || !changed(&self.as_of(last)?)? {
            return Ok(None);
        }
        let (mut low, mut high) = (first.0, last.0);
        while low < high {
            let middle = low + (high - low) / 2;
            if changed(&self.as_of(TxnId(middle))?)? {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(Some(TxnId(low)))
    }
}

/// Makes pages of a replay known that live in memory, and go when the answer is dropped.
pub(super) fn finish_virtual(
    store: &Arc<PageStore>,
    virtuals: &Arc<VirtualPages>,
    changes: Changes,
    below: Option<Arc<AddedPages>>,
) -> AddedPages {
    let page_size = store.page_size();
    let (pages, _replaced) = changes.finish(&mut Allocator::Virtual { pages: virtuals, page_size });
    let pages: Vec<_> = pages.collect();
    let runs = pages.iter().map(|(id, page)| (*id, (page.len() / page_size) as u32)).collect();
    store.insert_unwritten(pages.into_iter());
    AddedPages { store: Arc::clone(store), virtuals: Arc::clone(virtuals), runs, _below: below }
}
