//! Opening, writing together, reading back.

use granite::{Durability, ErrorKind, KeyspaceOptions, WriteBatch};
use tl_core::{Damage, Entry, Error, ObjectId, ObjectKind, Store, StoreOptions, Tree, TreeBuilder};
use vfs_sim::{Crash, SimDisk};

use crate::support::{MODE, name, new_store, open_db, put_files, random_bytes};

#[test]
fn what_was_committed_is_read_back_after_a_restart() {
    let (disk, store) = new_store();
    let files = [("a", &b"hello\n"[..]), ("empty", b""), ("text", &b"again and again. ".repeat(200))];
    let root = put_files(&store, &files);
    drop(store);
    let store = Store::open(&open_db(&disk).unwrap(), &StoreOptions::default()).unwrap();
    let tree = store.get_tree(&root).unwrap();
    assert_eq!(tree.len(), files.len());
    for (file, content) in files {
        let entry = tree.get(name(file)).unwrap();
        assert_eq!(entry.size, content.len() as u64);
        assert_eq!(store.get_blob(&entry.id, 1 << 20).unwrap(), content);
        assert_eq!(store.blob_len(&entry.id).unwrap(), entry.size);
        assert!(store.contains(&entry.id).unwrap());
    }
}

/// If it fails, the caller's record can be on the disk without the objects that it names, or the objects cost a sync of their own.
#[test]
fn objects_and_the_callers_records_are_one_batch() {
    let (disk, store) = new_store();
    let refs = store.db().keyspace("refs", KeyspaceOptions::new()).unwrap();
    let capture = store.capture().unwrap();
    let blob = capture.put_blob(b"content").unwrap();
    let committed = capture.commit(|batch| batch.put(&refs, b"head", blob.id.as_bytes()), Durability::Sync).unwrap();
    assert_eq!((committed.objects_new, committed.bytes_new), (1, 32 + 1 + 7));
    assert_eq!(committed.sequence, store.db().seq());

    let restarted = open_db(&disk.crash(Crash::Nothing)).unwrap();
    let store = Store::open(&restarted, &StoreOptions::default()).unwrap();
    let head = restarted.existing_keyspace("refs").unwrap().get(b"head").unwrap().unwrap();
    assert_eq!(head, blob.id.as_bytes());
    assert_eq!(store.get_blob(&blob.id, 7).unwrap(), b"content");
}

#[test]
fn a_capture_that_is_dropped_leaves_nothing() {
    let (_, store) = new_store();
    let before = store.db().seq();
    let capture = store.capture().unwrap();
    let blob = capture.put_blob(b"content").unwrap();
    drop(capture);
    assert!(!store.contains(&blob.id).unwrap());
    assert_eq!(store.db().seq(), before);
}

#[test]
fn what_is_stored_already_is_not_written_again() {
    let (_, store) = new_store();
    let files = [("a", &b"one"[..]), ("b", b"two"), ("c", b"one")];
    let first = put_files(&store, &files);
    let seq = store.db().seq();
    assert_eq!(put_files(&store, &files), first);
    assert_eq!(store.db().seq(), seq, "something was written");
}

/// If it fails, two threads of one scan write the same object twice, or one of them is lost.
#[test]
fn a_capture_takes_objects_from_several_threads() {
    let (_, store) = new_store();
    let capture = store.capture().unwrap();
    let content = |number: u64| random_bytes(number % 300, 30_000);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let capture = &capture;
            scope.spawn(move || {
                for number in 0..150 {
                    capture.put_blob(&content(thread * 75 + number)).unwrap();
                }
            });
        }
    });
    let committed = capture.commit(|_| {}, Durability::Sync).unwrap();
    assert_eq!(committed.objects_new, 300);
    for number in 0..300 {
        let id = ObjectId::of(ObjectKind::Blob, &content(number));
        assert_eq!(store.get_blob(&id, 30_000).unwrap(), content(number));
    }
}

/// If it fails, an edit cannot go on from a tree that the same capture has put.
#[test]
fn a_capture_reads_its_own_trees_before_and_after_they_went_ahead() {
    let (_, store) = new_store();
    let capture = store.capture().unwrap();
    let tree_of = |number: u64| {
        let mut builder = TreeBuilder::new();
        let blob = capture.put_blob(&random_bytes(number, 200_000)).unwrap();
        builder.add(name("file"), Entry::file(blob, MODE));
        builder.build().unwrap()
    };
    let mut trees = Vec::new();
    for number in 0..60 {
        let tree = tree_of(number);
        trees.push(capture.put_tree(&tree).unwrap());
        for id in &trees {
            assert_eq!(capture.get_tree(id).unwrap().id(), *id);
        }
    }
    assert!(store.contains(&trees[0]).unwrap(), "nothing went ahead, although 12 MB were put");
    assert!(!store.contains(&trees[59]).unwrap());
    assert!(matches!(store.get_tree(&trees[59]), Err(Error::Missing { .. })));
    capture.commit(|_| {}, Durability::Sync).unwrap();
    assert_eq!(*store.get_tree(&trees[59]).unwrap(), tree_of_id(&store, &trees[59]));
}

fn tree_of_id(store: &Store, id: &ObjectId) -> Tree {
    store.trim();
    Tree::clone(&store.get_tree(id).unwrap())
}

#[test]
fn the_empty_tree_is_there_without_being_stored() {
    let (_, store) = new_store();
    let before = store.db().seq();
    let root = put_files(&store, &[]);
    assert_eq!(root, ObjectId::EMPTY_TREE);
    assert_eq!(store.db().seq(), before);
    assert!(store.contains(&root).unwrap() && store.get_tree(&root).unwrap().is_empty());
}

#[test]
fn what_is_missing_or_of_the_other_kind_is_told_apart() {
    let (_, store) = new_store();
    let root = put_files(&store, &[("a", b"one")]);
    let missing = ObjectId::of(ObjectKind::Blob, b"never put");
    let error = store.get_blob(&missing, 10).unwrap_err();
    assert!(matches!(error, Error::Missing { id } if id == missing));
    assert_eq!(error.kind(), ErrorKind::Repair);
    let blob = store.get_tree(&root).unwrap().get(name("a")).unwrap().id;
    let wrong_kind =
        |result: Result<(), Error>| matches!(result, Err(Error::Damaged { damage: Damage::WrongKind { .. }, .. }));
    assert!(wrong_kind(store.get_tree(&blob).map(drop)));
    assert!(wrong_kind(store.get_blob(&root, 1000).map(drop)));
    assert!(matches!(store.get_blob(&blob, 2), Err(Error::BlobTooLarge { len: 3, max: 2 })));
}

/// If it fails, objects of another format or of another program are taken for ours.
#[test]
fn foreign_and_newer_keyspaces_are_refused() {
    let open_with = |header: Option<&[u8]>, other: Option<&[u8; 32]>| {
        let db = open_db(&SimDisk::new()).unwrap();
        drop(Store::open(&db, &StoreOptions::default()).unwrap());
        let objects = db.existing_keyspace("objects").unwrap();
        let mut batch = WriteBatch::new();
        match header {
            Some(header) => batch.put(&objects, &[0; 32], header),
            None => batch.delete(&objects, &[0; 32]),
        }
        if let Some(key) = other {
            batch.put(&objects, key, b"?");
        }
        db.write(batch, Durability::Buffered).unwrap();
        Store::open(&db, &StoreOptions::default()).map(drop)
    };
    assert!(open_with(Some(b"TLOBJECT\x01\0\0\0"), None).is_ok());
    assert!(open_with(None, None).is_ok(), "an empty store gets its header");
    assert!(matches!(open_with(Some(b"TLOBJECT\x02\0\0\0"), None), Err(Error::NewerFormat { found: 2, supported: 1 })));
    for header in [&b"TLOBJECT\x00\0\0\0"[..], b"TLOBJECT\x01\0\0\0\0", b"OBJECTTL\x01\0\0\0", b""] {
        assert!(matches!(open_with(Some(header), None), Err(Error::NotAStore { .. })), "{header:?}");
    }
    assert!(matches!(open_with(None, Some(&[7; 32])), Err(Error::NotAStore { .. })));
}
