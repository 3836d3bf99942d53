//! `Db::checkpoint`.

use std::path::Path;

use granite::{Db, Error, KeyspaceOptions, Options, WriteBatch};
use vfs::Vfs;
use vfs_sim::{DiskError, Fault, OpKind, Points, SimDisk, Sweep};

use super::{Model, all, buffered, check, key, on, open, put, small, value};

fn filled(disk: &SimDisk) -> (Db, granite::Keyspace, Model) {
    let (db, keyspace) = open(disk, "/db").unwrap();
    let mut model = Model::new();
    put(&keyspace, &mut model, 0..300, 1);
    db.compact().unwrap();
    put(&keyspace, &mut model, 100..200, 2);
    db.flush().unwrap();
    put(&keyspace, &mut model, 150..180, 3);
    (db, keyspace, model)
}

/// If it fails, a backup and the database it was taken from share more than unchanged files.
#[test]
fn a_checkpoint_and_its_origin_live_on_without_disturbing_each_other() {
    let disk = SimDisk::new();
    let (db, keyspace, model) = filled(&disk);
    let report = db.checkpoint("/backups/one").unwrap();
    assert_eq!((report.seq, report.files_copied), (db.seq(), 0));
    assert!(report.files_linked > 3, "{report:?}");
    let (copy, copied) = open(&disk, "/backups/one").unwrap();
    check(&copied, &model);
    let (mut left, mut right) = (model.clone(), model);
    for round in 0..6 {
        put(&keyspace, &mut left, (0..300).filter(|number| number % 4 == round % 4), 10 + round);
        put(&copied, &mut right, (0..300).filter(|number| number % 5 == round % 5), 20 + round);
        if round % 2 == 0 {
            db.compact().unwrap();
        } else {
            copy.compact().unwrap();
        }
    }
    check(&keyspace, &left);
    check(&copied, &right);
    drop((db, keyspace, copy, copied));
    let again = disk.kill();
    check(&open(&again, "/backups/one").unwrap().1, &right);
    for path in again.read_dir(Path::new("/db")).unwrap() {
        again.remove_file(&path).unwrap();
    }
    let (copy, copied) = open(&again, "/backups/one").unwrap();
    copy.compact().unwrap();
    check(&copied, &right);
}

/// If it fails, a log segment that a checkpoint shares is written over.
#[test]
fn a_shared_log_segment_is_not_recycled() {
    let disk = SimDisk::new();
    let db = Db::open("/db", &on(&disk)).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::new().separation_threshold(None)).unwrap();
    let mut model = Model::new();
    put(&keyspace, &mut model, 0..100, 1);
    db.checkpoint("/copy").unwrap();
    let expected = model.clone();
    for version in 2..12 {
        put(&keyspace, &mut model, 0..200, version);
        db.flush().unwrap();
    }
    let renames = disk
        .trace()
        .iter()
        .filter(|op| op.kind == OpKind::Rename && op.path.extension().is_some_and(|e| e == "seg"))
        .count();
    assert!(renames > 0, "no segment was recycled: the test shows nothing");
    let copy = Db::open("/copy", &on(&disk)).unwrap();
    check(&copy.existing_keyspace("k").unwrap(), &expected);
}

/// If it fails, a checkpoint destroys what stands in its directory, or leaves half of itself.
#[test]
fn an_occupied_target_is_refused_and_a_failed_checkpoint_leaves_nothing() {
    let disk = SimDisk::new();
    let (db, keyspace, model) = filled(&disk);
    assert!(matches!(db.checkpoint("/db"), Err(Error::TargetNotEmpty { .. })));
    let full = disk.inject(Fault::fail(DiskError::NoSpace).on([OpKind::Write]).at(|path| path.starts_with("/copy")));
    assert!(matches!(db.checkpoint("/copy"), Err(Error::StorageFull { .. })));
    assert_eq!(disk.fault_hits(full), 1);
    disk.clear_faults();
    assert!(disk.read_dir(Path::new("/copy")).unwrap().is_empty(), "half a checkpoint is left");
    db.checkpoint("/copy").unwrap();
    check(&open(&disk, "/copy").unwrap().1, &model);
    check(&keyspace, &model);
}

/// If it fails, checkpoints work on one filesystem only.
#[test]
fn where_files_cannot_be_linked_they_are_copied() {
    let disk = SimDisk::new();
    let (db, _keyspace, model) = filled(&disk);
    // EXDEV.
    disk.inject(Fault::fail(DiskError::Os(18)).on([OpKind::HardLink]));
    let report = db.checkpoint("/copy").unwrap();
    assert!(report.files_linked == 0 && report.files_copied > 3 && report.bytes_copied > 0, "{report:?}");
    check(&open(&disk.crash(vfs_sim::Crash::Nothing), "/copy").unwrap().1, &model);
}

/// If it fails, a checkpoint under writes has part of a batch, a later write without an earlier one, or lacks what was committed before.
#[test]
fn a_checkpoint_beside_writers_is_a_prefix_of_the_commits() {
    let dir = tempfile::tempdir().unwrap();
    let options = buffered(small().background(granite::Background::Threads(2)));
    let db = Db::open(dir.path().join("db"), &options).unwrap();
    let spaces: Vec<_> = ["a", "b"].map(|name| db.keyspace(name, KeyspaceOptions::new()).unwrap()).into();
    let write = |number: u32| {
        let mut batch = WriteBatch::new();
        for keyspace in &spaces {
            batch.put(keyspace, &key(number), &value(number, 1));
        }
        db.write(batch, granite::Durability::Buffered).unwrap();
    };
    (0..500).for_each(write);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (500..6000).for_each(write));
        for nth in 0..5 {
            let target = dir.path().join(format!("copy{nth}"));
            let before = db.seq();
            let report = db.checkpoint(&target).unwrap();
            assert!(report.seq >= before);
            let copy = Db::open(&target, &options).unwrap();
            let count = all(&copy.existing_keyspace("a").unwrap()).unwrap().len() as u32;
            let wanted: Model = (0..count).map(|number| (key(number), value(number, 1))).collect();
            assert_eq!(u64::from(count) * 2, report.seq.get());
            for name in ["a", "b"] {
                assert!(all(&copy.existing_keyspace(name).unwrap()).unwrap() == wanted, "no prefix, checkpoint {nth}");
            }
        }
        writer.join().unwrap();
    });
}

/// If it fails, a crash during a checkpoint damages the database, or leaves a directory that opens with less than it should hold.
#[test]
fn a_crash_at_any_point_leaves_the_origin_whole_and_the_checkpoint_whole_or_none() {
    let build = || {
        let disk = SimDisk::new();
        drop(filled(&disk));
        disk.settle();
        disk.kill()
    };
    let (_, _, model) = filled(&SimDisk::new());
    let program = |disk: &SimDisk, done: &mut bool| {
        let (db, _) = open(disk, "/db")?;
        db.checkpoint("/copies/copy")?;
        *done = true;
        Ok::<_, Error>(())
    };
    let verdict = |disk: &SimDisk, done: &bool| {
        check(&open(disk, "/db")?.1, &model);
        match Db::open("/copies/copy", &on(disk).create_if_missing(false)) {
            Ok(copy) => check(&copy.existing_keyspace("k")?, &model),
            Err(error) => assert!(!*done, "a finished checkpoint does not open: {error}"),
        }
        Ok::<_, Error>(())
    };
    let sweep = Sweep { points: Points::All, ..Sweep::with_seeds(2) };
    vfs_sim::for_each_crash_point(&sweep, build, program, verdict);
}

/// If it fails, a checkpoint of a read-only handle changes the database.
#[test]
fn a_read_only_database_makes_no_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    Db::open(dir.path().join("db"), &Options::new()).unwrap().close().unwrap();
    let db = Db::open_read_only(dir.path().join("db"), &Options::new()).unwrap();
    assert!(matches!(db.checkpoint(dir.path().join("copy")), Err(Error::ReadOnly)));
}
