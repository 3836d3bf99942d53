//! Calls that fail, and damage.

use std::io;
use std::path::Path;
use std::sync::Arc;

use vfs::{File, OpenMode, Vfs};
use vfs_sim::{Crash, DiskError, Fault, OpKind, Outcome, SimDisk, SyncLoss};

fn open(disk: &SimDisk, path: &str) -> Arc<dyn File> {
    disk.open(Path::new(path), OpenMode::OpenOrCreate).unwrap()
}

fn is_eio(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

#[test]
fn a_rule_strikes_the_calls_it_names_and_no_others() {
    let disk = SimDisk::new();
    let (log, table) = (open(&disk, "/log"), open(&disk, "/table"));
    let rule = Fault::fail(DiskError::InputOutput).on([OpKind::Write]).at(|path| path.ends_with("log")).nth(1);
    let rule = disk.inject(rule);
    table.write_at(0, b"1").unwrap();
    table.write_at(0, b"2").unwrap();
    log.write_at(0, b"1").unwrap();
    assert_eq!(disk.fault_hits(rule), 0);
    assert!(is_eio(&log.write_at(0, b"2").unwrap_err()));
    log.write_at(1, b"3").unwrap();
    assert_eq!(disk.contents("/log").unwrap(), b"13", "a failed call has no effect");
    assert_eq!(disk.fault_hits(rule), 1);
    let failed: Vec<_> = disk.trace().into_iter().filter(|op| matches!(op.outcome, Outcome::Failed(_))).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!((failed[0].number, failed[0].kind), (5, OpKind::Write));

    disk.inject(Fault::fail(DiskError::InputOutput).on([OpKind::Write]).from_nth(1));
    log.write_at(0, b"1").unwrap();
    log.write_at(0, b"1").unwrap_err();
    log.write_at(0, b"1").unwrap_err();
    disk.clear_faults();
    log.write_at(0, b"1").unwrap();
}

#[test]
fn of_two_rules_for_one_call_the_older_decides_and_both_have_struck() {
    let disk = SimDisk::new();
    let file = open(&disk, "/f");
    let older = disk.inject(Fault::fail(DiskError::InputOutput));
    let younger = disk.inject(Fault::fail(DiskError::NoSpace));
    assert!(is_eio(&file.write_at(0, b"x").unwrap_err()));
    assert_eq!((disk.fault_hits(older), disk.fault_hits(younger)), (1, 1));
}

#[test]
fn every_kind_of_call_can_be_made_to_fail() {
    let disk = SimDisk::new();
    let file = open(&disk, "/f");
    let all = disk.inject(Fault::fail(DiskError::Os(rustix::io::Errno::IO.raw_os_error())));
    let (root, path, other) = (Path::new("/"), Path::new("/f"), Path::new("/g"));
    let errors = [
        disk.open(path, OpenMode::Read).map(drop),
        disk.open(other, OpenMode::CreateNew).map(drop),
        disk.create_dir_all(other),
        disk.read_dir(root).map(drop),
        disk.rename(path, other),
        disk.hard_link(path, other),
        disk.remove_file(path),
        disk.sync_dir(root),
        disk.metadata(path).map(drop),
        disk.lock(path, vfs::LockKind::Shared).map(drop),
        disk.free_space(root).map(drop),
        file.read_at(0, &mut [0]).map(drop),
        file.write_at(0, b"x"),
        file.sync_data(),
        file.sync_all(),
        file.set_len(1),
        file.allocate(0, 1),
        file.len().map(drop),
        file.drop_cache(),
    ];
    assert_eq!(disk.fault_hits(all), errors.len() as u64);
    assert!(errors.iter().all(|result| result.as_ref().is_err_and(is_eio)), "{errors:?}");
    disk.remove_fault(all);
    assert_eq!(disk.read_dir(root).unwrap(), [path], "nothing happened");
}

#[test]
fn short_reads_and_writes_do_a_part() {
    let disk = SimDisk::new();
    let file = open(&disk, "/f");
    file.write_at(0, b"abcdef").unwrap();
    disk.inject(Fault::short_read(4));
    let mut buf = [0; 6];
    assert_eq!(file.read_at(0, &mut buf).unwrap(), 4);
    file.read_exact_at(0, &mut buf).unwrap();
    assert_eq!(&buf, b"abcdef");
    disk.inject(Fault::short_write(2, DiskError::NoSpace));
    assert_eq!(file.write_at(0, b"XYZ").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.contents("/f").unwrap(), b"XYcdef");
}

#[test]
fn an_interrupted_read_is_tried_again_by_read_exact() {
    let disk = SimDisk::new();
    let file = open(&disk, "/f");
    file.write_at(0, b"ab").unwrap();
    let rule = disk.inject(Fault::fail(DiskError::Interrupted).on([OpKind::Read]).nth(0));
    file.read_exact_at(0, &mut [0; 2]).unwrap();
    assert_eq!(disk.fault_hits(rule), 1);
}

#[test]
fn probability_is_decided_by_the_seed() {
    let run = |seed| -> Vec<bool> {
        let disk = SimDisk::new();
        let file = open(&disk, "/f");
        disk.inject(Fault::fail(DiskError::InputOutput).on([OpKind::Write]).with_probability(0.3, seed));
        (0..1000).map(|_| file.write_at(0, b"x").is_err()).collect()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    let struck = run(3).into_iter().filter(|failed| *failed).count();
    assert!((200..400).contains(&struck), "{struck} of 1000");
}

#[test]
fn a_lost_sync_shows_in_the_cache_what_the_disk_never_gets() {
    let disk = SimDisk::new();
    let file = open(&disk, "/f");
    file.write_at(0, b"old").unwrap();
    disk.settle();
    disk.inject(Fault::lost_sync(SyncLoss::All).nth(0));
    file.write_at(0, b"new").unwrap();
    assert!(is_eio(&file.sync_data().unwrap_err()));
    file.sync_data().unwrap();
    file.write_at(3, b"+").unwrap();
    file.sync_all().unwrap();
    assert_eq!(disk.contents("/f").unwrap(), b"new+", "the page cache looks well");
    assert_eq!(disk.durable_contents("/f").unwrap(), b"old+", "and is not");
    for crash in [Crash::Nothing, Crash::Everything, Crash::Random(1)] {
        assert_eq!(disk.crash(crash).contents("/f").unwrap(), b"old+");
    }
    assert_eq!(disk.kill().contents("/f").unwrap(), b"new+", "the next process still sees the cache");
    file.drop_cache().unwrap();
    assert_eq!(disk.contents("/f").unwrap(), b"old+");
}

#[test]
fn a_lost_sync_may_leave_the_length_or_any_part() {
    let lose = |loss| {
        let disk = SimDisk::new();
        let file = open(&disk, "/f");
        disk.settle();
        disk.inject(Fault::lost_sync(loss));
        file.write_at(0, &[1; 512]).unwrap();
        file.write_at(512, &[2; 512]).unwrap();
        file.sync_data().unwrap_err();
        file.drop_cache().unwrap();
        disk.contents("/f").unwrap()
    };
    assert_eq!(lose(SyncLoss::All), []);
    assert_eq!(lose(SyncLoss::Data), [0; 1024]);
    let parts: std::collections::BTreeSet<_> = (0..100).map(|seed| lose(SyncLoss::Some { seed })).collect();
    assert!(parts.contains(&[[1; 512], [2; 512]].concat()) && parts.len() > 4, "{} outcomes", parts.len());
}

#[test]
fn a_sync_that_merely_fails_can_be_made_good_and_a_lost_one_of_a_directory_not() {
    let disk = SimDisk::new();
    open(&disk, "/f").write_at(0, b"x").unwrap();
    let rule = disk.inject(Fault::fail(DiskError::InputOutput).on([OpKind::SyncDir]));
    disk.sync_dir(Path::new("/")).unwrap_err();
    disk.remove_fault(rule);
    disk.sync_dir(Path::new("/")).unwrap();
    assert!(disk.crash(Crash::Nothing).contents("/f").is_ok());

    open(&disk, "/g");
    disk.inject(Fault::lost_sync(SyncLoss::All).nth(0));
    disk.sync_dir(Path::new("/")).unwrap_err();
    disk.sync_dir(Path::new("/")).unwrap();
    assert!(disk.contents("/g").is_ok());
    assert!(disk.crash(Crash::Everything).contents("/g").is_err());
}

#[test]
fn an_ignored_sync_makes_nothing_durable_and_the_next_one_does() {
    let disk = SimDisk::new();
    let file = open(&disk, "/f");
    disk.settle();
    disk.ignore_syncs(|sync| sync.nth == 1);
    for (len, durable) in [(1, 1), (2, 1), (3, 3)] {
        file.write_at(0, &vec![7; len]).unwrap();
        file.sync_data().unwrap();
        assert_eq!(disk.durable_contents("/f").unwrap().len(), durable);
    }
    assert_eq!(disk.trace().iter().filter(|op| op.outcome == Outcome::Ignored).count(), 1);
    assert_eq!(disk.counters().file_syncs, 3);
    disk.ignore_syncs(|sync| sync.path.ends_with("f") && sync.kind == OpKind::SyncAll);
    file.set_len(0).unwrap();
    file.sync_all().unwrap();
    assert_eq!(disk.durable_contents("/f").unwrap().len(), 3);
    disk.honour_syncs();
    file.sync_all().unwrap();
    assert_eq!(disk.durable_contents("/f").unwrap().len(), 0);
}

#[test]
fn damage_is_on_the_disk_and_in_the_cache() {
    let disk = SimDisk::new();
    let file = open(&disk, "/f");
    file.write_at(0, &[0xf0; 10_000]).unwrap();
    disk.settle();
    file.write_at(9_000, &[0xaa; 100]).unwrap();
    disk.flip_bit("/f", 5_000, 7).unwrap();
    disk.zero("/f", 4_090..4_100).unwrap();
    disk.corrupt("/f", 100..200, 1).unwrap();
    for bytes in [disk.contents("/f").unwrap(), disk.durable_contents("/f").unwrap()] {
        assert_eq!(bytes[5_000], 0x70);
        assert_eq!((bytes[4_089], bytes[4_099], bytes[4_100]), (0xf0, 0, 0xf0));
        assert!(bytes[100..200].iter().all(|byte| *byte != 0xf0));
        assert_eq!((bytes[99], bytes[200]), (0xf0, 0xf0));
    }
    for (range, bit) in [(10_000, 0), (0, 8)] {
        assert_eq!(disk.flip_bit("/f", range, bit).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
    assert_eq!(disk.zero("/f", 9_999..10_001).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    // What was unsynced when the damage was done reaches the disk unharmed.
    disk.flip_bit("/f", 9_000, 0).unwrap();
    assert_eq!(disk.contents("/f").unwrap()[9_000], 0xab);
    file.sync_data().unwrap();
    file.drop_cache().unwrap();
    assert_eq!(disk.contents("/f").unwrap()[9_000], 0xaa);
    assert_eq!(disk.contents("/f").unwrap()[5_000], 0x70);
}
