//! Readers in other processes: live, undisturbed, and gone when they die.

use std::sync::atomic::{AtomicBool, Ordering};

use northstar::{Database, Durability, Error, MIN_MEMORY_BUDGET, Options, Reader, Tree, TxnId};
use vfs_sim::SimDisk;

use crate::basics::{assert_sound, open, options};

fn put(db: &Database, n: u64) {
    db.write(|txn| {
        txn.put(Tree::DEFAULT, &(n % 100).to_be_bytes(), &[n as u8; 200])?;
        txn.put(Tree::DEFAULT, b"newest", &n.to_be_bytes()).map(drop)
    })
    .unwrap();
}

fn newest(reader: &Reader) -> u64 {
    let value = reader.snapshot().get(Tree::DEFAULT, b"newest").unwrap().unwrap();
    u64::from_be_bytes(value.to_vec().try_into().unwrap())
}

/// A reader would see less than was committed, or nothing when nobody writes.
#[test]
fn a_reader_sees_what_is_committed_with_a_writer_and_without() {
    let disk = SimDisk::new();
    assert!(matches!(Reader::open("/db", &options(&disk)), Err(Error::NotADatabase { .. })));
    let db = open(&disk);
    put(&db, 1);
    let reader = Reader::open("/db", &options(&disk)).unwrap();
    for n in 2..80 {
        put(&db, n);
        if n % 9 == 0 {
            db.checkpoint().unwrap();
        }
        assert_eq!(reader.refresh().unwrap(), TxnId(n));
        assert_eq!(newest(&reader), n);
    }
    let before = reader.snapshot();
    put(&db, 80);
    drop(db);
    assert_eq!(reader.refresh().unwrap(), TxnId(80));
    assert_eq!(newest(&Reader::open("/db", &options(&disk)).unwrap()), 80);
    assert_eq!(before.txn(), TxnId(79));
    let mut watch = reader.watch(TxnId(70));
    assert_eq!(watch.try_next().unwrap().unwrap().txn, TxnId(71));
    while watch.try_next().unwrap().is_some() {}
    assert_eq!(watch.next_txn(), TxnId(81));
}

/// A commit that is not durable yet would be shown to other processes, and a crash would take it back.
#[test]
fn a_reader_does_not_see_what_waits_for_its_sync() {
    let disk = SimDisk::new();
    let db = open(&disk);
    put(&db, 1);
    let reader = Reader::open("/db", &options(&disk)).unwrap();
    // The record is in the log, its sync fails: it was never acknowledged.
    disk.inject(vfs_sim::Fault::lost_sync(vfs_sim::SyncLoss::All).at(|path| path.to_str() == Some("/db.log")).nth(0));
    assert!(db.write(|txn| txn.put(Tree::DEFAULT, b"newest", &9u64.to_be_bytes())).is_err());
    assert_eq!(reader.refresh().unwrap(), TxnId(1));
    assert_eq!(newest(&reader), 1);
}

/// The writer would give pages away under a reader, or never again because of one that died.
#[test]
fn pages_wait_for_a_reader_and_not_for_a_dead_one() {
    let disk = SimDisk::new();
    let db = open(&disk);
    (1..200).for_each(|n| put(&db, n));
    db.checkpoint().unwrap();
    let reader = Reader::open("/db", &options(&disk)).unwrap();
    let seen = reader.snapshot();
    let base = db.retained().last().unwrap().txn;
    for n in 200..500 {
        put(&db, n);
        if n % 20 == 0 {
            db.checkpoint().unwrap();
        }
    }
    assert!(db.retained().iter().any(|state| state.txn == base));
    assert_eq!(seen.get(Tree::DEFAULT, &7u64.to_be_bytes()).unwrap().unwrap()[0], 107);
    assert_sound(&db);
    // Its slot keeps the number, and nobody holds the lock.
    let slots = disk.contents("/db-shm").unwrap();
    drop((reader, seen));
    let file = vfs::Vfs::open(&disk, std::path::Path::new("/db-shm"), vfs::OpenMode::ReadWrite).unwrap();
    file.write_at(128, &slots[128..]).unwrap();
    for n in 500..540 {
        put(&db, n);
        db.checkpoint().unwrap();
    }
    assert!(db.retained().iter().all(|state| state.txn != base), "a dead reader keeps its state");
    assert_sound(&db);
}

/// As above on the real disk, at full speed: a reader would meet pages that were given to others, or half a transaction.
#[test]
fn readers_keep_up_with_a_writer_on_the_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let options = Options::new().memory_budget(MIN_MEMORY_BUDGET).checkpoint_log_len(30_000).segment_len(50_000);
    let db = Database::open(&path, options.clone()).unwrap();
    put(&db, 0);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let reader = Reader::open(&path, &options).unwrap();
                    let mut last = TxnId(0);
                    let mut looks = 0u32;
                    while !over.load(Ordering::Relaxed) {
                        let txn = reader.refresh().unwrap();
                        assert!(txn >= last);
                        last = txn;
                        let snapshot = reader.snapshot();
                        let stamp = snapshot.get(Tree::DEFAULT, b"stamp 0").unwrap().map(|value| value.to_vec());
                        for n in 1..20 {
                            let key = format!("stamp {n}");
                            let other =
                                snapshot.get(Tree::DEFAULT, key.as_bytes()).unwrap().map(|value| value.to_vec());
                            assert_eq!(other, stamp, "half a transaction is visible");
                        }
                        looks += 1;
                    }
                    looks
                })
            })
            .collect();
        for n in 0..1500u64 {
            let durability = if n % 10 == 0 { Durability::Sync } else { Durability::Buffered };
            db.write_with(durability, |txn| {
                for key in 0..20 {
                    txn.put(Tree::DEFAULT, format!("stamp {key}").as_bytes(), &n.to_be_bytes())?;
                }
                txn.put(Tree::DEFAULT, &(n * 7919 % 1000).to_be_bytes(), &[n as u8; 150]).map(drop)
            })
            .unwrap();
        }
        over.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| assert!(reader.join().unwrap() > 0));
    });
    assert!(db.stats().checkpoints > 3, "{:?}", db.stats());
    assert_sound(&db);
}
