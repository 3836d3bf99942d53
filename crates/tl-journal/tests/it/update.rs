//! Updates: what is recorded, what is not, and what it costs.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use granite::Background;
use tl_core::{EntryKind, Mode, ObjectId};
use tl_journal::{CollectRequest, Dirty, Error, GapCause, Reason, Repository, RepositoryConfig, UpdateRequest};
use vfs_sim::SimDisk;

use crate::lab::{Lab, dirty, path, request};

#[test]
fn the_first_checkpoint_has_everything_and_the_next_only_what_changed() {
    let lab = Lab::new();
    lab.write("src/main.rs", "fn main() {}");
    lab.write("README.md", "hello");
    fs::create_dir(lab.at("empty")).unwrap();
    symlink("src/main.rs", lab.at("link")).unwrap();
    let first = lab.reconcile().checkpoint.unwrap();
    assert_eq!(lab.paths(), ["README.md", "empty", "link", "src", "src/main.rs"]);
    assert_eq!((first.sequence, first.stats.files_added, first.stats.bytes_added), (1, 3, 12 + 5 + 11));
    assert_eq!(lab.entry("link").unwrap().kind, EntryKind::Symlink);
    assert!(first.completeness.is_complete());

    lab.write("src/main.rs", "fn main() { }");
    let second = lab.update(["src/main.rs"]);
    assert_eq!((second.files_read, second.stats.files_changed), (1, 1));
    let second = second.checkpoint.unwrap();
    assert_eq!(second.parents, [first.id]);
    assert_eq!(second.touched.listed, [path("src/main.rs")]);
    assert_eq!(lab.content("src/main.rs").unwrap(), b"fn main() { }");

    assert_eq!(lab.reconcile().checkpoint, None, "nothing changed");
}

#[test]
fn an_empty_directory_has_a_first_checkpoint_too() {
    let lab = Lab::new();
    assert_eq!(lab.reconcile().checkpoint.unwrap().root, ObjectId::EMPTY_TREE);
    assert_eq!(lab.reconcile().checkpoint, None);
    let always = UpdateRequest { always: true, ..request() };
    assert!(lab.repository.update(&Dirty::new(), &always).unwrap().checkpoint.is_some());
}

/// The named failure of others: after a change of rules everything newly ignored was gone from the history.
#[test]
fn a_change_of_rules_is_no_deletion() {
    let lab = Lab::new();
    lab.write("build/out.o", "1");
    lab.write("keep", "1");
    lab.reconcile();
    let ignoring = request().ignoring(&|path, _| path.as_bytes().starts_with(b"build"));
    lab.write("build/out.o", "22");
    lab.write("build/new.o", "3");
    let outcome = lab.repository.reconcile(&ignoring).unwrap();
    assert_eq!(outcome.stats.files_changed, 1);
    assert_eq!(lab.paths(), ["build", "build/out.o", "keep"]);
    fs::remove_file(lab.at("build/out.o")).unwrap();
    let outcome = lab.repository.update(&dirty(["build/out.o"]), &ignoring).unwrap();
    assert_eq!(outcome.stats.files_removed, 1, "what is gone is gone");
}

#[test]
fn directories_of_version_control_are_never_touched() {
    let lab = Lab::new();
    for name in ["f", ".git/config", ".jj/x", "sub/.git/config", "sub/g"] {
        lab.write(name, name);
    }
    lab.write(".tl", "id");
    lab.reconcile();
    assert_eq!(lab.paths(), ["f", "sub", "sub/g"]);
}

#[test]
fn a_directory_that_moves_is_found_at_its_new_place() {
    let lab = Lab::new();
    for name in ["a/1", "a/b/2", "c/3"] {
        lab.write(name, name);
    }
    lab.reconcile();
    fs::rename(lab.at("a"), lab.at("c/a")).unwrap();
    let outcome = lab.update(["a", "c/a"]);
    assert_eq!((outcome.stats.files_added, outcome.stats.files_removed), (2, 2));
    assert_eq!(lab.paths(), ["c", "c/3", "c/a", "c/a/1", "c/a/b", "c/a/b/2"]);
    assert_eq!(lab.repository.verify_index().unwrap(), []);
}

/// A watcher that lost the event of the directory still reports what is saved in it.
#[test]
fn another_directory_of_the_same_name_is_looked_at_as_a_whole() {
    let lab = Lab::new();
    lab.write("a/old", "1");
    lab.write("b/new", "2");
    lab.write("b/saved", "3");
    lab.reconcile();
    fs::rename(lab.at("a"), lab.at("c")).unwrap();
    fs::rename(lab.at("b"), lab.at("a")).unwrap();
    lab.update(["a/saved", "b"]);
    assert_eq!(lab.paths(), ["a", "a/new", "a/saved"]);
}

#[test]
fn a_path_below_something_new_is_found_from_above() {
    let lab = Lab::new();
    lab.write("f", "1");
    lab.reconcile();
    fs::remove_file(lab.at("f")).unwrap();
    lab.write("f/g/h", "2");
    lab.write("f/other", "3");
    lab.update(["f/g/h"]);
    assert_eq!(lab.paths(), ["f", "f/g", "f/g/h", "f/other"]);
    fs::remove_dir_all(lab.at("f")).unwrap();
    symlink("/etc", lab.at("f")).unwrap();
    lab.update(["f/g/h"]);
    assert_eq!(lab.paths(), ["f"]);
    assert_eq!(lab.content("f").unwrap(), b"/etc", "no link is ever followed");
}

#[test]
fn modes_and_swaps_of_kind_are_changes() {
    let lab = Lab::new();
    lab.write("f", "1");
    lab.write("d/x", "1");
    lab.reconcile();
    lab.chmod("f", 0o4711);
    lab.chmod("d", 0o2750);
    let outcome = lab.update(["f", "d"]);
    assert_eq!(outcome.stats.files_changed, 1);
    assert_eq!(lab.entry("f").unwrap().mode, Mode::new(0o4711));
    assert_eq!(lab.entry("d").unwrap().mode, Mode::new(0o2750));
    assert_eq!(lab.paths(), ["d", "d/x", "f"]);

    fs::remove_file(lab.at("f")).unwrap();
    fs::remove_dir_all(lab.at("d")).unwrap();
    lab.write("f/inside", "2");
    lab.write("d", "3");
    lab.update(["f", "d"]);
    assert_eq!(lab.paths(), ["d", "f", "f/inside"]);
    assert_eq!(lab.repository.verify_index().unwrap(), []);
}

/// If it fails, a save in the tick of the last look is never seen: on a filesystem with coarse times it leaves size and times as they were.
#[test]
fn files_whose_times_prove_nothing_are_read_again() {
    let lab = Lab::new();
    lab.write("f", "1");
    lab.write("d/g", "1");
    symlink("f", lab.at("link")).unwrap();
    let disk = SimDisk::new();
    let config = RepositoryConfig { vfs: Arc::new(disk.clone()), ..RepositoryConfig::new("/store", Some(lab.root())) };
    let config = RepositoryConfig { background: Background::Inline, reserve_bytes: 0, ..config };
    let repository = Repository::open(config).unwrap();
    let read = || repository.reconcile(&request()).unwrap().files_read;
    // Seen from 1970, every file was written after the last look.
    disk.set_now(Duration::from_secs(1));
    assert_eq!([read(), read(), read()], [3, 3, 3]);
    // Long after, the times are believed once the files were read.
    disk.set_now(SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(3600));
    assert_eq!([read(), read(), read()], [3, 0, 0]);
}

#[test]
fn special_files_are_skipped_and_said() {
    let lab = Lab::new();
    lab.write("f", "1");
    lab.reconcile();
    fs::remove_file(lab.at("f")).unwrap();
    let mode = rustix::fs::Mode::from(0o644);
    rustix::fs::mknodat(rustix::fs::CWD, lab.at("f"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let outcome = lab.update(["f"]);
    assert_eq!(outcome.gaps.iter().map(|gap| gap.cause).collect::<Vec<_>>(), [GapCause::Special]);
    let checkpoint = outcome.checkpoint.unwrap();
    assert_eq!((checkpoint.completeness.missing, checkpoint.completeness.skipped), (0, 1));
    assert_eq!(lab.paths(), Vec::<String>::new());
    fs::remove_file(lab.at("f")).unwrap();
    assert_eq!(lab.update(["f"]).gaps, []);
}

/// An absent directory is not an empty one.
#[test]
fn a_working_directory_that_is_gone_is_not_recorded_as_empty() {
    let lab = Lab::new();
    lab.write("f", "1");
    let before = lab.reconcile().checkpoint;
    fs::remove_dir_all(lab.root()).unwrap();
    let outcome = lab.repository.reconcile(&request());
    assert!(matches!(outcome, Err(Error::RootGone { .. })), "{outcome:?}");
    assert_eq!(lab.repository.journal().head(), before);
}

#[test]
fn a_working_directory_that_moves_stays_the_same() {
    let lab = Lab::new();
    lab.write("f", "1");
    lab.reconcile();
    fs::rename(lab.root(), lab.dir.path().join("moved")).unwrap();
    fs::write(lab.dir.path().join("moved/g"), "2").unwrap();
    lab.update(["g"]);
    assert_eq!(lab.paths(), ["f", "g"]);
}

/// Everything that a start would have to read again after a clean end is time that a user waits.
#[test]
fn a_start_reads_nothing_that_did_not_change() {
    let mut lab = Lab::new();
    for number in 0..50 {
        lab.write(&format!("d{}/f{number}", number % 7), format!("{number}"));
    }
    // Files from yesterday.
    let yesterday = SystemTime::now() - Duration::from_secs(86_400);
    lab.reconcile();
    lab.reopen();
    lab.reconcile();
    // Their ctime cannot be set: what was read within its tick is read once more.
    for number in 0..50 {
        let file = fs::File::options().write(true).open(lab.at(format!("d{}/f{number}", number % 7))).unwrap();
        file.set_modified(yesterday).unwrap();
    }
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while lab.reconcile().files_read > 0 {
        assert!(std::time::Instant::now() < deadline, "the clock's tick does not pass");
    }
    lab.reopen();
    let outcome = lab.repository.reconcile(&UpdateRequest { reason: Reason::Startup, ..request() }).unwrap();
    assert_eq!((outcome.files_read, outcome.checkpoint), (0, None));
    let rehash = UpdateRequest { rehash: true, ..request() };
    assert_eq!(lab.repository.reconcile(&rehash).unwrap().files_read, 50);
}

/// Runs `act` as somebody whom permissions stop, if this is the superuser.
fn as_nobody<T>(act: impl FnOnce() -> T) -> T {
    use rustix::process::{Uid, geteuid};
    use rustix::thread::set_thread_res_uid;
    if !geteuid().is_root() {
        return act();
    }
    let (root, nobody) = (Uid::ROOT, Uid::from_raw(65_534));
    set_thread_res_uid(root, nobody, root).unwrap();
    let done = act();
    set_thread_res_uid(root, root, root).unwrap();
    done
}

/// The named failure of others: what could not be read was recorded as deleted.
#[test]
fn what_cannot_be_read_keeps_its_former_entry_and_is_named() {
    let lab = Lab::new();
    fs::set_permissions(lab.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    lab.write("f", "1");
    lab.write("d/x", "1");
    lab.reconcile();
    lab.write("f", "22");
    lab.write("new", "1");
    lab.write("d/x", "22");
    for (name, mode) in [("f", 0), ("new", 0), ("d", 0)] {
        lab.chmod(name, mode);
    }
    let outcome = as_nobody(|| lab.reconcile());
    let gaps: Vec<_> = outcome.gaps.iter().map(|gap| (gap.path.to_string(), gap.cause)).collect();
    let denied = |name: &str| (name.to_owned(), GapCause::PermissionDenied);
    assert_eq!(gaps, [denied("d"), denied("f"), denied("new")]);
    assert!(!outcome.is_complete());
    let checkpoint = outcome.checkpoint.expect("the mode of the directory changed");
    assert_eq!((checkpoint.completeness.missing, checkpoint.completeness.listed), (3, outcome.gaps));
    assert_eq!(lab.paths(), ["d", "d/x", "f"]);
    assert_eq!((lab.content("f").unwrap(), lab.content("d/x").unwrap()), (b"1".to_vec(), b"1".to_vec()));
    assert_eq!(lab.repository.verify_index().unwrap(), []);

    // The next checkpoint lacks them just as much, although nobody looked at them.
    lab.write("other", "1");
    let next = as_nobody(|| lab.update(["other"])).checkpoint.unwrap();
    assert_eq!(next.completeness.missing, 3);
    for (name, mode) in [("f", 0o644), ("new", 0o644), ("d", 0o755)] {
        lab.chmod(name, mode);
    }
    assert!(as_nobody(|| lab.update(["f", "new"])).gaps.iter().all(|gap| gap.path == path("d")));
    assert!(as_nobody(|| lab.reconcile()).is_complete());
    assert_eq!((lab.content("f").unwrap(), lab.content("d/x").unwrap()), (b"22".to_vec(), b"22".to_vec()));
}

#[test]
fn a_reader_beside_other_readers_sees_what_was_committed() {
    let mut lab = Lab::new();
    lab.write("f", "1");
    let head = lab.reconcile().checkpoint;
    let config = lab.repository.config().clone();
    assert!(Repository::open_read_only(config.clone()).is_err(), "a writer has it");
    lab.close();
    let readers = [(); 2].map(|()| Repository::open_read_only(config.clone()).unwrap());
    for reader in &readers {
        assert_eq!(reader.journal().head(), head);
        assert_eq!(reader.verify_index().unwrap(), []);
        assert!(reader.reconcile(&request()).is_err() && reader.collect(&CollectRequest::default()).is_err());
    }
}

#[test]
fn leftovers_of_an_earlier_run_are_removed_at_the_start() {
    let mut lab = Lab::new();
    let leftover = lab.dir.path().join("store/tmp/half");
    fs::write(&leftover, "half").unwrap();
    lab.reopen();
    assert_eq!(lab.repository.start_report().leftovers_removed, 1);
    assert!(!leftover.exists());
}

/// A disk that is full can only be cleaned up with some room to work in.
#[test]
fn the_reserve_is_held_released_and_held_again() {
    let lab = Lab::new();
    let reserve = lab.dir.path().join("store/reserve");
    let len = || fs::metadata(&reserve).unwrap().len();
    assert_eq!(len(), lab.repository.config().reserve_bytes);
    assert!(lab.repository.release_reserve().unwrap());
    assert_eq!(len(), 0);
    assert!(!lab.repository.release_reserve().unwrap());
    lab.repository.collect(&CollectRequest::default()).unwrap();
    assert_eq!(len(), lab.repository.config().reserve_bytes);
}

/// A build makes links to the files of a directory, and renames it, while a save is recorded: the directory was there for the file that was saved, and is gone when
/// the other names of that file are looked at. If it fails, the update does, and so does the `tl flush` of whoever waits for it.
#[test]
fn a_directory_that_goes_while_the_names_of_a_file_are_looked_at_is_no_failure() {
    let lab = Lab::new();
    lab.write("work/a", "1");
    fs::hard_link(lab.at("work/a"), lab.at("work/b")).unwrap();
    lab.reconcile();
    fs::write(lab.at("work/a"), "22").unwrap();
    lab.write("zz", "the last one that the first walk comes by");
    let away = |path: &tl_core::RepoPath, _: bool| {
        if path.as_bytes() == b"zz" && lab.at("work").exists() {
            fs::rename(lab.at("work"), lab.at("done")).unwrap();
        }
        false
    };
    let outcome = lab.repository.update(&dirty(["work/a", "zz"]), &request().ignoring(&away)).unwrap();
    assert!(outcome.checkpoint.is_some());
    assert!(lab.entry("zz").is_some());
    assert_eq!(lab.repository.verify_index().unwrap(), []);
    // Then the event of the rename.
    lab.update(["work", "done"]);
    assert_eq!(lab.paths(), ["done", "done/a", "done/b", "zz"]);
    assert_eq!(lab.content("done/b").unwrap(), b"22");
    assert_eq!(lab.repository.verify_index().unwrap(), []);
    assert_eq!(lab.reconcile().checkpoint, None);
}

/// A watcher is told of the name that was written through, and of no other.
#[test]
fn a_save_through_one_name_of_a_file_is_seen_at_the_others() {
    let mut lab = Lab::new();
    lab.write("a/f", "1");
    lab.write("b/old", "1");
    fs::hard_link(lab.at("b/old"), lab.at("b/older")).unwrap();
    lab.reconcile();
    // Known from the walk over everything.
    fs::write(lab.at("b/old"), "22").unwrap();
    assert_eq!(lab.update(["b/old"]).stats.files_changed, 2);
    assert_eq!(lab.content("b/older").unwrap(), b"22");
    fs::write(lab.at("b/old"), "last words").unwrap();
    fs::remove_file(lab.at("b/old")).unwrap();
    lab.update(["b/old"]);
    assert_eq!(lab.content("b/older").unwrap(), b"last words");
    // A name that comes later: the other one is searched for.
    fs::hard_link(lab.at("a/f"), lab.at("b/g")).unwrap();
    assert_eq!(lab.update(["b/g"]).stats.files_added, 1);
    for (through, content) in [("b/g", "333"), ("a/f", "4444")] {
        fs::write(lab.at(through), content).unwrap();
        assert_eq!(lab.update([through]).stats.files_changed, 2, "{through}");
        assert_eq!((lab.content("a/f"), lab.content("b/g")), (Some(content.into()), Some(content.into())));
    }
    // After a start, once everything was looked at.
    lab.reopen();
    lab.reconcile();
    fs::write(lab.at("a/f"), "55555").unwrap();
    assert_eq!(lab.update(["a/f"]).stats.files_changed, 2);
    fs::remove_file(lab.at("a/f")).unwrap();
    assert_eq!(lab.update(["a/f"]).stats.files_removed, 1);
    fs::write(lab.at("b/g"), "alone").unwrap();
    assert_eq!(lab.update(["b/g"]).stats.files_changed, 1);
    assert_eq!(lab.repository.verify_index().unwrap(), []);
    assert_eq!(lab.reconcile().checkpoint, None);
}
