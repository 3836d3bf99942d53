//! Many threads on one database, on the real disk.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use northstar::{Database, Durability, MIN_MEMORY_BUDGET, Options, Retention, Tree, TxnId};

use crate::basics::assert_sound;

const WRITERS: u64 = 8;
const KEYS: u64 = 300;

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes[..8].try_into().unwrap())
}

/// A reader would see half of a transaction, or pages that were given to others; a durable commit would not be durable.
#[test]
fn readers_see_whole_transactions_while_many_write() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let options = || {
        Options::new()
            .memory_budget(MIN_MEMORY_BUDGET)
            .checkpoint_log_len(100_000)
            .segment_len(200_000)
            .retention(Retention { transactions: 100, ..Retention::default() })
    };
    let db = Database::open(&path, options()).unwrap();
    let put_all = |n: u64, filler: usize| {
        let mut value = n.to_be_bytes().to_vec();
        value.resize(8 + filler, n as u8);
        value
    };
    db.write(|txn| (0..KEYS).try_for_each(|key| txn.put(Tree::DEFAULT, &key.to_be_bytes(), &put_all(0, 0)).map(drop)))
        .unwrap();
    let (over, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let snapshot = db.snapshot();
                    let mut cursor = snapshot.cursor(Tree::DEFAULT).unwrap();
                    let mut seen = None;
                    let mut count = 0;
                    while cursor.next().unwrap() {
                        let (key, value) = cursor.entry().unwrap().unwrap();
                        // Every transaction writes its number to the same ten keys.
                        if number(key) < 10 {
                            assert_eq!(
                                *seen.get_or_insert(number(value)),
                                number(value),
                                "half a transaction is visible"
                            );
                        }
                        count += 1;
                    }
                    assert_eq!(count, snapshot.len(Tree::DEFAULT).unwrap());
                    let one = db.get(Tree::DEFAULT, &3u64.to_be_bytes()).unwrap().unwrap();
                    assert!(number(&one) >= seen.unwrap(), "a lookup sees less than a snapshot before it");
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let db = &db;
                scope.spawn(move || {
                    for round in 0..60u64 {
                        let mut txn = db.begin().unwrap();
                        let n = txn.txn().0;
                        let value = put_all(n, if round % 9 == 0 { 5000 } else { 40 });
                        for key in 0..10u64 {
                            txn.put(Tree::DEFAULT, &key.to_be_bytes(), &value).unwrap();
                        }
                        let own = 10 + (writer * 31 + round * 7) % (KEYS - 10);
                        txn.put(Tree::DEFAULT, &own.to_be_bytes(), &value).unwrap();
                        let durability = if round % 4 == 0 { Durability::Buffered } else { Durability::Sync };
                        assert_eq!(txn.commit_with(durability).unwrap(), TxnId(n));
                        // What was committed is visible to the one who committed it.
                        assert!(db.snapshot().txn() >= TxnId(n));
                        if durability == Durability::Sync {
                            assert!(db.stats().durable >= TxnId(n));
                        }
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        over.store(true, Ordering::Relaxed);
    });
    assert!(reads.load(Ordering::Relaxed) > 0);
    assert_sound(&db);
    let newest = db.snapshot().txn();
    assert_eq!(newest, TxnId(1 + WRITERS * 60));
    for back in (0..100).step_by(9) {
        let then = TxnId(newest.0 - back);
        assert_eq!(number(&db.as_of(then).unwrap().get(Tree::DEFAULT, &[0; 8]).unwrap().unwrap()), then.0);
    }
    let stats = db.stats();
    assert!(stats.checkpoints > 3, "{stats:?}");
    assert!(stats.file_pages < 3000, "ids must be used again: {stats:?}");
    drop(db);
    let db = Database::open(&path, options()).unwrap();
    assert_eq!(db.snapshot().txn(), newest);
    assert_sound(&db);
    db.close().unwrap();
}

/// A watcher would miss a commit, see one twice, or sleep through it.
#[test]
fn a_watcher_sees_each_commit_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new().checkpoint_log_len(20_000).segment_len(20_000);
    let db = Database::open(
        dir.path().join("db"),
        options.retention(Retention { transactions: 10_000, ..Retention::default() }),
    )
    .unwrap();
    const COMMITS: u64 = 400;
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut watch = db.watch(TxnId(0));
            for expected in 1..=COMMITS {
                let commit = watch.next(Duration::from_secs(60)).unwrap().expect("a commit in a minute");
                assert_eq!(commit.txn, TxnId(expected));
                assert_eq!(commit.changes.len(), 1);
            }
            assert_eq!(watch.next_txn(), TxnId(COMMITS + 1));
        });
        for n in 0..COMMITS {
            let durability = if n % 50 == 0 { Durability::Sync } else { Durability::Buffered };
            db.write_with(durability, |txn| txn.put(Tree::DEFAULT, &n.to_be_bytes(), &[1; 100])).unwrap();
        }
        watcher.join().unwrap();
    });
    // Who was away goes on where it was.
    let mut watch = db.watch(TxnId(250));
    assert_eq!(watch.try_next().unwrap().unwrap().txn, TxnId(251));
}

/// Sixteen writers would each wait for a sync of their own.
#[test]
fn writers_share_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let db = Database::open(dir.path().join("db"), Options::new()).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..16u64 {
            let db = &db;
            scope.spawn(move || {
                for n in 0..20u64 {
                    db.write(|txn| txn.put(Tree::DEFAULT, &(writer << 32 | n).to_be_bytes(), b"v")).unwrap();
                }
            });
        }
    });
    let stats = db.stats();
    assert_eq!(stats.durable, TxnId(320));
    assert!(stats.log_syncs < 200, "{stats:?}");
}
