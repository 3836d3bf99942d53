//! Whole programs: the careless are caught, the careful are not.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use vfs::{OpenMode, Vfs};
use vfs_sim::{Crash, Points, SimDisk, Sweep, SweepFailure, SweepReport, for_each_crash_point};

/// Which steps a program takes care of.
#[derive(Debug, Clone, Copy)]
struct Care {
    sync_file: bool,
    sync_dir: bool,
}

const CAREFUL: Care = Care { sync_file: true, sync_dir: true };

/// Replaces `/config` by way of a temporary file, version by version.
fn save_versions(disk: &SimDisk, care: Care, saved: &mut u64) -> io::Result<()> {
    for version in 1..4u64 {
        let file = disk.open(Path::new("/config.tmp"), OpenMode::OpenOrCreate)?;
        file.set_len(0)?;
        file.write_at(0, &version.to_le_bytes().repeat(200))?;
        if care.sync_file {
            file.sync_data()?;
        }
        disk.rename(Path::new("/config.tmp"), Path::new("/config"))?;
        if care.sync_dir {
            disk.sync_dir(Path::new("/"))?;
        }
        *saved = version;
    }
    Ok(())
}

/// The config is a whole version, and none older than the last that was saved.
fn check_config(disk: &SimDisk, saved: u64) -> Result<(), String> {
    let bytes = match disk.contents("/config") {
        Ok(bytes) => bytes,
        Err(_) if saved == 0 => return Ok(()),
        Err(error) => return Err(format!("{error} after version {saved} was saved")),
    };
    match (saved..4).find(|version| version.to_le_bytes().repeat(200) == bytes) {
        Some(_) => Ok(()),
        None => Err(format!("{} bytes that are no version from {saved} on", bytes.len())),
    }
}

fn sweep_config(sweep: &Sweep, care: Care) -> Result<SweepReport, SweepFailure> {
    sweep.run(
        SimDisk::new,
        |disk, saved| save_versions(disk, care, saved),
        |disk, saved: &u64| check_config(disk, *saved),
    )
}

#[test]
fn a_careful_program_never_loses_what_it_saved() {
    let report = sweep_config(&Sweep::with_seeds(40), CAREFUL).unwrap();
    // Six calls for each of three versions, the state before them, and 42 crashes at each.
    assert_eq!(report, SweepReport { ops: 18, points: 19, images: 19 * 42 });
}

#[test]
fn a_program_that_forgets_a_sync_is_caught_and_the_case_replays() {
    let careless = [(false, true), (true, false), (false, false)];
    for care in careless.map(|(sync_file, sync_dir)| Care { sync_file, sync_dir }) {
        let failure = sweep_config(&Sweep::default(), care).unwrap_err();
        let (point, crash) = (failure.point.unwrap(), failure.crash.unwrap());
        let again = sweep_config(&Sweep::replay(point, crash), care).unwrap_err();
        assert_eq!(again, failure);
        assert!(failure.to_string().contains(&format!("Sweep::replay({point}, Crash::{crash:?})")), "{failure}");
        assert!(failure.to_string().contains("Rename /config.tmp -> /config"), "{failure}");
    }
}

#[test]
fn the_sweep_notices_each_missing_sync_and_names_a_superfluous_one() {
    let sweep = Sweep::default();
    let check = |disk: &SimDisk, saved: &u64| check_config(disk, *saved);
    let careful = |disk: &SimDisk, saved: &mut u64| save_versions(disk, CAREFUL, saved);
    assert_eq!(sweep.unnoticed_syncs(SimDisk::new, careful, check).unwrap(), []);

    let anxious = |disk: &SimDisk, saved: &mut u64| {
        disk.sync_dir(Path::new("/"))?;
        save_versions(disk, CAREFUL, saved)
    };
    let unnoticed = sweep.unnoticed_syncs(SimDisk::new, anxious, check).unwrap();
    assert_eq!(unnoticed.iter().map(|sync| (sync.nth, sync.op)).collect::<Vec<_>>(), [(0, 0)]);

    let careless = |disk: &SimDisk, saved: &mut u64| save_versions(disk, Care { sync_file: false, ..CAREFUL }, saved);
    sweep.unnoticed_syncs(SimDisk::new, careless, check).unwrap_err();
}

#[test]
fn the_power_can_fail_during_recovery_too() {
    // Recovery removes a left-over temporary file and then says that the config is at its place; a wrong one would take
    // the temporary file for the better version.
    let recover = |disk: &SimDisk, trust_temporary: bool| -> io::Result<()> {
        let (temporary, config) = (Path::new("/config.tmp"), Path::new("/config"));
        if vfs::exists(disk, temporary)? {
            if trust_temporary {
                disk.rename(temporary, config)?;
            } else {
                disk.remove_file(temporary)?;
            }
            disk.sync_dir(Path::new("/"))?;
        }
        Ok(())
    };
    let sweep = |trust_temporary| {
        Sweep::default().run(
            SimDisk::new,
            |disk, saved| save_versions(disk, CAREFUL, saved),
            |crashed, saved: &u64| {
                Sweep::with_seeds(2).run(
                    || crashed.kill(),
                    |disk, _: &mut ()| recover(disk, trust_temporary),
                    |disk, ()| check_config(disk, *saved),
                )?;
                Ok::<_, SweepFailure>(())
            },
        )
    };
    sweep(false).unwrap();
    let failure = sweep(true).unwrap_err();
    assert!(failure.reason.contains("SweepFailure"), "{failure}");
}

#[test]
fn points_can_be_drawn_and_what_build_does_is_none() {
    let sweep = Sweep { points: Points::Sample { count: 5, seed: 1 }, crashes: vec![Crash::Nothing], seeds: 0 };
    assert_eq!(sweep_config(&sweep, CAREFUL).unwrap(), SweepReport { ops: 18, points: 5, images: 5 });

    let build = || {
        let disk = SimDisk::new();
        disk.create_dir_all(Path::new("/a/b/c")).unwrap();
        disk
    };
    let program = |disk: &SimDisk, _: &mut ()| disk.sync_dir(Path::new("/"));
    let report = Sweep::with_seeds(0).run(build, program, |_, ()| Ok::<_, io::Error>(())).unwrap();
    assert_eq!(report, SweepReport { ops: 4, points: 2, images: 4 });

    // Nor is a sync in it one that the program could miss.
    let build = || {
        let disk = SimDisk::new();
        disk.sync_dir(Path::new("/")).unwrap();
        disk
    };
    let careful = |disk: &SimDisk, saved: &mut u64| save_versions(disk, CAREFUL, saved);
    let check = |disk: &SimDisk, saved: &u64| check_config(disk, *saved);
    assert_eq!(Sweep::default().unnoticed_syncs(build, careful, check).unwrap(), []);
}

#[test]
fn a_program_that_fails_or_panics_is_reported() {
    let check = |_: &SimDisk, (): &()| Ok::<_, io::Error>(());
    let failing = |_: &SimDisk, (): &mut ()| Err::<(), _>("no luck");
    let failure = Sweep::default().run(SimDisk::new, failing, check).unwrap_err();
    assert_eq!((failure.point, failure.crash), (None, None));
    assert!(failure.to_string().contains("no luck"));

    let panicking = |disk: &SimDisk, (): &mut ()| -> io::Result<()> {
        disk.open(Path::new("/f"), OpenMode::CreateNew).expect("no thought of power");
        Ok(())
    };
    let failure = Sweep::default().run(SimDisk::new, panicking, check).unwrap_err();
    assert_eq!((failure.point, failure.crash), (Some(0), None));
    assert!(failure.reason.contains("no thought of power"), "{failure}");
}

#[test]
#[should_panic(expected = "replay: Sweep::replay(")]
fn the_driver_for_tests_panics_with_a_replay() {
    let careless = |disk: &SimDisk, saved: &mut u64| save_versions(disk, Care { sync_dir: false, ..CAREFUL }, saved);
    for_each_crash_point(&Sweep::default(), SimDisk::new, careless, |disk, saved| check_config(disk, *saved));
}

#[test]
fn the_same_calls_and_seeds_give_the_same_world() {
    let world = |seed: u64| {
        let disk = SimDisk::with_seed(seed);
        let mut names = BTreeMap::new();
        for _ in 0..20 {
            let name = format!("/{}", disk.random_u64() % 8);
            let file = disk.open(Path::new(&name), OpenMode::OpenOrCreate).unwrap();
            file.write_at(disk.random_u64() % 5000, &disk.random_u64().to_le_bytes().repeat(300)).unwrap();
        }
        let left = disk.crash(Crash::Random(seed));
        for path in left.read_dir(Path::new("/")).unwrap() {
            names.insert(path.clone(), left.contents(&path).unwrap());
        }
        (names, disk.trace())
    };
    assert_eq!(world(1), world(1));
    assert_ne!(world(1), world(2));
}
