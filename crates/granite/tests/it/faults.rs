//! Disks that fail without a crash: errors of single calls, syncs that lose what they were to save, full disks, short reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use granite::{Db, Durability, Error, ErrorKind, KeyspaceOptions, WriteBatch};
use vfs_sim::{Crash, DiskError, Fault, OpKind, SimDisk, SyncLoss};

use crate::oracle::{Notes, Op, check_recovery, check_restart};
use crate::workload::{LONG, Mix, Runner, Step, is_long, run, seed_or, steps, tiny};

fn list(seed: u64, count: usize) -> Vec<Step> {
    steps(seed, &Mix { steps: count, keys: 24, ..LONG })
}

/// How many calls of a kind a run without faults makes.
fn calls(steps: &[Step], kind: OpKind) -> u64 {
    let disk = SimDisk::new();
    let seen = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&seen);
    disk.inject(Fault::fail(DiskError::InputOutput).on([kind]).at(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        false
    }));
    run(&tiny(), steps, &disk, &mut Notes::default()).unwrap();
    // A rename is asked about under both of its names.
    if kind.is_mutating() {
        return disk.trace().iter().filter(|op| op.kind == kind).count() as u64;
    }
    seen.load(Ordering::Relaxed)
}

/// Runs the steps past every error, as a program would that reports and goes on, until the database refuses everything.
fn run_past_errors(steps: &[Step], disk: &SimDisk, notes: &mut Notes) -> Vec<Error> {
    let mut errors = Vec::new();
    let mut runner = match Runner::open(&tiny(), disk) {
        Ok(runner) => runner,
        Err(error) => return vec![error],
    };
    for step in steps {
        match runner.step(step, notes) {
            Ok(()) => {}
            Err(error) => {
                let stops = error.kind() == ErrorKind::Stop || matches!(step, Step::Reopen | Step::Sweep(..));
                errors.push(error);
                if stops {
                    return errors;
                }
                // What was refused did not happen, or the next commit will tell.
                notes.abandon();
                notes.abandon_lives();
                if matches!(step, Step::Create(_) | Step::Drop(_)) {
                    return errors;
                }
            }
        }
    }
    errors
}

/// Lets the `nth` call of a kind fail and checks what a restart and a loss of power find afterwards.
fn fail_one(steps: &[Step], seed: u64, fault: Fault, what: &str) -> Vec<Error> {
    let disk = SimDisk::new();
    let fault = disk.inject(fault);
    let mut notes = Notes::default();
    let errors = run_past_errors(steps, &disk, &mut notes);
    assert_eq!(disk.fault_hits(fault), 1, "GRANITE_SEED={seed}: {what} never happened");
    disk.clear_faults();
    for crash in [Crash::Nothing, Crash::Everything, Crash::Random(seed)] {
        let checked = std::panic::catch_unwind(|| check_restart(&tiny(), &disk.crash(crash), &notes, notes.synced));
        assert!(checked.is_ok(), "GRANITE_SEED={seed}: {what}, then {crash:?}; errors: {errors:?}");
    }
    let checked = std::panic::catch_unwind(|| check_restart(&tiny(), &disk.kill(), &notes, notes.synced));
    assert!(checked.is_ok(), "GRANITE_SEED={seed}: {what}, then a kill; errors: {errors:?}");
    errors
}

fn every_nth(kinds: &[OpKind], fault: fn() -> Fault, name: &str) {
    let first = seed_or(4000);
    let (lists, share) = if is_long() { (30, 1) } else { (3, 3) };
    for seed in first..first + lists {
        let steps = list(seed, 60);
        for &kind in kinds {
            for nth in (0..calls(&steps, kind)).filter(|nth| (nth + seed).is_multiple_of(share)) {
                fail_one(&steps, seed, fault().on([kind]).nth(nth), &format!("{name} of {kind:?} {nth}"));
            }
        }
    }
}

/// If it fails, an error of a single write loses what was acknowledged, or leaves a database that does not open.
#[test]
fn a_call_that_fails_once_loses_nothing_acknowledged() {
    let kinds = [OpKind::Create, OpKind::Write, OpKind::Allocate, OpKind::Rename, OpKind::Remove];
    every_nth(&kinds, || Fault::fail(DiskError::InputOutput), "EIO");
}

/// If it fails, a sync that finds the disk full (as filesystems do that allocate late) is taken for a call that changed nothing: files that the manifest
/// may name are removed, or changes go on in a manifest that has been replaced.
#[test]
fn a_sync_that_finds_the_disk_full_loses_nothing_acknowledged() {
    every_nth(&[OpKind::SyncData, OpKind::SyncDir], || Fault::fail(DiskError::NoSpace), "ENOSPC");
}

/// If it fails, an error while reading is taken for the end of something, and what follows is lost.
#[test]
fn a_read_that_fails_once_loses_nothing() {
    every_nth(&[OpKind::Read, OpKind::Open, OpKind::ReadDir], || Fault::fail(DiskError::InputOutput), "EIO");
}

/// If it fails, a sync that failed and marked its pages clean is believed by a later one.
#[test]
fn a_failed_sync_that_loses_what_it_was_to_save_loses_nothing_acknowledged() {
    for loss in [SyncLoss::All, SyncLoss::Data, SyncLoss::Some { seed: 5 }] {
        let first = seed_or(5000);
        let (lists, share) = if is_long() { (30, 1) } else { (2, 3) };
        for seed in first..first + lists {
            let steps = list(seed, 60);
            for kind in [OpKind::SyncData, OpKind::SyncDir] {
                for nth in (0..calls(&steps, kind)).filter(|nth| (nth + seed).is_multiple_of(share)) {
                    fail_one(
                        &steps,
                        seed,
                        Fault::lost_sync(loss).on([kind]).nth(nth),
                        &format!("{loss:?} at {kind:?} {nth}"),
                    );
                }
            }
        }
    }
}

/// If it fails, writes are accepted behind a failed sync.
#[test]
fn a_failed_sync_of_the_log_poisons_the_handle_and_a_new_open_is_sound() {
    for loss in [SyncLoss::All, SyncLoss::Data] {
        let disk = SimDisk::new();
        let options = tiny().vfs(Arc::new(disk.clone()));
        let db = Db::open("/db", &options).unwrap();
        let keyspace = db.keyspace("k", KeyspaceOptions::new().separation_threshold(Some(100))).unwrap();
        keyspace.put(b"acknowledged", &[1; 300]).unwrap();
        disk.inject(Fault::lost_sync(loss).on([OpKind::SyncData]).nth(0));
        let failed = keyspace.put(b"not acknowledged", &[2; 300]).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Stop);
        for attempt in 0..3 {
            let refused = keyspace.put(b"later", b"3").unwrap_err();
            assert!(matches!(refused, Error::Poisoned { .. }), "attempt {attempt}: {refused}");
            assert!(matches!(db.sync().unwrap_err(), Error::Poisoned { .. }));
            assert!(matches!(db.flush().unwrap_err(), Error::Poisoned { .. }));
            let mut batch = WriteBatch::new();
            batch.put(&keyspace, b"buffered", b"4");
            assert!(matches!(db.write(batch, Durability::Buffered).unwrap_err(), Error::Poisoned { .. }));
        }
        assert_eq!(keyspace.get(b"acknowledged").unwrap().unwrap(), [1; 300], "reads go on");
        drop((db, keyspace));
        let db = Db::open("/db", &options).unwrap();
        let keyspace = db.existing_keyspace("k").unwrap();
        assert_eq!(keyspace.get(b"acknowledged").unwrap().unwrap(), [1; 300]);
        assert!(keyspace.get(b"later").unwrap().is_none() && keyspace.get(b"buffered").unwrap().is_none());
        let uncertain = keyspace.get(b"not acknowledged").unwrap();
        keyspace.put(b"after", b"5").unwrap();
        let crashed = disk.crash(Crash::Nothing);
        let db = Db::open("/db", &tiny().vfs(Arc::new(crashed))).unwrap();
        let keyspace = db.existing_keyspace("k").unwrap();
        assert_eq!(keyspace.get(b"not acknowledged").unwrap(), uncertain, "what an open has shown is gone");
        assert_eq!(keyspace.get(b"after").unwrap().unwrap(), b"5");
    }
}

/// Runs the steps on a disk of which `room` bytes are free at a moment, then makes room and goes on with the same handle.
fn fill_up(steps: &[Step], seed: u64, full_from: usize, room: u64) -> usize {
    let disk = SimDisk::new();
    let mut notes = Notes::default();
    let mut runner = Runner::open(&tiny(), &disk).unwrap();
    let mut refused = 0;
    let context = |what: &str| format!("GRANITE_SEED={seed}: full from step {full_from} with {room} B: {what}");
    for (number, step) in steps.iter().enumerate() {
        if number == full_from {
            disk.set_capacity(Some(disk.used_space() + room));
        }
        if number == full_from + 25 {
            disk.set_capacity(None);
        }
        let is_full = (full_from..full_from + 25).contains(&number);
        // A sweep that ran out of room has dropped a part, which the model cannot follow further.
        if is_full && matches!(step, Step::Sweep(..) | Step::Reopen) {
            continue;
        }
        while let Err(error) = runner.step(step, &mut notes) {
            assert!(is_full, "{}: {error} although there is room", context("going on"));
            assert!(matches!(error, Error::StorageFull { .. }), "{}: {error}", context("another error"));
            notes.abandon();
            notes.abandon_lives();
            refused += 1;
            if matches!(step, Step::Create(_) | Step::Drop(_)) {
                // What follows relies on it.
                disk.set_capacity(None);
                continue;
            }
            break;
        }
        if is_full && number % 9 == 0 {
            check_restart(&tiny(), &disk.crash(Crash::Random(seed)).with_room(), &notes, notes.synced);
        }
    }
    runner.db().wait_for_background().unwrap_or_else(|error| panic!("{}: {error}", context("at the end")));
    notes.check(runner.db(), notes.acked);
    drop(runner);
    check_recovery(&tiny(), &disk.crash(Crash::Nothing), &notes, notes.synced);
    refused
}

trait WithRoom {
    fn with_room(self) -> Self;
}

impl WithRoom for SimDisk {
    fn with_room(self) -> Self {
        self.set_capacity(None);
        self
    }
}

/// If it fails, a full disk loses what was acknowledged, is reported as something else, or needs a restart once there is room.
#[test]
fn a_full_disk_is_reported_as_such_and_writes_go_on_once_there_is_room() {
    let first = seed_or(6000);
    let lists = if is_long() { 200 } else { 8 };
    let mut refused = 0;
    for seed in first..first + lists {
        let steps = list(seed, 130);
        for (full_from, room) in [(20, 0), (35, 4096), (50, 20_000), (65, 60_000), (80, 300_000)] {
            refused += fill_up(&steps, seed, full_from, room);
        }
    }
    assert!(refused > 100, "only {refused} calls found the disk full");
}

/// If it fails, a write that was cut off by a full disk is found after a crash.
#[test]
fn a_commit_that_was_refused_for_lack_of_room_never_comes_back() {
    for bytes in [0, 1, 40, 100, 500, 4096] {
        for nth in 0..6 {
            let disk = SimDisk::new();
            let mut notes = Notes::default();
            let mut runner = Runner::open(&tiny(), &disk).unwrap();
            runner.step(&Step::Create(0), &mut notes).unwrap();
            let put = |number: u32, len: usize| {
                Step::Commit(
                    vec![(0, Op::Put(crate::oracle::key(0, number), vec![number as u8; len].into()))],
                    Durability::Sync,
                )
            };
            runner.step(&put(1, 30), &mut notes).unwrap();
            disk.inject(Fault::short_write(bytes, DiskError::NoSpace).nth(nth));
            for number in 2..12 {
                let done = runner.step(&put(number, [20, 300, 5000][number as usize % 3]), &mut notes);
                if let Err(error) = done {
                    assert!(matches!(error, Error::StorageFull { .. }), "{error}");
                    notes.abandon();
                    check_restart(&tiny(), &disk.kill(), &notes, notes.acked);
                    check_restart(&tiny(), &disk.crash(Crash::Everything), &notes, notes.acked);
                }
            }
            disk.clear_faults();
            runner.step(&put(20, 100), &mut notes).unwrap();
            check_recovery(&tiny(), &disk.crash(Crash::Nothing), &notes, notes.acked);
        }
    }
}

/// If it fails, a read that returns less than asked for is taken for the end of the file.
#[test]
fn short_reads_change_nothing() {
    let steps = list(7000, 80);
    let disk = SimDisk::new();
    let fault = disk.inject(Fault::short_read(7).with_probability(0.5, 3));
    let mut notes = Notes::default();
    run(&tiny(), &steps, &disk, &mut notes).unwrap();
    let options = tiny().vfs(Arc::new(disk.clone()));
    let db = Db::open("/db", &options).unwrap();
    notes.check(&db, notes.acked);
    assert!(disk.fault_hits(fault) > 100);
}
