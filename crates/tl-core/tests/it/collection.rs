//! What a collection drops, and what it must not: also beside captures that go on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};

use granite::{Durability, ErrorKind, Keyspace, KeyspaceOptions};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tl_core::{Entry, Error, ObjectId, ObjectKind, Store, TreeBuilder, WHOLE_BLOB_LEN_MAX};

use crate::support::{MODE, name, new_store, path, put_files, random_bytes};

/// Reads everything under a root. Every byte is checked against its id on the way.
fn read_all(store: &Store, root: &ObjectId) -> Result<(), Error> {
    for change in store.diff(&ObjectId::EMPTY_TREE, root)? {
        let entry = change?.after.unwrap();
        if !entry.is_directory() {
            assert_eq!(store.get_blob(&entry.id, entry.size)?.len() as u64, entry.size);
        }
    }
    Ok(())
}

#[test]
fn what_is_not_marked_goes_and_everything_else_stays() {
    let (_, store) = new_store();
    let large = random_bytes(7, WHOLE_BLOB_LEN_MAX + 500_000);
    let kept = put_files(&store, &[("large", &large), ("shared", b"shared"), ("small", &random_bytes(8, 3000))]);
    let other_large = random_bytes(9, WHOLE_BLOB_LEN_MAX + 500_000);
    let gone = put_files(&store, &[("large", &other_large), ("own", b"own"), ("shared", b"shared")]);
    let (kept_seq, before) = (store.db().seq(), store.db().stats().keyspaces.len());
    let marking = store.begin_marking().unwrap();
    assert_eq!(marking.bound(), kept_seq);
    let marks = marking.mark_tree(&ObjectId::EMPTY_TREE, &kept).unwrap();
    assert!(marks > 4 + 5, "{marks} marks: without the chunks");
    let unmarked = marking.count_unmarked().unwrap();
    let report = marking.sweep().unwrap();
    assert_eq!(report.dropped, unmarked);
    assert!(report.dropped_bytes > other_large.len() as u64 && report.dropped_bytes < other_large.len() as u64 + 2000);
    read_all(&store, &kept).unwrap();
    assert!(!store.contains(&gone).unwrap());
    assert!(!store.contains(&ObjectId::of(ObjectKind::Blob, b"own")).unwrap());
    assert!(store.contains(&ObjectId::of(ObjectKind::Blob, b"shared")).unwrap());
    assert_eq!(store.db().stats().keyspaces.len(), before);
    assert!(store.verify(&Default::default()).unwrap().is_intact(), "only whole objects go");

    // What was dropped can be saved again.
    assert_eq!(put_files(&store, &[("large", &other_large), ("own", b"own"), ("shared", b"shared")]), gone);
    read_all(&store, &gone).unwrap();
}

/// If it fails, marking a history costs every state in full.
#[test]
fn a_state_is_marked_by_what_differs_from_one_that_was() {
    let (_, store) = new_store();
    let files: Vec<(String, Vec<u8>)> =
        (0..100).map(|number| (format!("f{number}"), random_bytes(number, 50))).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(file, content)| (&file[..], &content[..])).collect();
    let first = put_files(&store, &files);
    let capture = store.capture().unwrap();
    let entry = Entry::file(capture.put_blob(b"other").unwrap(), MODE);
    let second = capture.edit_tree(&first, [(path("f5"), Some(entry))]).unwrap();
    capture.commit(|_| {}, Durability::Sync).unwrap();
    let marking = store.begin_marking().unwrap();
    assert_eq!(marking.mark_tree(&ObjectId::EMPTY_TREE, &first).unwrap(), 101);
    assert_eq!(marking.mark_tree(&first, &second).unwrap(), 2);
    assert_eq!(marking.sweep().unwrap().dropped, 0);
    read_all(&store, &first).unwrap();
    read_all(&store, &second).unwrap();
}

#[test]
fn there_is_one_collection_at_a_time_and_giving_one_up_drops_nothing() {
    let (_, store) = new_store();
    let root = put_files(&store, &[("a", b"a")]);
    let marking = store.begin_marking().unwrap();
    let busy = store.begin_marking().unwrap_err();
    assert!(matches!(busy, Error::CollectionBusy));
    assert_eq!(busy.kind(), ErrorKind::Retry);
    drop(marking);
    read_all(&store, &root).unwrap();
    assert_eq!(store.begin_marking().unwrap().sweep().unwrap().dropped, 2);
}

/// If it fails, a collection goes on although it does not know what a state consists of.
#[test]
fn a_tree_that_cannot_be_read_stops_the_marking() {
    let (_, store) = new_store();
    let missing = ObjectId::from_bytes([5; 32]);
    let capture = store.capture().unwrap();
    let directory = Entry::directory(missing, MODE);
    let root = capture.edit_tree(&ObjectId::EMPTY_TREE, [(path("d"), Some(directory))]).unwrap();
    capture.commit(|_| {}, Durability::Sync).unwrap();
    let error = store.begin_marking().unwrap().mark_tree(&ObjectId::EMPTY_TREE, &root).unwrap_err();
    assert!(matches!(error, Error::Missing { id } if id == missing));
}

/// If it fails, a checkpoint that was begun before a collection and finished after it has holes.
#[test]
fn unfinished_captures_keep_what_they_found_and_what_they_wrote() {
    let (_, store) = new_store();
    put_files(&store, &[("a", b"found before"), ("b", b"found while marking"), ("c", b"found afterwards")]);
    let capture = store.capture().unwrap();
    let put = |content: &[u8]| Entry::file(capture.put_blob(content).unwrap(), MODE);
    let mut builder = TreeBuilder::new();
    // Enough to go ahead before the collection begins.
    for number in 0..60 {
        builder.add(name(&format!("n{number}")), put(&random_bytes(number, 100_000)));
    }
    builder.add(name("a"), put(b"found before"));
    let marking = store.begin_marking().unwrap();
    builder.add(name("b"), put(b"found while marking"));
    assert!(marking.bound() < store.db().seq());
    // The old root with its tree, and the third file.
    assert_eq!(marking.sweep().unwrap().dropped, 2);
    builder.add(name("c"), put(b"found afterwards"));
    let root = capture.put_tree(&builder.build().unwrap()).unwrap();
    capture.commit(|_| {}, Durability::Sync).unwrap();
    read_all(&store, &root).unwrap();
}

/// Makes one state: a few files of a pool, so that what was dropped comes back all the time. It takes the place of an older one under `slot`.
fn make_state(store: &Store, refs: &Keyspace, slot: [u8; 2], rng: &mut StdRng) {
    let capture = store.capture().unwrap();
    let mut builder = TreeBuilder::new();
    for file in 0..8 {
        let content = random_bytes(rng.random_range(0..300), 500);
        builder.add(name(&format!("f{file}")), Entry::file(capture.put_blob(&content).unwrap(), MODE));
    }
    let root = capture.put_tree(&builder.build().unwrap()).unwrap();
    capture.commit(|batch| batch.put(refs, &slot, root.as_bytes()), Durability::Buffered).unwrap();
}

fn roots(refs: &Keyspace) -> Vec<ObjectId> {
    let entries = refs.scan::<&[u8], _>(..).unwrap();
    entries.map(|entry| ObjectId::from_bytes(entry.unwrap().1.try_into().unwrap())).collect()
}

/// If it fails, a collection beside live writers drops something that a state refers to. Most of the pool is stored and unwanted at any time, so
/// many puts find something that the collector is about to drop.
#[test]
fn nothing_reachable_is_lost_beside_writers() {
    const SLOTS: u8 = 6;
    const COLLECTIONS: u64 = 100;
    let (_, store) = new_store();
    let refs = store.db().keyspace("refs", KeyspaceOptions::new()).unwrap();
    let (states, grown) = (Mutex::new(0u64), Condvar::new());
    let finished = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2u8 {
            let (store, refs, states, grown, finished) = (&store, &refs, &states, &grown, &finished);
            scope.spawn(move || {
                let mut rng = StdRng::seed_from_u64(writer.into());
                for slot in (0..SLOTS).cycle().take_while(|_| !finished.load(Ordering::Acquire)) {
                    make_state(store, refs, [writer, slot], &mut rng);
                    *states.lock().unwrap() += 1;
                    grown.notify_one();
                }
            });
        }
        // The writers stop also when this thread fails.
        let _finish = SetOnDrop(&finished);
        let mut dropped = 0;
        for collection in 0..COLLECTIONS {
            // Enough states for something to be unwanted, and the writers are at work.
            drop(grown.wait_while(states.lock().unwrap(), |states| *states < collection * 30).unwrap());
            let marking = store.begin_marking().unwrap();
            for root in roots(&refs) {
                marking.mark_tree(&ObjectId::EMPTY_TREE, &root).unwrap();
            }
            dropped += marking.sweep().unwrap().dropped;
            // What was committed while it was swept is what can have been hurt.
            for root in roots(&refs) {
                let read = read_all(&store, &root);
                assert!(read.is_ok(), "after collection {collection}: {read:?}");
            }
        }
        assert!(dropped > COLLECTIONS * 10, "the collector had next to nothing to drop: {dropped}");
    });
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn purged_content_is_told_from_lost_content_and_can_be_saved_again() {
    let (disk, store) = new_store();
    let large = random_bytes(1, WHOLE_BLOB_LEN_MAX + 300_000);
    let root = put_files(&store, &[("kept", b"kept"), ("large", &large), ("hidden", b"secret")]);
    let in_files = |content: &[u8]| {
        let files = vfs::Vfs::read_dir(&disk, std::path::Path::new("/db")).unwrap();
        files.iter().any(|file| disk.contents(file).unwrap().windows(content.len()).any(|window| window == content))
    };
    let tree = store.get_tree(&root).unwrap();
    let [secret, large_id] = ["hidden", "large"].map(|file| tree.get(name(file)).unwrap().id);
    let missing = ObjectId::from_bytes([3; 32]);
    let mut chunks = Vec::new();
    store.for_each_chunk(&large_id, |chunk| chunks.push(*chunk)).unwrap();
    assert!(chunks.len() > 3);
    let mut chunk = Vec::new();
    std::io::Read::read_to_end(&mut store.blob_reader(&chunks[1]).unwrap(), &mut chunk).unwrap();
    assert!(in_files(b"secret") && in_files(&chunk));
    let report = store.purge([secret, missing, chunks[1]]).unwrap();
    assert_eq!((report.purged, &report.absent[..], report.kept_for_snapshots), (2, &[missing][..], false));
    assert!(!in_files(b"secret") && !in_files(&chunk), "purged content is in a file");
    assert!(in_files(b"kept"));
    assert_eq!(store.purge([secret]).unwrap().absent, [secret]);

    assert!(matches!(store.get_blob(&secret, 10), Err(Error::Purged { id, len: 6 }) if id == secret));
    assert!(matches!(store.get_blob(&large_id, u64::MAX), Err(Error::Purged { id, .. }) if id == large_id));
    assert!(!store.contains(&secret).unwrap());
    assert!(store.verify(&Default::default()).unwrap().is_intact(), "a purge is no damage");

    // A collection keeps the note as long as the tree is wanted.
    let marking = store.begin_marking().unwrap();
    marking.mark_tree(&ObjectId::EMPTY_TREE, &root).unwrap();
    marking.sweep().unwrap();
    assert!(matches!(store.get_blob(&secret, 10), Err(Error::Purged { .. })));

    assert_eq!(put_files(&store, &[("kept", b"kept"), ("large", &large), ("hidden", b"secret")]), root);
    read_all(&store, &root).unwrap();
}
