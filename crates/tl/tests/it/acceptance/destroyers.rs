//! Commands that destroy work, each followed by full recovery, with a daemon that watches and without one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::time::{Duration, Instant};

use super::disk::{self, Tree};
use super::git::Git;
use crate::place::Place;

/// A project under Git with work of every kind in it that is not committed, and all of it recorded.
struct Work {
    place: Place,
    git: Git,
    store: String,
    /// The state that holds all of it.
    state: String,
    before: Tree,
}

impl Work {
    fn new(is_watched: bool) -> Self {
        let place = Place::new();
        let git = Git::init(place.project(), place.beside("home"));
        for (path, content) in [
            ("src/lib.rs", "committed\n"),
            ("src/staged.rs", "committed\n"),
            ("removed", "committed\n"),
            ("run.sh", "committed\n"),
            (".gitignore", "target/\n"),
        ] {
            place.write(path, content);
        }
        git.run(&["add", "-A"]);
        git.run(&["commit", "-q", "-m", "first"]);
        place.write("target/ignored", "left out of the history by a rule");
        let store = place.json(&["init"])["store"].as_str().unwrap().to_owned();

        place.write("src/lib.rs", "edited\n");
        place.write("src/staged.rs", "staged\n");
        place.write("src/added.rs", "added\n");
        git.run(&["add", "src/staged.rs", "src/added.rs"]);
        place.write("notes/deep/down/untracked", vec![7; 100_000]);
        let at = |path: &str| place.project().join(path);
        fs::remove_file(at("removed")).unwrap();
        fs::set_permissions(at("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(at("notes/empty")).unwrap();
        symlink("../src/lib.rs", at("notes/link")).unwrap();
        fs::set_permissions(at("notes"), fs::Permissions::from_mode(0o700)).unwrap();

        let flushed = place.json(&["flush"]);
        assert_eq!(flushed["complete"], true);
        if !is_watched {
            place.json(&["stop"]);
        }
        let before = present(&place);
        Self { state: flushed["id"].as_str().unwrap().to_owned(), place, git, store, before }
    }

    /// Everything comes back, and neither that nor the destruction is lost.
    fn recovers(&self, context: &str) {
        let destroyed = present(&self.place);
        let restored = self.place.json(&["restore", &self.state, "-y"]);
        assert_eq!(restored["verified"], true, "{context}: {restored}");
        disk::assert_same(&present(&self.place), &self.before, context);
        assert_eq!(self.place.json(&["undo", "-y"])["verified"], true, "{context}");
        disk::assert_same(&present(&self.place), &destroyed, &format!("{context}, undone"));
        assert_eq!(self.place.json(&["redo", "-y"])["verified"], true, "{context}");
        disk::assert_same(&present(&self.place), &self.before, &format!("{context}, done again"));
        // The daemon marks the project again; no event says when it has.
        let until = Instant::now() + Duration::from_secs(30);
        let marker = format!("{}\n", self.store);
        while fs::read_to_string(self.place.project().join(".tl")).ok().as_ref() != Some(&marker) {
            assert!(Instant::now() < until, "{context}: the marker did not come back\n{}", self.place.log());
            std::thread::yield_now();
        }
    }
}

/// What is there, but for what a rule leaves out of the history.
fn present(place: &Place) -> Tree {
    let mut tree = disk::read(&place.project());
    tree.retain(|path, _| path != b"target" && !path.starts_with(b"target/"));
    tree
}

/// Runs a destroyer with and without a daemon, checks that it destroys something, and gets all of it back.
fn destroy_and_recover(name: &str, destroy: impl Fn(&Work)) {
    for is_watched in [true, false] {
        let context = format!("{name}, {}", if is_watched { "watched" } else { "not watched" });
        let work = Work::new(is_watched);
        destroy(&work);
        assert_ne!(present(&work.place), work.before, "{context} destroyed nothing");
        work.recovers(&context);
    }
}

#[test]
fn git_clean() {
    destroy_and_recover("git clean -fdx", |work| {
        work.git.run(&["clean", "-q", "-fdx"]);
        assert!(!work.place.project().join("notes").exists());
    });
}

#[test]
fn git_stash() {
    destroy_and_recover("git stash -a", |work| drop(work.git.run(&["stash", "-q", "-a"])));
}

#[test]
fn git_checkout() {
    destroy_and_recover("git checkout -f", |work| drop(work.git.run(&["checkout", "-q", "-f"])));
}

#[test]
fn git_reset_and_clean_of_everything() {
    destroy_and_recover("git reset --hard && git clean -ffdx", |work| {
        work.git.run(&["reset", "-q", "--hard"]);
        work.git.clean();
    });
}

/// Everything but the directory itself, as `rm -rf ./* ./.*` does.
#[test]
fn the_content_of_the_project() {
    destroy_and_recover("rm -rf of what is in the project", |work| {
        for entry in fs::read_dir(work.place.project()).unwrap() {
            remove(&entry.unwrap().path());
        }
    });
}

#[test]
fn the_marker() {
    for is_watched in [true, false] {
        let work = Work::new(is_watched);
        remove(&work.place.project().join(".tl"));
        work.place.write("src/lib.rs", "edited since\n");
        work.recovers("rm -rf .tl");
    }
}

/// If it fails, `rm -rf` of a project takes its last state along.
#[test]
fn the_project() {
    for is_watched in [true, false] {
        let work = Work::new(is_watched);
        remove(&work.place.project());
        // A command that the daemon answers while it finds its root gone may lose the connection in the middle.
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let status = work.place.run(&["--store", &work.store, "--json", "status"]);
            if status.code == 0 && status.json()["daemon"].is_null() {
                break;
            }
            assert!(Instant::now() < until, "the daemon goes on without its root: {status:?}");
        }
        // As a person would go on: which stores are there, and what was in this one?
        let stores = work.place.json(&["stores"]);
        assert_eq!((&stores[0]["id"], &stores[0]["root_state"]), (&work.store.as_str().into(), &"gone".into()));
        let back = work.place.beside("back");
        let target = back.to_str().unwrap();
        let restored = work.place.json(&["--store", &work.store, "restore", "--to", target, "-y"]);
        assert_eq!(restored["verified"], true, "{restored}");
        disk::assert_same(&disk::read(&back), &work.before, &format!("rm -rf of the project, watched: {is_watched}"));
        // The history goes on there.
        let reattached = work.place.json(&["--store", &work.store, "init", target]);
        assert_eq!(reattached["done"], "reattached");
        fs::write(back.join("src/lib.rs"), "after all that\n").unwrap();
        work.place.json(&["-C", target, "flush"]);
        work.place.json(&["-C", target, "restore", &work.state, "-y"]);
        disk::assert_same(&disk::read(&back), &work.before, "restored where the history goes on");
    }
}

/// `rm -rf`, as the program does it.
fn remove(path: &std::path::Path) {
    assert!(Command::new("rm").arg("-rf").arg(path).status().unwrap().success());
}
