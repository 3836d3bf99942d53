//! Which part of a state is wanted: all of it, or some paths, and contents that somebody put together from hunks.

use std::collections::BTreeMap;

use tl_core::{Capture, Entry, EntryKind, Mode, ObjectId, RepoPath, RepoPathBuf};

use super::plan::entry_at;
use crate::error::{Error, Result};

/// What of a state is restored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Selection {
    /// All of it.
    #[default]
    All,
    /// Parts of it.
    Parts {
        /// These paths with everything below them. A path that the state does not have is removed if it is recorded now.
        paths: Vec<RepoPathBuf>,
        /// These files get these contents, as when hunks were chosen. Their modes come from the state, or from the present if the state does not have
        /// them. None is at or below one of the paths.
        contents: BTreeMap<RepoPathBuf, Vec<u8>>,
    },
}

impl Selection {
    /// These paths with everything below them.
    #[must_use]
    pub const fn paths(paths: Vec<RepoPathBuf>) -> Self {
        Self::Parts { paths, contents: BTreeMap::new() }
    }

    /// These files with these contents.
    #[must_use]
    pub const fn contents(contents: BTreeMap<RepoPathBuf, Vec<u8>>) -> Self {
        Self::Parts { paths: Vec::new(), contents }
    }
}

/// The root that `present` becomes when what `selection` names is taken from `target`. New trees and contents are put into `capture`.
pub(super) fn wanted_root(
    capture: &Capture,
    present: &ObjectId,
    target: &ObjectId,
    selection: &Selection,
) -> Result<ObjectId> {
    let mut edits = Edits { capture, present, target, edits: BTreeMap::new() };
    let Selection::Parts { paths, contents } = selection else { return Ok(*target) };
    // A content below a path that is taken would have to be put into a tree that is not made yet.
    if let Some(path) = contents.keys().find(|path| paths.iter().any(|taken| path.starts_with(taken))) {
        let reason = format!("{path} is chosen as a whole and in parts");
        return Err(Error::Invalid { what: "path", reason });
    }
    if paths.iter().any(|path| path.is_root()) {
        return Ok(*target);
    }
    let mut sorted: Vec<&RepoPathBuf> = paths.iter().collect();
    sorted.sort();
    let mut above: Option<&RepoPathBuf> = None;
    for path in sorted {
        if above.is_some_and(|above| path.starts_with(above)) {
            continue;
        }
        above = Some(path);
        edits.take(path)?;
    }
    for (path, content) in contents {
        edits.replace(path, content)?;
    }
    Ok(capture.edit_tree(present, edits.edits)?)
}

struct Edits<'a> {
    capture: &'a Capture,
    present: &'a ObjectId,
    target: &'a ObjectId,
    edits: BTreeMap<RepoPathBuf, Option<Entry>>,
}

impl Edits<'_> {
    fn take(&mut self, path: &RepoPathBuf) -> Result<()> {
        let store = self.capture.store();
        let wanted = entry_at(store, self.target, path)?;
        match wanted {
            Some(_) => self.add_parents(path)?,
            None if entry_at(store, self.present, path)?.is_none() => {
                let reason = format!("{path} is neither in the state nor recorded now");
                return Err(Error::Invalid { what: "path", reason });
            }
            None => {}
        }
        self.edits.insert(path.clone(), wanted);
        Ok(())
    }

    fn replace(&mut self, path: &RepoPathBuf, content: &[u8]) -> Result<()> {
        let store = self.capture.store();
        let is_file = |entry: &Entry| entry.kind == EntryKind::File;
        let known = match entry_at(store, self.target, path)?.filter(is_file) {
            Some(known) => Some(known),
            None => entry_at(store, self.present, path)?.filter(is_file),
        };
        let Some(known) = known else {
            let reason = format!("{path} is no file in the state, nor now");
            return Err(Error::Invalid { what: "path", reason });
        };
        self.add_parents(path)?;
        let entry = Entry::file(self.capture.put_blob(content)?, known.mode);
        self.edits.insert(path.clone(), Some(entry));
        Ok(())
    }

    /// Sees to it that the directories above `path` are there, with their modes in the state.
    fn add_parents(&mut self, path: &RepoPath) -> Result<()> {
        let store = self.capture.store();
        let mut above = path.parent();
        while let Some(directory) = above.filter(|directory| !directory.is_root()) {
            let present = entry_at(store, self.present, directory)?;
            if self.edits.contains_key(directory) || present.is_some_and(|entry| entry.is_directory()) {
                break;
            }
            let mode = entry_at(store, self.target, directory)?.map_or(Mode::new(0o755), |entry| entry.mode);
            self.edits.insert(directory.to_owned(), Some(Entry::directory(ObjectId::EMPTY_TREE, mode)));
            above = directory.parent();
        }
        Ok(())
    }
}
