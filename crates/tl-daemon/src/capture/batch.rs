//! From what the watcher reports to what the journal looks at.

use tl_core::{ObjectId, Objects, RepoPath, RepoPathBuf};
use tl_journal::Dirty;
use tl_watcher::{Batch, IgnoreRules, RelPath};

/// Adds what a batch names. A listing stands for every entry of its directory, those that are recorded in the tree `head` among them.
pub(crate) fn add(dirty: &mut Dirty, batch: &Batch, objects: &Objects, head: &ObjectId) {
    for path in &batch.paths {
        add_path(dirty, path);
    }
    for path in &batch.skipped {
        add_path(dirty, &path.path);
    }
    for directory in &batch.listings {
        add_listing(dirty, directory, objects, head);
    }
    for path in &batch.subtrees {
        match RepoPath::new(path.as_bytes()) {
            Ok(path) => dirty.add_subtree(path.to_owned()),
            Err(_) => add_parent(dirty, path),
        }
    }
    if batch.rescan.is_some() {
        dirty.add_subtree(RepoPathBuf::root());
    }
}

fn add_path(dirty: &mut Dirty, path: &RelPath) {
    match RepoPath::new(path.as_bytes()) {
        Ok(path) => dirty.add_path(path.to_owned()),
        Err(_) => add_parent(dirty, path),
    }
}

/// A path that cannot be recorded is found as such when its directory is looked at.
fn add_parent(dirty: &mut Dirty, path: &RelPath) {
    if let Some(parent) = path.parent() {
        add_path(dirty, &parent);
    }
}

fn add_listing(dirty: &mut Dirty, directory: &RelPath, objects: &Objects, head: &ObjectId) {
    let Ok(directory) = RepoPath::new(directory.as_bytes()) else { return add_parent(dirty, directory) };
    dirty.add_path(directory.to_owned());
    let recorded = match entry_tree(objects, head, directory) {
        Ok(Some(tree)) => tree,
        // A directory that is not recorded is taken as a whole anyway.
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(path = %directory, %error, "a tree cannot be read: everything below is looked at");
            return dirty.add_subtree(directory.to_owned());
        }
    };
    for entry in recorded.iter() {
        if let Ok(path) = directory.join(entry.name) {
            dirty.add_path(path);
        }
    }
}

/// The tree of the directory at `path` below the tree `root`; `None` if no directory is recorded there.
fn entry_tree(
    objects: &Objects,
    root: &ObjectId,
    path: &RepoPath,
) -> tl_core::Result<Option<std::sync::Arc<tl_core::Tree>>> {
    let mut tree = objects.get_tree(root)?;
    for name in path.components() {
        let Some(entry) = tree.get(name).filter(tl_core::Entry::is_directory) else { return Ok(None) };
        tree = objects.get_tree(&entry.id)?;
    }
    Ok(Some(tree))
}

/// True if something is recorded at `path` below the tree `root`.
pub(crate) fn is_recorded(objects: &Objects, root: &ObjectId, path: &RelPath) -> bool {
    let Ok(path) = RepoPath::new(path.as_bytes()) else { return false };
    let Some((parent, name)) = path.split_last() else { return true };
    // What cannot be read is watched: too much costs time only.
    entry_tree(objects, root, parent).map_or(true, |tree| tree.is_some_and(|tree| tree.get(name).is_some()))
}

/// The rules as the journal asks for them.
pub(crate) fn is_ignored(rules: &IgnoreRules, path: &RepoPath, is_directory: bool) -> bool {
    // Every path of a repository is one of the watcher's.
    RelPath::new(path.as_bytes()).is_ok_and(|path| rules.is_ignored(&path, is_directory))
}

/// A path as the watcher wants it back.
pub(crate) fn to_watcher(path: &RepoPath) -> Option<RelPath> {
    // Likewise.
    RelPath::new(path.as_bytes()).ok()
}
