//! What the engine may spend, counted where the disk is called: these numbers do not depend on the machine.

use std::sync::Arc;

use granite::{Background, Codec, Db, Durability, KeyLayout, KeyspaceOptions, Options, WriteBatch};
use rand::{Rng, RngExt, SeedableRng};
use vfs::{DiskVfs, Vfs};

fn counted() -> (Arc<DiskVfs>, Options) {
    let disk = Arc::new(DiskVfs::new());
    let vfs: Arc<dyn Vfs> = Arc::<DiskVfs>::clone(&disk);
    (disk, Options::new().vfs(vfs).background(Background::Inline))
}

fn bytes(rng: &mut impl Rng, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// If it fails, a durable commit costs more than one append and one sync.
#[test]
fn a_durable_commit_over_two_keyspaces_is_one_write_and_one_sync() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, options) = counted();
    let db = Db::open(dir.path(), &options).unwrap();
    let objects = db.keyspace("objects", KeyspaceOptions::new()).unwrap();
    let refs = db.keyspace("refs", KeyspaceOptions::new()).unwrap();
    // The first one begins the segment.
    refs.put(b"warm", b"up").unwrap();
    let mut rng = rand::rngs::StdRng::seed_from_u64(3);
    for round in 0..50u64 {
        let before = disk.counters();
        let mut batch = WriteBatch::new();
        batch.put_if_absent(&objects, &round.to_be_bytes(), &bytes(&mut rng, 20_000));
        batch.put(&refs, b"head", &round.to_be_bytes());
        db.write(batch, Durability::Sync).unwrap();
        let spent = disk.counters().since(&before);
        assert_eq!((spent.writes, spent.syncs()), (1, 1), "commit {round}");
    }
}

/// If it fails, group commit does not share syncs, or a batch of present keys costs one.
#[test]
fn nothing_new_costs_no_sync_unless_something_buffered_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, options) = counted();
    let db = Db::open(dir.path(), &options).unwrap();
    let objects = db.keyspace("objects", KeyspaceOptions::new()).unwrap();
    let commit = |durability| {
        let mut batch = WriteBatch::new();
        batch.put_if_absent(&objects, b"key", b"value");
        let before = disk.counters();
        let committed = db.write(batch, durability).unwrap();
        (committed.was_absent == [true], disk.counters().since(&before).file_syncs)
    };
    assert_eq!(commit(Durability::Buffered), (true, 0));
    assert_eq!(commit(Durability::Sync), (false, 1), "the key was present but not durable yet");
    assert_eq!(commit(Durability::Sync), (false, 0), "present and durable");
}

/// If it fails, values above the threshold are copied by flushes or compactions.
#[test]
fn a_separated_value_is_written_exactly_once_through_flushes_and_compactions() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, options) = counted();
    let db = Db::open(dir.path(), &options.memory_budget(4 << 20).table_len(64 << 10)).unwrap();
    let hashes = KeyspaceOptions::new().key_layout(KeyLayout::Hash { width: 32 }).codec(Codec::None);
    let objects = db.keyspace("objects", hashes).unwrap();
    let mut rng = rand::rngs::StdRng::seed_from_u64(4);
    let before = disk.counters();
    let (mut value_bytes, mut keys) = (0, Vec::new());
    for round in 0..400 {
        let mut batch = WriteBatch::new();
        for _ in 0..4 {
            let (key, len) = (bytes(&mut rng, 32), rng.random_range(20_000..40_000));
            batch.put(&objects, &key, &bytes(&mut rng, len));
            value_bytes += len as u64;
            keys.push((key, len));
        }
        db.write(batch, Durability::Buffered).unwrap();
        if round % 50 == 49 {
            db.flush().unwrap();
        }
    }
    db.compact().unwrap();
    db.compact().unwrap();
    assert!(db.stats().counters.contains(&("flushes", 8)), "{:?}", db.stats().counters);
    let written = disk.counters().since(&before).bytes_written;
    let share = written as f64 / value_bytes as f64;
    assert!((1.0..1.03).contains(&share), "{share} bytes written for each byte of value");
    for (key, len) in keys.iter().step_by(17) {
        assert_eq!(objects.get(key).unwrap().unwrap().len(), *len);
    }
}

/// If it fails, a recovery takes more memory than the write buffers have.
#[test]
fn a_replay_stays_within_the_write_buffers_and_is_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let (_, options) = counted();
    let large = options.memory_budget(64 << 20).durability(Durability::Buffered);
    let db = Db::open(dir.path(), &large).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::new()).unwrap();
    for number in 0..60_000u64 {
        keyspace.put(&number.to_be_bytes(), &[7; 100]).unwrap();
    }
    assert!(db.stats().keyspaces[0].memtable_bytes > 6 << 20);
    drop(keyspace);
    db.close().unwrap();

    let (_, options) = counted();
    let small = options.memory_budget(2 << 20);
    let db = Db::open(dir.path(), &small).unwrap();
    assert_eq!(db.recovery().batches, 60_000);
    assert!(db.stats().keyspaces[0].memtable_bytes <= 1 << 20, "{:?}", db.stats());
    let keyspace = db.existing_keyspace("k").unwrap();
    assert_eq!(keyspace.scan::<&[u8], _>(..).unwrap().count(), 60_000);
    db.flush().unwrap();
    drop(keyspace);
    db.close().unwrap();

    let (_, options) = counted();
    let db = Db::open(dir.path(), &options).unwrap();
    assert_eq!(db.recovery().batches, 0, "what tables hold is read from the log again");
}

/// If it fails, value segments pile up although nothing points into them, or live values are lost with them.
#[test]
fn overwritten_values_give_their_space_back_and_live_ones_survive() {
    let dir = tempfile::tempdir().unwrap();
    let (_, options) = counted();
    let options =
        options.memory_budget(4 << 20).segment_len(1 << 20).log_len_max(2 << 20).durability(Durability::Buffered);
    let db = Db::open(dir.path(), &options).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::new()).unwrap();
    let mut rng = rand::rngs::StdRng::seed_from_u64(5);
    let value = |number: u64, round: u64| vec![(number * 31 + round) as u8; 10_000];
    let mut newest = vec![0; 500];
    for round in 1..=12 {
        for number in 0..500u64 {
            if round == 1 || rng.random_range(0..3) > 0 {
                keyspace.put(&number.to_be_bytes(), &value(number, round)).unwrap();
                newest[number as usize] = round;
            }
        }
    }
    db.compact().unwrap();
    db.wait_for_background().unwrap();
    let stats = db.stats();
    assert!(stats.counters.iter().any(|&(name, count)| name == "moved_value_bytes" && count > 0), "no value was moved");
    let len: u64 = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(len < 4 * 500 * 10_000, "{len} bytes on disk for {} live ones: {stats:?}", 500 * 10_000);
    for number in 0..500u64 {
        assert_eq!(keyspace.get(&number.to_be_bytes()).unwrap().unwrap(), value(number, newest[number as usize]));
    }
}
