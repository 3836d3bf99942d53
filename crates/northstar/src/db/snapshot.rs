//! A state that stays as it is, to read from.

use std::ops::RangeBounds;
use std::sync::Arc;

use super::Tree;
use super::root::Root;
use super::scan::{Cursor, Scan};
use crate::error::{Error, Result};
use crate::id::{CommitTime, PageId, TxnId};
use crate::store::{PageStore, TreeState};
use crate::tree::{self, Difference, Differences, Value, View};

/// One committed state of the database. It does not change, whatever is written meanwhile, and reading from it waits for nobody. While it is
/// there, the pages that it shows are not used again: drop it when done.
///
/// From [`Database::snapshot`](crate::Database::snapshot) (the newest state) or [`Database::as_of`](crate::Database::as_of) (one of the past).
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(super) store: Arc<PageStore>,
    pub(super) root: Arc<Root>,
}

impl Snapshot {
    /// The transaction after which this was the state.
    #[must_use]
    pub fn txn(&self) -> TxnId {
        self.root.txn
    }

    /// When that transaction was committed.
    #[must_use]
    pub fn time(&self) -> CommitTime {
        self.root.time
    }

    /// The tree of this name.
    ///
    /// # Errors
    /// [`Error::UnknownTree`].
    pub fn tree(&self, name: &str) -> Result<Tree> {
        let found = self.root.directory.named(name);
        found.map(|tree| Tree(tree.id)).ok_or_else(|| Error::UnknownTree { name: name.to_owned() })
    }

    /// All trees, with their names, sorted by name.
    #[must_use]
    pub fn trees(&self) -> Vec<(Tree, String)> {
        let mut trees: Vec<_> =
            self.root.directory.trees.iter().map(|tree| (Tree(tree.id), tree.name.to_string())).collect();
        trees.sort_unstable_by(|a, b| a.1.cmp(&b.1));
        trees
    }

    pub(super) fn state(&self, tree: Tree) -> Result<&TreeState> {
        state_of(&self.root.directory, tree)
    }

    fn view(&self) -> View<'_> {
        View::of(&self.store)
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`Error::UnknownTree`], a damaged page, or an error of the disk.
    #[inline]
    pub fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Value>> {
        tree::get(&self.view(), self.state(tree)?.root, key)
    }

    /// Whether a key is there.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub fn contains(&self, tree: Tree, key: &[u8]) -> Result<bool> {
        tree::contains(&self.view(), self.state(tree)?.root, key)
    }

    /// The number of entries. It is kept, not counted.
    ///
    /// # Errors
    /// [`Error::UnknownTree`].
    pub fn len(&self, tree: Tree) -> Result<u64> {
        Ok(self.state(tree)?.len)
    }

    /// A cursor, which starts outside.
    ///
    /// # Errors
    /// [`Error::UnknownTree`].
    pub fn cursor(&self, tree: Tree) -> Result<Cursor<'_>> {
        Ok(Cursor::new(self.view(), self.state(tree)?.root))
    }

    /// The entries in a range of keys, from either end.
    ///
    /// ```
    /// # use northstar::{Database, Options, Tree};
    /// # fn main() -> northstar::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = Database::open(dir.path().join("db"), Options::new())?;
    /// db.write(|txn| (0..9u8).try_for_each(|n| txn.put(Tree::DEFAULT, &[n], &[n]).map(drop)))?;
    /// let snapshot = db.snapshot();
    /// let keys: Result<Vec<_>, _> = snapshot.range(Tree::DEFAULT, [2]..[5])?.map(|entry| entry.map(|entry| entry.key)).collect();
    /// assert_eq!(keys?, [[2], [3], [4]]);
    /// let last = snapshot.range::<[u8; 1]>(Tree::DEFAULT, ..)?.next_back();
    /// assert_eq!(last.transpose()?.map(|entry| entry.key), Some(vec![8]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownTree`]. The items carry errors of reading.
    pub fn range<K: AsRef<[u8]>>(&self, tree: Tree, range: impl RangeBounds<K>) -> Result<Scan<'_>> {
        Ok(Scan::new(self.view(), self.state(tree)?.root, &range))
    }

    /// The entries whose keys begin with `prefix`.
    ///
    /// # Errors
    /// As for [`range`](Self::range).
    pub fn prefix(&self, tree: Tree, prefix: &[u8]) -> Result<Scan<'_>> {
        let (low, high) = prefix_range(prefix);
        Ok(Scan::new(self.view(), self.state(tree)?.root, &(low, high)))
    }

    /// What differs in a tree between `older` and this state, which must be states of one database, in the order of keys. The cost is that
    /// of the pages that were changed between them. A tree that one of them lacks counts as empty there.
    ///
    /// # Errors
    /// The items carry errors of reading.
    pub fn changes_since<'a>(&'a self, older: &'a Self, tree: Tree) -> impl Iterator<Item = Result<Difference>> + 'a {
        let root = |snapshot: &Self| snapshot.root.directory.get(tree.0).map_or(PageId::NONE, |tree| tree.root);
        Differences::new(&self.store, root(older), root(self))
    }
}

pub(super) fn state_of(directory: &crate::store::Directory, tree: Tree) -> Result<&TreeState> {
    directory.get(tree.0).ok_or_else(|| Error::UnknownTree { name: format!("number {}", tree.0) })
}

/// All keys that begin with `prefix`.
pub(super) fn prefix_range(prefix: &[u8]) -> (std::ops::Bound<Vec<u8>>, std::ops::Bound<Vec<u8>>) {
    use std::ops::Bound;
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return (Bound::Included(prefix.to_vec()), Bound::Excluded(end));
        }
    }
    (Bound::Included(prefix.to_vec()), Bound::Unbounded)
}
