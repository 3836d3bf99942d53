//! What may have changed, and where a walk has to look because of it.

use std::collections::{BTreeMap, BTreeSet};

use tl_core::{RepoPath, RepoPathBuf};

/// Paths that may have changed. More than did costs time only; one that did and is missing is found by the next reconciliation. Of a file with several names (hard
/// links) one is enough, as long as there are no more than thousands of such names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dirty {
    paths: BTreeSet<RepoPathBuf>,
    subtrees: BTreeSet<RepoPathBuf>,
}

impl Dirty {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The whole working directory.
    #[must_use]
    pub fn everything() -> Self {
        let mut dirty = Self::new();
        dirty.add_subtree(RepoPathBuf::root());
        dirty
    }

    /// Adds what is at `path`: a file, or a directory with the names in it. What is in a directory that is new, or another than before, is
    /// looked at too.
    pub fn add_path(&mut self, path: RepoPathBuf) {
        self.paths.insert(path);
    }

    /// Adds what is at `path` and everything below it.
    pub fn add_subtree(&mut self, path: RepoPathBuf) {
        self.subtrees.insert(path);
    }

    /// True if there is nothing to look at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.subtrees.is_empty()
    }

    /// The paths, each for itself.
    pub fn paths(&self) -> impl Iterator<Item = &RepoPath> {
        self.paths.iter().map(AsRef::as_ref)
    }

    /// The paths that stand for all that is below them.
    pub fn subtrees(&self) -> impl Iterator<Item = &RepoPath> {
        self.subtrees.iter().map(AsRef::as_ref)
    }

    /// Takes over all of `other`.
    pub fn extend(&mut self, other: Self) {
        self.paths.extend(other.paths);
        self.subtrees.extend(other.subtrees);
    }

    pub(super) fn scope(&self) -> Scope {
        let mut root = Scope::default();
        for path in &self.subtrees {
            if let Some(scope) = root.reach(path) {
                *scope = Scope { whole: true, itself: true, below: BTreeMap::new() };
            }
        }
        for path in &self.paths {
            if let Some(scope) = root.reach(path) {
                scope.itself = true;
            }
        }
        root
    }
}

/// What to look at in one place of the tree.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// Everything from here on.
    pub(super) whole: bool,
    /// What is here, and which names are in it.
    pub(super) itself: bool,
    /// Places below, by name.
    pub(super) below: BTreeMap<Box<[u8]>, Scope>,
}

impl Scope {
    pub(super) const fn whole() -> Self {
        Self { whole: true, itself: true, below: BTreeMap::new() }
    }

    /// The place of `path`, unless a directory above it is looked at as a whole.
    fn reach(&mut self, path: &RepoPath) -> Option<&mut Self> {
        let mut scope = self;
        for name in path.components() {
            if scope.whole {
                return None;
            }
            scope = scope.below.entry(name.as_bytes().into()).or_default();
        }
        Some(scope).filter(|scope| !scope.whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RepoPathBuf {
        RepoPath::new(text.as_bytes()).unwrap().to_owned()
    }

    #[test]
    fn what_lies_below_a_whole_directory_is_not_looked_at_twice() {
        let mut dirty = Dirty::new();
        for text in ["a/b/c", "a/b/c/d", "a", "x"] {
            dirty.add_path(path(text));
        }
        for text in ["a/b", "a/b/c", "y/z"] {
            dirty.add_subtree(path(text));
        }
        let root = dirty.scope();
        assert!(!root.whole && !root.itself);
        let a = &root.below[&b"a"[..]];
        assert!(a.itself && !a.whole);
        let b = &a.below[&b"b"[..]];
        assert!(b.whole && b.below.is_empty());
        assert!(root.below[&b"x"[..]].itself);
        assert!(!root.below[&b"y"[..]].itself && root.below[&b"y"[..]].below[&b"z"[..]].whole);
    }
}
