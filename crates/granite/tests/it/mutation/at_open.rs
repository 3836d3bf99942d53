//! The syncs of an open, and the dropping of the page cache behind them, left out in turn.
//!
//! They matter to a process that finds what another one left unsynced in the page cache when it was killed: what the second one has shown, or has
//! acted upon, must survive the power failing under it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use granite::{Db, Durability, Error, Keyspace, KeyspaceOptions};
use vfs::Vfs;
use vfs_sim::{Crash, Fault, OpKind, Points, SimDisk, Sweep, SyncLoss};

use super::{Purpose, purposes};
use crate::hooked::Hooked;
use crate::oracle::{Dump, Notes, dump, try_dump};
use crate::workload::{LONG, Mix, Step, is_long, run, steps, tiny};

/// A database whose process was killed, what was promised of it, and where.
struct Killed {
    disk: SimDisk,
    notes: Notes,
    place: String,
}

/// Lets a process run the steps and kills it before each call at which it would sync for `reason`, so that this sync is still to come.
fn killed_before(reason: Purpose, seed: u64, count: usize) -> Vec<Killed> {
    let mut steps = steps(seed, &Mix { steps: 90, maintenance: 5, ..LONG });
    steps.push(Step::Commit(Vec::new(), Durability::Sync));
    let rehearsal = SimDisk::new();
    run(&tiny(), &steps, &rehearsal, &mut Notes::default()).unwrap();
    let points: Vec<u64> =
        purposes(&rehearsal.trace()).into_iter().filter(|(_, of)| *of == reason).map(|(op, _)| op).collect();
    let stride = (points.len() / count).max(1);
    let kill = |point: u64| {
        let disk = SimDisk::new();
        disk.freeze_after(point);
        let mut notes = Notes::default();
        // The closing may be what meets the end; then the run itself ends well.
        let _ended = run(&tiny(), &steps, &disk, &mut notes);
        Killed { disk: disk.kill(), notes, place: format!("seed {seed}, killed before op {point}") }
    };
    points.into_iter().step_by(stride).map(kill).collect()
}

/// What the second process has promised.
#[derive(Default)]
struct Promises {
    /// What it showed, and at which sequence.
    shown: Option<(u64, Dump)>,
    /// The keyspace of its own is there.
    created: bool,
    /// How many of its own writes were acknowledged.
    writes: usize,
}

const OWN: [&[u8]; 3] = [b"own1", b"own2", b"own3"];

const OWN_KEYSPACE: &str = "own";

/// The life of the second process: reads, creates a keyspace, writes, flushes, compacts.
fn second_life(disk: Arc<dyn Vfs>, promises: &mut Promises) -> Result<(), Error> {
    let db = Db::open("/db", &tiny().vfs(disk))?;
    promises.shown = Some((db.seq().get(), try_dump(&db)?));
    // A change of the manifest alone: no other file is written before it.
    let keyspace = db.keyspace(OWN_KEYSPACE, KeyspaceOptions::new().separation_threshold(Some(100)))?;
    promises.created = true;
    let mut own = OWN.iter();
    let mut write = |keyspace: &Keyspace, promises: &mut Promises| -> Result<(), Error> {
        if let Some(key) = own.next() {
            keyspace.put(key, &[7; 200])?;
            promises.writes += 1;
        }
        Ok(())
    };
    write(&keyspace, promises)?;
    db.flush()?;
    write(&keyspace, promises)?;
    keyspace.compact()?;
    write(&keyspace, promises)
}

/// What the third process finds: all that the second has shown, and its own writes in order.
fn check_promises(killed: &Killed, disk: &SimDisk, promises: &Promises) {
    let db =
        Db::open("/db", &tiny().vfs(Arc::new(disk.clone()))).unwrap_or_else(|error| panic!("the last open: {error}"));
    let Some((seq, shown)) = &promises.shown else {
        killed.notes.check(&db, killed.notes.synced);
        return;
    };
    assert!(db.seq().get() >= *seq, "the second process has shown {seq}, the third ends at {}", db.seq().get());
    let mut found = dump(&db);
    let own = found.remove(OWN_KEYSPACE);
    assert!(own.is_some() || !promises.created, "the keyspace that was created is gone");
    let writes = own.map_or(0, |own| own.len());
    assert!(writes >= promises.writes, "{writes} of {} writes are there", promises.writes);
    assert!(found == *shown, "what the second process has shown is another now");
}

fn sweep(seed: u64) -> Sweep {
    Sweep { points: Points::All, crashes: vec![Crash::Nothing, Crash::Random(seed)], seeds: 1 }
}

/// What goes wrong if the open after the kill, and every later one, leaves out the syncs that `left_out` accepts.
fn wrong_without(killed: &Killed, left_out: impl Fn(Purpose) -> bool, seed: u64) -> Option<String> {
    let rehearsal = killed.disk.kill();
    second_life(Arc::new(rehearsal.clone()), &mut Promises::default()).unwrap();
    let ignored: BTreeSet<u64> =
        purposes(&rehearsal.trace()).into_iter().filter(|(_, of)| left_out(*of)).map(|(op, _)| op).collect();
    let build = || {
        let disk = killed.disk.kill();
        let ignored = ignored.clone();
        disk.ignore_syncs(move |sync| ignored.contains(&sync.op));
        disk
    };
    let program = |disk: &SimDisk, promises: &mut Promises| second_life(Arc::new(disk.clone()), promises);
    let check = |disk: &SimDisk, promises: &Promises| {
        check_promises(killed, disk, promises);
        Ok::<_, Error>(())
    };
    let failure = sweep(seed).run(build, program, check).err()?;
    Some(format!("{}, then power lost before op {:?}: {}", killed.place, failure.point, failure.reason))
}

/// Each sync of an open and of what directly follows it, with the sync that the process before it did not get to.
const AT_OPEN: [(Purpose, Purpose); 5] = [
    (Purpose::LogAtOpen, Purpose::Log),
    (Purpose::SegmentNames, Purpose::Log),
    (Purpose::Log, Purpose::Log),
    (Purpose::ManifestAtOpen, Purpose::ManifestAppend),
    (Purpose::NamesAtOpen, Purpose::ManifestName),
];

/// If it fails, an open acts on what a killed process left in the page cache, and a loss of power takes that away.
#[test]
fn a_loss_of_power_after_the_open_behind_a_kill_takes_nothing_back() {
    let lists = if is_long() { 40 } else { 2 };
    for seed in 8100..8100 + lists {
        for (_, before) in AT_OPEN {
            for killed in killed_before(before, seed, 4) {
                let wrong = wrong_without(&killed, |_| false, seed);
                assert_eq!(wrong, None);
            }
        }
    }
}

/// If it fails, the crash tests are too weak to notice that an open makes nothing durable of what it found, or it need not.
#[test]
fn mutation_without_syncs_at_open_is_noticed() {
    for (purpose, before) in AT_OPEN {
        let mut killed =
            (8200..8230).flat_map(|seed| killed_before(before, seed, 8).into_iter().map(move |k| (seed, k)));
        let noticed = killed.find_map(|(seed, killed)| wrong_without(&killed, |of| of == purpose, seed));
        let how = noticed.unwrap_or_else(|| panic!("nobody notices that {purpose:?} is missing"));
        println!("{purpose:?}: {}", how.chars().take(200).collect::<String>());
    }
}

/// A process that is killed after the sync of `path` failed and let its pages look clean: the cache shows what the disk never got.
fn killed_after_a_lost_sync(is_lost: fn(&Path) -> bool, steps: fn(&Db, &Keyspace)) -> SimDisk {
    let disk = SimDisk::new();
    let options = tiny().write_buffer(900 << 10).durability(Durability::Buffered).vfs(Arc::new(disk.clone()));
    let db = Db::open("/db", &options).unwrap();
    let keyspace = db.keyspace("plain", KeyspaceOptions::new().separation_threshold(Some(100))).unwrap();
    keyspace.put(b"durable", &[1; 300]).unwrap();
    db.sync().unwrap();
    let fault = disk.inject(Fault::lost_sync(SyncLoss::All).on([OpKind::SyncData]).at(is_lost));
    steps(&db, &keyspace);
    assert!(disk.fault_hits(fault) > 0, "no sync failed");
    disk.kill()
}

/// Runs the second life on a disk on which dropping the cache of `keeps` does nothing, with the power failing at each call.
fn wrong_with_a_kept_cache(left: &SimDisk, keeps: fn(&Path) -> bool) -> Option<String> {
    let killed = Killed { disk: left.kill(), notes: Notes::default(), place: String::new() };
    let program = |disk: &SimDisk, promises: &mut Promises| {
        second_life(Arc::new(Hooked::new(disk).keeping_cache(keeps)), promises)
    };
    let check = |disk: &SimDisk, promises: &Promises| {
        let db = Db::open("/db", &tiny().vfs(Arc::new(disk.clone())))
            .unwrap_or_else(|error| panic!("the last open: {error}"));
        let value = db.existing_keyspace("plain").unwrap().get(b"durable").unwrap();
        assert_eq!(value, Some(vec![1; 300]), "a write that was synced is gone");
        drop(db);
        if promises.shown.is_some() {
            check_promises(&killed, disk, promises);
        }
        Ok::<_, Error>(())
    };
    let failure = sweep(1).run(|| left.kill(), program, check).err()?;
    Some(failure.reason)
}

/// If it fails, an open after a failed sync believes the page cache, or the tests would not notice that it does.
#[test]
fn mutation_without_rereading_from_the_disk_is_noticed() {
    let is_segment = |path: &Path| path.extension().is_some_and(|extension| extension == "seg");
    let is_manifest = |path: &Path| path.ends_with("MANIFEST") || path.ends_with("MANIFEST.tmp");
    let nothing = |_: &Path| false;
    let left = killed_after_a_lost_sync(is_segment, |db, keyspace| {
        keyspace.put(b"buffered", &[2; 300]).unwrap();
        assert!(db.sync().is_err());
    });
    assert_eq!(wrong_with_a_kept_cache(&left, nothing), None);
    println!(
        "log: {}",
        wrong_with_a_kept_cache(&left, is_segment).expect("nobody notices that the log is read from the cache")
    );
    let left = killed_after_a_lost_sync(is_manifest, |db, _| assert!(db.flush().is_err()));
    assert_eq!(wrong_with_a_kept_cache(&left, nothing), None);
    println!(
        "manifest: {}",
        wrong_with_a_kept_cache(&left, is_manifest).expect("nobody notices that the manifest is read from the cache")
    );
}
