//! The commit stream: what each transaction did, in order, from a transaction on, also after a restart.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use vfs::OpenMode;

use super::database::Database;
use super::reader::ReaderInner;
use super::{Inner, Tree};
use crate::error::{Error, Result};
use crate::id::{CommitTime, TxnId};
use crate::log::{LogFiles, Operation, Operations, Record, Walk};
use crate::store::LogPosition;

/// Commits that are read at once.
const BATCH_MAX: usize = 1024;
/// Bytes of commits that are read at once, unless one alone is longer.
const BATCH_LEN_MAX: usize = 4 << 20;
/// How often a watcher of another process looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// One step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A key got a value.
    Put {
        /// Where.
        tree: Tree,
        /// The key.
        key: Vec<u8>,
        /// Its value from now on.
        value: Vec<u8>,
    },
    /// A key was removed.
    Delete {
        /// Where.
        tree: Tree,
        /// The key.
        key: Vec<u8>,
    },
    /// A tree was made.
    CreateTree {
        /// Its number.
        tree: Tree,
        /// Its name.
        name: String,
    },
    /// A tree was removed with all that was in it.
    DropTree {
        /// Its number.
        tree: Tree,
    },
    /// All entries of a tree were removed.
    ClearTree {
        /// Its number.
        tree: Tree,
    },
}

/// What one transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The transaction.
    pub txn: TxnId,
    /// When it was committed.
    pub time: CommitTime,
    /// Its steps, in the order in which they were done.
    pub changes: Vec<Change>,
}

pub(super) fn commit_of(record: &Record) -> Option<Commit> {
    let mut changes = Vec::with_capacity(record.operations as usize);
    for operation in Operations::new(&record.payload) {
        changes.push(match operation.ok()? {
            Operation::Put { tree, key, value } => {
                Change::Put { tree: Tree(tree), key: key.to_vec(), value: value.to_vec() }
            }
            Operation::Delete { tree, key } => Change::Delete { tree: Tree(tree), key: key.to_vec() },
            Operation::Create { tree, name } => Change::CreateTree { tree: Tree(tree), name: name.to_owned() },
            Operation::Drop { tree } => Change::DropTree { tree: Tree(tree) },
            Operation::Clear { tree } => Change::ClearTree { tree: Tree(tree) },
        });
    }
    Some(Commit { txn: record.txn, time: record.time, changes })
}

/// Commits after a transaction, one after the other, as they become visible. From [`Database::watch`].
///
/// A watcher that was away goes on with the number of the last commit that it has dealt with. The log must still have what comes after it:
/// see [`Options::retention`](crate::Options::retention).
#[derive(Debug)]
pub struct Watch {
    source: Source,
    /// The next commit to be read.
    next: TxnId,
    /// Where its record is, once that is known.
    position: Option<LogPosition>,
    read: VecDeque<Commit>,
}

/// Whose commits are watched.
#[derive(Debug)]
enum Source {
    /// This process's.
    Own(Arc<Inner>),
    /// Another one's.
    Foreign(Arc<ReaderInner>),
}

impl Source {
    /// Up to where commits may be shown; all that the log has, if there is no limit.
    fn visible(&self) -> Result<TxnId> {
        match self {
            Self::Own(inner) => Ok(inner.visible.load().txn),
            Self::Foreign(reader) => Ok(reader.visible()?.unwrap_or(TxnId(u64::MAX))),
        }
    }

    fn files(&self) -> &LogFiles {
        match self {
            Self::Own(inner) => &inner.files,
            Self::Foreign(reader) => reader.files(),
        }
    }

    fn identity(&self) -> u64 {
        match self {
            Self::Own(inner) => inner.identity.first().copied().unwrap_or(0),
            Self::Foreign(reader) => reader.identity(),
        }
    }
}

impl Database {
    /// Watches what is committed after `from`. To start from a state, take a [`snapshot`](Self::snapshot) and watch from its
    /// [`txn`](crate::Snapshot::txn): the two join without a gap.
    ///
    /// ```
    /// use northstar::{Change, Database, Options, Tree};
    ///
    /// # fn main() -> northstar::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// let db = Database::open(dir.path().join("db"), Options::new())?;
    /// let base = db.snapshot();
    /// let mut watch = db.watch(base.txn());
    /// assert!(watch.try_next()?.is_none());
    /// db.write(|txn| txn.put(Tree::DEFAULT, b"k", b"v"))?;
    /// let commit = watch.try_next()?.unwrap();
    /// assert_eq!(commit.changes, [Change::Put { tree: Tree::DEFAULT, key: b"k".to_vec(), value: b"v".to_vec() }]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn watch(&self, from: TxnId) -> Watch {
        Watch::new(Source::Own(Arc::clone(&self.inner)), from)
    }
}

impl Watch {
    const fn new(source: Source, from: TxnId) -> Self {
        Self { source, next: from.next(), position: None, read: VecDeque::new() }
    }

    pub(super) const fn of_reader(reader: Arc<ReaderInner>, from: TxnId) -> Self {
        Self::new(Source::Foreign(reader), from)
    }

    /// The transaction that the next commit will have.
    #[must_use]
    pub fn next_txn(&self) -> TxnId {
        self.read.front().map_or(self.next, |commit| commit.txn)
    }

    /// The next commit if there is one already.
    ///
    /// # Errors
    /// [`Error::OutsideWindow`] if the log does not have it any more; errors of reading.
    pub fn try_next(&mut self) -> Result<Option<Commit>> {
        if self.read.is_empty() {
            let visible = self.source.visible()?;
            if visible < self.next {
                return Ok(None);
            }
            self.fill(visible)?;
        }
        Ok(self.read.pop_front())
    }

    /// The next commit, for which it waits up to `timeout`. `None`: there was none in time, or the database was closed.
    ///
    /// # Errors
    /// As for [`try_next`](Self::try_next).
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Commit>> {
        if let Some(commit) = self.try_next()? {
            return Ok(Some(commit));
        }
        match &self.source {
            Source::Own(inner) => {
                let next = self.next;
                let mut visible = inner.commits.visible.lock();
                let _in_time = inner.commits.changed.wait_while_for(&mut visible, |visible| *visible < next, timeout);
            }
            // There is nothing that one process could wake another by and that would not cost each commit something.
            Source::Foreign(_) => {
                for _ in 0..timeout.as_millis() / LOOK_INTERVAL.as_millis() {
                    std::thread::sleep(LOOK_INTERVAL);
                    if let Some(commit) = self.try_next()? {
                        return Ok(Some(commit));
                    }
                }
            }
        }
        self.try_next()
    }

    /// Reads what is visible, and not too much of it.
    fn fill(&mut self, visible: TxnId) -> Result<()> {
        // A rename may hide a segment from one listing.
        for _ in 0..4 {
            let segments = self.source.files().list(self.source.identity(), OpenMode::Read)?;
            let (position, first) = match self.position {
                Some(position) => (position, self.next),
                None => {
                    // The segment that has it is the last one that begins at or before it.
                    let Some(segment) = segments.iter().rev().find(|segment| segment.header.first <= self.next) else {
                        break;
                    };
                    (LogPosition { segment: segment.header.number, offset: 0 }, segment.header.first)
                }
            };
            let Some(mut walk) = Walk::new(&segments, position, first) else { continue };
            let mut len = 0;
            while self.next <= visible && self.read.len() < BATCH_MAX && len < BATCH_LEN_MAX {
                let Some(record) = walk.next_record()? else { break };
                if record.txn < self.next {
                    continue;
                }
                len += record.payload.len();
                let commit = commit_of(&record).ok_or_else(|| {
                    Error::corrupt(self.source.files().active(), record.at.offset, "a record is not well-formed")
                })?;
                self.read.push_back(commit);
                self.next = record.txn.next();
                self.position = Some(record.end);
            }
            let all = visible == TxnId(u64::MAX);
            if !self.read.is_empty() || (all && walk.end().last.next() == self.next) {
                return Ok(());
            }
        }
        Err(Error::OutsideWindow { txn: self.next, oldest: visible, newest: visible })
    }
}
