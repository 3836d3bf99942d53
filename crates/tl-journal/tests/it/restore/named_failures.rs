//! What restores of other tools have done to people's files.

use std::fs;

use tl_journal::{RestoreRequest, unwatched};

use super::{disk, in_order};
use crate::lab::Lab;

/// A restore brings back an older `.gitignore`, takes what that one does not hide for its own, and deletes it.
#[test]
fn a_reverted_gitignore_does_not_delete_what_it_hid() {
    let lab = Lab::new();
    lab.write(".gitignore", "");
    lab.write("a", "a");
    let first = lab.save();
    lab.write(".gitignore", ".env\n.db");
    lab.save();
    lab.write("secrets.env", "never recorded");
    lab.write("data/app.db", "never recorded");
    let second = lab.save();
    lab.restore(first);
    assert_eq!(fs::read(lab.at("secrets.env")).unwrap(), b"never recorded");
    assert_eq!(fs::read(lab.at("data/app.db")).unwrap(), b"never recorded");
    // From now on they are recorded, as nothing hides them; going forth and back again keeps them.
    lab.save();
    lab.restore(second);
    lab.undo();
    assert_eq!(fs::read(lab.at("secrets.env")).unwrap(), b"never recorded");
    assert_eq!(fs::read(lab.at("data/app.db")).unwrap(), b"never recorded");
}

/// A restore leaves files behind that were created after the state, so that the build still sees them.
#[test]
fn files_that_were_created_later_do_not_stay() {
    let lab = Lab::new();
    lab.write("src/main.rs", "fn main() {}");
    let first = lab.save();
    let wanted = lab.disk();
    lab.write("src/extra.rs", "created by an agent");
    lab.write("src/deep/er/module.rs", "created by a shell command");
    lab.write("unrecorded so far", "created just now");
    lab.restore(first);
    assert_eq!(lab.disk(), wanted);
    lab.undo();
    assert_eq!(fs::read(lab.at("unrecorded so far")).unwrap(), b"created just now");
}

/// A restore deletes untracked files.
#[test]
fn untracked_files_are_not_deleted() {
    let lab = Lab::new();
    lab.write(".gitignore", ".log");
    lab.write("a", "1");
    let first = lab.save();
    lab.write("a", "2");
    lab.write("debug.log", "untracked");
    lab.write("logs/today.log", "untracked");
    lab.save();
    lab.restore(first);
    assert!(lab.at("debug.log").exists() && lab.at("logs/today.log").exists());
}

/// A restore empties the repositories that lie in the project.
#[test]
fn nested_repositories_are_left_alone() {
    let lab = Lab::new();
    lab.write("a", "a");
    let first = lab.save();
    lab.write("vendor/lib/.git/HEAD", "ref: refs/heads/main");
    lab.write("vendor/lib/.git/objects/aa/bb", "an object");
    lab.write("vendor/lib/src.c", "a file of it");
    lab.write(".git/config", "[core]");
    let repositories =
        |lab: &Lab| disk(&lab.root()).into_iter().filter(|(path, _)| path.contains(".git")).collect::<Vec<_>>();
    let before = repositories(&lab);
    let with_vendor = lab.save();
    lab.restore(first);
    assert_eq!(repositories(&lab), before);
    assert!(!lab.at("vendor/lib/src.c").exists(), "a file of it is a file like any other");
    lab.restore(with_vendor);
    assert_eq!(fs::read(lab.at("vendor/lib/src.c")).unwrap(), b"a file of it");
    assert_eq!(repositories(&lab), before);
}

/// A file takes the place of a directory that holds a repository.
#[test]
fn a_nested_repository_does_not_give_way_to_a_file() {
    let lab = Lab::new();
    lab.write("vendor", "once a file");
    let first = lab.save();
    fs::remove_file(lab.at("vendor")).unwrap();
    lab.write("vendor/.git/HEAD", "ref");
    lab.write("vendor/x", "x");
    lab.save();
    let report = lab.try_restore(&RestoreRequest::new(first), in_order(), &unwatched).unwrap();
    assert_eq!(fs::read(lab.at("vendor/.git/HEAD")).unwrap(), b"ref");
    assert!(!report.receipt.is_exact() && !report.refused.is_empty());
}
