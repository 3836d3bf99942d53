//! Edits and differences against a plain map of paths.

use granite::{Durability, KeyspaceOptions};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tl_core::{Change, Entry, EntryName, Error, Mode, ObjectId, RepoPathBuf, Store, TreeBuilder};

use crate::oracle::{Model, any_edits, apply, difference, put_model, read_model, stored_difference};
use crate::support::{DIR_MODE, MODE, name, new_store, path};

/// If it fails, an edited tree is another than the directory that it stands for, or a difference tells something else than what happened.
#[test]
fn edits_and_differences_agree_with_a_map_of_paths() {
    for seed in 0..60 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (_, store) = new_store();
        let mut states = vec![(Model::new(), ObjectId::EMPTY_TREE)];
        for step in 0..12 {
            let (before, root) = states.last().cloned().unwrap();
            let capture = store.capture().unwrap();
            let edits = any_edits(&mut rng, &capture, &before);
            let mut after = before;
            for edit in &edits {
                apply(&mut after, edit);
            }
            let edited = capture.edit_tree(&root, edits).unwrap();
            assert_eq!(
                put_model(&capture, &after),
                edited,
                "seed {seed}, step {step}: not the tree of the whole directory"
            );
            capture.commit(|_| {}, Durability::Buffered).unwrap();
            assert_eq!(read_model(&store, &edited), after, "seed {seed}, step {step}");
            states.push((after, edited));
        }
        for (from, from_root) in &states {
            for (to, to_root) in &states {
                let found = stored_difference(&store, from_root, to_root);
                assert_eq!(found, difference(from, to), "seed {seed}");
            }
        }
    }
}

fn refused(store: &Store, root: &ObjectId, changes: &[(&str, Option<Entry>)]) -> Error {
    let capture = store.capture().unwrap();
    let changes: Vec<_> = changes.iter().map(|(at, entry)| (path(at), *entry)).collect();
    capture.edit_tree(root, changes).unwrap_err()
}

#[test]
fn edits_that_make_no_sense_are_refused() {
    let (_, store) = new_store();
    let capture = store.capture().unwrap();
    let file = Some(Entry::file(capture.put_blob(b"x").unwrap(), MODE));
    let dir = Some(Entry::directory(ObjectId::EMPTY_TREE, DIR_MODE));
    let root = capture.edit_tree(&ObjectId::EMPTY_TREE, [(path("d"), dir), (path("d/f"), file)]).unwrap();
    capture.commit(|_| {}, Durability::Buffered).unwrap();

    let no_directory = |changes: &[(&str, Option<Entry>)], expected: &str| {
        let error = refused(&store, &root, changes);
        assert!(matches!(&error, Error::NoDirectory { path } if path.to_string() == expected), "{error}");
    };
    no_directory(&[("e/f", file)], "e");
    no_directory(&[("d/f/g", file)], "d/f");
    no_directory(&[("d/f/g", None)], "d/f");
    no_directory(&[("d", None), ("d/f", file)], "d");
    no_directory(&[("d", file), ("d/f", file)], "d");
    let unsorted = |changes: &[(&str, Option<Entry>)], expected: &str| {
        let error = refused(&store, &root, changes);
        assert!(matches!(&error, Error::UnsortedEdits { path } if path.to_string() == expected), "{error}");
    };
    unsorted(&[("b", file), ("a", file)], "a");
    unsorted(&[("b", file), ("b", file)], "b");
    unsorted(&[("d.x", file), ("d/f", file)], "d/f");
    unsorted(&[("", dir)], "");
}

/// If it fails, the mode of a directory cannot change without a rewrite of what is in it, or the change is not seen.
#[test]
fn a_directory_is_reported_when_its_mode_changes_and_not_when_only_its_content_does() {
    let (_, store) = new_store();
    let capture = store.capture().unwrap();
    let file = |content: &[u8]| Some(Entry::file(capture.put_blob(content).unwrap(), MODE));
    let dir = |id: ObjectId, mode: u32| Some(Entry::directory(id, Mode::new(mode)));
    let empty = ObjectId::EMPTY_TREE;
    let first = capture.edit_tree(&empty, [(path("d"), dir(empty, 0o755)), (path("d/f"), file(b"1"))]).unwrap();
    let inside = capture.edit_tree(&first, [(path("d/f"), file(b"2"))]).unwrap();
    let tree = capture.get_tree(&first).unwrap().get(name("d")).unwrap().id;
    let outside = capture.edit_tree(&first, [(path("d"), dir(tree, 0o700))]).unwrap();
    let both = capture.edit_tree(&first, [(path("d"), dir(tree, 0o700)), (path("d/f"), file(b"2"))]).unwrap();
    capture.commit(|_| {}, Durability::Buffered).unwrap();
    let paths = |to: &ObjectId| -> Vec<_> {
        store.diff(&first, to).unwrap().map(|change| change.unwrap().path.to_string()).collect()
    };
    assert_eq!(paths(&inside), ["d/f"]);
    assert_eq!(paths(&outside), ["d"]);
    assert_eq!(paths(&both), ["d", "d/f"]);
    assert_eq!(paths(&first), [""; 0]);
}

/// If it fails, the cost of a difference or an edit follows the whole tree.
#[test]
fn subtrees_that_are_equal_are_not_read() {
    let (_, store) = new_store();
    let capture = store.capture().unwrap();
    let missing = ObjectId::from_bytes([9; 32]);
    let file = |content: &[u8]| Some(Entry::file(capture.put_blob(content).unwrap(), MODE));
    let unreadable = Some(Entry::directory(missing, DIR_MODE));
    let empty = ObjectId::EMPTY_TREE;
    let dir = Some(Entry::directory(empty, DIR_MODE));
    let changes = [(path("a"), dir), (path("a/f"), file(b"1")), (path("gone"), unreadable), (path("z"), unreadable)];
    let first = capture.edit_tree(&empty, changes).unwrap();
    let second = capture.edit_tree(&first, [(path("a/f"), file(b"2")), (path("b"), file(b"3"))]).unwrap();
    capture.commit(|_| {}, Durability::Buffered).unwrap();
    let changes: Vec<Change> = store.diff(&first, &second).unwrap().map(Result::unwrap).collect();
    assert_eq!(changes.iter().map(|change| change.path.to_string()).collect::<Vec<_>>(), ["a/f", "b"]);
}

/// If it fails, one damaged directory hides all changes behind it.
#[test]
fn a_directory_that_cannot_be_read_is_an_item_and_the_walk_goes_on() {
    let (_, store) = new_store();
    let capture = store.capture().unwrap();
    let missing = ObjectId::from_bytes([9; 32]);
    let file = Some(Entry::file(capture.put_blob(b"x").unwrap(), MODE));
    let unreadable = Some(Entry::directory(missing, DIR_MODE));
    let root = capture
        .edit_tree(&ObjectId::EMPTY_TREE, [(path("a"), file), (path("b"), unreadable), (path("c"), file)])
        .unwrap();
    capture.commit(|_| {}, Durability::Buffered).unwrap();
    let items: Vec<_> = store.diff(&ObjectId::EMPTY_TREE, &root).unwrap().collect();
    assert!(matches!(
        &items[..],
        [Ok(first), Err(Error::Missing { id }), Ok(last)]
            if first.path == path("a") && *id == missing && last.path == path("c")
    ));
}

/// If it fails, a deep tree overflows the stack of a thread.
#[test]
fn depth_costs_no_stack() {
    let (_, store) = new_store();
    let capture = store.capture().unwrap();
    let depth = 20_000;
    let mut deep = RepoPathBuf::root();
    for _ in 0..depth {
        deep.push(name("d")).unwrap();
    }
    let mut id = ObjectId::EMPTY_TREE;
    for _ in 0..depth {
        let mut builder = TreeBuilder::new();
        builder.add(name("d"), Entry::directory(id, DIR_MODE));
        id = capture.put_tree(&builder.build().unwrap()).unwrap();
    }
    let file = Entry::file(capture.put_blob(b"at the bottom").unwrap(), MODE);
    let bottom = deep.join(EntryName::new(b"f").unwrap()).unwrap();
    let edited = capture.edit_tree(&id, [(bottom.clone(), Some(file))]).unwrap();
    capture.commit(|_| {}, Durability::Buffered).unwrap();
    let changes: Vec<Change> = store.diff(&id, &edited).unwrap().map(Result::unwrap).collect();
    assert_eq!(changes, [Change { path: bottom, before: None, after: Some(file) }]);
}

/// If it fails, the directories on the way to a change are read from the disk again at the next checkpoint.
#[test]
fn the_trees_of_a_checkpoint_are_in_memory_for_the_next_one() {
    let (disk, store) = new_store();
    let refs = store.db().keyspace("refs", KeyspaceOptions::new()).unwrap();
    let mut root = ObjectId::EMPTY_TREE;
    let mut reads = Vec::new();
    for number in 0..5u8 {
        let capture = store.capture().unwrap();
        let file = Some(Entry::file(capture.put_blob(&[number; 100]).unwrap(), MODE));
        root = capture.edit_tree(&root, [(path("f"), file)]).unwrap();
        capture.commit(|batch| batch.put(&refs, b"head", root.as_bytes()), Durability::Sync).unwrap();
        reads.push(vfs::Vfs::counters(&disk).reads);
    }
    assert_eq!(reads[1], reads[4], "{reads:?}");
}
