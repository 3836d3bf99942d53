//! `Keyspace::ingest`.

use std::path::Path;

use granite::{Db, Durability, Error, KeyLayout, KeyspaceOptions};
use rand::{RngExt, SeedableRng};
use vfs::Vfs;
use vfs_sim::{DiskError, Fault, OpKind, SimDisk, Sweep};

use super::{Model, all, buffered, check, key, on, open, put, separating, small, value};

fn entries(numbers: impl Iterator<Item = u32>, version: u32) -> Vec<(Vec<u8>, Vec<u8>)> {
    numbers.map(|number| (key(number), value(number, version))).collect()
}

/// If it fails, a bulk load loses its place among older and newer writes: in memory, in tables, after a restart.
#[test]
fn loads_and_writes_in_any_order_read_back_like_a_map() {
    for seed in 0..12 {
        let disk = SimDisk::with_seed(seed);
        let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
        let (mut db, mut keyspace) = open(&disk, "/db").unwrap();
        let mut model = Model::new();
        for version in 0..25 {
            let start = rng.random_range(0..600);
            let step = rng.random_range(1..4);
            let numbers = (start..start + 200).step_by(step);
            match rng.random_range(0..7) {
                0..=2 => {
                    let load = entries(numbers, version);
                    let report = keyspace.ingest(load.iter().map(|(key, value)| (key, value))).unwrap();
                    assert_eq!(report.entries, load.len() as u64);
                    model.extend(load);
                }
                3 => put(&keyspace, &mut model, numbers, version),
                4 => {
                    keyspace.delete_range(&key(start), &key(start + 50)).unwrap();
                    model.retain(|k, _| *k < key(start) || *k >= key(start + 50));
                }
                5 => keyspace.compact_range(key(start)..key(start + 100)).unwrap(),
                _ => {
                    drop((db, keyspace));
                    (db, keyspace) = open(&disk, "/db").unwrap();
                }
            }
            check(&keyspace, &model);
        }
        let mut walk = keyspace.scan::<&[u8], _>(..).unwrap();
        walk.seek_to_last().unwrap();
        for wanted in model.keys().rev() {
            assert_eq!(walk.key(), wanted.as_slice(), "backwards, seed {seed}");
            walk.prev().unwrap();
        }
        db.compact().unwrap();
        check(&keyspace, &model);
    }
}

/// If it fails, a snapshot moves under its reader.
#[test]
fn a_snapshot_does_not_see_a_later_load_and_keeps_what_it_overwrote() {
    let disk = SimDisk::new();
    let (db, keyspace) = open(&disk, "/db").unwrap();
    let mut model = Model::new();
    put(&keyspace, &mut model, 0..100, 1);
    let before = db.snapshot();
    keyspace.ingest(entries(50..150, 2)).unwrap();
    let after = db.snapshot();
    put(&keyspace, &mut Model::new(), 0..150, 3);
    db.compact().unwrap();
    assert!(before.scan::<&[u8], _>(&keyspace, ..).unwrap().map(Result::unwrap).collect::<Model>() == model);
    model.extend(entries(50..150, 2));
    assert!(after.scan::<&[u8], _>(&keyspace, ..).unwrap().map(Result::unwrap).collect::<Model>() == model);
    assert_eq!(after.get(&keyspace, &key(60)).unwrap().unwrap(), value(60, 2));
    assert_eq!(before.get(&keyspace, &key(60)).unwrap().unwrap(), value(60, 1));
}

/// If it fails, loads take a level where something newer is below them or something older above.
#[test]
fn a_load_goes_as_deep_as_nothing_overlaps_it() {
    let disk = SimDisk::new();
    let (_db, keyspace) = open(&disk, "/db").unwrap();
    let first = keyspace.ingest(entries(0..1000, 1)).unwrap();
    assert!(first.level == 6 && first.tables > 1 && first.separated == 334, "{first:?}");
    assert_eq!(keyspace.ingest(entries(2000..2100, 1)).unwrap().level, 6, "beside it there is room");
    assert_eq!(keyspace.ingest(entries(500..600, 2)).unwrap().level, 5, "above what it overwrites");
    let third = keyspace.ingest(entries(550..560, 3)).unwrap();
    assert_eq!((third.level, third.seq), (4, first.seq.plus(3)));
    assert_eq!(keyspace.get(&key(555)).unwrap().unwrap(), value(555, 3));
    assert_eq!(keyspace.get(&key(599)).unwrap().unwrap(), value(599, 2));
    assert!(!keyspace.put_if_absent(&key(42), b"x").unwrap(), "a loaded key counts as absent");
}

/// If it fails, a bad load leaves a part of itself in the database or on the disk.
#[test]
fn input_that_cannot_be_taken_adds_nothing() {
    let disk = SimDisk::new();
    let (db, keyspace) = open(&disk, "/db").unwrap();
    let (seq, files) = (db.seq(), disk.read_dir(Path::new("/db")).unwrap().len());
    let mut unsorted = entries(0..2000, 1);
    unsorted.push((key(7), Vec::new()));
    assert!(matches!(keyspace.ingest(unsorted), Err(Error::UnsortedKeys { position: 2000 })));
    let twice = [(b"a", b"1"), (b"a", b"2")];
    assert!(matches!(keyspace.ingest(twice), Err(Error::UnsortedKeys { position: 1 })));
    assert!(matches!(keyspace.ingest([(b"", b"1")]), Err(Error::EmptyKey)));
    let hashes = db.keyspace("h", KeyspaceOptions::new().key_layout(KeyLayout::Hash { width: 4 })).unwrap();
    assert!(matches!(hashes.ingest([(b"12345", b"1")]), Err(Error::KeyLength { .. })));
    assert_eq!(hashes.ingest::<Vec<u8>, Vec<u8>>([]).unwrap().entries, 0);
    for nth in [0, 3, 9] {
        disk.inject(Fault::fail(DiskError::NoSpace).on([OpKind::Write]).nth(nth));
        assert!(matches!(keyspace.ingest(entries(0..2000, 1)), Err(Error::StorageFull { .. })), "write {nth}");
        disk.clear_faults();
    }
    assert_eq!(db.seq(), seq);
    assert!(all(&keyspace).unwrap().is_empty());
    assert_eq!(disk.read_dir(Path::new("/db")).unwrap().len(), files, "files are left over");
    drop((db, keyspace, hashes));
    let db = Db::open_read_only("/db", &on(&disk)).unwrap();
    let keyspace = db.existing_keyspace("k").unwrap();
    assert!(matches!(keyspace.ingest([(b"a", b"1")]), Err(Error::ReadOnly)));
}

/// If it fails, a crash leaves part of a load, takes back an acknowledged one, or disturbs the numbering of later writes.
#[test]
fn a_crash_leaves_all_of_a_load_or_nothing() {
    let mut base = Model::new();
    let build = || {
        let disk = SimDisk::new();
        let (_, keyspace) = open(&disk, "/db").unwrap();
        put(&keyspace, &mut Model::new(), 0..40, 1);
        drop(keyspace);
        disk.kill()
    };
    base.extend(entries(0..40, 1));
    let load = entries((20..200).step_by(2), 2);
    let program = |disk: &SimDisk, acknowledged: &mut u32| {
        let (_db, keyspace) = open(disk, "/db")?;
        keyspace.ingest(load.clone())?;
        *acknowledged = 1;
        keyspace.put(&key(22), b"later")?;
        *acknowledged = 2;
        Ok::<_, Error>(())
    };
    let mut loaded = base.clone();
    loaded.extend(load.clone());
    let mut later = loaded.clone();
    later.insert(key(22), b"later".to_vec());
    let verdict = |disk: &SimDisk, acknowledged: &u32| {
        let (db, keyspace) = open(disk, "/db")?;
        let found = all(&keyspace)?;
        let state = [&base, &loaded, &later].iter().position(|state| **state == found);
        assert!(
            state.is_some_and(|state| state >= *acknowledged as usize),
            "state {state:?}, {acknowledged} acknowledged"
        );
        keyspace.put(&key(22), b"after")?;
        assert_eq!(keyspace.get(&key(22))?.unwrap(), b"after");
        drop((db, keyspace));
        let (_db, keyspace) = open(disk, "/db")?;
        assert_eq!(keyspace.get(&key(22))?.unwrap(), b"after", "a later write is hidden by the load");
        Ok::<_, Error>(())
    };
    vfs_sim::for_each_crash_point(&Sweep::with_seeds(2), build, program, verdict);
}

/// If it fails, a load beside writers hides their newer writes, or they hide it.
#[test]
fn a_load_beside_writers_takes_one_place_among_their_writes() {
    let dir = tempfile::tempdir().unwrap();
    let options = buffered(small().background(granite::Background::Threads(2)));
    let db = Db::open(dir.path(), &options).unwrap();
    let keyspace = db.keyspace("k", separating()).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (reports, writes) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut writes = Vec::new();
            let mut version = 1000;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let number = version % 300;
                let mut batch = granite::WriteBatch::new();
                batch.put(&keyspace, &key(number), &value(number, version));
                writes.push((db.write(batch, Durability::Buffered).unwrap().seq, number, version));
                version += 1;
            }
            writes
        });
        let reports: Vec<_> =
            (0..20).map(|version| (keyspace.ingest(entries(0..300, version)).unwrap().seq, version)).collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        (reports, writer.join().unwrap())
    });
    for number in 0..300 {
        let loads = reports.iter().map(|&(seq, version)| (seq, version));
        let puts = writes.iter().filter(|write| write.1 == number).map(|&(seq, _, version)| (seq, version));
        let (_, version) = loads.chain(puts).max().unwrap();
        assert_eq!(keyspace.get(&key(number)).unwrap().unwrap(), value(number, version), "key {number}");
    }
}
