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
