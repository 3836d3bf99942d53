//! What happens to the root itself.

use std::fs;

use tl_watcher::{Mode, RootEvent};

use crate::tree::{Tree, on_each_backend, reaches};

#[test]
fn a_removed_root_is_told_and_is_no_empty_state() {
    on_each_backend(|backend| {
        let tree = Tree::with(backend, |root| fs::create_dir_all(root.join("a/b")).unwrap(), |_| {});
        tree.write("a/b/x", "x");
        fs::remove_dir_all(tree.root()).unwrap();
        let batch = tree.drain();
        assert_eq!(batch.root, Some(RootEvent::Removed), "{batch:?}");
        assert!(!reaches(&batch, "a/b/x"), "what was in it does not count as deleted");
        assert_eq!(tree.watcher.stats().mode, Mode::Ended(RootEvent::Removed));
        assert!(tree.drain().is_empty(), "it is told once");
    });
}

#[test]
fn a_moved_root_is_told_and_watched_on() {
    on_each_backend(|backend| {
        let tree = Tree::new(backend);
        fs::rename(tree.root(), tree.outside("moved")).unwrap();
        let batch = tree.drain();
        let place = tree.outside("moved");
        assert_eq!(batch.root, Some(RootEvent::Moved(Some(place.canonicalize().unwrap()))), "{batch:?}");
        fs::write(place.join("x"), "x").unwrap();
        assert!(reaches(&tree.drain(), "x"));
    });
}

#[test]
fn another_directory_in_the_roots_place_is_told() {
    on_each_backend(|backend| {
        let tree = Tree::new(backend);
        fs::rename(tree.root(), tree.outside("moved")).unwrap();
        fs::create_dir(tree.root()).unwrap();
        assert_eq!(tree.drain().root, Some(RootEvent::Replaced));
    });
}

#[test]
fn without_events_the_end_of_the_root_is_found_all_the_same() {
    use std::time::{Duration, Instant};
    let change = |config: &mut tl_watcher::WatchConfig| config.scan_interval = Duration::from_millis(1);
    let tree = Tree::with(tl_watcher::Backend::Scan, |_| {}, change);
    fs::remove_dir_all(tree.root()).unwrap();
    let batch = tree.watcher.wait(Instant::now() + Duration::from_secs(60));
    assert_eq!((batch.root, batch.rescan), (Some(RootEvent::Removed), None));
}

/// Without a drain: the events alone tell.
#[cfg(target_os = "linux")]
#[test]
fn the_removal_of_the_root_ends_the_wait() {
    use std::time::{Duration, Instant};
    let tree = Tree::new(tl_watcher::Backend::Native);
    fs::remove_dir_all(tree.root()).unwrap();
    let batch = tree.watcher.wait(Instant::now() + Duration::from_secs(60));
    assert_eq!(batch.root, Some(RootEvent::Removed), "{batch:?}");
}
