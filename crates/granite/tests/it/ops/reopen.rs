//! `Db::reopen`.

use granite::{Db, Error, KeyspaceOptions};
use vfs_sim::{Crash, Fault, OpKind, SimDisk, Sweep, SyncLoss};

use super::{Model, all, buffered, check, key, on, put, separating, value};

fn open(disk: &SimDisk) -> (Db, granite::Keyspace) {
    let db = Db::open("/db", &buffered(on(disk))).unwrap();
    let keyspace = db.keyspace("k", separating()).unwrap();
    (db, keyspace)
}

/// Tables, a synced tail and a buffered one; then a sync that fails and lets the pages look clean.
fn poison(disk: &SimDisk) -> (Db, granite::Keyspace, Model) {
    let (db, keyspace) = open(disk);
    let mut model = Model::new();
    put(&keyspace, &mut model, 0..200, 1);
    db.compact().unwrap();
    put(&keyspace, &mut model, 100..130, 2);
    db.sync().unwrap();
    put(&keyspace, &mut model, 120..160, 3);
    keyspace.delete_range(&key(10), &key(20)).unwrap();
    model.retain(|k, _| *k < key(10) || *k >= key(20));
    let fault = disk.inject(
        Fault::lost_sync(SyncLoss::All).on([OpKind::SyncData]).at(|path| path.extension().is_some_and(|e| e == "seg")),
    );
    let mut batch = granite::WriteBatch::new();
    batch.put(&keyspace, &key(999), &value(999, 9));
    assert!(db.write(batch, granite::Durability::Sync).is_err());
    assert!(disk.fault_hits(fault) > 0);
    disk.clear_faults();
    assert!(matches!(keyspace.put(b"x", b"y"), Err(Error::Poisoned { .. })));
    (db, keyspace, model)
}

/// If it fails, buffered writes that were acknowledged are lost by a sync that failed once, or a write that failed comes back.
#[test]
fn a_poisoned_database_is_reopened_with_everything_that_was_acknowledged_and_durable() {
    let disk = SimDisk::new();
    let (db, old, model) = poison(&disk);
    let clone = db.clone();
    let db = db.reopen().unwrap();
    assert!(matches!(old.get(&key(1)), Err(Error::Closed)));
    assert!(matches!(old.put(&key(1), b""), Err(Error::Closed)));
    assert!(matches!(clone.sync(), Err(Error::Closed)));
    let keyspace = db.existing_keyspace("k").unwrap();
    check(&keyspace, &model);
    let lost_power = disk.crash(Crash::Nothing);
    check(&open(&lost_power).1, &model);
    let mut model = model;
    put(&keyspace, &mut model, 150..300, 4);
    db.sync().unwrap();
    drop((old, clone));
    check(&keyspace, &model);
    check(&open(&disk.crash(Crash::Nothing)).1, &model);
}

/// If it fails, the test above passes without the rewriting: a plain open would do.
#[test]
fn a_plain_open_after_the_failed_sync_shows_only_what_the_disk_holds() {
    let disk = SimDisk::new();
    let (db, keyspace, model) = poison(&disk);
    drop((db, keyspace));
    let found = all(&open(&disk).1).unwrap();
    assert!(found != model, "the failed sync lost nothing");
    assert_eq!(found.get(&key(125)), Some(&value(125, 2)), "what was durable");
}

/// If it fails, power that goes out while a poisoned database is reopened takes durable writes along.
#[test]
fn a_crash_while_reopening_leaves_at_least_what_was_durable() {
    // The disk cannot be built in advance, as the database must stay open: the program begins with the poisoning.
    let first = {
        let disk = SimDisk::new();
        let _held = poison(&disk);
        disk.op_count()
    };
    let program = |disk: &SimDisk, stage: &mut u32| {
        let (db, keyspace, _) = poison(disk);
        *stage = 1;
        let db = db.reopen()?;
        *stage = 2;
        drop((db, keyspace));
        Ok::<_, Error>(())
    };
    let model = poison(&SimDisk::new()).2;
    let last = {
        let disk = SimDisk::new();
        program(&disk, &mut 0).unwrap();
        disk.op_count()
    };
    assert!(last > first + 5);
    for point in first + 1..=last {
        for seed in 0..4 {
            let sweep = Sweep::replay(point, if seed == 0 { Crash::Nothing } else { Crash::Random(point * 4 + seed) });
            let verdict = |disk: &SimDisk, stage: &u32| {
                let (_db, keyspace) = open(disk);
                let found = all(&keyspace)?;
                match *stage {
                    2 => assert!(found == model),
                    _ => assert_eq!(keyspace.get(&key(115))?, Some(value(115, 2)), "a durable write is gone"),
                }
                assert_eq!(keyspace.get(&key(999))?, None, "a failed write came back");
                keyspace.put(&key(115), b"new")?;
                assert_eq!(keyspace.get(&key(115))?.unwrap(), b"new");
                Ok::<_, Error>(())
            };
            if let Err(failure) = sweep.run(SimDisk::new, program, verdict) {
                panic!("{failure}");
            }
        }
    }
}

/// If it fails, a reopened healthy database is not the same, or somebody else could take its lock in between.
#[test]
fn a_healthy_database_is_reopened_with_buffered_writes_and_several_keyspaces() {
    let disk = SimDisk::new();
    let (db, keyspace) = open(&disk);
    let other = db.keyspace("other", KeyspaceOptions::new()).unwrap();
    let mut model = Model::new();
    put(&keyspace, &mut model, 0..50, 1);
    other.put(b"a", b"b").unwrap();
    let db = db.reopen().unwrap();
    assert!(matches!(other.get(b"a"), Err(Error::Closed)));
    assert!(matches!(Db::open("/db", &on(&disk)), Err(Error::Locked { .. })), "the lock was lost");
    check(&db.existing_keyspace("k").unwrap(), &model);
    assert_eq!(db.existing_keyspace("other").unwrap().get(b"a").unwrap().unwrap(), b"b");
    let db = db.reopen().unwrap().reopen().unwrap();
    drop((keyspace, other));
    check(&db.existing_keyspace("k").unwrap(), &model);
    drop(db);
    let db = Db::open_read_only("/db", &on(&disk)).unwrap().reopen().unwrap();
    assert!(matches!(db.sync(), Err(Error::ReadOnly)));
    check(&db.existing_keyspace("k").unwrap(), &model);
}
