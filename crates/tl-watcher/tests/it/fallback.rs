//! Where no events come from, the tree is scanned, and the reason is told.

use std::fs;
use std::time::{Duration, Instant};

use tl_watcher::{Backend, Error, Mode, RescanReason, ScanReason, WatchConfig, Watcher};

use crate::tree::{Tree, on_each_backend, reaches};

#[test]
fn without_events_everything_is_looked_at_from_time_to_time_and_at_a_drain() {
    let tree = Tree::with(Backend::Scan, |_| {}, |config| config.scan_interval = Duration::from_millis(1));
    let stats = tree.watcher.stats();
    assert_eq!(stats.mode, Mode::Scan);
    let reasons: Vec<_> = stats.scanned.iter().map(|(path, reason)| (path.is_root(), reason.clone())).collect();
    assert_eq!(reasons, [(true, ScanReason::Asked)]);
    for _ in 0..2 {
        let batch = tree.watcher.wait(Instant::now() + Duration::from_secs(60));
        assert_eq!(batch.rescan, Some(RescanReason::Periodic));
    }
    assert_eq!(tree.drain().rescan, Some(RescanReason::Periodic));
}

#[cfg(target_os = "linux")]
#[test]
fn beyond_the_limit_of_watches_directories_are_scanned() {
    let prepare = |root: &std::path::Path| {
        for name in ["a", "b", "c", "d"] {
            fs::create_dir_all(root.join(name).join("in")).unwrap();
        }
    };
    let tree = Tree::with(Backend::Native, prepare, |config| config.watches_max = 5);
    let stats = tree.watcher.stats();
    assert_eq!((stats.mode, stats.watches), (Mode::Native, 5));
    assert!(!stats.scanned.is_empty() && stats.scanned.iter().all(|(_, reason)| *reason == ScanReason::WatchLimit));
    for name in ["a", "b", "c", "d"] {
        tree.write(&format!("{name}/in/x"), "x");
    }
    let batch = tree.drain();
    for name in ["a", "b", "c", "d"] {
        assert!(reaches(&batch, format!("{name}/in/x")), "{name} in {batch:?}");
    }
    assert_eq!(batch.rescan, None, "the rest of the tree is known in detail");
}

#[cfg(target_os = "linux")]
#[test]
fn watches_that_become_free_are_used() {
    let prepare = |root: &std::path::Path| {
        for name in ["a", "b"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
    };
    let change = |config: &mut WatchConfig| {
        config.watches_max = 2;
        config.scan_interval = Duration::from_millis(1);
    };
    let tree = Tree::with(Backend::Native, prepare, change);
    let starved = tree.watcher.stats().scanned[0].0.clone();
    let watched = if starved.to_string() == "a" { "b" } else { "a" };
    fs::remove_dir(tree.path(watched)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !tree.watcher.stats().scanned.is_empty() {
        assert!(Instant::now() < deadline, "{:?}", tree.watcher.stats());
        tree.watcher.wait(Instant::now() + Duration::from_millis(5));
    }
    tree.drain();
    tree.write(&format!("{starved}/x"), "x");
    assert!(reaches(&tree.drain(), format!("{starved}/x")));
}

#[cfg(target_os = "linux")]
#[test]
fn a_filesystem_without_events_is_scanned_unless_it_is_forced() {
    use std::path::Path;
    use std::sync::Arc;
    // Everybody may read it, and the kernel makes it up.
    let root = Path::new("/proc/self/task");
    let rules = Arc::new(tl_watcher::IgnoreRules::open(root, Vec::new()).unwrap());
    let watcher = Watcher::start(WatchConfig::new(root, rules)).unwrap();
    let stats = watcher.stats();
    assert_eq!(stats.mode, Mode::Scan);
    assert_eq!(stats.scanned[0].1, ScanReason::PseudoFilesystem("proc"));
    assert!(stats.scanned[0].1.to_string().contains("/proc") || stats.scanned[0].1.to_string().contains("proc"));
}

#[test]
fn a_wrong_configuration_is_refused() {
    on_each_backend(|backend| {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file");
        fs::write(&file, "x").unwrap();
        let rules = std::sync::Arc::new(tl_watcher::IgnoreRules::open(scratch.path(), Vec::new()).unwrap());
        let mut config = WatchConfig::new(&file, rules.clone());
        config.backend = backend;
        assert!(matches!(Watcher::start(config), Err(Error::NotADirectory { .. })));
        let mut config = WatchConfig::new(scratch.path().join("absent"), rules.clone());
        config.backend = backend;
        assert!(matches!(Watcher::start(config), Err(Error::Io { .. })));
        let mut config = WatchConfig::new(scratch.path(), rules);
        config.settle.window = Duration::from_secs(1);
        assert!(matches!(Watcher::start(config), Err(Error::InvalidOption { .. })));
    });
}
