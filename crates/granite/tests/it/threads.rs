//! Many threads on one database, on the real disk with background threads.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use granite::{Background, Db, Durability, KeyspaceOptions, Options, WriteBatch};

use crate::workload::is_long;

fn options() -> Options {
    Options::new()
        .memory_budget(2 << 20)
        .write_buffer(64 << 10)
        .segment_len(64 << 10)
        .table_len(32 << 10)
        .durability(Durability::Buffered)
        .background(Background::Threads(2))
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes[..8].try_into().unwrap())
}

/// If it fails, a reader sees an older state after a newer one, or a part of a batch.
#[test]
fn readers_see_whole_batches_and_never_go_back() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), &options()).unwrap();
    let small = KeyspaceOptions::new().separation_threshold(Some(200)).block_len(512);
    let [a, b] = ["a", "b"].map(|name| db.keyspace(name, small.clone()).unwrap());
    let rounds: u64 = if is_long() { 200_000 } else { 3000 };
    const WRITERS: u64 = 3;
    const KEYS: u64 = 5;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (db, a, b) = (db.clone(), a.clone(), b.clone());
                scope.spawn(move || {
                    for round in 1..=rounds {
                        let mut batch = WriteBatch::new();
                        let mut value = round.to_be_bytes().to_vec();
                        value.resize([8, 100, 300][round as usize % 3], 0);
                        for key in 0..KEYS {
                            batch.put(&a, &[writer as u8, key as u8], &value);
                            batch.put(&b, &[writer as u8, key as u8], &value);
                        }
                        let durability = if round % 500 == 0 { Durability::Sync } else { Durability::Buffered };
                        db.write(batch, durability).unwrap();
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            let (db, a, b, done) = (db.clone(), a.clone(), b.clone(), &done);
            scope.spawn(move || {
                let mut newest = [0; WRITERS as usize];
                while !done.load(Ordering::Relaxed) {
                    for writer in 0..WRITERS {
                        let seen = a.get(&[writer as u8, 0]).unwrap().map_or(0, |bytes| number(&bytes));
                        assert!(seen >= newest[writer as usize], "writer {writer}: {seen} after {newest:?}");
                        newest[writer as usize] = seen;
                        let snapshot = db.snapshot();
                        let first = snapshot.get(&a, &[writer as u8, 0]).unwrap().map_or(0, |bytes| number(&bytes));
                        assert!(first >= seen, "a snapshot is older than what was read before it");
                        for keyspace in [&a, &b] {
                            let scan = snapshot.scan(keyspace, [writer as u8]..[writer as u8 + 1]).unwrap();
                            let rounds: Vec<u64> = scan.map(|entry| number(&entry.unwrap().1)).collect();
                            let whole = if first == 0 { 0 } else { KEYS as usize };
                            assert!(
                                rounds.len() == whole && rounds.iter().all(|&round| round == first),
                                "a part of a batch: {rounds:?}, not {first}"
                            );
                        }
                    }
                }
            });
        }
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    db.wait_for_background().unwrap();
    drop((a, b));
    db.close().unwrap();
    let db = Db::open(dir.path(), &options()).unwrap();
    for name in ["a", "b"] {
        let scan = db.existing_keyspace(name).unwrap().scan::<&[u8], _>(..).unwrap();
        assert_eq!(scan.filter(|entry| number(&entry.as_ref().unwrap().1) == rounds).count() as u64, WRITERS * KEYS);
    }
}

/// If it fails, two threads both believe that they wrote a key first, or neither does.
#[test]
fn a_race_for_an_absent_key_has_one_winner() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), &options()).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::new().separation_threshold(Some(100)).block_len(512)).unwrap();
    const THREADS: u32 = 4;
    let keys: u32 = if is_long() { 100_000 } else { 1500 };
    let barrier = Barrier::new(THREADS as usize);
    let wins: Vec<Vec<bool>> = std::thread::scope(|scope| {
        let race = |thread: u32| {
            let (db, keyspace, barrier) = (db.clone(), keyspace.clone(), &barrier);
            scope.spawn(move || {
                barrier.wait();
                let mut wins = Vec::new();
                // Batches of three, so that a key is decided before, within and behind the batches of others.
                for first in (0..keys).step_by(3) {
                    let mut batch = WriteBatch::new();
                    for key in first..first + 3 {
                        let mut value = thread.to_be_bytes().to_vec();
                        value.resize([4, 150][key as usize % 2], 0);
                        batch.put_if_absent(&keyspace, &key.to_be_bytes(), &value);
                    }
                    wins.extend(db.write(batch, Durability::Buffered).unwrap().was_absent);
                }
                wins
            })
        };
        let threads: Vec<_> = (0..THREADS).map(race).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for key in 0..keys {
        let winners: Vec<u32> = (0..THREADS).filter(|&thread| wins[thread as usize][key as usize]).collect();
        assert_eq!(winners.len(), 1, "key {key} was won by {winners:?}");
        let value = keyspace.get(&key.to_be_bytes()).unwrap().unwrap();
        assert_eq!(value[..4], winners[0].to_be_bytes(), "key {key} has the value of a loser");
    }
}

/// If it fails, values that a flush or a compaction by hand made worth moving are left lying: the workers looked before it, went to
/// sleep, and whoever waits for them waits for ever.
#[test]
fn what_a_compaction_by_hand_leaves_to_do_is_done_without_another_commit() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), &options().write_buffer(8 << 20).memory_budget(32 << 20)).unwrap();
    let keyspace = db.keyspace("values", KeyspaceOptions::new().separation_threshold(Some(200))).unwrap();
    let put_all = |step: usize| {
        for key in (0..600_u32).step_by(step) {
            keyspace.put(&key.to_be_bytes(), &[step as u8; 1000]).unwrap();
        }
        keyspace.flush().unwrap();
        db.wait_for_background().unwrap();
    };
    // The second round goes into segments of its own, and most of the first one's segments die when the two are merged.
    put_all(1);
    for key in (0..600_u32).filter(|key| key % 8 > 0) {
        keyspace.put(&key.to_be_bytes(), &[2; 1000]).unwrap();
    }
    keyspace.compact_range::<&[u8], _>(..).unwrap();
    let (done, waited) = std::sync::mpsc::channel();
    let waiter = db.clone();
    std::thread::spawn(move || done.send(waiter.wait_for_background()));
    waited.recv_timeout(std::time::Duration::from_secs(60)).expect("the wait has no end").unwrap();
    let moved = db.stats().counters.iter().find(|(name, _)| *name == "moved_value_bytes").unwrap().1;
    assert!(moved > 0, "no values were worth moving: the test shows nothing");
}
