//! What a checkpoint may spend, counted where the disk and the allocator are called: these numbers do not depend on the machine.

use std::sync::Arc;

use granite::{Background, Db, Durability, KeyspaceOptions, Options};
use tl_core::{Entry, ObjectId, Store, StoreOptions, TreeBuilder};
use vfs::{DiskVfs, Vfs};

use crate::allocations::count_allocations;
use crate::support::{DIR_MODE, MODE, name, path, random_bytes};

fn open_counted(dir: &std::path::Path) -> (Arc<DiskVfs>, Store) {
    let disk = Arc::new(DiskVfs::new());
    let vfs: Arc<dyn Vfs> = Arc::<DiskVfs>::clone(&disk);
    let db = Db::open(dir, &Options::new().vfs(vfs).background(Background::Inline)).unwrap();
    (disk, Store::open(&db, &StoreOptions::default()).unwrap())
}

/// A tree of `directories` with 50 files each.
fn put_project(store: &Store, directories: u64) -> ObjectId {
    let capture = store.capture().unwrap();
    let mut root = TreeBuilder::new();
    for directory in 0..directories {
        let mut tree = TreeBuilder::new();
        for file in 0..50 {
            let blob = capture.put_blob(&random_bytes(directory * 50 + file, 200)).unwrap();
            tree.add(name(&format!("file{file}.rs")), Entry::file(blob, MODE));
        }
        let tree = capture.put_tree(&tree.build().unwrap()).unwrap();
        root.add(name(&format!("dir{directory}")), Entry::directory(tree, DIR_MODE));
    }
    let root = capture.put_tree(&root.build().unwrap()).unwrap();
    capture.commit(|_| {}, Durability::Sync).unwrap();
    root
}

/// If it fails, a small checkpoint costs more than one append and one sync, or its cost follows the size of the project.
#[test]
fn a_checkpoint_of_one_file_is_one_write_and_one_sync_of_little_more_than_what_changed() {
    let mut spent = Vec::new();
    for directories in [4, 40] {
        let dir = tempfile::tempdir().unwrap();
        let (disk, store) = open_counted(dir.path());
        let refs = store.db().keyspace("refs", KeyspaceOptions::new()).unwrap();
        let mut root = put_project(&store, directories);
        for round in 0..20u64 {
            let content = random_bytes(1_000_000 + round, 1000);
            let before = disk.counters();
            let allocations = count_allocations(|| {
                let capture = store.capture().unwrap();
                let blob = capture.put_blob(&content).unwrap();
                root = capture.edit_tree(&root, [(path("dir1/file7.rs"), Some(Entry::file(blob, MODE)))]).unwrap();
                capture.commit(|batch| batch.put(&refs, b"head", root.as_bytes()), Durability::Sync).unwrap();
            });
            let cost = disk.counters().since(&before);
            assert_eq!((cost.writes, cost.syncs()), (1, 1), "round {round}");
            // 1 KB of content, a directory of 50 entries, the root, and their keys; at most a block of padding for the log.
            let limit = 1000 + 50 * 48 + directories * 44 + 500 + 4096;
            assert!(cost.bytes_written < limit, "{} bytes of {limit} in round {round}", cost.bytes_written);
            if round == 19 {
                spent.push((cost.bytes_written, allocations));
            }
        }
    }
    let [(_, small), (_, large)] = spent[..] else { panic!("two projects") };
    assert!(small < 120 && large < 120, "{spent:?} allocations");
}

/// If it fails, a save of what is there already costs a write.
#[test]
fn a_checkpoint_that_finds_everything_stored_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, store) = open_counted(dir.path());
    let root = put_project(&store, 4);
    let before = disk.counters();
    assert_eq!(put_project(&store, 4), root);
    let cost = disk.counters().since(&before);
    assert_eq!((cost.writes, cost.syncs(), cost.bytes_written), (0, 0, 0));
}

/// If it fails, the first checkpoint of a large project syncs again and again, or writes much more than its content.
#[test]
fn a_large_capture_syncs_once_however_much_goes_ahead() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, store) = open_counted(dir.path());
    let before = disk.counters();
    let capture = store.capture().unwrap();
    for number in 0..400 {
        capture.put_blob(&random_bytes(number, 40_000)).unwrap();
    }
    let ahead = disk.counters().since(&before);
    assert!(ahead.bytes_written > 12 << 20 && ahead.file_syncs == 0, "{ahead:?}");
    capture.commit(|_| {}, Durability::Sync).unwrap();
    let cost = disk.counters().since(&before);
    assert_eq!(cost.file_syncs, 1, "{cost:?}");
    assert!(cost.bytes_written < 400 * 40_000 + (1 << 20), "{cost:?}");
}

/// If it fails, a file of any length is held in memory as a whole.
#[test]
fn a_large_file_is_captured_and_read_in_bounded_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (_, store) = open_counted(dir.path());
    let len = 64 << 20;
    let mut content = std::io::Read::take(std::io::repeat(7), len);
    let mut blob = None;
    let peak = crate::allocations::peak_bytes(|| {
        let capture = store.capture().unwrap();
        blob = Some(capture.put_blob_from(&mut content, len).unwrap());
        capture.commit(|_| {}, Durability::Sync).unwrap();
    });
    assert!(peak < 4 << 20, "{peak} bytes to write");
    let mut reader = store.blob_reader(&blob.unwrap().id).unwrap();
    let mut count = 0;
    let peak = crate::allocations::peak_bytes(|| count = std::io::copy(&mut reader, &mut std::io::sink()).unwrap());
    assert_eq!(count, len);
    assert!(peak < 2 << 20, "{peak} bytes to read");
}
