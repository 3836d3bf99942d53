//! The three recovery modes: what each does about a torn tail and about damage.

use std::sync::Arc;

use granite::{Db, Durability, Error, Keyspace, KeyspaceOptions, LostLog, Options, RecoveryMode, Result, WriteBatch};
use vfs::{OpenMode, Vfs};
use vfs_sim::SimDisk;

use crate::workload::tiny;

fn options(disk: &SimDisk, mode: RecoveryMode) -> Options {
    // No flush by itself: everything stays in the log.
    tiny().write_buffer(900 << 10).segment_len(4096).log_len_max(64 << 20).recovery(mode).vfs(Arc::new(disk.clone()))
}

fn key(number: u64) -> Vec<u8> {
    format!("key{number:04}").into_bytes()
}

fn value(number: u64) -> Vec<u8> {
    // Every third value is a separated one.
    vec![number as u8; if number.is_multiple_of(3) { 300 } else { 40 }]
}

fn keyspace(db: &Db) -> Keyspace {
    db.keyspace("k", KeyspaceOptions::new().separation_threshold(Some(100))).unwrap()
}

/// Batches of one put each, so that sequence, record and key have the same number, from 1 on.
fn write(db: &Db, numbers: impl Iterator<Item = u64>, durability: Durability) {
    let keyspace = keyspace(db);
    for number in numbers {
        let mut batch = WriteBatch::new();
        batch.put(&keyspace, &key(number), &value(number));
        assert_eq!(db.write(batch, durability).unwrap().seq.get(), number);
    }
}

/// Sixty synced writes over several segments, and then the process dies.
fn synced_database() -> SimDisk {
    let disk = SimDisk::new();
    let db = Db::open("/db", &options(&disk, RecoveryMode::Tail)).unwrap();
    write(&db, 1..=60, Durability::Sync);
    disk.kill()
}

fn segments(disk: &SimDisk) -> Vec<std::path::PathBuf> {
    let mut paths = disk.read_dir("/db".as_ref()).unwrap();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    paths.sort();
    paths
}

/// Segment and offset of the key of a record, which stands in its operations.
fn place(disk: &SimDisk, number: u64) -> (std::path::PathBuf, u64) {
    let wanted = key(number);
    for path in segments(disk) {
        let content = disk.contents(&path).unwrap();
        if let Some(at) = content.windows(wanted.len()).position(|bytes| bytes == wanted) {
            return (path, at as u64);
        }
    }
    panic!("no record {number}");
}

fn open(disk: &SimDisk, mode: RecoveryMode) -> Result<Db> {
    Db::open("/db", &options(disk, mode))
}

/// Reads all keys and tells which are there; each must have its own value.
fn present(db: &Db) -> Vec<u64> {
    let keyspace = keyspace(db);
    let found = |number: &u64| match keyspace.get(&key(*number)).unwrap() {
        Some(found) => {
            assert_eq!(found, value(*number), "the value of key {number}");
            true
        }
        None => false,
    };
    (1..=100).filter(found).collect()
}

fn without(lost: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    (1..=60).filter(|number| !lost.contains(number)).collect()
}

#[track_caller]
fn assert_corrupt<T>(result: Result<T>) {
    match result {
        Err(Error::Corrupt { .. }) => {}
        Err(error) => panic!("refused for another reason: {error}"),
        Ok(_) => panic!("damage of acknowledged writes was passed over"),
    }
}

/// Opens in salvage mode and checks that exactly `lost` is reported, that the rest is there, and that the database is sound afterwards.
#[track_caller]
fn assert_salvaged(disk: &SimDisk, lost: std::ops::RangeInclusive<u64>) {
    let db = open(disk, RecoveryMode::Salvage).unwrap();
    assert_eq!(present(&db), without(lost.clone()));
    let reported: Vec<(u64, Option<u64>)> = db
        .recovery()
        .lost
        .iter()
        .map(|LostLog { first, last, .. }| (first.get(), last.map(|last| last.get())))
        .collect();
    assert_eq!(reported, [(*lost.start(), Some(*lost.end()))]);
    assert_eq!(db.seq().get(), 60.max(*lost.end()), "numbers are used twice");
    drop(db);
    let db = open(disk, RecoveryMode::Tail).expect("a salvaged database is sound");
    assert_eq!(present(&db), without(lost.clone()));
    assert_eq!(db.recovery().lost, []);
    let first = db.seq().get() + 1;
    write(&db, first..=first + 2, Durability::Sync);
    let left = disk.crash(vfs_sim::Crash::Nothing);
    drop(db);
    let db = open(&left, RecoveryMode::Strict).expect("writes after a salvage are sound");
    assert_eq!(present(&db), without(lost).into_iter().chain(first..=first + 2).collect::<Vec<_>>());
}

/// If it fails, a damaged acknowledged write is dropped silently, or salvage loses more than what is damaged or lies about it.
#[test]
pub fn a_damaged_synced_record_is_refused_and_salvage_loses_it_alone() {
    for number in [1, 2, 17, 30, 59] {
        let disk = synced_database();
        let (path, at) = place(&disk, number);
        disk.flip_bit(&path, at, 3).unwrap();
        assert_corrupt(open(&disk.kill(), RecoveryMode::Tail));
        assert_corrupt(open(&disk.kill(), RecoveryMode::Strict));
        assert_salvaged(&disk, number..=number);
    }
}

/// If it fails, the header of a record is trusted before its checksum, or its damage takes the records behind it along.
#[test]
pub fn a_damaged_record_header_or_separated_value_is_refused_and_salvage_loses_it_alone() {
    for (number, distance) in [(30, -20i64), (30, 40), (21, -40), (45, 200)] {
        let disk = synced_database();
        let (path, at) = place(&disk, number);
        disk.flip_bit(&path, at.strict_add_signed(distance), 0).unwrap();
        assert_corrupt(open(&disk.kill(), RecoveryMode::Tail));
        assert_salvaged(&disk, number..=number);
    }
}

/// If it fails, damage that takes several records, or a whole segment, is not reported as what it is.
#[test]
fn a_lost_stretch_is_reported_as_one_range() {
    let disk = synced_database();
    let ((path, from), (same, to)) = (place(&disk, 20), place(&disk, 23));
    if path == same {
        disk.corrupt(&path, from..to + 4, 5).unwrap();
        assert_corrupt(open(&disk.kill(), RecoveryMode::Tail));
        assert_salvaged(&disk, 20..=23);
    }
    for nth in 0..2 {
        let disk = synced_database();
        let paths = segments(&disk);
        assert!(paths.len() > 2, "one segment proves nothing");
        let numbers: Vec<u64> = (1..=60).filter(|&number| place(&disk, number).0 == paths[nth]).collect();
        let lost = numbers[0]..=numbers[numbers.len() - 1];
        let gone = disk.kill();
        gone.remove_file(&paths[nth]).unwrap();
        gone.settle();
        assert_corrupt(open(&gone.kill(), RecoveryMode::Tail));
        assert_salvaged(&gone, lost.clone());
        let len = disk.contents(&paths[nth]).unwrap().len() as u64;
        disk.corrupt(&paths[nth], 0..len.min(64), 9).unwrap();
        assert_corrupt(open(&disk.kill(), RecoveryMode::Tail));
        assert_salvaged(&disk, lost);
    }
}

/// If it fails, a single damaged bit in the header of the only segment makes everything in it vanish without a word.
#[test]
pub fn a_damaged_segment_header_is_not_taken_for_one_that_was_never_written() {
    for offset in 0..64 {
        let disk = SimDisk::new();
        let db = Db::open("/db", &options(&disk, RecoveryMode::Tail)).unwrap();
        write(&db, 1..=3, Durability::Sync);
        let left = disk.kill();
        let path = segments(&left).pop().unwrap();
        left.flip_bit(&path, offset, (offset % 8) as u8).unwrap();
        assert_corrupt(open(&left, RecoveryMode::Tail));
    }
}

/// Ten synced writes, then ten that are only buffered, of which the first is torn, as a power loss may do.
fn torn_database() -> SimDisk {
    let disk = SimDisk::new();
    let db = Db::open("/db", &options(&disk, RecoveryMode::Tail)).unwrap();
    write(&db, 1..=10, Durability::Sync);
    write(&db, 11..=20, Durability::Buffered);
    let left = disk.kill();
    left.settle();
    let (path, at) = place(&left, 11);
    left.zero(&path, at..at + 7).unwrap();
    left
}

/// If it fails, a torn tail stops a database from opening, or brings back what stood behind the tear.
#[test]
fn a_torn_tail_is_dropped_whole_unless_recovery_is_strict() {
    let disk = torn_database();
    assert_corrupt(open(&disk.kill(), RecoveryMode::Strict));
    for mode in [RecoveryMode::Tail, RecoveryMode::Salvage] {
        let disk = disk.kill();
        let db = open(&disk, mode).unwrap();
        assert_eq!(present(&db), (1..=10).collect::<Vec<_>>(), "{mode:?}");
        assert!(db.recovery().torn.is_some());
        assert_eq!(db.recovery().lost, []);
        write(&db, 11..=14, Durability::Sync);
        let left = disk.crash(vfs_sim::Crash::Nothing);
        drop(db);
        let db = open(&left, RecoveryMode::Tail).unwrap();
        assert_eq!(present(&db), (1..=14).collect::<Vec<_>>(), "{mode:?}");
    }
}

/// If it fails, what a user wrote into a value decides where a log ends: behind a torn record, bytes that look like a record's header would tell
/// of writes that were promised, and a database that only lost its power would not open.
#[test]
pub fn a_value_that_looks_like_a_record_is_not_taken_for_one_in_a_torn_tail() {
    let disk = SimDisk::new();
    let db = Db::open("/db", &options(&disk, RecoveryMode::Tail)).unwrap();
    write(&db, 1..=10, Durability::Sync);
    let segment = segments(&disk).pop().unwrap();
    let incarnation = disk.contents(&segment).unwrap()[24..32].to_vec();
    // Records begin at multiples of 8, and it is not known at which the value does: one copy for each rest.
    let mut value = Vec::new();
    for rest in 0..8 {
        value.resize(64 * rest + rest, 0xff);
        value.extend_from_slice(&incarnation[..4]);
        value.extend_from_slice(&[0; 12]);
        value.extend_from_slice(&(1u64 << 40).to_le_bytes());
        value.extend_from_slice(&[0; 24]);
    }
    let mut batch = WriteBatch::new();
    batch.put(&keyspace(&db), &key(11), &value);
    db.write(batch, Durability::Buffered).unwrap();
    assert_eq!(segments(&disk).pop(), Some(segment.clone()), "the value is in another segment");
    let left = disk.kill();
    left.settle();
    // Its operations begin with a kind, a keyspace and the length of the key; the header stands before them.
    let (path, at) = place(&left, 11);
    assert_eq!(path, segment);
    left.zero(&path, at - 3 - 48..at).unwrap();
    let db = open(&left, RecoveryMode::Tail).expect("nothing that was promised is missing");
    assert_eq!(present(&db), (1..=10).collect::<Vec<_>>());
}

/// If it fails, salvage cannot open a database whose log is gone, or the database does not open normally afterwards.
#[test]
fn a_log_that_is_gone_is_refused_and_salvage_goes_on_behind_it() {
    let disk = SimDisk::new();
    let db = Db::open("/db", &options(&disk, RecoveryMode::Tail)).unwrap();
    write(&db, 1..=20, Durability::Sync);
    // A change of the manifest notes what is durable.
    db.keyspace("another", KeyspaceOptions::new()).unwrap();
    let left = disk.kill();
    for path in segments(&left) {
        left.remove_file(&path).unwrap();
    }
    left.settle();
    assert_corrupt(open(&left.kill(), RecoveryMode::Tail));
    let db = open(&left, RecoveryMode::Salvage).unwrap();
    assert_eq!(present(&db), []);
    let lost: Vec<_> =
        db.recovery().lost.iter().map(|lost| (lost.first.get(), lost.last.map(|last| last.get()))).collect();
    assert_eq!(lost, [(1, Some(20))]);
    drop(db);
    let db = open(&left, RecoveryMode::Tail).expect("a salvaged database is sound");
    write(&db, 21..=25, Durability::Sync);
    drop(db);
    let db = open(&left, RecoveryMode::Strict).expect("writes after a salvage are sound");
    assert_eq!(present(&db), (21..=25).collect::<Vec<_>>());
}

/// If it fails, damage at the very end of a database that was closed in good order cannot be told from a torn tail.
#[test]
fn damage_of_the_last_record_of_a_closed_database_is_refused() {
    let disk = SimDisk::new();
    let db = Db::open("/db", &options(&disk, RecoveryMode::Tail)).unwrap();
    write(&db, 1..=12, Durability::Sync);
    db.close().unwrap();
    let (path, at) = place(&disk, 12);
    disk.flip_bit(&path, at, 3).unwrap();
    assert_corrupt(open(&disk.kill(), RecoveryMode::Tail));
    let db = open(&disk, RecoveryMode::Salvage).unwrap();
    assert_eq!(db.recovery().lost.len(), 1);
    assert_eq!(db.recovery().lost[0].first.get(), 12);
}

/// If it fails, only the first of two damaged stretches is reported.
#[test]
fn two_damaged_stretches_are_both_reported() {
    let disk = SimDisk::new();
    let db = Db::open("/db", &options(&disk, RecoveryMode::Tail)).unwrap();
    write(&db, 1..=12, Durability::Sync);
    db.keyspace("another", KeyspaceOptions::new()).unwrap();
    let left = disk.kill();
    for number in [5, 12] {
        let (path, at) = place(&left, number);
        left.flip_bit(&path, at, 3).unwrap();
    }
    let db = open(&left, RecoveryMode::Salvage).unwrap();
    let lost: Vec<_> =
        db.recovery().lost.iter().map(|lost| (lost.first.get(), lost.last.map(|last| last.get()))).collect();
    assert_eq!(lost, [(5, Some(5)), (12, Some(12))]);
    assert_eq!(present(&db), (1..=11).filter(|&number| number != 5).collect::<Vec<_>>());
    assert!(disk.open("/db/MANIFEST".as_ref(), OpenMode::Read).is_ok());
}

/// If it fails, one damaged bit of the manifest's last change empties a database: the tables that the change added are
/// removed, and the log that it gave up is gone already.
#[test]
fn a_damaged_last_change_of_the_manifest_is_not_taken_for_a_torn_one() {
    let disk = SimDisk::new();
    let db = open(&disk, RecoveryMode::Tail).unwrap();
    let inline = |db: &Db| db.keyspace("inline", KeyspaceOptions::new()).unwrap();
    for number in 1..=20 {
        inline(&db).put(&key(number), b"value").unwrap();
    }
    let disk = disk.kill();
    let db = open(&disk, RecoveryMode::Tail).unwrap();
    db.flush().unwrap();
    let left = disk.kill();
    let len = left.contents("/db/MANIFEST").unwrap().len() as u64;
    for offset in 16..len {
        let damaged = left.kill();
        damaged.flip_bit("/db/MANIFEST", offset, (offset % 8) as u8).unwrap();
        assert_corrupt(open(&damaged, RecoveryMode::Tail));
    }
}
