//! Trees as a plain map of paths, and the ways to get at the same thing through a store.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tl_core::{Capture, Change, Entry, EntryKind, Mode, ObjectId, RepoPath, RepoPathBuf, Store, TreeBuilder};

/// What each path stands for. A directory is there whenever something is in it.
pub type Model = BTreeMap<RepoPathBuf, Entry>;

/// A change of one path.
pub type Edit = (RepoPathBuf, Option<Entry>);

/// A model of directories has no trees yet.
fn directory(mode: Mode) -> Entry {
    Entry::directory(ObjectId::EMPTY_TREE, mode)
}

/// A name of one of a few, so that paths meet.
fn any_name(rng: &mut StdRng) -> &'static str {
    ["a", "a.b", "a-b", "b", "\u{e9}", "long-enough-to-need-memory-of-its-own", "z"].choose(rng).copied().unwrap_or("a")
}

fn any_mode(rng: &mut StdRng) -> Mode {
    Mode::new([0o644, 0o755, 0o4711, 0].choose(rng).copied().unwrap_or(0))
}

/// A path whose parent is the root or a directory of the model.
fn any_path(rng: &mut StdRng, model: &Model) -> RepoPathBuf {
    let directories: Vec<_> = model.iter().filter(|(_, entry)| entry.is_directory()).map(|(path, _)| path).collect();
    let parent = if rng.random_bool(0.2) { None } else { directories.choose(rng) };
    let parent = parent.map_or(RepoPathBuf::root(), |path| (**path).clone());
    parent.join(crate::support::name(any_name(rng))).unwrap()
}

/// Applies one change to the model, as a disk would.
pub fn apply(model: &mut Model, (path, entry): &Edit) {
    model.retain(|other, _| !other.starts_with(path));
    if let Some(entry) = entry {
        model.insert(path.clone(), *entry);
    }
}

/// A few changes, rising by path, that can be made one after the other. New files are put into `capture`.
pub fn any_edits(rng: &mut StdRng, capture: &Capture, model: &Model) -> Vec<Edit> {
    let mut edits: BTreeMap<RepoPathBuf, Option<Entry>> = BTreeMap::new();
    let mut after = model.clone();
    for _ in 0..rng.random_range(1..12) {
        let path = any_path(rng, &after);
        // What comes later must not undo what was decided for another path.
        if edits.keys().any(|other| other.starts_with(&path)) {
            continue;
        }
        let entry = match rng.random_range(0..10) {
            0..3 => None,
            3..6 => Some(directory(any_mode(rng))),
            6 => Some(Entry::symlink(capture.put_symlink(any_name(rng).as_bytes()).unwrap(), any_mode(rng))),
            _ => {
                let content = rng.random_range(0..40u32).to_le_bytes();
                Some(Entry::file(capture.put_blob(&content).unwrap(), any_mode(rng)))
            }
        };
        apply(&mut after, &(path.clone(), entry));
        edits.insert(path, entry);
    }
    edits.into_iter().collect()
}

/// Builds the model's trees from the leaves up.
pub fn put_model(capture: &Capture, model: &Model) -> ObjectId {
    let mut contents: BTreeMap<RepoPathBuf, TreeBuilder> = BTreeMap::new();
    contents.insert(RepoPathBuf::root(), TreeBuilder::new());
    for (path, entry) in model.iter().rev() {
        let (parent, name) = path.split_last().unwrap();
        let entry = if entry.is_directory() {
            let tree = contents.remove(path).unwrap_or_default().build().unwrap();
            Entry::directory(capture.put_tree(&tree).unwrap(), entry.mode)
        } else {
            *entry
        };
        contents.entry(parent.to_owned()).or_default().add(name, entry);
    }
    let root = contents.remove(RepoPath::root()).unwrap().build().unwrap();
    capture.put_tree(&root).unwrap()
}

/// Everything under `root`, by walking its trees one by one.
pub fn read_model(store: &Store, root: &ObjectId) -> Model {
    let mut model = Model::new();
    let mut waiting = vec![(RepoPathBuf::root(), *root)];
    while let Some((path, id)) = waiting.pop() {
        for found in store.get_tree(&id).unwrap().iter() {
            let path = path.join(found.name).unwrap();
            let mut entry = found.entry;
            if entry.kind == EntryKind::Directory {
                waiting.push((path.clone(), entry.id));
                entry = directory(entry.mode);
            }
            model.insert(path, entry);
        }
    }
    model
}

/// The changes between two models, as a difference of trees reports them; of directories the ids are left out.
pub fn difference(before: &Model, after: &Model) -> Vec<Change> {
    let mut paths: Vec<_> = before.keys().chain(after.keys()).cloned().collect();
    paths.sort();
    paths.dedup();
    let changes = paths.into_iter().map(|path| {
        let (before, after) = (before.get(&path).copied(), after.get(&path).copied());
        Change { path, before, after }
    });
    changes.filter(|change| change.before != change.after).collect()
}

/// The same from a store.
pub fn stored_difference(store: &Store, before: &ObjectId, after: &ObjectId) -> Vec<Change> {
    let without_id =
        |entry: Option<Entry>| entry.map(|entry| if entry.is_directory() { directory(entry.mode) } else { entry });
    let changes = store.diff(before, after).unwrap().map(Result::unwrap);
    changes
        .map(|change| Change { before: without_id(change.before), after: without_id(change.after), ..change })
        .collect()
}
