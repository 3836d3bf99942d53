use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::batch::{Batch, RescanReason};
use crate::rules::IgnoreRules;

struct Fixture {
    scratch: tempfile::TempDir,
    changes: Arc<Changes>,
    engine: NativeEngine,
}

impl Fixture {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let rules = Arc::new(IgnoreRules::open(scratch.path(), Vec::new()).unwrap());
        let config = WatchConfig::new(scratch.path(), rules);
        let changes = Arc::new(Changes::new(&config));
        let root = fs::File::open(scratch.path()).unwrap().into();
        let engine = NativeEngine::start(&config, &changes, root, true).map_err(|error| error.0).unwrap();
        changes.take_all();
        Self { scratch, changes, engine }
    }

    fn path(&self) -> &Path {
        self.scratch.path()
    }

    fn drain(&self) -> Batch {
        self.engine.drain().unwrap();
        self.changes.take_all()
    }
}

fn queue_len_max() -> usize {
    fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap()
}

/// A real overflow: nobody reads while more happens than the kernel's queue holds. Everything must be looked at again, and what was made
/// meanwhile must be watched afterwards.
#[test]
fn after_an_overflow_everything_is_reported_and_watched() {
    let fixture = Fixture::new();
    let root = fixture.path();
    fs::create_dir_all(root.join("moved/inner")).unwrap();
    fs::create_dir_all(root.join("removed")).unwrap();
    fixture.drain();
    let held = fixture.engine.hold();
    let (a, b) = (root.join("a"), root.join("b"));
    // Two files in turn, as equal events next to each other are one. A write is at least two events.
    for _ in 0..queue_len_max() / 4 + 100 {
        fs::write(&a, b"x").unwrap();
        fs::write(&b, b"y").unwrap();
    }
    fs::rename(root.join("moved"), root.join("elsewhere")).unwrap();
    fs::remove_dir(root.join("removed")).unwrap();
    fs::create_dir_all(root.join("new/deep")).unwrap();
    drop(held);

    let batch = fixture.drain();
    assert_eq!(batch.rescan, Some(RescanReason::Overflow));
    assert_eq!(fixture.changes.counters().overflows, 1);

    fs::write(root.join("elsewhere/inner/x"), b"").unwrap();
    fs::write(root.join("new/deep/y"), b"").unwrap();
    let batch = fixture.drain();
    assert_eq!(batch.rescan, None, "what comes after is known in detail again");
    let paths: Vec<&[u8]> = batch.paths.iter().map(|path| path.as_bytes()).collect();
    assert_eq!(paths, [&b"elsewhere/inner/x"[..], b"new/deep/y"]);
    // The root, elsewhere, inner, new, deep: what the lost events would have removed is gone from the table.
    assert_eq!(fixture.engine.stats().watches, 5);
}

/// The dirty set is bounded: a flood of events is described more coarsely, and the first event after it is exact again.
#[test]
fn events_in_runs_are_about_their_own_directories() {
    let fixture = Fixture::new();
    let root = fixture.path();
    for directory in ["one", "two"] {
        fs::create_dir(root.join(directory)).unwrap();
    }
    fixture.drain();
    let held = fixture.engine.hold();
    for round in 0..3 {
        fs::write(root.join("one").join(format!("{round}")), b"").unwrap();
        fs::write(root.join("two").join(format!("{round}")), b"").unwrap();
    }
    fs::rename(root.join("one"), root.join("three")).unwrap();
    fs::write(root.join("three/late"), b"").unwrap();
    drop(held);
    let batch = fixture.drain();
    let subtrees: Vec<&[u8]> = batch.subtrees.iter().map(|path| path.as_bytes()).collect();
    assert_eq!(subtrees, [b"three"]);
    assert!(batch.paths.iter().any(|path| path.as_bytes() == b"one"), "the old place is looked at");
    for round in 0..3 {
        let path = format!("two/{round}");
        assert!(batch.paths.iter().any(|found| found.as_bytes() == path.as_bytes()), "{path}");
    }
}

#[test]
fn a_directory_that_left_the_tree_gives_its_watches_back() {
    let fixture = Fixture::new();
    let outside = tempfile::tempdir_in(fixture.path().parent().unwrap()).unwrap();
    fs::create_dir_all(fixture.path().join("a/b/c")).unwrap();
    fixture.drain();
    assert_eq!(fixture.engine.stats().watches, 4);
    fs::rename(fixture.path().join("a"), outside.path().join("a")).unwrap();
    fixture.drain();
    {
        let mut native = fixture.engine.hold();
        for departure in &mut native.moves {
            departure.since = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        }
        native.give_up_moves();
    }
    assert_eq!(fixture.engine.stats().watches, 1);
    fs::write(outside.path().join("a/b/c/x"), b"").unwrap();
    assert!(fixture.drain().is_empty());
}

/// If it fails, a directory that leaves the tree and comes back to its place at once is given up a moment later, with everything beneath it, and what was made
/// in it meanwhile is never watched: nothing that happens there is noticed.
#[test]
fn a_directory_that_comes_back_to_its_place_stays_watched_with_what_was_made_in_it() {
    let fixture = Fixture::new();
    let outside = tempfile::tempdir_in(fixture.path().parent().unwrap()).unwrap();
    let (place, away) = (fixture.path().join("place"), outside.path().join("away"));
    fs::create_dir_all(place.join("old")).unwrap();
    fixture.drain();
    let mut held = fixture.engine.hold();
    fs::rename(&place, &away).unwrap();
    fs::create_dir_all(away.join("new/deep")).unwrap();
    held.read_events(usize::MAX).unwrap();
    fs::rename(&away, &place).unwrap();
    held.drain().unwrap();
    assert!(held.moves.is_empty(), "it is back, and still taken for one that left");
    // Whatever is still waited for has waited long enough.
    for departure in &mut held.moves {
        departure.since -= MOVE_PATIENCE;
    }
    held.give_up_moves();
    drop(held);
    fixture.changes.take_all();
    for path in ["place/old/a", "place/new/b", "place/new/deep/c"] {
        fs::write(fixture.path().join(path), "x").unwrap();
        let batch = fixture.drain();
        assert!(batch.paths.iter().any(|found| found.as_bytes() == path.as_bytes()), "{path}: {batch:?}");
    }
}

/// If it fails, a directory that gives its place to another for a moment and takes it again is held for one with two paths, and only scanned from then on.
#[test]
fn a_directory_that_takes_its_place_again_from_another_has_one_path() {
    let fixture = Fixture::new();
    let outside = tempfile::tempdir_in(fixture.path().parent().unwrap()).unwrap();
    let (place, away) = (fixture.path().join("place"), outside.path().join("away"));
    fs::create_dir(&place).unwrap();
    fixture.drain();
    let mut held = fixture.engine.hold();
    fs::rename(&place, &away).unwrap();
    fs::create_dir(&place).unwrap();
    held.drain().unwrap();
    fs::remove_dir(&place).unwrap();
    fs::rename(&away, &place).unwrap();
    held.drain().unwrap();
    held.drain().unwrap();
    drop(held);
    fixture.changes.take_all();
    assert_eq!(fixture.changes.scanned(), []);
    fs::write(place.join("a"), "x").unwrap();
    assert!(fixture.drain().paths.iter().any(|found| found.as_bytes() == b"place/a"));
}

/// If it fails, what happens in a directory while the table has it at another's place is told under that other path alone, and is missed.
#[test]
fn what_was_told_under_a_wrong_path_is_told_again_once_the_directory_is_found() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let fixture = Fixture::new();
    let (one, two) = (fixture.path().join("one"), fixture.path().join("two"));
    fs::create_dir_all(one.join("in/deep")).unwrap();
    fs::create_dir_all(two.join("in/deep")).unwrap();
    fixture.drain();
    let mut held = fixture.engine.hold();
    renameat_with(CWD, &one, CWD, &two, RenameFlags::EXCHANGE).unwrap();
    // Two moves, of which the second seems to begin where the first has just ended: the table has each at the other's place until a scan comes by.
    held.read_events(usize::MAX).unwrap();
    // The consumer looks at both now, before this.
    fixture.changes.take_all();
    for path in ["one/in/deep/a", "two/in/deep/b"] {
        fs::write(fixture.path().join(path), "x").unwrap();
    }
    held.drain().unwrap();
    drop(held);
    let batch = fixture.changes.take_all();
    for directory in ["one", "two"] {
        let found = batch.subtrees.iter().any(|above| above.as_bytes() == directory.as_bytes());
        assert!(found, "{directory}: {batch:?}");
    }
}

/// If it fails, of two directories that change places one is known under a wrong path from then on, when a scan comes between the two halves.
#[test]
fn directories_that_change_places_while_a_scan_comes_by_are_both_found() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let fixture = Fixture::new();
    let (one, two) = (fixture.path().join("one"), fixture.path().join("two"));
    fs::create_dir(&one).unwrap();
    fs::create_dir(&two).unwrap();
    fixture.drain();
    let mut held = fixture.engine.hold();
    renameat_with(CWD, &one, CWD, &two, RenameFlags::EXCHANGE).unwrap();
    // Room for two events of four: one's departure, and its arrival at two.
    held.buffer = vec![MaybeUninit::uninit(); 64].into();
    assert_eq!(held.read_events(1).unwrap(), 2);
    while held.has_tasks() {
        held.scan_slice();
    }
    held.buffer = vec![MaybeUninit::uninit(); BUFFER_LEN].into();
    held.drain().unwrap();
    assert!(held.moves.is_empty());
    drop(held);
    fixture.changes.take_all();
    for path in ["one/a", "two/b"] {
        fs::write(fixture.path().join(path), "x").unwrap();
        let batch = fixture.drain();
        assert!(batch.paths.iter().any(|found| found.as_bytes() == path.as_bytes()), "{path}: {batch:?}");
    }
}

/// If it fails, a directory that is new is taken for one that left the tree, and its watch is given back.
#[test]
fn a_departure_does_not_outlive_the_node_that_a_census_removed() {
    let fixture = Fixture::new();
    let outside = tempfile::tempdir_in(fixture.path().parent().unwrap()).unwrap();
    fs::create_dir(fixture.path().join("gone")).unwrap();
    fixture.drain();
    let mut held = fixture.engine.hold();
    fs::rename(fixture.path().join("gone"), outside.path().join("away")).unwrap();
    held.read_events(usize::MAX).unwrap();
    held.verify(b"");
    while held.has_tasks() {
        held.scan_slice();
    }
    fs::create_dir(fixture.path().join("new")).unwrap();
    held.drain().unwrap();
    for departure in &mut held.moves {
        departure.since -= MOVE_PATIENCE;
    }
    held.give_up_moves();
    drop(held);
    fixture.changes.take_all();
    fs::write(fixture.path().join("new/a"), "x").unwrap();
    assert!(fixture.drain().paths.iter().any(|found| found.as_bytes() == b"new/a"));
}

/// If it fails, a directory that moves to another place and back while a scan meets it is held for one with two paths, and one of them is scanned
/// for ever.
#[test]
fn without_a_mount_no_directory_has_two_paths() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path().join("a")).unwrap();
    fixture.drain();
    let mut held = fixture.engine.hold();
    let node = held.table.find(b"a").unwrap();
    let directory = fs::File::open(fixture.path().join("a")).unwrap().into();
    assert!(!held.is_alias(node, b"b", &directory));
}

/// If it fails, a directory that was made in one that could not be searched for a moment is never watched.
#[test]
fn what_was_made_in_a_directory_that_was_shut_for_a_moment_is_watched() {
    use std::os::unix::fs::PermissionsExt;
    // The right to pass all permissions is given up by this thread alone, if it has it.
    let scenario = || {
        let fixture = Fixture::new();
        let shut = fixture.path().join("shut");
        fs::create_dir(&shut).unwrap();
        fixture.drain();
        let mut held = fixture.engine.hold();
        obey_permissions();
        fs::create_dir(shut.join("new")).unwrap();
        fs::set_permissions(&shut, fs::Permissions::from_mode(0o0)).unwrap();
        held.drain().unwrap();
        assert!(fixture.changes.counters().denied > 0);
        fs::set_permissions(&shut, fs::Permissions::from_mode(0o700)).unwrap();
        held.drain().unwrap();
        fixture.changes.take_all();
        fs::write(shut.join("new/a"), "x").unwrap();
        held.drain().unwrap();
        let batch = fixture.changes.take_all();
        assert!(batch.paths.iter().any(|found| found.as_bytes() == b"shut/new/a"), "{batch:?}");
        drop(held);
    };
    std::thread::scope(|scope| scope.spawn(scenario).join().unwrap());
}

/// If it fails, whoever touches a few directories over and over makes the watcher grow with every touch.
#[test]
fn directories_that_are_touched_over_and_over_are_listed_once() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new();
    let directories = ["a", "b"].map(|name| fixture.path().join(name));
    directories.iter().for_each(|directory| fs::create_dir(directory).unwrap());
    fixture.drain();
    let mut held = fixture.engine.hold();
    for round in 0..100 {
        for directory in &directories {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700 | (round % 2))).unwrap();
        }
    }
    held.read_events(usize::MAX).unwrap();
    assert_eq!(held.incoming.len(), 2);
}

fn obey_permissions() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    let mut sets = capabilities(None).unwrap();
    sets.effective.remove(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH);
    set_capabilities(None, sets).unwrap();
}
