//! What every consumer relies on.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tl_watcher::{Backend, Fidelity, RelPath, SpecialKind};

use crate::mirror::odd_name;
use crate::tree::{Tree, on_each_backend, reaches};

fn far() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[test]
fn a_save_is_handed_out_without_being_asked_for() {
    on_each_backend(|backend| {
        let tree = Tree::new(backend);
        tree.write("saved", "x");
        let batch = tree.watcher.wait(far());
        assert!(reaches(&batch, "saved"), "{batch:?}");
    });
}

#[test]
fn a_drain_knows_of_files_that_are_still_open() {
    on_each_backend(|backend| {
        let tree = Tree::new(backend);
        let mut open = File::create(tree.path("open")).unwrap();
        tree.drain();
        open.write_all(b"more").unwrap();
        assert!(reaches(&tree.drain(), "open"));
        assert!(tree.drain().is_empty(), "nothing happened since");
    });
}

#[test]
fn new_directories_are_watched_down_to_the_last() {
    on_each_backend(|backend| {
        let tree = Tree::new(backend);
        fs::create_dir_all(tree.path("a/b/c/d/e")).unwrap();
        assert!(reaches(&tree.drain(), "a/b/c/d/e"));
        tree.write("a/b/c/d/e/late", "x");
        assert!(reaches(&tree.drain(), "a/b/c/d/e/late"));
    });
}

#[test]
fn a_moved_directory_is_watched_under_its_new_path() {
    on_each_backend(|backend| {
        let tree = Tree::with(backend, |root| fs::create_dir_all(root.join("old/in")).unwrap(), |_| {});
        fs::rename(tree.path("old"), tree.path("new")).unwrap();
        let batch = tree.drain();
        assert!(reaches(&batch, "old") && reaches(&batch, "new/in"), "{batch:?}");
        tree.write("new/in/late", "x");
        assert!(reaches(&tree.drain(), "new/in/late"));
    });
}

#[test]
fn what_moves_in_is_looked_at_and_watched() {
    on_each_backend(|backend| {
        let tree = Tree::new(backend);
        fs::create_dir_all(tree.outside("away/deep")).unwrap();
        fs::write(tree.outside("away/deep/file"), "x").unwrap();
        fs::rename(tree.outside("away"), tree.path("here")).unwrap();
        assert!(reaches(&tree.drain(), "here/deep/file"));
        tree.write("here/deep/late", "x");
        assert!(reaches(&tree.drain(), "here/deep/late"));
    });
}

#[test]
fn a_link_to_a_directory_is_not_followed() {
    on_each_backend(|backend| {
        let tree = Tree::new(backend);
        fs::create_dir(tree.outside("elsewhere")).unwrap();
        symlink(tree.outside("elsewhere"), tree.path("link")).unwrap();
        assert!(reaches(&tree.drain(), "link"));
        fs::write(tree.outside("elsewhere/x"), "x").unwrap();
        assert!(tree.drain().is_empty());
    });
}

#[test]
fn names_are_raw_bytes() {
    on_each_backend(|backend| {
        let tree = Tree::new(backend);
        fs::create_dir(tree.root().join(odd_name(1))).unwrap();
        tree.drain();
        fs::write(tree.root().join(odd_name(1)).join(odd_name(2)), "x").unwrap();
        assert!(reaches(&tree.drain(), odd_name(1).join(odd_name(2))));
    });
}

/// A reader of the FIFO would wait for a writer for ever.
#[test]
fn special_files_are_reported_as_skipped_and_never_opened() {
    for backend in [Backend::Auto, Backend::Portable(Fidelity::Full)] {
        let tree = Tree::new(backend);
        mknodat(CWD, tree.path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _listener = UnixListener::bind(tree.path("socket")).unwrap();
        tree.write("plain", "x");
        let batch = tree.drain();
        let mut skipped: Vec<_> = batch.skipped.iter().map(|found| (found.path.to_string(), found.kind)).collect();
        skipped.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = [("fifo".to_owned(), SpecialKind::Fifo), ("socket".to_owned(), SpecialKind::Socket)];
        assert_eq!(skipped, expected);
        assert_eq!(batch.paths, [RelPath::new(*b"plain").unwrap()]);
    }
}

#[test]
fn a_requeued_path_comes_again() {
    on_each_backend(|backend| {
        let tree = Tree::new(backend);
        tree.write("unstable", "x");
        tree.drain();
        tree.watcher.requeue(&[RelPath::new(*b"unstable").unwrap()]);
        assert!(reaches(&tree.watcher.wait(far()), "unstable"));
    });
}

#[test]
fn an_interrupt_ends_the_wait() {
    on_each_backend(|backend| {
        let tree = Tree::new(backend);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| tree.watcher.wait(far() + Duration::from_secs(600)));
            tree.watcher.interrupt();
            assert!(waiting.join().unwrap().is_empty());
        });
    });
}

#[test]
fn the_marker_is_not_recorded_but_its_loss_is_told() {
    on_each_backend(|backend| {
        let tree = Tree::with(backend, |root| fs::write(root.join(".tl"), "id").unwrap(), |_| {});
        assert!(!tree.drain().marker_changed);
        fs::remove_file(tree.path(".tl")).unwrap();
        let batch = tree.drain();
        assert!(batch.marker_changed && !reaches(&batch, ".tl"), "{batch:?}");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_path_that_is_too_long_for_one_call_is_watched() {
    use rustix::fs::{OFlags, mkdirat, openat};
    let tree = Tree::new(Backend::Native);
    let name = "d".repeat(200);
    let mut directory = File::open(tree.root()).unwrap();
    let mut path = Vec::new();
    for _ in 0..30 {
        mkdirat(&directory, &name[..], Mode::RWXU).unwrap();
        directory = openat(&directory, &name[..], OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap().into();
        path.extend([name.as_bytes(), b"/"].concat());
    }
    tree.drain();
    drop(openat(&directory, "late", OFlags::WRONLY | OFlags::CREATE, Mode::RUSR).unwrap());
    path.extend(b"late");
    let batch = tree.drain();
    assert_eq!(batch.paths, [RelPath::new(path).unwrap()], "{} subtrees", batch.subtrees.len());
}
