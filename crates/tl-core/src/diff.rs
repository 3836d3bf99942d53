//! What differs between two trees.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::error::Result;
use crate::id::ObjectId;
use crate::objects::Objects;
use crate::path::{EntryName, RepoPath, RepoPathBuf};
use crate::tree::{Entry, Tree, TreeEntry};

/// A path that stands for something else in two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The path.
    pub path: RepoPathBuf,
    /// What it stood for; `None` if the path is new.
    pub before: Option<Entry>,
    /// What it stands for; `None` if the path is gone.
    pub after: Option<Entry>,
}

/// The changes between two trees, rising by path, found as they are asked for. Made by [`Objects::diff`].
#[derive(Debug)]
pub struct Diff {
    objects: Objects,
    /// The directories that are being compared, the root first.
    levels: Vec<Level>,
    /// The path of the last of them.
    path: RepoPathBuf,
    /// Directories are reported also when only something in them differs.
    with_ancestors: bool,
}

/// One directory on both sides.
#[derive(Debug)]
struct Level {
    before: Side,
    after: Side,
}

#[derive(Debug)]
struct Side {
    tree: Arc<Tree>,
    at: usize,
}

impl Side {
    const fn new(tree: Arc<Tree>) -> Self {
        Self { tree, at: 0 }
    }

    fn next(&self) -> Option<TreeEntry<'_>> {
        self.tree.entry_at(self.at)
    }
}

impl Objects {
    /// The changes that lead from the tree `before` to the tree `after`. Directories with equal ids are not looked into, so the cost follows what
    /// differs. From [`ObjectId::EMPTY_TREE`], this walks over everything in `after`.
    ///
    /// Files and links are reported when their content, kind or mode differs. A directory is reported before what is in it, when it is new
    /// or gone, or its mode or kind differs; not when only something in it does.
    ///
    /// # Errors
    /// [`Error::Missing`](crate::Error::Missing), [`Error::Damaged`](crate::Error::Damaged) or an error of the source, for the roots. When a tree further
    /// down cannot be read, that is an item of its own, and the walk goes on behind it.
    pub fn diff(&self, before: &ObjectId, after: &ObjectId) -> Result<Diff> {
        self.compare(before, after, false)
    }

    /// The same, and every directory whose id differs too.
    pub(crate) fn walk(&self, before: &ObjectId, after: &ObjectId) -> Result<Diff> {
        self.compare(before, after, true)
    }

    fn compare(&self, before: &ObjectId, after: &ObjectId, with_ancestors: bool) -> Result<Diff> {
        let mut diff = Diff { objects: self.clone(), levels: Vec::new(), path: RepoPathBuf::root(), with_ancestors };
        if before != after {
            diff.levels.push(diff.level(before, after)?);
        }
        Ok(diff)
    }
}

/// The tree to compare with: that of a directory, none for anything else.
fn tree_of(entry: Option<&Entry>) -> ObjectId {
    entry.filter(|entry| entry.is_directory()).map_or(ObjectId::EMPTY_TREE, |entry| entry.id)
}

impl Diff {
    fn level(&self, before: &ObjectId, after: &ObjectId) -> Result<Level> {
        Ok(Level { before: Side::new(self.objects.get_tree(before)?), after: Side::new(self.objects.get_tree(after)?) })
    }

    /// Goes down into what the entries `before` and `after` of the last directory, both called `path`, hold.
    fn descend(&mut self, path: &RepoPath, before: &ObjectId, after: &ObjectId) -> Result<()> {
        let level = self.level(before, after)?;
        self.levels.push(level);
        self.path = path.to_owned();
        Ok(())
    }
}

/// Which entry is next on each side, and its name.
fn step(level: &Level) -> Option<(&EntryName, Option<Entry>, Option<Entry>)> {
    let (before, after) = (level.before.next(), level.after.next());
    let order = match (&before, &after) {
        (None, None) => return None,
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (Some(before), Some(after)) => before.name.cmp(after.name),
    };
    let before = before.filter(|_| order.is_le());
    let after = after.filter(|_| order.is_ge());
    let name = before.or(after)?.name;
    Some((name, before.map(|found| found.entry), after.map(|found| found.entry)))
}

impl Iterator for Diff {
    type Item = Result<Change>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let level = self.levels.last_mut()?;
            let Some((name, before, after)) = step(level) else {
                self.levels.pop();
                // At the root there is nowhere to go, and nothing left either.
                self.path.pop();
                continue;
            };
            if before == after {
                level.before.at += 1;
                level.after.at += 1;
                continue;
            }
            let joined = self.path.join(name);
            level.before.at += usize::from(before.is_some());
            level.after.at += usize::from(after.is_some());
            let path = match joined {
                Ok(path) => path,
                Err(error) => return Some(Err(error.into())),
            };
            let (tree_before, tree_after) = (tree_of(before.as_ref()), tree_of(after.as_ref()));
            if tree_before != tree_after
                && let Err(error) = self.descend(&path, &tree_before, &tree_after)
            {
                return Some(Err(error));
            }
            let only_inside = before.zip(after).is_some_and(|(before, after)| {
                before.is_directory() && after.is_directory() && before.mode == after.mode
            });
            if self.with_ancestors || !only_inside {
                return Some(Ok(Change { path, before, after }));
            }
        }
    }
}
