//! Ways to lose data that somebody thought of while reading the engine, each tried.

use std::path::Path;
use std::sync::Arc;

use granite::{Db, Durability, Error, Keyspace, KeyspaceOptions, WriteBatch};
use vfs::Vfs;
use vfs_sim::{Crash, DiskError, Fault, OpKind, SimDisk};

use crate::workload::tiny;

fn open(disk: &SimDisk, dir: &str) -> Result<(Db, Keyspace), Error> {
    let db = Db::open(dir, &tiny().write_buffer(900 << 10).vfs(Arc::new(disk.clone())))?;
    let keyspace = db.keyspace("k", KeyspaceOptions::new().separation_threshold(Some(100)))?;
    Ok((db, keyspace))
}

/// If it fails, a database in a directory whose parents were made with it is lost as a whole by a loss of power: only the last name was durable.
#[test]
fn a_database_in_directories_that_it_made_survives_a_loss_of_power() {
    let disk = SimDisk::new();
    let (_db, keyspace) = open(&disk, "/a/b/c/db").unwrap();
    keyspace.put(b"key", b"value").unwrap();
    let left = disk.crash(Crash::Nothing);
    assert!(left.metadata(Path::new("/a/b/c/db")).is_ok(), "the directory is gone");
    assert_eq!(open(&left, "/a/b/c/db").unwrap().1.get(b"key").unwrap().unwrap(), b"value");
}

/// If it fails, a process that was killed while it made the directories leaves one whose name never becomes durable, and with it a whole database.
#[test]
fn directories_that_a_killed_process_made_are_made_durable_by_the_next() {
    let ops = {
        let disk = SimDisk::new();
        open(&disk, "/a/b/db").unwrap();
        disk.op_count()
    };
    for point in 0..ops {
        let disk = SimDisk::new();
        disk.freeze_after(point);
        // The closing may be what meets the end.
        let _ended = open(&disk, "/a/b/db");
        let disk = disk.kill();
        let (_db, keyspace) = open(&disk, "/a/b/db").unwrap();
        keyspace.put(b"key", b"value").unwrap();
        let left = disk.crash(Crash::Nothing);
        assert!(left.metadata(Path::new("/a/b/db")).is_ok(), "killed before op {point}: the directory is gone");
        assert_eq!(open(&left, "/a/b/db").unwrap().1.get(b"key").unwrap().unwrap(), b"value");
    }
}

fn numbered(number: u32) -> Vec<u8> {
    format!("key{number:04}").into_bytes()
}

fn write(db: &Db, keyspace: &Keyspace, numbers: std::ops::RangeInclusive<u32>, fill: u8, durability: Durability) {
    for number in numbers {
        let mut batch = WriteBatch::new();
        batch.put(keyspace, &numbered(number), &[fill; 300]);
        assert_eq!(db.write(batch, durability).unwrap().seq.get(), u64::from(number));
    }
}

/// If it fails, writes that were never acknowledged as durable, and were dropped by a recovery, come back in the place of later ones: the segment
/// that held them could not be removed, and begins with a sequence number that was given out again.
#[test]
fn a_dropped_segment_that_cannot_be_removed_never_continues_the_log() {
    let disk = SimDisk::new();
    let (db, keyspace) = open(&disk, "/db").unwrap();
    write(&db, &keyspace, 1..=5, 1, Durability::Sync);
    write(&db, &keyspace, 6..=60, 2, Durability::Buffered);
    let left = disk.kill();
    drop((db, keyspace));
    left.settle();
    let segments = || {
        let mut paths = left.read_dir(Path::new("/db")).unwrap();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
        paths.sort();
        paths
    };
    // The sixth record is torn; what was written later is whole, as a loss of power may leave it.
    let first = segments().remove(0);
    let wanted = numbered(6);
    let content = left.contents(&first).unwrap();
    let at = content.windows(wanted.len()).position(|bytes| bytes == wanted).unwrap() as u64;
    left.zero(&first, at..at + 7).unwrap();
    let decoy = segments().remove(1);
    let header = left.contents(&decoy).unwrap();
    let first_of_decoy = u32::try_from(u64::from_le_bytes(header[32..40].try_into().unwrap())).unwrap();
    assert!(first_of_decoy > 7, "{first_of_decoy}");
    let fault = left.inject(Fault::fail(DiskError::InputOutput).on([OpKind::Remove]).at(move |path| path == decoy));
    let (db, keyspace) = open(&left, "/db").unwrap();
    write(&db, &keyspace, 6..=first_of_decoy - 1, 3, Durability::Sync);
    drop((db, keyspace));
    assert_eq!(left.fault_hits(fault), 1, "nobody tried to remove the segment");
    left.clear_faults();
    let (db, keyspace) = open(&left, "/db").unwrap();
    let back: Vec<u32> = (6..=60)
        .filter(|&number| keyspace.get(&numbered(number)).unwrap().is_some_and(|value| value == [2; 300]))
        .collect();
    assert_eq!(back, [0u32; 0], "dropped writes came back");
    assert_eq!(db.seq().get(), u64::from(first_of_decoy) - 1);
}

/// If it fails, a sweep that keeps an old version for a snapshot drops the newer one that hides it: a read gives the old value.
#[test]
fn a_sweep_beside_a_snapshot_brings_no_older_value_back() {
    for in_one_table in [false, true] {
        let disk = SimDisk::new();
        let (db, keyspace) = open(&disk, "/db").unwrap();
        keyspace.put(b"a", b"old").unwrap();
        if !in_one_table {
            db.flush().unwrap();
        }
        let snapshot = db.snapshot();
        keyspace.put(b"a", b"new").unwrap();
        keyspace.put(b"b", b"alone").unwrap();
        let report = keyspace.sweep(db.seq(), |_| false).unwrap();
        assert_eq!(snapshot.get(&keyspace, b"a").unwrap().unwrap(), b"old");
        let found = keyspace.get(b"a").unwrap();
        assert!(found.is_none() || found.as_deref() == Some(b"new"), "{found:?} in one table: {in_one_table}");
        assert_eq!(keyspace.get(b"b").unwrap(), None, "what no snapshot sees is dropped");
        assert_eq!((report.dropped, report.kept_for_snapshots), (1, 2));
        drop(snapshot);
        assert_eq!(keyspace.sweep(db.seq(), |_| false).unwrap().dropped, 2);
        assert_eq!(keyspace.get(b"a").unwrap(), None);
    }
}

/// If it fails, a file of somebody else in the directory is removed as a leftover, or taken for a part of the database.
#[test]
fn files_with_other_spellings_of_a_number_are_left_alone() {
    let disk = SimDisk::new();
    let (db, keyspace) = open(&disk, "/db").unwrap();
    keyspace.put(b"key", b"value").unwrap();
    drop((db, keyspace));
    let foreign = ["/db/7.sst", "/db/+1.seg", "/db/1.seg", "/db/00000000001.seg"].map(Path::new);
    for path in foreign {
        disk.open(path, vfs::OpenMode::CreateNew).unwrap().write_at(0, b"not ours").unwrap();
    }
    let (_db, keyspace) = open(&disk, "/db").unwrap();
    assert_eq!(keyspace.get(b"key").unwrap().unwrap(), b"value");
    for path in foreign {
        assert_eq!(disk.contents(path).unwrap(), b"not ours", "{}", path.display());
    }
}
