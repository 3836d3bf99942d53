//! A search through the contents of many states.
//!
//! States are walked in their order, from one to the next by the difference of their trees, so that the cost follows what changed. A content is searched once,
//! however many states and paths hold it. What is found is told as a *presence*: a path, a content, and the states from which to which it stood there.

mod search;

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use anyhow::Result;
use tl_core::{Change, Entry, EntryKind, Error, ObjectId, Objects, RepoPath, RepoPathBuf};

pub use search::{Match, Pattern, PatternOptions};

use crate::diff::content::is_binary;

/// Longer files are not searched.
pub const SEARCHED_LEN_MAX: u64 = 32 << 20;
/// Matches of one content that are kept.
const MATCHES_MAX: usize = 10_000;

/// A content that matches, at a path, over some states.
#[derive(Debug, PartialEq, Eq)]
pub struct Presence<S> {
    /// Where it stood.
    pub path: RepoPathBuf,
    /// The content.
    pub blob: ObjectId,
    /// The oldest of the walked states that has it there.
    pub first: S,
    /// The newest of them.
    pub last: S,
    /// What matches in it.
    pub matches: Rc<Vec<Match>>,
}

/// What a search left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Contents that are no text.
    pub binary: u64,
    /// Contents over [`SEARCHED_LEN_MAX`].
    pub too_large: u64,
    /// Contents that were purged.
    pub purged: u64,
    /// Contents that are damaged or missing in the store.
    pub unreadable: u64,
}

/// A search under way, from the oldest state to the newest.
#[derive(Debug)]
pub struct Search<'a, S> {
    objects: &'a Objects,
    pattern: &'a Pattern,
    paths: &'a [RepoPathBuf],
    /// The state that was walked last.
    last: Option<(S, ObjectId)>,
    /// What matches in each content that was searched; nothing if nothing does.
    searched: HashMap<ObjectId, Option<Rc<Vec<Match>>>>,
    /// Matching contents that stand in the last state, with the state since which they do.
    standing: BTreeMap<RepoPathBuf, (S, ObjectId)>,
    found: Vec<Presence<S>>,
    skipped: Skipped,
}

impl<'a, S: Copy + Ord> Search<'a, S> {
    /// A search below `paths`, or everywhere if there are none.
    pub fn new(objects: &'a Objects, pattern: &'a Pattern, paths: &'a [RepoPathBuf]) -> Self {
        Self {
            objects,
            pattern,
            paths,
            last: None,
            searched: HashMap::new(),
            standing: BTreeMap::new(),
            found: Vec::new(),
            skipped: Skipped::default(),
        }
    }

    /// Goes on to the next state, which is newer than the last.
    ///
    /// # Errors
    /// A tree that cannot be read, or a store that cannot be reached.
    pub fn state(&mut self, state: S, root: &ObjectId) -> Result<()> {
        let before = self.last.map_or(ObjectId::EMPTY_TREE, |(_, root)| root);
        for change in self.objects.diff(&before, root)? {
            let Change { path, after, .. } = change?;
            if self.is_wanted(&path) {
                self.step(state, path, after)?;
            }
        }
        self.last = Some((state, *root));
        Ok(())
    }

    /// Everything that was found, by path, then from the newest to the oldest.
    pub fn finish(mut self) -> (Vec<Presence<S>>, Skipped) {
        if let Some((last, _)) = self.last {
            for (path, (first, blob)) in std::mem::take(&mut self.standing) {
                self.push(path, blob, first, last);
            }
        }
        self.found.sort_by(|a, b| (&a.path, b.last).cmp(&(&b.path, a.last)));
        (self.found, self.skipped)
    }

    fn is_wanted(&self, path: &RepoPath) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|wanted| path.starts_with(wanted))
    }

    /// A path stands for something else from `state` on.
    fn step(&mut self, state: S, path: RepoPathBuf, after: Option<Entry>) -> Result<()> {
        let content = after.filter(|entry| entry.kind == EntryKind::File);
        if let Some((first, blob)) = self.standing.get(&path).copied() {
            if content.is_some_and(|entry| entry.id == blob) {
                return Ok(());
            }
            self.standing.remove(&path);
            if let Some((last, _)) = self.last {
                self.push(path.clone(), blob, first, last);
            }
        }
        if let Some(entry) = content
            && self.search(&entry)?
        {
            self.standing.insert(path, (state, entry.id));
        }
        Ok(())
    }

    fn push(&mut self, path: RepoPathBuf, blob: ObjectId, first: S, last: S) {
        if let Some(Some(matches)) = self.searched.get(&blob) {
            self.found.push(Presence { path, blob, first, last, matches: Rc::clone(matches) });
        }
    }

    /// True if a content matches.
    fn search(&mut self, entry: &Entry) -> Result<bool> {
        if let Some(known) = self.searched.get(&entry.id) {
            return Ok(known.is_some());
        }
        let content = match self.objects.get_blob(&entry.id, SEARCHED_LEN_MAX) {
            Ok(content) if is_binary(&content) => {
                self.skipped.binary += 1;
                None
            }
            Ok(content) => Some(content),
            Err(Error::BlobTooLarge { .. }) => {
                self.skipped.too_large += 1;
                None
            }
            Err(Error::Purged { .. }) => {
                self.skipped.purged += 1;
                None
            }
            Err(Error::Missing { .. } | Error::Damaged { .. }) => {
                self.skipped.unreadable += 1;
                None
            }
            Err(error) => return Err(error.into()),
        };
        let matches =
            content.map(|content| self.pattern.search(&content, MATCHES_MAX)).filter(|found| !found.is_empty());
        let matched = matches.is_some();
        self.searched.insert(entry.id, matches.map(Rc::new));
        Ok(matched)
    }
}

#[cfg(test)]
mod tests;
