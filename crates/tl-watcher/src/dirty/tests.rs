use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn set(limits: DirtyLimits) -> DirtySet {
    DirtySet::new(limits, SettleOptions::default())
}

fn shown(paths: &[RelPath]) -> Vec<String> {
    paths.iter().map(|path| path.as_path().display().to_string()).collect()
}

/// True if a consumer of `batch` looks at `path`, whose entry is not a directory that is recorded.
fn reaches(batch: &Batch, path: &[u8]) -> bool {
    batch.rescan.is_some()
        || batch.paths.iter().any(|known| known.as_bytes() == path)
        || batch.listings.iter().any(|known| known.as_bytes() == split(path).0)
        || batch.subtrees.iter().any(|known| is_within(path, known.as_bytes()))
}

#[test]
fn a_path_that_changes_often_is_held_once() {
    let now = Instant::now();
    let mut dirty = set(DirtyLimits::default());
    for _ in 0..1000 {
        dirty.mark(b"src", b"main.rs", Activity::Settled, Pace::Quick, now);
    }
    assert_eq!(dirty.len(), 1);
    assert_eq!(shown(&dirty.take_all().paths), ["src/main.rs"]);
    assert!(dirty.is_empty());
}

#[test]
fn what_is_not_due_stays() {
    let now = Instant::now();
    let mut dirty = set(DirtyLimits::default());
    dirty.mark(b"", b"open.log", Activity::Modified, Pace::Quick, now);
    dirty.mark(b"src", b"saved", Activity::Settled, Pace::Quick, now);
    let soon = now + Duration::from_millis(4);
    assert_eq!(dirty.next_due(Pace::Quick), Some(soon));
    assert_eq!(shown(&dirty.take_due(Pace::Quick, soon).paths), ["src/saved"]);
    assert!(dirty.take_due(Pace::Quick, soon).is_empty());
    let later = now + Duration::from_secs(2);
    assert_eq!(shown(&dirty.take_due(Pace::Quick, later).paths), ["open.log"]);
}

#[test]
fn nothing_is_named_twice() {
    let now = Instant::now();
    let mut dirty = set(DirtyLimits::default());
    for name in ["a", "b"] {
        dirty.mark(b"list", name.as_bytes(), Activity::Settled, Pace::Quick, now);
    }
    dirty.mark_listing(b"list", Activity::Settled, Pace::Quick, now);
    dirty.mark(b"tree/deep", b"c", Activity::Settled, Pace::Quick, now);
    dirty.mark_listing(b"tree/deep", Activity::Settled, Pace::Quick, now);
    dirty.mark_subtree(b"tree", RescanReason::Overflow, Pace::Quick, now);
    dirty.mark_subtree(b"tree/deep", RescanReason::Overflow, Pace::Quick, now);
    // Sorted by bytes this stands between `tree` and `tree/deep`, and must not hide the one from the other.
    dirty.mark_subtree(b"tree-2", RescanReason::Overflow, Pace::Quick, now);
    let batch = dirty.take_all();
    assert_eq!(shown(&batch.subtrees), ["tree", "tree-2"]);
    assert_eq!(shown(&batch.listings), ["list"]);
    assert!(batch.paths.is_empty(), "{:?}", batch.paths);
}

#[test]
fn a_crowded_directory_becomes_a_listing_and_keeps_its_new_subtrees() {
    let now = Instant::now();
    let mut dirty = set(DirtyLimits { names_per_directory_max: 10, ..DirtyLimits::default() });
    dirty.mark_subtree(b"crowd/new", RescanReason::Overflow, Pace::Quick, now);
    for count in 0..50 {
        dirty.mark(b"crowd", format!("{count}").as_bytes(), Activity::Modified, Pace::Quick, now);
    }
    let batch = dirty.take_all();
    assert_eq!(shown(&batch.listings), ["crowd"]);
    assert_eq!(shown(&batch.subtrees), ["crowd/new"]);
    assert!(batch.paths.is_empty());
}

#[test]
fn more_directories_than_the_bound_are_a_rescan() {
    let now = Instant::now();
    let mut dirty = set(DirtyLimits { directories_max: 8, ..DirtyLimits::default() });
    for count in 0..9 {
        dirty.mark(format!("{count}").as_bytes(), b"x", Activity::Settled, Pace::Quick, now);
    }
    assert_eq!(dirty.take_all().rescan, Some(RescanReason::DirtySetFull));
}

#[test]
fn a_pending_subtree_covers_what_is_beneath_it_until_it_is_taken() {
    let now = Instant::now();
    let mut dirty = set(DirtyLimits::default());
    dirty.mark_subtree(b"a/new", RescanReason::Overflow, Pace::Quick, now);
    assert!(dirty.covers(b"a/new") && dirty.covers(b"a/new/x/y"));
    assert!(!dirty.covers(b"a") && !dirty.covers(b"a/newer") && !dirty.covers(b""));
    dirty.take_all();
    assert!(!dirty.covers(b"a/new"));
    dirty.mark_rescan(RescanReason::Overflow, Pace::Quick, now);
    assert!(dirty.covers(b""));
}

#[derive(Debug, Clone)]
enum Step {
    Mark(u8, u8, bool),
    Subtree(u8),
    Listing(u8),
    TakeDue(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u8..12, 0u8..12, any::<bool>()).prop_map(|(directory, name, open)| Step::Mark(directory, name, open)),
        1 => (0u8..12).prop_map(Step::Subtree),
        1 => (0u8..12).prop_map(Step::Listing),
        2 => (0u16..3000).prop_map(Step::TakeDue),
    ]
}

fn directory(number: u8) -> Vec<u8> {
    match number {
        0 => Vec::new(),
        1..6 => format!("d{number}").into_bytes(),
        _ => format!("d{}/e{number}", number % 5 + 1).into_bytes(),
    }
}

proptest! {
    /// However small the bounds, whatever was marked is reached by a batch that is taken afterwards, and the bounds hold.
    #[test]
    fn no_mark_is_ever_lost(
        steps in prop::collection::vec(step(), 1..200),
        names_per_directory_max in 1usize..6,
        names_max in 1usize..20,
        directories_max in 1usize..14,
    ) {
        let mut dirty = set(DirtyLimits { names_per_directory_max, names_max, directories_max });
        let mut now = Instant::now();
        let mut expected: BTreeSet<Vec<u8>> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Mark(parent, name, open) => {
                    let activity = if open { Activity::Modified } else { Activity::Settled };
                    let name = format!("f{name}").into_bytes();
                    dirty.mark(&directory(parent), &name, activity, Pace::Quick, now);
                    expected.insert(join(&directory(parent), &name));
                }
                Step::Subtree(parent) => {
                    dirty.mark_subtree(&directory(parent), RescanReason::Overflow, Pace::Quick, now);
                    expected.insert(join(&directory(parent), b"x/y/z"));
                }
                Step::Listing(parent) => {
                    dirty.mark_listing(&directory(parent), Activity::Settled, Pace::Quick, now);
                    expected.insert(join(&directory(parent), b"listed"));
                }
                Step::TakeDue(elapsed) => {
                    now += Duration::from_millis(elapsed.into());
                    let batch = dirty.take_due(Pace::Quick, now);
                    expected.retain(|path| !reaches(&batch, path));
                }
            }
            prop_assert!(dirty.names <= names_max.max(1));
            prop_assert!(dirty.directories.len() <= directories_max);
            prop_assert_eq!(dirty.names, dirty.directories.values().map(|entry| entry.names.len()).sum::<usize>());
        }
        let batch = dirty.take_all();
        for path in expected {
            prop_assert!(reaches(&batch, &path), "{} is not in {:?}", path.escape_ascii(), batch);
        }
    }
}
