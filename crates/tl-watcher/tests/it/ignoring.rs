//! What is left out, and what is not.

use std::fs;
use std::sync::Arc;

use tl_watcher::{Backend, IgnoreRules, RelPath, WatchConfig, Watcher};

use crate::tree::{Tree, on_each_backend, reaches};

#[test]
fn ignored_files_and_directories_are_not_reported() {
    on_each_backend(|backend| {
        let tree = Tree::with(backend, |root| fs::write(root.join(".gitignore"), "*.o\ntarget/\n").unwrap(), |_| {});
        tree.write("target/debug/x", "x");
        tree.write("y.o", "x");
        assert!(tree.drain().is_empty());
        tree.write("target/debug/x", "y");
        assert!(tree.drain().is_empty());
    });
}

#[test]
fn what_is_recorded_is_watched_although_it_is_ignored() {
    on_each_backend(|backend| {
        let recorded = RelPath::new(*b"target/kept/x").unwrap();
        let keeps = move |path: &RelPath| recorded.starts_with(path);
        let prepare = |root: &std::path::Path| {
            fs::write(root.join(".gitignore"), "target/\n").unwrap();
            fs::create_dir_all(root.join("target/kept")).unwrap();
            fs::create_dir_all(root.join("target/not")).unwrap();
        };
        let tree = Tree::with(backend, prepare, |config| config.keeps = Arc::new(keeps));
        tree.write("target/kept/x", "x");
        tree.write("target/not/x", "x");
        let batch = tree.drain();
        assert!(reaches(&batch, "target/kept/x") && !reaches(&batch, "target/not/x"), "{batch:?}");
    });
}

#[test]
fn a_rule_that_is_taken_back_shows_what_it_hid_and_watches_it() {
    on_each_backend(|backend| {
        let prepare = |root: &std::path::Path| {
            fs::create_dir_all(root.join("a/hidden/deep")).unwrap();
            fs::write(root.join("a/.gitignore"), "hidden\n").unwrap();
        };
        let tree = Tree::with(backend, prepare, |_| {});
        tree.write("a/hidden/deep/x", "x");
        assert!(tree.drain().is_empty());
        tree.write("a/.gitignore", "");
        let batch = tree.drain();
        assert!(batch.rules_changed && reaches(&batch, "a/hidden/deep/x"), "{batch:?}");
        tree.write("a/hidden/deep/y", "x");
        assert!(reaches(&tree.drain(), "a/hidden/deep/y"));
    });
}

#[test]
fn a_new_rule_holds_from_the_next_event_on() {
    on_each_backend(|backend| {
        let tree = Tree::with(backend, |root| fs::create_dir(root.join("out")).unwrap(), |_| {});
        tree.write(".tlignore", "out/\n");
        assert!(tree.drain().rules_changed);
        tree.write("out/x", "x");
        assert!(tree.drain().is_empty());
    });
}

#[test]
fn nested_repositories_are_files_and_their_stores_are_not() {
    on_each_backend(|backend| {
        let tree = Tree::new(backend);
        tree.write("vendor/lib/src/x", "x");
        tree.write("vendor/lib/.git/index", "x");
        assert!(reaches(&tree.drain(), "vendor/lib/src/x"));
        tree.write("vendor/lib/.git/index", "y");
        tree.write(".jj/repo/store", "y");
        assert!(tree.drain().is_empty());
    });
}

#[test]
fn excludes_beside_the_tree_are_noticed_when_they_change() {
    on_each_backend(|backend| {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("root");
        fs::create_dir_all(root.join(".git/info")).unwrap();
        fs::create_dir(scratch.path().join("config")).unwrap();
        let global = scratch.path().join("config/ignore");
        let rules = Arc::new(IgnoreRules::open(&root, vec![global.clone()]).unwrap());
        let mut config = WatchConfig::new(&root, rules);
        config.backend = backend;
        let watcher = Watcher::start(config).unwrap();
        watcher.drain().unwrap();
        for (file, pattern, path) in
            [(global, "*.global\n", "x.global"), (root.join(".git/info/exclude"), "*.local\n", "x.local")]
        {
            fs::write(root.join(path), "x").unwrap();
            assert!(reaches(&watcher.drain().unwrap(), path));
            fs::write(&file, pattern).unwrap();
            assert!(watcher.drain().unwrap().rules_changed, "{}", file.display());
            fs::write(root.join(path), "y").unwrap();
            let batch = watcher.drain().unwrap();
            assert!(!reaches(&batch, path), "{batch:?}");
        }
    });
}

/// The event alone tells, as in the hours between two drains.
#[cfg(target_os = "linux")]
#[test]
fn a_repository_that_is_made_later_brings_its_excludes_along() {
    use std::time::{Duration, Instant};
    let tree = Tree::new(Backend::Native);
    fs::create_dir_all(tree.path(".git")).unwrap();
    tree.drain();
    fs::create_dir_all(tree.path(".git/info")).unwrap();
    fs::write(tree.path(".git/info/exclude"), "*.local\n").unwrap();
    let batch = tree.watcher.wait(Instant::now() + Duration::from_secs(60));
    assert!(batch.rules_changed, "{batch:?}");
}

/// If it fails, what another directory's rules left out at this path is left out for ever.
#[test]
fn the_rules_of_a_directory_that_left_do_not_hold_for_the_next_one_at_its_place() {
    on_each_backend(|backend| {
        let tree = Tree::new(backend);
        tree.write("place/.gitignore", "*\n");
        tree.write("place/hidden", "x");
        tree.drain();
        tree.write("place/hidden", "y");
        assert!(!reaches(&tree.drain(), "place/hidden"));
        fs::rename(tree.path("place"), tree.outside("elsewhere")).unwrap();
        fs::create_dir_all(tree.path("place/in")).unwrap();
        tree.drain();
        tree.write("place/seen", "x");
        tree.write("place/in/seen", "x");
        let batch = tree.drain();
        assert!(reaches(&batch, "place/seen") && reaches(&batch, "place/in/seen"), "{batch:?}");
    });
}

/// If it fails, what the rules leave in by now is left out for ever where no event tells that they changed.
#[test]
fn where_everything_is_scanned_the_rules_are_read_again() {
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join(".gitignore"), "file\n").unwrap();
    let rules = Arc::new(IgnoreRules::open(scratch.path(), Vec::new()).unwrap());
    let mut config = WatchConfig::new(scratch.path(), Arc::clone(&rules));
    config.backend = Backend::Scan;
    let watcher = Watcher::start(config).unwrap();
    watcher.drain().unwrap();
    let file = RelPath::new(*b"file").unwrap();
    assert!(rules.is_ignored(&file, false));
    fs::write(scratch.path().join(".gitignore"), "other\n").unwrap();
    assert!(watcher.drain().unwrap().rescan.is_some());
    assert!(!rules.is_ignored(&file, false));
}
