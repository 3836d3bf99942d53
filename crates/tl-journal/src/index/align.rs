//! Comparing the index with a tree, entry by entry, and bringing it into line.

use tl_core::{Entry, ObjectId, RepoPathBuf, Store};

use super::{Index, IndexChanges, IndexEntry};
use crate::error::Result;

/// What is wrong with an entry of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexProblem {
    /// The tree has the path, the index has not.
    Absent,
    /// The index has the path, the tree has not.
    Superfluous,
    /// Both have it, and say different things of it.
    Different,
}

/// An entry of the index that contradicts HEAD's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFinding {
    /// Which one.
    pub path: RepoPathBuf,
    /// What is wrong.
    pub problem: IndexProblem,
}

impl Index {
    /// Calls `found` with each path on which the index and the tree `root` differ, with what the tree has there.
    pub(crate) fn compare(
        &self,
        store: &Store,
        root: &ObjectId,
        mut found: impl FnMut(IndexFinding, Option<Entry>) -> Result<()>,
    ) -> Result<()> {
        let mut recorded = store.diff(&ObjectId::EMPTY_TREE, root)?;
        let mut next_recorded = || -> Result<Option<(RepoPathBuf, Entry)>> {
            let change = recorded.next().transpose()?;
            Ok(change.and_then(|change| change.after.map(|entry| (change.path, entry))))
        };
        let mut known = self.scan()?;
        let mut next_known = || known.next().transpose();
        let (mut left, mut right) = (next_recorded()?, next_known()?);
        loop {
            let order = match (&left, &right) {
                (None, None) => return Ok(()),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((path, _)), Some((known, _))) => path.cmp(known),
            };
            if order.is_eq() {
                if let (Some((path, entry)), Some((_, known))) = (left.take(), right.take())
                    && !known.is_some_and(|known| known.is_of(entry))
                {
                    found(IndexFinding { path, problem: IndexProblem::Different }, Some(entry))?;
                }
                (left, right) = (next_recorded()?, next_known()?);
            } else if order.is_lt() {
                if let Some((path, entry)) = left.take() {
                    found(IndexFinding { path, problem: IndexProblem::Absent }, Some(entry))?;
                }
                left = next_recorded()?;
            } else {
                if let Some((path, _)) = right.take() {
                    found(IndexFinding { path, problem: IndexProblem::Superfluous }, None)?;
                }
                right = next_known()?;
            }
        }
    }

    /// Makes `changes` replace every entry that differs from the tree `root` by one that matches no file. Returns how many those are.
    pub(crate) fn align(&self, store: &Store, root: &ObjectId, changes: &mut IndexChanges<'_>) -> Result<u64> {
        let mut count = 0;
        self.compare(store, root, |finding, entry| {
            count += 1;
            match entry {
                Some(entry) => changes.put(&finding.path, &IndexEntry::of_tree(entry)),
                None => changes.delete(&finding.path),
            }
        })?;
        Ok(count)
    }

    /// Makes `changes` move the index from the tree `before` to the tree `after`. What differs matches no file then.
    pub(crate) fn advance(
        &self,
        store: &Store,
        before: &ObjectId,
        after: &ObjectId,
        changes: &mut IndexChanges<'_>,
    ) -> Result<u64> {
        let mut count = 0;
        for change in store.diff(before, after)? {
            let change = change?;
            count += 1;
            match change.after {
                Some(entry) => changes.put(&change.path, &IndexEntry::of_tree(entry))?,
                None => changes.delete(&change.path)?,
            }
        }
        Ok(count)
    }
}
