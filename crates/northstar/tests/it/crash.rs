//! The power fails anywhere: what is found afterwards is a prefix of the commits that contains every synced one.

use std::sync::Arc;

use northstar::{Background, Database, Durability, Error, ErrorKind, Options, Tree, TxnId};
use vfs_sim::{Crash, DiskError, Fault, OpKind, Points, SimDisk, Sweep, SweepFailure, SyncLoss};

use crate::basics::assert_sound;
use crate::model::{Model, contents};

/// What a program was promised.
#[derive(Debug, Default, Clone)]
struct Promises {
    /// The state after each transaction, from 0 on; the last one may have failed.
    states: Vec<Model>,
    /// Everything up to this was acknowledged as durable.
    durable: usize,
    /// Pins that were acknowledged.
    pins: Vec<String>,
}

fn small(disk: &SimDisk) -> Options {
    Options::new()
        .vfs(Arc::new(disk.clone()))
        .background(Background::Inline)
        .memory_budget(northstar::MIN_MEMORY_BUDGET)
        .checkpoint_log_len(6_000)
        .segment_len(9_000)
}

/// The entries that transaction `n` puts and deletes: over some of the same keys, small and large.
fn change(n: usize, model: &mut Model) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let mut changes = Vec::new();
    for part in 0..4 + n % 5 {
        let key = format!("key {:03}", (n * 7 + part * 13) % 60).into_bytes();
        let value = match (n + part) % 6 {
            0 => None,
            1 => Some(vec![n as u8; 9_000 + n]),
            other => Some(vec![n as u8; 50 * other]),
        };
        match &value {
            Some(value) => drop(model.insert(key.clone(), value.clone())),
            None => drop(model.remove(&key)),
        }
        changes.push((key, value));
    }
    changes
}

fn commit(db: &Database, changes: &[(Vec<u8>, Option<Vec<u8>>)], durable: bool) -> Result<TxnId, Error> {
    let mut txn = db.begin()?;
    // The number of the transaction is in it, so that no state is like another.
    for (key, value) in changes {
        match value {
            Some(value) => drop(txn.put(Tree::DEFAULT, key, value)?),
            None => drop(txn.delete(Tree::DEFAULT, key)?),
        }
    }
    txn.commit_with(if durable { Durability::Sync } else { Durability::Buffered })
}

/// Commits `count` transactions, every third one durable, with checkpoints between them and a restart in the middle.
fn work(disk: &SimDisk, promises: &mut Promises, count: usize) -> Result<(), Error> {
    if promises.states.is_empty() {
        promises.states.push(Model::new());
    }
    let mut model = promises.states.last().cloned().unwrap_or_default();
    let mut db = Database::open("/db", small(disk))?;
    for _ in 0..count {
        let n = promises.states.len();
        let mut changes = change(n, &mut model);
        changes.push((b"number".to_vec(), Some(n.to_string().into_bytes())));
        model.insert(b"number".to_vec(), n.to_string().into_bytes());
        promises.states.push(model.clone());
        let durable = n.is_multiple_of(3);
        assert_eq!(commit(&db, &changes, durable)?, TxnId(n as u64));
        if durable {
            promises.durable = n;
        }
        if n.is_multiple_of(11) {
            drop(db);
            db = Database::open("/db", small(disk))?;
        }
        if n % 8 == 7 {
            let name = format!("pin {n}");
            match db.pin(&name) {
                // A crash kept it although it was not acknowledged, and the transactions are done again.
                Err(Error::Pin { .. }) => {}
                other => drop(other?),
            }
            promises.pins.push(name);
            promises.durable = n;
        }
    }
    db.sync()?;
    promises.durable = promises.states.len() - 1;
    Ok(())
}

/// Opens what is left and returns how many transactions it has.
fn check(disk: &SimDisk, promises: &Promises) -> Result<usize, Error> {
    let db = Database::open("/db", small(disk))?;
    let snapshot = db.snapshot();
    let n = snapshot.txn().0 as usize;
    assert!(n >= promises.durable, "{n} of {} durable transactions are left", promises.durable);
    let empty = Model::new();
    let expected = if n == 0 { &empty } else { &promises.states[n] };
    assert_eq!(&contents(&snapshot), expected, "the state after transaction {n} is another");
    assert_sound(&db);
    let pins: Vec<String> = db.pins().into_iter().map(|pin| pin.name).collect();
    assert!(promises.pins.iter().all(|pin| pins.contains(pin)), "{pins:?} are left of {:?}", promises.pins);
    for pin in db.pins() {
        assert_eq!(&contents(&db.pinned(&pin.name)?), &promises.states[pin.txn.0 as usize], "of {pin:?}");
    }
    Ok(n)
}

/// Goes on with what is left: recovery must leave a database that can be written, and read again.
fn check_and_go_on(disk: &SimDisk, promises: &Promises) -> Result<(), Error> {
    let n = check(disk, promises)?;
    let mut promises = promises.clone();
    promises.states.truncate(n + 1);
    promises.durable = n;
    work(disk, &mut promises, 5)?;
    check(disk, &promises).map(drop)
}

/// A commit that was acknowledged as durable would be lost, or half of one would stay.
#[test]
fn the_power_may_fail_at_any_call() {
    let sweep = Sweep { points: Points::Sample { count: 150, seed: 7 }, ..Sweep::with_seeds(3) };
    let report = sweep.run(SimDisk::new, |disk, promises| work(disk, promises, 40), check_and_go_on);
    let report = report.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(report.ops > 150, "{report:?}");
}

/// As above at every single call of a short run, creation included.
#[test]
fn the_power_may_fail_while_a_database_is_made() {
    let report = Sweep::with_seeds(4).run(SimDisk::new, |disk, promises| work(disk, promises, 4), check_and_go_on);
    report.unwrap_or_else(|failure| panic!("{failure}"));
}

/// A start after a crash would lose what it found, or leave less than it found.
#[test]
fn the_power_may_fail_again_during_recovery() {
    let sweep = Sweep { points: Points::Sample { count: 12, seed: 3 }, ..Sweep::with_seeds(1) };
    let result = sweep.run(
        SimDisk::new,
        |disk, promises| work(disk, promises, 30),
        |crashed, promises: &Promises| {
            let again = |disk: &SimDisk, found: &mut usize| {
                *found = check(disk, promises)?;
                Database::open("/db", small(disk))?.checkpoint()
            };
            let check_again = |disk: &SimDisk, found: &usize| {
                // What was served once is there for ever.
                let n = check(disk, promises)?;
                assert!(n >= *found, "{n} transactions are left of {found} that were read");
                Ok::<_, Error>(())
            };
            Sweep { points: Points::Sample { count: 10, seed: 5 }, ..Sweep::with_seeds(2) }.run(
                || crashed.kill(),
                again,
                check_again,
            )?;
            Ok::<_, SweepFailure>(())
        },
    );
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

/// The process dies and the machine stays: not even a buffered commit may be lost.
#[test]
fn a_killed_process_loses_nothing_that_was_committed() {
    let disk = SimDisk::new();
    let mut promises = Promises::default();
    work(&disk, &mut promises, 32).unwrap();
    let db = Database::open("/db", small(&disk)).unwrap();
    let mut model = promises.states.last().cloned().unwrap();
    for _ in 0..10 {
        let n = promises.states.len();
        let mut changes = change(n, &mut model);
        changes.push((b"number".to_vec(), Some(n.to_string().into_bytes())));
        model.insert(b"number".to_vec(), n.to_string().into_bytes());
        promises.states.push(model.clone());
        commit(&db, &changes, false).unwrap();
        assert_eq!(check(&disk.kill(), &promises).unwrap(), n);
    }
}

/// The tests above would not notice a missing sync, and so none that a change leaves out.
#[test]
fn every_sync_is_missed_when_it_is_left_out() {
    let count = 8;
    let rehearsal = SimDisk::new();
    work(&rehearsal, &mut Promises::default(), count).unwrap();
    let syncs: Vec<_> = rehearsal.trace().into_iter().filter(|op| op.kind.is_sync()).collect();
    let trace = rehearsal.trace();
    let beside = |number: u64| trace.get(number as usize);
    // Nothing depends on these in this program, and they stay: the sync of a log that is opened is for one whose last sync failed; the
    // simulated disk keeps the order of names; the barrier behind a meta guards what was pinned, and otherwise the meta before it would do.
    let is_spare = |number: u64| {
        let opens = number == 15;
        let between_renames =
            beside(number + 1).is_some_and(|op| op.kind == OpKind::Rename && op.path.ends_with("db.log.new"));
        let behind_meta = beside(number - 1).is_some_and(|op| op.kind == OpKind::Write && op.len == 256);
        opens || between_renames || behind_meta
    };
    let (mut unnoticed, mut spare_noticed) = (Vec::new(), 0);
    for (nth, sync) in (0u64..).zip(&syncs) {
        let build = || {
            let disk = SimDisk::new();
            disk.ignore_syncs(move |call| call.nth == nth);
            disk
        };
        // What a left-out sync endangers shows in the calls that follow it; many disks that they may leave are looked at.
        let noticed = (sync.number + 1..sync.number + 12).any(|point| {
            let sweep = Sweep { points: Points::Only(point), ..Sweep::with_seeds(24) };
            sweep.run(build, |disk, promises| work(disk, promises, count), check_and_go_on).is_err()
        });
        if is_spare(sync.number) {
            spare_noticed += usize::from(noticed);
        } else if !noticed {
            unnoticed.push(format!("{} {:?} {}", sync.number, sync.kind, sync.path.display()));
        }
    }
    assert_eq!(unnoticed, [""; 0], "of {}", syncs.len());
    assert!(spare_noticed > 0, "the barrier behind the meta of a pin must be missed");
}

/// A torn meta page would make the database unreadable, or lose what it stood for.
#[test]
fn a_torn_meta_rolls_back() {
    for slot in 0..2u64 {
        let disk = SimDisk::new();
        let mut promises = Promises::default();
        work(&disk, &mut promises, 30).unwrap();
        Database::open("/db", small(&disk)).unwrap().checkpoint().unwrap();
        let mut model = promises.states.last().cloned().unwrap();
        let n = promises.states.len();
        let changes = change(n, &mut model);
        promises.states.push(model);
        commit(&Database::open("/db", small(&disk)).unwrap(), &changes, true).unwrap();
        promises.durable = n;
        for damage in [0..256, 40..60] {
            let torn = disk.kill();
            torn.corrupt("/db", slot * 4096 + damage.start..slot * 4096 + damage.end, 9).unwrap();
            // Without its magic number a first page is no meta page at all; the other one counts.
            check_and_go_on(&torn, &promises).unwrap();
        }
        let both = disk.kill();
        both.corrupt("/db", 40..60, 1).unwrap();
        both.corrupt("/db", 4096 + 40..4096 + 60, 1).unwrap();
        let error = Database::open("/db", small(&both)).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }
}

/// A sync that failed would be taken for one that worked.
#[test]
fn a_failed_sync_poisons_and_a_reopened_database_has_what_the_disk_has() {
    for path in ["/db.log", "/db"] {
        for loss in [SyncLoss::All, SyncLoss::Data] {
            let disk = SimDisk::new();
            let mut promises = Promises::default();
            work(&disk, &mut promises, 20).unwrap();
            let db = Database::open("/db", small(&disk)).unwrap();
            disk.inject(Fault::lost_sync(loss).at(move |at| at.to_str() == Some(path)).nth(0));
            let mut model = promises.states.last().cloned().unwrap();
            let mut failed = None;
            for _ in 0..60 {
                let n = promises.states.len();
                let mut changes = change(n, &mut model);
                changes.push((b"number".to_vec(), Some(n.to_string().into_bytes())));
                model.insert(b"number".to_vec(), n.to_string().into_bytes());
                promises.states.push(model.clone());
                match commit(&db, &changes, true) {
                    Ok(_) => promises.durable = n,
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
            let failed = failed.expect("the fault must strike");
            assert_eq!(failed.kind(), ErrorKind::Stop, "{failed}");
            let before = db.snapshot().txn();
            let error = commit(&db, &[(b"k".to_vec(), Some(b"v".to_vec()))], false).unwrap_err();
            assert!(matches!(error, Error::Poisoned { .. }), "{error}");
            assert!(matches!(db.checkpoint(), Err(Error::Poisoned { .. })));
            assert_eq!(db.snapshot().txn(), before);
            drop(db);
            let left = disk.kill();
            left.clear_faults();
            check_and_go_on(&left, &promises).unwrap();
            check_and_go_on(&disk.crash(Crash::Everything), &promises).unwrap();
            check_and_go_on(&disk.crash(Crash::Nothing), &promises).unwrap();
        }
    }
}

/// A full disk would lose what was acknowledged, or stop the database for good.
#[test]
fn a_full_disk_is_an_error_that_passes() {
    let disk = SimDisk::new();
    let mut promises = Promises::default();
    work(&disk, &mut promises, 20).unwrap();
    let db = Database::open("/db", small(&disk)).unwrap();
    let mut model = promises.states.last().cloned().unwrap();
    let mut refused = 0;
    for round in 0..120 {
        if round % 40 == 10 {
            disk.set_capacity(Some(disk.used_space() + 4096 * (round as u64 % 7)));
        }
        if round % 40 == 35 {
            disk.set_capacity(None);
        }
        let n = promises.states.len();
        let before = model.clone();
        let mut changes = change(n, &mut model);
        changes.push((b"number".to_vec(), Some(round.to_string().into_bytes())));
        model.insert(b"number".to_vec(), round.to_string().into_bytes());
        match commit(&db, &changes, round % 2 == 0) {
            Ok(txn) => {
                assert_eq!(txn.0 as usize, n);
                promises.states.push(model.clone());
                if round % 2 == 0 {
                    promises.durable = n;
                }
            }
            Err(error) => {
                assert!(matches!(error, Error::StorageFull { .. }), "{error}");
                refused += 1;
                model = before;
            }
        }
        assert_eq!(contents(&db.snapshot()), model);
        if round % 40 == 20 {
            let left = disk.kill();
            left.set_capacity(None);
            check_and_go_on(&left, &promises).unwrap();
            let left = disk.crash(Crash::Nothing);
            left.set_capacity(None);
            check_and_go_on(&left, &promises).unwrap();
        }
    }
    assert!(refused > 0, "the disk was never full");
    disk.set_capacity(None);
    db.checkpoint().unwrap();
    assert_sound(&db);
}

/// Damage would be served as data.
#[test]
fn a_turned_bit_is_an_error_or_does_no_harm() {
    let disk = SimDisk::new();
    let mut promises = Promises::default();
    work(&disk, &mut promises, 25).unwrap();
    Database::open("/db", small(&disk)).unwrap().checkpoint().unwrap();
    let len = disk.contents("/db").unwrap().len() as u64;
    let mut noticed = 0;
    for place in (0..len).step_by(509) {
        let damaged = disk.kill();
        damaged.flip_bit("/db", place, (place % 8) as u8).unwrap();
        let db = match Database::open("/db", small(&damaged)) {
            Ok(db) => db,
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Repair | ErrorKind::FixInput), "{error}");
                noticed += 1;
                continue;
            }
        };
        let read: Result<Model, Error> = db
            .snapshot()
            .range::<Vec<u8>>(Tree::DEFAULT, ..)
            .unwrap()
            .map(|entry| entry.map(|entry| (entry.key, entry.value.to_vec())))
            .collect();
        match read {
            Ok(found) => assert_eq!(&found, promises.states.last().unwrap()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Repair, "{error}");
                assert!(!db.verify().unwrap().faults.is_empty(), "verify must see what a scan sees");
                noticed += 1;
            }
        }
    }
    assert!(noticed > 10, "{noticed} turned bits were noticed");
}

/// What was durable would be dropped in silence because a bit of the log is damaged.
#[test]
fn damage_in_the_middle_of_the_log_is_told_from_a_torn_end() {
    let disk = SimDisk::new();
    let db = Database::open("/db", small(&disk).checkpoint_log_len(1 << 20)).unwrap();
    for n in 0..20u8 {
        db.write(|txn| txn.put(Tree::DEFAULT, &[n], &[n; 100])).unwrap();
    }
    drop(db);
    let log = disk.contents("/db.log").unwrap();
    let end = log.iter().rposition(|byte| *byte != 0).unwrap() as u64;
    let damaged = disk.kill();
    damaged.flip_bit("/db.log", 700, 3).unwrap();
    let error = Database::open("/db", small(&damaged)).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    // The last record alone: nothing behind it says that it was durable.
    let torn = disk.kill();
    torn.corrupt("/db.log", end - 20..end, 1).unwrap();
    let db = Database::open("/db", small(&torn)).unwrap();
    assert_eq!(db.snapshot().txn(), TxnId(19));
    drop(db);
    let missing = disk.kill();
    vfs::Vfs::remove_file(&missing, std::path::Path::new("/db.log")).unwrap();
    assert!(matches!(Database::open("/db", small(&missing)), Err(Error::Corrupt { .. })));
}

/// An error of reading would be taken for an absent key.
#[test]
fn an_error_of_reading_is_passed_on() {
    let disk = SimDisk::new();
    let mut promises = Promises::default();
    work(&disk, &mut promises, 25).unwrap();
    Database::open("/db", small(&disk)).unwrap().checkpoint().unwrap();
    let db = Database::open("/db", small(&disk)).unwrap();
    disk.inject(Fault::fail(DiskError::InputOutput).on([OpKind::Read]).at(|path| path.to_str() == Some("/db")));
    let error = db.get(Tree::DEFAULT, b"key 001").unwrap_err();
    assert!(matches!(error, Error::Io { action: "read", .. }), "{error}");
    disk.clear_faults();
    assert_eq!(&contents(&db.snapshot()), promises.states.last().unwrap());
}
