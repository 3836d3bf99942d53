//! What every user relies on, one promise a test.

use std::collections::BTreeMap;

use granite::{Background, Db, Durability, Error, KeyspaceOptions, Options, WriteBatch};
use rand::{Rng, RngExt, SeedableRng};

fn small() -> Options {
    Options::new()
        .memory_budget(1 << 20)
        .write_buffer(64 << 10)
        .segment_len(64 << 10)
        .table_len(32 << 10)
        .background(Background::Inline)
        .durability(Durability::Buffered)
}

/// If it fails, reads do not give back what was written, across flushes, compactions and reopenings.
#[test]
fn random_writes_read_back_like_a_map_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut rng = rand::rngs::StdRng::seed_from_u64(1);
    for round in 0..8 {
        let db = Db::open(dir.path(), &small()).unwrap();
        let keyspace =
            db.keyspace("k", KeyspaceOptions::new().separation_threshold(Some(100)).block_len(1024)).unwrap();
        check(&keyspace, &model, round);
        for _ in 0..3000 {
            let key = format!("key{:05}", rng.random_range(0..2000)).into_bytes();
            match rng.random_range(0..10) {
                0..=1 => {
                    keyspace.delete(&key).unwrap();
                    model.remove(&key);
                }
                2 => {
                    let value = vec![7; rng.random_range(0..300)];
                    let written = keyspace.put_if_absent(&key, &value).unwrap();
                    assert_eq!(written, !model.contains_key(&key));
                    model.entry(key).or_insert(value);
                }
                _ => {
                    let mut value = vec![0; rng.random_range(0..400)];
                    rng.fill_bytes(&mut value);
                    keyspace.put(&key, &value).unwrap();
                    model.insert(key, value);
                }
            }
        }
        check(&keyspace, &model, round);
        if round == 5 {
            keyspace.compact().unwrap();
            check(&keyspace, &model, round);
        }
    }
}

fn check(keyspace: &granite::Keyspace, model: &BTreeMap<Vec<u8>, Vec<u8>>, round: usize) {
    let all: Vec<_> = keyspace.scan::<&[u8], _>(..).unwrap().collect::<Result<_, _>>().unwrap();
    let want: Vec<_> = model.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    assert_eq!(all.len(), want.len(), "round {round}");
    assert!(all == want, "round {round}");
    let mut walk = keyspace.scan::<&[u8], _>(..).unwrap();
    walk.seek_to_last().unwrap();
    for (key, value) in want.iter().rev() {
        assert_eq!((walk.key(), walk.value().unwrap().as_ref()), (key.as_slice(), value.as_slice()));
        walk.prev().unwrap();
    }
    assert!(!walk.valid());
    for number in (0..2000).step_by(7) {
        let key = format!("key{number:05}").into_bytes();
        assert_eq!(keyspace.get(&key).unwrap(), model.get(&key).cloned());
    }
}

/// If it fails, a batch over several keyspaces is not one thing.
#[test]
fn a_batch_reports_which_keys_were_new_and_counts_its_own_writes() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), &small()).unwrap();
    let (a, b) = (db.keyspace("a", KeyspaceOptions::new()).unwrap(), db.keyspace("b", KeyspaceOptions::new()).unwrap());
    a.put(b"old", b"1").unwrap();
    let mut batch = WriteBatch::new();
    batch.put_if_absent(&a, b"old", b"2");
    batch.put_if_absent(&a, b"new", &[3; 5000]);
    batch.put_if_absent(&a, b"new", b"4");
    batch.put_if_absent(&b, b"new", b"5");
    batch.delete(&a, b"old");
    batch.put_if_absent(&a, b"old", b"6");
    batch.put(&a, b"last", &[8; 2000]);
    let committed = db.write(batch, Durability::Sync).unwrap();
    assert_eq!(committed.was_absent, [false, true, false, true, true]);
    assert_eq!(a.get(b"old").unwrap().unwrap(), b"6");
    assert_eq!(a.get(b"new").unwrap().unwrap(), [3; 5000]);
    assert_eq!(b.get(b"new").unwrap().unwrap(), b"5");
    assert_eq!(a.get(b"last").unwrap().unwrap(), [8; 2000]);
    assert_eq!(db.durable_seq(), db.seq());
}

/// If it fails, two processes can write one database.
#[test]
fn a_database_is_opened_by_one_writer_or_many_readers() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), &small()).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::new()).unwrap();
    keyspace.put(b"key", b"value").unwrap();
    assert!(matches!(Db::open(dir.path(), &small()), Err(Error::Locked { .. })));
    assert!(matches!(Db::open_read_only(dir.path(), &small()), Err(Error::Locked { .. })));
    drop(keyspace);
    db.close().unwrap();
    let one = Db::open_read_only(dir.path(), &small()).unwrap();
    let two = Db::open_read_only(dir.path(), &small()).unwrap();
    for db in [&one, &two] {
        let keyspace = db.existing_keyspace("k").unwrap();
        assert_eq!(keyspace.get(b"key").unwrap().unwrap(), b"value");
        assert!(matches!(keyspace.put(b"key", b"other"), Err(Error::ReadOnly)));
    }
}

/// If it fails, `approximate_len` tells nothing about where the bytes are.
#[test]
fn the_approximate_length_of_a_range_follows_its_share() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), &small()).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::new().codec(granite::Codec::None)).unwrap();
    let rows = (0..40_000u32).map(|number| (number.to_be_bytes(), [3; 50]));
    keyspace.ingest(rows).unwrap();
    let all = keyspace.approximate_len::<&[u8], _>(..).unwrap();
    assert!(all > 40_000 * 54);
    let half = keyspace.approximate_len(..20_000u32.to_be_bytes()).unwrap();
    let share = half as f64 / all as f64;
    assert!((0.35..0.65).contains(&share), "half of the keys have {share} of the bytes");
    let none = keyspace.approximate_len(50_000u32.to_be_bytes()..).unwrap();
    assert_eq!(none, 0);
}
