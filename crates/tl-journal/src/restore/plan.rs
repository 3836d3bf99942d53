//! What a restore has to do, path by path: a function of trees alone, so that a restore that was cut short plans the same again.

use std::collections::BTreeMap;

use tl_core::{Entry, EntryKind, EntryName, ObjectId, RepoPath, RepoPathBuf, Store};

use super::fold;
use super::report::{Refusal, Refused};
use super::reserved::is_disguise;
use crate::error::{Error, Result};

/// From where to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Goal {
    /// The recorded state that is left: what is deleted is computed from it alone.
    pub(super) from: ObjectId,
    /// The recorded state that is wanted.
    pub(super) to: ObjectId,
    /// Files beside the recorded ones that are wanted too, and win over them.
    pub(super) overlay: Option<ObjectId>,
    /// Files beside the recorded ones that stand in the way and are kept in the store.
    pub(super) saved: Option<ObjectId>,
}

/// What is to become of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    /// What it is to be; `None` if it is to go.
    pub(super) after: Option<Entry>,
    /// What it may be now: the store has these, so they may be removed.
    pub(super) known: Vec<Entry>,
    /// Its number among all paths that differ: the same whenever the same goal is planned.
    pub(super) number: u64,
}

impl Task {
    /// True if it was a directory according to what is known.
    pub(super) fn was_directory(&self) -> bool {
        self.known.iter().any(Entry::is_directory)
    }

    /// True if all that is to change is the mode of a file.
    pub(super) fn is_mode_only(&self) -> bool {
        let is_file = |entry: &Entry| entry.kind == EntryKind::File;
        match (self.after, self.known.as_slice()) {
            (Some(after), [before]) => is_file(&after) && is_file(before) && after.id == before.id,
            _ => false,
        }
    }
}

/// All paths that differ, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    pub(super) tasks: BTreeMap<RepoPathBuf, Task>,
    pub(super) refused: Vec<Refused>,
}

/// The entry at `path` below the tree `root`.
pub(crate) fn entry_at(store: &Store, root: &ObjectId, path: &RepoPath) -> Result<Option<Entry>> {
    let mut at = Entry::directory(*root, tl_core::Mode::new(0));
    for name in path.components() {
        if !at.is_directory() {
            return Ok(None);
        }
        match store.get_tree(&at.id)?.get(name) {
            Some(entry) => at = entry,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

/// Everything below the tree `root`, directories before what is in them.
pub(super) fn all_below(store: &Store, root: &ObjectId) -> Result<impl Iterator<Item = Result<(RepoPathBuf, Entry)>>> {
    let found = store.diff(&ObjectId::EMPTY_TREE, root)?;
    Ok(found.filter_map(|change| match change {
        Ok(change) => change.after.map(|entry| Ok((change.path, entry))),
        Err(error) => Some(Err(error.into())),
    }))
}

impl Plan {
    pub(super) fn new(store: &Store, goal: &Goal) -> Result<Self> {
        let mut plan = Self::default();
        for change in store.diff(&goal.from, &goal.to)? {
            let change = change?;
            let known = change.before.into_iter().collect();
            plan.tasks.insert(change.path, Task { after: change.after, known, number: 0 });
        }
        if let Some(overlay) = &goal.overlay {
            plan.add_overlay(store, goal, overlay)?;
        }
        if let Some(saved) = &goal.saved {
            plan.add_saved(store, goal, saved)?;
        }
        for (number, task) in plan.tasks.values_mut().enumerate() {
            task.number = number as u64;
        }
        plan.refuse_reserved();
        Ok(plan)
    }

    fn add_overlay(&mut self, store: &Store, goal: &Goal, overlay: &ObjectId) -> Result<()> {
        for found in all_below(store, overlay)? {
            let (path, entry) = found?;
            let wanted = entry_at(store, &goal.to, &path)?;
            let wanted_directory = wanted.as_ref().is_some_and(Entry::is_directory);
            if wanted_directory {
                if !entry.is_directory() {
                    self.refused.push(Refused { path, why: Refusal::InTheWay });
                }
                continue;
            }
            if let Some(task) = self.tasks.get_mut(&path) {
                task.after = Some(entry);
            } else {
                let known = entry_at(store, &goal.from, &path)?.into_iter().collect();
                self.tasks.insert(path, Task { after: Some(entry), known, number: 0 });
            }
        }
        Ok(())
    }

    fn add_saved(&mut self, store: &Store, goal: &Goal, saved: &ObjectId) -> Result<()> {
        for found in all_below(store, saved)? {
            let (path, entry) = found?;
            if let Some(task) = self.tasks.get_mut(&path) {
                task.known.push(entry);
                continue;
            }
            let wanted = entry_at(store, &goal.to, &path)?;
            if entry.is_directory() && wanted.is_some() {
                // It only carries what is in it.
                continue;
            }
            self.tasks.insert(path, Task { after: wanted, known: vec![entry], number: 0 });
        }
        Ok(())
    }

    /// Leaves out `path` and everything below it.
    pub(super) fn refuse(&mut self, path: &RepoPath, why: &Refusal) {
        let below: Vec<RepoPathBuf> = self
            .tasks
            .range(path.to_owned()..)
            .map(|(path, _)| path.clone())
            .take_while(|below| below.starts_with(path))
            .collect();
        for path in below {
            self.tasks.remove(&path);
            self.refused.push(Refused { path, why: why.clone() });
        }
    }

    fn refuse_reserved(&mut self) {
        let is_reserved = |path: &RepoPath| path.components().any(|name| is_disguise(name.as_bytes()));
        for path in self.tasks.extract_if(.., |path, _| is_reserved(path)).map(|(path, _)| path) {
            self.refused.push(Refused { path, why: Refusal::ReservedName });
        }
    }

    /// Leaves out what would be written over another path of the state that is wanted, on a filesystem that folds names. `folds` is asked at
    /// most once, and only if there is such a path.
    pub(super) fn refuse_collisions(
        &mut self,
        store: &Store,
        to: &ObjectId,
        mut folds: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        let mut looked_at: Option<RepoPathBuf> = None;
        let mut found: Vec<(RepoPathBuf, RepoPathBuf)> = Vec::new();
        for (path, _) in self.tasks.iter().filter(|(_, task)| task.after.is_some()) {
            let Some(parent) = path.parent() else { continue };
            if looked_at.as_deref() == Some(parent) {
                continue;
            }
            looked_at = Some(parent.to_owned());
            let Some(directory) = entry_at(store, to, parent)?.filter(Entry::is_directory) else { continue };
            let tree = store.get_tree(&directory.id)?;
            for (name, with) in fold::collisions(&tree) {
                let path = |name: &EntryName| parent.join(name).map_err(tl_core::Error::from);
                found.push((path(name)?, path(with)?));
            }
        }
        found.retain(|(path, _)| self.tasks.contains_key(path));
        found.sort();
        found.dedup();
        if found.is_empty() || !folds()? {
            return Ok(());
        }
        for (path, with) in found {
            self.refuse(&path, &Refusal::Collision { with });
        }
        Ok(())
    }

    /// Bytes of the contents that are to be written.
    pub(super) fn bytes(&self) -> u64 {
        let written = self.tasks.values().filter(|task| !task.is_mode_only()).filter_map(|task| task.after);
        written.fold(0, |sum, entry| sum.saturating_add(entry.size))
    }

    /// Where the directory `path` and all above it stand in the state that is wanted.
    pub(super) fn modes_of_parents(
        &self,
        store: &Store,
        to: &ObjectId,
    ) -> Result<BTreeMap<RepoPathBuf, tl_core::Mode>> {
        let mut modes = BTreeMap::new();
        for path in self.tasks.keys() {
            let Some(parent) = path.parent().filter(|parent| !parent.is_root()) else { continue };
            if !modes.contains_key(parent)
                && let Some(entry) = entry_at(store, to, parent)?.filter(Entry::is_directory)
            {
                modes.insert(parent.to_owned(), entry.mode);
            }
        }
        Ok(modes)
    }
}

/// A tree of the entries of `entries`, in the directories named among them; others on the way get the mode that `mode_of` says.
pub(super) fn tree_of(
    capture: &tl_core::Capture,
    entries: &BTreeMap<RepoPathBuf, Entry>,
    mut mode_of: impl FnMut(&RepoPath) -> tl_core::Mode,
) -> Result<ObjectId> {
    let mut all: BTreeMap<RepoPathBuf, Entry> = BTreeMap::new();
    for (path, entry) in entries {
        let mut above = path.parent();
        while let Some(directory) = above.filter(|directory| !directory.is_root()) {
            if all.contains_key(directory) {
                break;
            }
            all.insert(directory.to_owned(), Entry::directory(ObjectId::EMPTY_TREE, mode_of(directory)));
            above = directory.parent();
        }
        let entry = if entry.is_directory() { Entry::directory(ObjectId::EMPTY_TREE, entry.mode) } else { *entry };
        all.insert(path.clone(), entry);
    }
    let edits = all.into_iter().map(|(path, entry)| (path, Some(entry)));
    capture.edit_tree(&ObjectId::EMPTY_TREE, edits).map_err(Error::from)
}
