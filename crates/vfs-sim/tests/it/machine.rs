//! Power, processes, space, clock, threads, and copies to the real disk.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use vfs::{File, LockKind, OpenMode, Vfs};
use vfs_sim::{Crash, OpKind, SimDisk, is_power_loss};

const ROOT: &str = "/";

fn open(disk: &SimDisk, path: &str) -> Arc<dyn File> {
    disk.open(Path::new(path), OpenMode::OpenOrCreate).unwrap()
}

#[test]
fn every_mutating_call_is_a_crash_point_and_stops_before_it_takes_effect() {
    // Each call, and the number it has.
    let program = |disk: &SimDisk| -> io::Result<()> {
        disk.create_dir_all(Path::new("/d/e"))?; // 0 and 1
        let file = disk.open(Path::new("/d/f"), OpenMode::CreateNew)?; // 2
        drop(disk.open(Path::new("/d/f"), OpenMode::OpenOrCreate)?);
        file.write_at(0, b"x")?; // 3
        file.read_at(0, &mut [0])?;
        file.set_len(9)?; // 4
        file.allocate(0, 99)?; // 5
        file.len()?;
        file.sync_data()?; // 6
        file.sync_all()?; // 7
        disk.hard_link(Path::new("/d/f"), Path::new("/d/g"))?; // 8
        disk.rename(Path::new("/d/f"), Path::new("/d/h"))?; // 9
        disk.remove_file(Path::new("/d/g"))?; // 10
        disk.sync_dir(Path::new("/d"))?; // 11
        drop(disk.lock(Path::new("/d/LOCK"), LockKind::Shared)?); // 12
        drop(disk.lock(Path::new("/d/LOCK"), LockKind::Shared)?);
        disk.read_dir(Path::new("/d")).map(drop)
    };
    let whole = SimDisk::new();
    program(&whole).unwrap();
    assert_eq!(whole.op_count(), 13);
    let kinds: Vec<_> = whole.trace().iter().map(|op| op.kind).collect();
    use OpKind::{Allocate, Create, CreateDir, HardLink, Remove, Rename, SetLen, SyncAll, SyncData, SyncDir, Write};
    let (dir, lock) = (CreateDir, Create);
    let expected =
        [dir, dir, Create, Write, SetLen, Allocate, SyncData, SyncAll, HardLink, Rename, Remove, SyncDir, lock];
    assert_eq!(kinds, expected);
    assert_eq!(whole.trace()[3].to_string(), "    3 Write /d/f 1 B at 0");
    assert_eq!(whole.trace()[9].to_string(), "    9 Rename /d/f -> /d/h");
    for point in 0..13 {
        let disk = SimDisk::new();
        disk.freeze_after(point);
        assert!(!disk.is_frozen());
        let error = program(&disk).unwrap_err();
        assert!(is_power_loss(&error) && disk.is_frozen(), "{error}");
        assert_eq!(disk.trace(), whole.trace()[..point as usize]);
        let errors = [
            disk.read_dir(Path::new(ROOT)).map(drop).unwrap_err(),
            disk.create_dir_all(Path::new(ROOT)).unwrap_err(),
            disk.metadata(Path::new(ROOT)).map(drop).unwrap_err(),
        ];
        assert!(errors.iter().all(|error| is_power_loss(error)), "{errors:?}");
    }
}

#[test]
fn an_open_file_fails_after_power_loss_and_what_it_did_not_do_is_not_counted() {
    let disk = SimDisk::new();
    let file = open(&disk, "/f");
    file.write_at(0, b"x").unwrap();
    let before = disk.counters();
    disk.cut_power();
    assert!(is_power_loss(&file.read_at(0, &mut [0]).unwrap_err()));
    assert!(is_power_loss(&file.write_at(0, b"y").unwrap_err()));
    assert!(is_power_loss(&file.sync_data().unwrap_err()));
    assert_eq!(disk.counters(), before);
    assert_eq!(disk.crash(Crash::Everything).contents("/f").unwrap(), b"x");
}

#[test]
fn power_loss_is_found_below_other_errors() {
    #[derive(Debug)]
    struct Outer(io::Error);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("outer")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let disk = SimDisk::new();
    disk.cut_power();
    let lost = || disk.read_dir(Path::new(ROOT)).unwrap_err();
    assert!(is_power_loss(&Outer(lost())));
    assert!(is_power_loss(&io::Error::other(Outer(lost()))));
    assert!(is_power_loss(&io::Error::other(lost())));
    assert!(!is_power_loss(&Outer(io::ErrorKind::Other.into())));
}

#[test]
fn a_killed_process_leaves_the_page_cache_and_no_lock() {
    let disk = SimDisk::new();
    let file = open(&disk, "/f");
    let gone = open(&disk, "/gone");
    disk.remove_file(Path::new("/gone")).unwrap();
    file.write_at(0, b"unsynced").unwrap();
    let _lock = disk.lock(Path::new("/LOCK"), LockKind::Exclusive).unwrap();
    let next = disk.kill();
    assert_eq!(next.contents("/f").unwrap(), b"unsynced");
    assert!(next.crash(Crash::Nothing).contents("/f").is_err(), "still unsynced");
    let _taken = next.lock(Path::new("/LOCK"), LockKind::Exclusive).unwrap();
    assert_eq!(next.op_count(), 0);
    // What the dead process left running cannot reach the next one's disk.
    file.write_at(0, b"late").unwrap();
    gone.write_at(0, b"late").unwrap();
    assert_eq!(next.contents("/f").unwrap(), b"unsynced");
}

#[test]
fn a_crash_releases_locks_and_rules_and_keeps_clock_and_capacity() {
    let disk = SimDisk::new();
    let _lock = disk.lock(Path::new("/LOCK"), LockKind::Exclusive).unwrap();
    disk.settle();
    disk.set_capacity(Some(1 << 20));
    disk.advance(Duration::from_secs(5));
    disk.freeze_after(0);
    disk.inject(vfs_sim::Fault::fail(vfs_sim::DiskError::InputOutput));
    let left = disk.crash(Crash::Nothing);
    let _taken = left.lock(Path::new("/LOCK"), LockKind::Exclusive).unwrap();
    open(&left, "/f").write_at(0, b"x").unwrap();
    assert_eq!((left.now(), left.monotonic()), (disk.now(), disk.monotonic()));
    assert_eq!(left.free_space(Path::new(ROOT)).unwrap(), Some((1 << 20) - 4096));
}

#[test]
fn an_open_file_outlives_its_name_and_then_gives_its_space_back() {
    let disk = SimDisk::new();
    let file = open(&disk, "/f");
    file.write_at(0, &[1; 5000]).unwrap();
    disk.settle();
    disk.remove_file(Path::new("/f")).unwrap();
    let mut byte = [0];
    file.read_exact_at(4999, &mut byte).unwrap();
    assert_eq!(disk.used_space(), 8192);
    drop(file);
    assert_eq!(disk.used_space(), 0);
    assert!(disk.crash(Crash::Nothing).contents("/f").is_ok(), "the removal was not synced");
    disk.sync_dir(Path::new(ROOT)).unwrap();
    assert!(disk.crash(Crash::Nothing).contents("/f").is_err());
}

#[test]
fn a_file_replaced_by_a_rename_loses_a_name_and_with_the_last_its_space() {
    let disk = SimDisk::new();
    for path in ["/old", "/new1", "/new2"] {
        open(&disk, path).write_at(0, b"x").unwrap();
    }
    disk.hard_link(Path::new("/old"), Path::new("/link")).unwrap();
    disk.rename(Path::new("/new1"), Path::new("/old")).unwrap();
    assert_eq!(disk.metadata(Path::new("/link")).unwrap().links, 1);
    assert_eq!(disk.used_space(), 3 * 4096);
    disk.rename(Path::new("/new2"), Path::new("/link")).unwrap();
    assert_eq!(disk.used_space(), 2 * 4096);
}

#[test]
fn a_full_disk_refuses_what_does_not_fit_until_there_is_room() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(4 * 4096 + 100));
    let file = open(&disk, "/f");
    let free = |disk: &SimDisk| disk.free_space(Path::new(ROOT)).unwrap().unwrap();
    file.write_at(100, &[1; 4096]).unwrap();
    assert_eq!(free(&disk), 2 * 4096 + 100);
    file.write_at(0, &[2; 8192]).unwrap();
    file.set_len(1 << 40).unwrap();
    assert_eq!(free(&disk), 2 * 4096 + 100, "overwriting and holes take nothing");
    assert_eq!(file.allocate(8192, 3 * 4096).unwrap_err().kind(), io::ErrorKind::StorageFull);
    file.set_len(8192).unwrap();
    assert_eq!(file.write_at(8192, &[3; 3 * 4096]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 4 * 4096, "the pages that fit were written");
    file.write_at(0, &[4; 4 * 4096]).unwrap();

    let other = open(&disk, "/g");
    other.write_at(0, b"x").unwrap_err();
    file.set_len(4096).unwrap();
    other.allocate(0, 4096).unwrap();
    disk.set_capacity(Some(0));
    other.write_at(0, b"reserved").unwrap();
    other.write_at(4096, b"x").unwrap_err();
    disk.set_capacity(None);
    other.write_at(4096, b"x").unwrap();
    assert_eq!(disk.free_space(Path::new(ROOT)).unwrap(), None);
}

#[test]
fn time_moves_only_when_told_and_the_wall_clock_may_step_back() {
    let disk = SimDisk::with_seed(7);
    let (now, monotonic) = (disk.now(), disk.monotonic());
    assert_eq!((disk.now(), disk.monotonic()), (now, monotonic));
    disk.advance(Duration::from_millis(3));
    disk.set_now(Duration::from_secs(1));
    assert_eq!(disk.now(), Duration::from_secs(1));
    assert_eq!(disk.monotonic(), monotonic + Duration::from_millis(3));
    let drawn: Vec<u64> = (0..4).map(|_| disk.random_u64()).collect();
    disk.set_random_seed(7);
    assert_eq!(drawn, (0..4).map(|_| disk.random_u64()).collect::<Vec<_>>());
    assert_ne!(drawn[0], drawn[1]);
}

#[test]
fn threads_share_a_disk_and_counters_are_exact() {
    let disk = SimDisk::new();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let disk = &disk;
            scope.spawn(move || {
                let file = open(disk, &format!("/{thread}"));
                for at in 0..100 {
                    file.write_at(at * 8, &thread.to_le_bytes()).unwrap();
                    file.sync_data().unwrap();
                }
                disk.sync_dir(Path::new(ROOT)).unwrap();
            });
        }
    });
    let done = disk.counters();
    assert_eq!((done.writes, done.bytes_written, done.file_syncs, done.dir_syncs), (400, 3200, 400, 4));
    let left = disk.crash(Crash::Nothing);
    for thread in 0..4u64 {
        assert_eq!(left.contents(format!("/{thread}")).unwrap(), thread.to_le_bytes().repeat(100));
    }
}

#[test]
fn an_exported_disk_comes_back_the_same() {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/d/empty")).unwrap();
    open(&disk, "/d/f").write_at(5000, b"end").unwrap();
    disk.hard_link(Path::new("/d/f"), Path::new("/link")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    disk.export(dir.path()).unwrap();
    assert_eq!(std::fs::read(dir.path().join("link")).unwrap(), disk.contents("/d/f").unwrap());
    assert_eq!(disk.export(dir.path()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);

    let back = SimDisk::import(dir.path()).unwrap().crash(Crash::Nothing);
    assert_eq!(back.contents("/d/f").unwrap(), disk.contents("/d/f").unwrap());
    assert_eq!(back.metadata(Path::new("/link")).unwrap().links, 2);
    assert!(back.metadata(Path::new("/d/empty")).unwrap().is_dir);
    assert_eq!(back.op_count(), 0);
}
