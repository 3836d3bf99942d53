//! What is not recorded and stands where a restore will write.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustix::io::Errno;
use tl_core::{Capture, Entry, EntryName, Mode, ObjectId, RepoPath, RepoPathBuf, Store, Tree};

use super::dir::{Root, WriteDir};
use super::late::keep;
use super::place::{Failed, failed};
use super::plan::{Goal, Plan, entry_at};
use super::report::{Refusal, Refused};
use crate::error::Result;
use crate::workdir::{Stat, StatKind};

/// Files, links and directories that no tree has, in the way of a plan.
#[derive(Debug, Default)]
pub(super) struct Obstacles {
    /// What they are, directories before what is in them.
    pub(super) found: BTreeMap<RepoPathBuf, Stat>,
    /// Paths that cannot be restored because of what stands there, and why.
    pub(super) refused: Vec<Refused>,
}

/// Something in a directory that cannot be kept, so that the directory cannot go.
struct Immovable(Refusal);

impl Obstacles {
    /// Looks for what is in the way of `plan`. With `exact`, everything is that the wanted state does not have.
    pub(super) fn find(store: &Store, root: &Root, goal: &Goal, plan: &Plan, exact: bool) -> Result<Self> {
        let mut obstacles = Self::default();
        let mut open: Option<(RepoPathBuf, Option<WriteDir>)> = None;
        for (path, task) in &plan.tasks {
            let Some(after) = &task.after else { continue };
            let recorded = entry_at(store, &goal.from, path)?;
            if recorded.is_some_and(|recorded| !recorded.is_directory() || after.is_directory()) {
                continue;
            }
            let Some((parent, name)) = path.split_last() else { continue };
            if open.as_ref().is_none_or(|(path, _)| &**path != parent) {
                open = Some((parent.to_owned(), root.dir(parent).ok()));
            }
            let Some((_, Some(dir))) = &open else { continue };
            let stat = match dir.stat(name.as_bytes()) {
                Ok(Some(stat)) => stat,
                Ok(None) | Err(Errno::NOTDIR | Errno::LOOP) => continue,
                Err(errno) => {
                    obstacles.refuse(path, failed("look at", path, errno))?;
                    continue;
                }
            };
            match stat.kind {
                StatKind::Special => obstacles.refused.push(Refused { path: path.clone(), why: Refusal::Special }),
                StatKind::File | StatKind::Symlink => {
                    obstacles.found.insert(path.clone(), stat);
                }
                StatKind::Directory if after.is_directory() => {
                    if stat.mode != after.mode {
                        obstacles.found.insert(path.clone(), stat);
                    }
                }
                StatKind::Directory => {
                    let recorded = recorded.map_or(ObjectId::EMPTY_TREE, |entry| entry.id);
                    let mut found = BTreeMap::new();
                    if recorded == ObjectId::EMPTY_TREE {
                        found.insert(path.clone(), stat);
                    }
                    match add_below(store, dir, path, &[recorded], &mut found)? {
                        Ok(()) => obstacles.found.append(&mut found),
                        Err(Immovable(why)) => obstacles.refused.push(Refused { path: path.clone(), why }),
                    }
                }
            }
        }
        if exact {
            obstacles.add_unwanted(store, root, goal)?;
        }
        Ok(obstacles)
    }

    fn refuse(&mut self, path: &RepoPathBuf, failed: Failed) -> Result<()> {
        match failed {
            Failed::Refused(why) => self.refused.push(Refused { path: path.clone(), why }),
            Failed::Fatal(error) => return Err(error),
        }
        Ok(())
    }

    /// Adds everything that neither state has, below directories that are there. What cannot be kept stays, with the directories above it.
    fn add_unwanted(&mut self, store: &Store, root: &Root, goal: &Goal) -> Result<()> {
        let mut pending = vec![RepoPathBuf::root()];
        while let Some(path) = pending.pop() {
            let Ok(dir) = root.dir(&path) else { continue };
            let trees = [tree_at(store, &goal.from, &path)?, tree_at(store, &goal.to, &path)?];
            for name in names(&dir) {
                let Ok(name) = EntryName::new(&name) else { continue };
                let path = path.join(name).map_err(tl_core::Error::from)?;
                let Ok(Some(stat)) = dir.stat(name.as_bytes()) else { continue };
                let is_directory = stat.kind == StatKind::Directory;
                let recorded = trees.iter().flatten().filter_map(|tree| tree.get(name));
                let mut recorded = recorded.map(|entry| entry.is_directory()).peekable();
                if recorded.peek().is_some() {
                    if is_directory && recorded.any(|is_directory| is_directory) {
                        pending.push(path);
                    }
                    continue;
                }
                if !is_directory {
                    match stat.kind {
                        StatKind::Special => self.refused.push(Refused { path, why: Refusal::Special }),
                        _ => {
                            self.found.insert(path, stat);
                        }
                    }
                    continue;
                }
                let mut found = BTreeMap::from([(path.clone(), stat)]);
                match add_below(store, &dir, &path, &[], &mut found)? {
                    Ok(()) => self.found.append(&mut found),
                    Err(Immovable(why)) => self.refused.push(Refused { path, why }),
                }
            }
        }
        Ok(())
    }

    /// Puts all of it into `capture`, as the entries of a tree `saved`. What cannot be read is refused, and stays.
    pub(super) fn capture(&mut self, root: &Root, capture: &Capture) -> Result<BTreeMap<RepoPathBuf, Entry>> {
        let mut kept = BTreeMap::new();
        let found = std::mem::take(&mut self.found);
        let mut open: Option<(RepoPathBuf, Option<WriteDir>)> = None;
        for (path, stat) in &found {
            if stat.kind == StatKind::Directory {
                kept.insert(path.clone(), Entry::directory(ObjectId::EMPTY_TREE, stat.mode));
                continue;
            }
            let Some((parent, name)) = path.split_last() else { continue };
            if open.as_ref().is_none_or(|(path, _)| &**path != parent) {
                open = Some((parent.to_owned(), root.dir(parent).ok()));
            }
            let entry = match &open {
                Some((_, Some(dir))) => keep(capture, dir, name.as_bytes()),
                _ => Err(Refusal::Unreachable.into()),
            };
            match entry {
                Ok(entry) => {
                    kept.insert(path.clone(), entry);
                }
                Err(failed) => self.refuse(path, failed)?,
            }
        }
        self.found = found;
        Ok(kept)
    }

    /// The mode of the directory at `path`, for a tree that carries what was found in it.
    pub(super) fn mode_of(&self, root: &Root, path: &RepoPath) -> Mode {
        let known = self.found.get(path).map(|stat| stat.mode);
        let on_disk = || root.dir(path).and_then(|dir| dir.stat_self()).map(|stat| stat.mode);
        known.or_else(|| on_disk().ok()).unwrap_or(Mode::new(0o700))
    }
}

fn tree_at(store: &Store, root: &ObjectId, path: &RepoPath) -> Result<Option<Arc<Tree>>> {
    match entry_at(store, root, path)? {
        Some(entry) if entry.is_directory() => Ok(Some(store.get_tree(&entry.id)?)),
        _ => Ok(None),
    }
}

/// The names in a directory; none if it cannot be read, which shows when it is to be removed.
fn names(dir: &WriteDir) -> Vec<Vec<u8>> {
    dir.names().unwrap_or_default()
}

/// Adds what is in the directory `path`, called by the last name of it in `parent`, and is in none of the trees `recorded`.
fn add_below(
    store: &Store,
    parent: &WriteDir,
    path: &RepoPathBuf,
    recorded: &[ObjectId],
    found: &mut BTreeMap<RepoPathBuf, Stat>,
) -> Result<std::result::Result<(), Immovable>> {
    let Some(own_name) = path.file_name() else { return Ok(Ok(())) };
    let Ok(dir) = parent.child(own_name) else { return Ok(Err(Immovable(Refusal::Unreadable))) };
    let Ok(names) = dir.names() else { return Ok(Err(Immovable(Refusal::Unreadable))) };
    let trees = recorded.iter().map(|id| store.get_tree(id)).collect::<Result<Vec<_>, _>>()?;
    for name in names {
        let Ok(name) = EntryName::new(&name) else { return Ok(Err(Immovable(Refusal::NestedRepository))) };
        let path = path.join(name).map_err(tl_core::Error::from)?;
        let Ok(Some(stat)) = dir.stat(name.as_bytes()) else { continue };
        let known: Vec<Entry> = trees.iter().filter_map(|tree| tree.get(name)).collect();
        match stat.kind {
            StatKind::Special => return Ok(Err(Immovable(Refusal::Special))),
            StatKind::Directory => {
                let below: Vec<ObjectId> =
                    known.iter().filter(|entry| entry.is_directory()).map(|entry| entry.id).collect();
                if below.is_empty() {
                    found.insert(path.clone(), stat);
                }
                if let Err(immovable) = add_below(store, &dir, &path, &below, found)? {
                    return Ok(Err(immovable));
                }
            }
            _ if known.is_empty() => {
                found.insert(path, stat);
            }
            _ => {}
        }
    }
    Ok(Ok(()))
}
