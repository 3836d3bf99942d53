//! Power losses: at every call of short runs, at random calls of long ones, again during recovery, and process kills.
//!
//! A failure prints the seed of its steps and the point and kind of the crash. `cargo xtask replay crash SEED` runs one list of steps again.

use std::cell::Cell;
use std::sync::Arc;

use granite::{Db, Error, Options};
use vfs_sim::{Crash, CrashOptions, NameLoss, Op as DiskOp, OpKind, Points, Sector, SimDisk, Sweep, WriteLoss};

use crate::oracle::{Notes, check_recovery, check_restart};
use crate::workload::{LONG, Mix, Step, is_long, run, seed_or, steps, tiny};

/// Torn writes in both units, each time in the ways that hurt a log most: a page cache's, and a prefix.
fn torn(seed: u64) -> [Crash; 2] {
    let options = |writes, sector| {
        Crash::With(CrashOptions { seed, writes, names: NameLoss::PerName, sector, survival: 0.7, tearing: 1.0 })
    };
    [options(WriteLoss::Sectors, Sector::B512), options(WriteLoss::Subset, Sector::B4096)]
}

fn sweep(points: Points, seeds: u64) -> Sweep {
    let mut crashes = vec![Crash::Nothing, Crash::Everything];
    crashes.extend(torn(seeds ^ 77));
    Sweep { points, crashes, seeds }
}

/// Runs the steps with a power loss at each of the sweep's points and checks all that may be left.
fn survives(sweep: &Sweep, options: &Options, steps: &[Step], seed: u64) {
    let program = |disk: &SimDisk, notes: &mut Notes| run(options, steps, disk, notes);
    let images = Cell::new(0u64);
    let check = |disk: &SimDisk, notes: &Notes| {
        // What follows a recovery is the same for most images: every fifth will do.
        images.set(images.get() + 1);
        let whole = images.get().is_multiple_of(5);
        let check = if whole { check_recovery } else { check_restart };
        check(options, disk, notes, notes.synced);
        Ok::<_, Error>(())
    };
    match sweep.run(SimDisk::new, program, check) {
        Ok(report) => println!("GRANITE_SEED={seed}: {report:?}"),
        Err(failure) => panic!("GRANITE_SEED={seed}: {failure}"),
    }
}

/// If it fails, some moment exists at which a loss of power breaks a database.
#[test]
fn crash_at_every_call_of_short_runs_leaves_a_prefix_with_every_synced_batch() {
    let first = seed_or(100);
    let lists = if is_long() { 60 } else { 3 };
    for seed in first..first + lists {
        let mix = Mix { steps: 22, keys: 12, maintenance: 3, reopen: true };
        survives(&sweep(Points::All, 2), &tiny(), &steps(seed, &mix), seed);
    }
}

/// What the machinery did in a run without a crash.
#[derive(Debug, Default)]
struct Seen {
    flushed_or_compacted_tables: usize,
    removed_tables: usize,
    manifest_rewrites: usize,
    recycled_segments: usize,
    removed_segments: usize,
    values_moved: u64,
    replayed: u64,
}

fn rehearse(options: &Options, steps: &[Step]) -> Seen {
    let disk = SimDisk::new();
    let mut notes = Notes::default();
    let mut runner = crate::workload::Runner::open(options, &disk).unwrap();
    let mut seen = Seen::default();
    for step in steps {
        let counter = |db: &Db, name: &str| {
            let counters = db.stats().counters;
            counters.iter().find(|(of, _)| *of == name).map_or(0, |(_, count)| *count)
        };
        if matches!(step, Step::Reopen) {
            seen.values_moved += counter(runner.db(), "moved_value_bytes");
        }
        runner.step(step, &mut notes).unwrap();
        if matches!(step, Step::Reopen) {
            seen.replayed += runner.db().recovery().batches;
        }
    }
    let is = |op: &DiskOp, kind, ending: &str| op.kind == kind && op.path.to_string_lossy().ends_with(ending);
    let trace = disk.trace();
    let count = |kind, ending: &str| trace.iter().filter(|op| is(op, kind, ending)).count();
    seen.flushed_or_compacted_tables = count(OpKind::Create, ".sst");
    seen.removed_tables = count(OpKind::Remove, ".sst");
    seen.manifest_rewrites = count(OpKind::Rename, "MANIFEST.tmp") - 1;
    seen.recycled_segments = count(OpKind::Rename, ".seg");
    seen.removed_segments = count(OpKind::Remove, ".seg");
    seen
}

/// If it fails, a loss of power during a flush, a compaction, the collection of values, a rewrite of the manifest or the
/// recycling of a segment breaks a database.
#[test]
fn crash_at_random_calls_of_long_runs_leaves_a_prefix_with_every_synced_batch() {
    let first = seed_or(1000);
    let (lists, points) = if is_long() { (40, 400) } else { (3, 45) };
    let mut recycled_segments = 0;
    for seed in first..first + lists {
        let steps = steps(seed, &LONG);
        let seen = rehearse(&tiny(), &steps);
        recycled_segments += seen.recycled_segments;
        let busy = seen.flushed_or_compacted_tables > 30
            && seen.removed_tables > 20
            && seen.manifest_rewrites > 0
            && seen.removed_segments > 3
            && seen.values_moved > 0
            && seen.replayed > 0;
        assert!(busy || first != 1000, "GRANITE_SEED={seed}: the run is too quiet to prove anything: {seen:?}");
        survives(&sweep(Points::Sample { count: points, seed }, 2), &tiny(), &steps, seed);
    }
    assert!(
        recycled_segments > 0 || first != 1000,
        "no segment was recycled: the runs are too quiet to prove anything"
    );
}

/// If it fails, a batch that was acknowledged without a sync is lost when the process dies and the machine does not.
#[test]
fn crash_of_the_process_alone_loses_no_acknowledged_batch() {
    let first = seed_or(2000);
    let (lists, points) = if is_long() { (40, 300) } else { (3, 40) };
    for seed in first..first + lists {
        let steps = steps(seed, &Mix { steps: 200, ..LONG });
        let disk = SimDisk::new();
        run(&tiny(), &steps, &disk, &mut Notes::default()).unwrap();
        let ops = disk.op_count();
        for point in (0..points).map(|nth| (nth * 7919 + seed) % ops) {
            let disk = SimDisk::new();
            disk.freeze_after(point);
            let mut notes = Notes::default();
            // A background job or the closing may be what meets the end; then the run itself ends well.
            let _ended = run(&tiny(), &steps, &disk, &mut notes);
            assert!(disk.is_frozen());
            let left = disk.kill();
            let checked = std::panic::catch_unwind(|| check_recovery(&tiny(), &left, &notes, notes.acked));
            if checked.is_err() {
                panic!("GRANITE_SEED={seed}: a kill before op {point}");
            }
        }
    }
}

/// Lets the power fail again and again while the database is being opened.
fn crash_in_recovery(disk: &SimDisk, notes: &Notes, depth: u32, seed: u64) {
    let rehearsal = disk.kill();
    let db = Db::open("/db", &tiny().vfs(Arc::new(rehearsal.clone()))).unwrap();
    let settled = notes.settled_at(db.seq().get());
    drop(db);
    let ops = rehearsal.op_count();
    // What the open has returned with is durable.
    for crash in [Crash::Nothing, Crash::Random(seed)] {
        check_restart(&tiny(), &rehearsal.crash(crash), &settled, settled.synced);
    }
    if depth == 0 {
        return;
    }
    let stride = if depth > 1 { 5 } else { 3 };
    for point in (0..ops).filter(|point| (point + seed).is_multiple_of(stride)) {
        let again = disk.kill();
        again.freeze_after(point);
        // An open that needs no further call may succeed.
        let opened = Db::open("/db", &tiny().vfs(Arc::new(again.clone())));
        drop(opened);
        for crash in [Crash::Nothing, Crash::Random(seed.wrapping_mul(31) + point)] {
            let left = again.crash(crash);
            check_restart(&tiny(), &left.kill(), notes, notes.synced);
            crash_in_recovery(&left, notes, depth - 1, seed + point);
        }
    }
}

/// If it fails, a database survives a crash, but not another one while it recovers.
#[test]
fn crash_during_recovery_again_and_again_loses_nothing() {
    let first = seed_or(3000);
    let lists = if is_long() { 100 } else { 4 };
    for seed in first..first + lists {
        let steps = steps(seed, &Mix { steps: 120, ..LONG });
        let disk = SimDisk::new();
        run(&tiny(), &steps, &disk, &mut Notes::default()).unwrap();
        let ops = disk.op_count();
        for part in [2, 3] {
            let disk = SimDisk::new();
            disk.freeze_after(ops * part / 4 + seed % 5);
            let mut notes = Notes::default();
            let _ended = run(&tiny(), &steps, &disk, &mut notes);
            assert!(disk.is_frozen());
            let left = disk.crash(Crash::Random(seed));
            let checked = std::panic::catch_unwind(|| crash_in_recovery(&left, &notes, 2, seed));
            if checked.is_err() {
                panic!("GRANITE_SEED={seed}: crashes during the recovery after op {}", ops * part / 4 + seed % 5);
            }
        }
    }
}
