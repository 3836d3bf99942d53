//! The six rules of a restore.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::Mutex;

use granite::Durability;
use tl_core::{Entry, EntryName, Mode, ObjectId, TreeBuilder};
use tl_journal::{
    Action, CheckpointId, Dirty, Draft, Error, Folding, Present, Reason, Refusal, RestoreOptions, RestoreRequest,
    Selection, Step, unwatched,
};

use super::{Thing, disk, ignored_in, in_order, ways};
use crate::lab::{Lab, path};

/// A recorded state of files with these names in the root, whatever this disk would make of them.
fn state_of(lab: &Lab, names: &[&str]) -> CheckpointId {
    let capture = lab.repository.store().capture().unwrap();
    let mut root = TreeBuilder::new();
    for name in names {
        let blob = capture.put_blob(name.as_bytes()).unwrap();
        root.add(EntryName::new(name.as_bytes()).unwrap(), Entry::file(blob, Mode::new(0o644)));
    }
    let root = capture.put_tree(&root.build().unwrap()).unwrap();
    capture.commit(|_| {}, Durability::Buffered).unwrap();
    let draft = Draft::new(Reason::Import, root);
    lab.repository.journal().append(draft, &vfs::DiskVfs::new(), Durability::Buffered).unwrap().id
}

/// Rule 1: what is recorded before a restore is the present state, with what is not recorded and would be overwritten.
#[test]
fn the_state_before_is_recorded_with_what_would_be_overwritten() {
    let lab = Lab::new();
    lab.write("build.out", "recorded once");
    lab.write("a", "1");
    let first = lab.save();
    fs::remove_file(lab.at("build.out")).unwrap();
    lab.write(".gitignore", ".out");
    lab.write("a", "2");
    lab.save();
    lab.write("build.out", "ignored now");
    lab.write("other.out", "not in the way");
    lab.write("a", "3, not recorded yet");

    let report = lab.restore(first);
    let safety = report.safety.clone().unwrap();
    assert_eq!(safety.reason, Reason::BeforeRestore);
    let recorded: BTreeMap<_, _> =
        lab.tree(&safety.root).into_iter().map(|(path, entry)| (path.to_string(), entry)).collect();
    assert_eq!(recorded.keys().collect::<Vec<_>>(), [".gitignore", "a"]);
    assert_eq!(lab.repository.store().get_blob(&recorded["a"].id, 100).unwrap(), b"3, not recorded yet");
    assert_eq!(lab.saved(&report), BTreeMap::from([("build.out".into(), b"ignored now".to_vec())]));
    assert_eq!(fs::read(lab.at("build.out")).unwrap(), b"recorded once");
    assert_eq!(fs::read(lab.at("other.out")).unwrap(), b"not in the way");
    let restored = report.restored.unwrap();
    assert_eq!((restored.reason, restored.parents), (Reason::Restore, vec![safety.id, first]));
    assert_eq!(lab.head().id, restored.id);
}

/// Rule 1: deletions come from the recorded tree alone, so what lay in `saved` is never deleted by a later restore.
#[test]
fn what_was_saved_is_not_taken_for_recorded() {
    let lab = Lab::new();
    lab.write("x.out", "old");
    let first = lab.save();
    fs::remove_file(lab.at("x.out")).unwrap();
    lab.write(".gitignore", ".out");
    let second = lab.save();
    lab.write("x.out", "precious");
    lab.restore(first);
    lab.undo();
    assert_eq!(fs::read(lab.at("x.out")).unwrap(), b"precious");
    // Neither state has it recorded: it stays through whatever follows.
    lab.write("b", "b");
    lab.save();
    lab.restore(second);
    assert_eq!(fs::read(lab.at("x.out")).unwrap(), b"precious");
}

/// Rule 2: only what a recorded tree names is removed.
#[test]
fn what_is_not_recorded_stays() {
    let lab = Lab::new();
    lab.write(".gitignore", ".out");
    let first = lab.save();
    lab.write("new/file", "recorded later");
    lab.write("new/cache.out", "ignored");
    lab.write("new/deep/x", "recorded later");
    lab.save();
    let report = lab.restore(first);
    assert_eq!(lab.disk().keys().collect::<Vec<_>>(), [".gitignore", "new", "new/cache.out"]);
    assert_eq!(report.directories_kept, [path("new")]);
    assert!(!report.receipt.is_exact());
    assert_eq!(report.receipt.differing, [path("new")]);
    assert!(lab.repository.verify_index().unwrap().is_empty());
}

/// Rule 2: exactly a state is to be asked for, and even then nothing is lost, and no repository in a directory is touched.
#[test]
fn exact_removes_the_rest_and_keeps_it() {
    let lab = Lab::new();
    lab.write(".gitignore", ".out");
    lab.write("a", "a");
    let first = lab.save();
    lab.write("x.out", "ignored");
    lab.write("sub/dir/y.out", "ignored too");
    lab.write("vendor.out/.git/config", "a repository of its own");
    symlink("nowhere", lab.at("l.out")).unwrap();
    let before = lab.disk();
    let request = RestoreRequest { exact: true, ..RestoreRequest::new(first) };
    let report = lab.try_restore(&request, in_order(), &unwatched).unwrap();
    let left: Vec<_> = lab.disk().into_keys().collect();
    assert_eq!(left, [".gitignore", "a", "vendor.out", "vendor.out/.git", "vendor.out/.git/config"]);
    assert_eq!(
        report.refused.iter().map(|refused| refused.why.clone()).collect::<Vec<_>>(),
        [Refusal::NestedRepository]
    );
    lab.undo();
    assert_eq!(lab.disk(), before);
}

/// Rule 4: what changes after the safety checkpoint is kept before it is replaced or removed, and undo brings the newer one.
#[test]
fn what_changes_meanwhile_is_kept() {
    for options in ways() {
        let lab = Lab::new();
        lab.write("a", "1");
        lab.write("dir/keep", "1");
        let first = lab.save();
        lab.write("a", "2");
        lab.write("new", "2");
        lab.save();
        let late = |step: Step<'_>| {
            if matches!(step, Step::Begun { .. }) {
                lab.write("a", "written while the restore begins");
                lab.write("new", "this too");
            }
            true
        };
        let report = lab.try_restore(&RestoreRequest::new(first), options, &late).unwrap();
        assert_eq!(report.counts.captured_late, 2);
        assert_eq!(fs::read(lab.at("a")).unwrap(), b"1");
        assert!(!lab.at("new").exists());
        lab.undo();
        assert_eq!(fs::read(lab.at("a")).unwrap(), b"written while the restore begins", "{options:?}");
        assert_eq!(fs::read(lab.at("new")).unwrap(), b"this too");
    }
}

/// Rule 4: another name of the same file, outside of the working directory, keeps content and mode.
#[test]
fn a_shared_inode_is_never_written_through() {
    for options in ways() {
        let lab = Lab::new();
        let outside = lab.dir.path().join("outside");
        lab.write("content", "old");
        lab.write("mode", "same");
        lab.chmod("mode", 0o644);
        let first = lab.save();
        for name in ["content", "mode"] {
            fs::remove_file(lab.at(name)).unwrap();
            fs::write(outside.with_extension(name), if name == "mode" { "same" } else { "new" }).unwrap();
            fs::set_permissions(outside.with_extension(name), fs::Permissions::from_mode(0o600)).unwrap();
            fs::hard_link(outside.with_extension(name), lab.at(name)).unwrap();
        }
        lab.save();
        lab.try_restore(&RestoreRequest::new(first), options, &unwatched).unwrap();
        assert_eq!(fs::read(lab.at("content")).unwrap(), b"old");
        assert_eq!(fs::read(outside.with_extension("content")).unwrap(), b"new");
        let mode = |path: &std::path::Path| path.metadata().unwrap().mode() & 0o777;
        assert_eq!((mode(&lab.at("mode")), mode(&outside.with_extension("mode"))), (0o644, 0o600));
    }
}

/// Rule 4: at no step is anything readable by more than the two states allow.
#[test]
fn modes_are_never_wider_than_they_were_or_will_be() {
    for options in ways() {
        let lab = Lab::new();
        lab.write("secret", "old secret");
        lab.chmod("secret", 0o600);
        lab.write("vault/inner", "x");
        lab.chmod("vault/inner", 0o400);
        lab.chmod("vault", 0o500);
        let first = lab.save();
        lab.chmod("vault", 0o700);
        lab.write("secret", "new secret");
        lab.write("vault/inner2", "y");
        lab.chmod("vault/inner2", 0o600);
        fs::remove_file(lab.at("vault/inner")).unwrap();
        lab.save();
        let watch = |_: Step<'_>| {
            for (path, thing) in lab.disk() {
                let (Thing::File(mode, _) | Thing::Directory(mode)) = thing else { continue };
                assert_eq!(mode & 0o077, 0, "{path} is {mode:o}");
            }
            true
        };
        lab.try_restore(&RestoreRequest::new(first), options, &watch).unwrap();
        assert_eq!(lab.disk()["vault"], Thing::Directory(0o500));
        assert_eq!(lab.disk()["vault/inner"], Thing::File(0o400, b"x".to_vec()));
    }
}

/// Rule 4: names that mean `.git`, `.jj` or `.tl` somewhere are refused, each for itself.
#[test]
fn disguised_names_are_refused_path_by_path() {
    let lab = Lab::new();
    lab.write("a", "a");
    lab.save();
    let state = state_of(&lab, &["a", ".GIT", "git~1", ".g\u{200c}it", ".tl::$DATA", ".Jj", "fine"]);
    let report = lab.restore(state);
    assert_eq!(lab.disk().keys().collect::<Vec<_>>(), ["a", "fine"]);
    assert_eq!(report.refused.len(), 5);
    assert!(report.refused.iter().all(|refused| refused.why == Refusal::ReservedName), "{:?}", report.refused);
    assert!(!report.receipt.is_exact());
    assert!(lab.reconcile().checkpoint.is_none(), "what was refused must not count as recorded");
}

/// Rule 4: where the filesystem folds names, the second of two is found before anything is written over the first.
#[test]
fn names_that_collide_are_found_before_writing() {
    let lab = Lab::new();
    lab.write("x", "x");
    lab.save();
    let state = state_of(&lab, &["Readme", "README", "b"]);
    let options = RestoreOptions { folding: Folding::Folds, ..in_order() };
    let report = lab.try_restore(&RestoreRequest::new(state), options, &unwatched).unwrap();
    assert_eq!(lab.disk().keys().collect::<Vec<_>>(), ["README", "b"]);
    assert_eq!(report.refused.len(), 1);
    assert_eq!(report.refused[0].why, Refusal::Collision { with: path("README") });
    // This disk tells them apart, and that is found out.
    let report = lab.restore(state);
    assert!(report.refused.is_empty() && report.receipt.is_exact());
    assert_eq!(lab.disk().keys().collect::<Vec<_>>(), ["README", "Readme", "b"]);
}

/// Rule 5: what does not differ keeps its inode and its times.
#[test]
fn only_what_differs_is_touched() {
    let lab = Lab::new();
    lab.write("same", "same");
    lab.write("dir/same", "same");
    lab.write("a", "1");
    let first = lab.save();
    lab.write("a", "2");
    lab.save();
    let stat = |name: &str| {
        let stat = lab.at(name).metadata().unwrap();
        (stat.ino(), stat.mtime_nsec(), stat.ctime_nsec(), stat.mtime(), stat.ctime())
    };
    let before = (stat("same"), stat("dir/same"), stat("dir"));
    let report = lab.restore(first);
    assert_eq!(report.counts.written, 1);
    assert_eq!((stat("same"), stat("dir/same"), stat("dir")), before);
    // A state that is there already takes no checkpoint.
    let count = lab.repository.journal().count();
    let report = lab.restore(first);
    assert!(report.safety.is_none() && report.receipt.is_exact());
    assert_eq!(lab.repository.journal().count(), count);
}

/// Rule 5: a plan says all that would happen, and nothing does.
#[test]
fn a_plan_touches_nothing() {
    let lab = Lab::new();
    lab.write("changed", "1");
    lab.write("mode", "m");
    lab.write("gone.out", "recorded once");
    let first = lab.save();
    lab.write(".gitignore", ".out");
    lab.write("changed", "2");
    lab.chmod("mode", 0o755);
    lab.write("later", "l");
    fs::remove_file(lab.at("gone.out")).unwrap();
    lab.save();
    lab.write("gone.out", "ignored now");
    let before = lab.disk();
    let count = lab.repository.journal().count();
    let ignored = ignored_in(&lab.root());
    let present = Present { dirty: &Dirty::everything(), ignored: &ignored };
    let plan = lab.repository.plan_restore(&RestoreRequest::new(first), present, in_order()).unwrap();
    let lines: Vec<_> =
        plan.changes.iter().map(|change| (change.path.to_string(), change.action, change.saves)).collect();
    let expected = [
        (".gitignore", Action::Remove, false),
        ("changed", Action::Replace, false),
        ("gone.out", Action::Replace, true),
        ("later", Action::Remove, false),
        ("mode", Action::ChangeMode, false),
    ];
    assert_eq!(lines, expected.map(|(path, action, saves)| (path.to_owned(), action, saves)));
    assert_eq!(lab.disk(), before);
    assert_eq!(lab.repository.journal().count(), count);
}

/// Rule 5: paths can be chosen, with everything below them and nothing beside them.
#[test]
fn chosen_paths_come_back_alone() {
    let lab = Lab::new();
    lab.write("a/one", "1");
    lab.write("a/two", "1");
    lab.write("b", "1");
    let first = lab.save();
    fs::remove_dir_all(lab.at("a")).unwrap();
    lab.write("b", "2");
    lab.write("c", "2");
    lab.save();
    let choose = |paths: &[&str]| RestoreRequest {
        selection: Selection::paths(paths.iter().map(path).collect()),
        ..RestoreRequest::new(first)
    };
    lab.try_restore(&choose(&["a/one"]), in_order(), &unwatched).unwrap();
    assert_eq!(lab.disk().keys().collect::<Vec<_>>(), ["a", "a/one", "b", "c"]);
    let report = lab.try_restore(&choose(&["a", "a/two", "c"]), in_order(), &unwatched).unwrap();
    assert!(report.receipt.is_exact());
    assert_eq!(lab.disk().keys().collect::<Vec<_>>(), ["a", "a/one", "a/two", "b"]);
    assert_eq!(fs::read(lab.at("b")).unwrap(), b"2", "it was not chosen");
    let error = lab.try_restore(&choose(&["nowhere"]), in_order(), &unwatched).unwrap_err();
    assert!(matches!(error, Error::Invalid { what: "path", .. }), "{error}");
}

/// Rule 5: a content put together from hunks takes the place of a file like any other.
#[test]
fn chosen_hunks_come_back() {
    let lab = Lab::new();
    lab.write("f", "one\ntwo\nthree\n");
    lab.chmod("f", 0o755);
    let first = lab.save();
    lab.write("f", "ONE\ntwo\nTHREE\n");
    lab.save();
    let contents = BTreeMap::from([(path("f"), b"one\ntwo\nTHREE\n".to_vec())]);
    let request = RestoreRequest { selection: Selection::contents(contents.clone()), ..RestoreRequest::new(first) };
    let report = lab.try_restore(&request, in_order(), &unwatched).unwrap();
    assert!(report.receipt.is_exact());
    assert_eq!(lab.disk()["f"], Thing::File(0o755, b"one\ntwo\nTHREE\n".to_vec()));
    lab.undo();
    assert_eq!(fs::read(lab.at("f")).unwrap(), b"ONE\ntwo\nTHREE\n");

    let both = |paths: &[&str]| {
        let selection = Selection::Parts { paths: paths.iter().map(path).collect(), contents: contents.clone() };
        RestoreRequest { selection, ..RestoreRequest::new(first) }
    };
    lab.write("g", "new");
    lab.save();
    let error = lab.try_restore(&both(&["f", "g"]), in_order(), &unwatched).unwrap_err();
    assert!(matches!(error, Error::Invalid { what: "path", .. }), "{error}");
    lab.try_restore(&both(&["g"]), in_order(), &unwatched).unwrap();
    assert_eq!(lab.disk().keys().collect::<Vec<_>>(), ["f"], "what is chosen as a whole goes in the same restore");
    assert_eq!(fs::read(lab.at("f")).unwrap(), b"one\ntwo\nTHREE\n");
}

/// Rule 5: in another directory nothing that is there is replaced.
#[test]
fn elsewhere_nothing_is_replaced() {
    let lab = Lab::new();
    lab.write("a", "a");
    lab.write("dir/b", "b");
    let state = lab.save();
    let elsewhere = lab.dir.path().join("elsewhere");
    fs::create_dir_all(elsewhere.join("dir")).unwrap();
    fs::write(elsewhere.join("a"), "mine").unwrap();
    let report = lab.repository.restore_to(&elsewhere, &RestoreRequest::new(state), in_order(), &unwatched).unwrap();
    assert_eq!(report.refused.iter().map(|refused| refused.path.to_string()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(disk(&elsewhere)["a"], Thing::File(0o644, b"mine".to_vec()));
    assert!(disk(&elsewhere).contains_key("dir/b"));
    assert!(!report.receipt.is_exact());
}

/// Rule 6: the receipt is of what is read back, not of what was meant.
#[test]
fn the_receipt_tells_what_is_there() {
    let lab = Lab::new();
    lab.write("a", "1");
    lab.write("b", "1");
    let first = lab.save();
    lab.write("a", "2");
    lab.write("b", "2");
    lab.save();
    let report = lab.restore(first);
    assert!(report.receipt.is_exact());
    assert_eq!(report.receipt.found, lab.repository.journal().get(first).unwrap().unwrap().root);
    lab.undo();
    let meddle = |step: Step<'_>| {
        if step == Step::Written {
            lab.write("b", "somebody was faster");
        }
        true
    };
    let report = lab.try_restore(&RestoreRequest::new(first), in_order(), &meddle).unwrap();
    assert_eq!(report.receipt.differing, [path("b")]);
    assert_ne!(report.receipt.found, report.receipt.wanted);
    let outcome = lab.reconcile();
    assert_eq!(lab.content("b").unwrap(), b"somebody was faster");
    assert_eq!(outcome.checkpoint.unwrap().touched.listed, [path("b")]);
}

/// Restored files are new files: a build sees that they changed.
#[test]
fn restored_files_have_the_time_of_the_restore() {
    let lab = Lab::new();
    lab.write("a", "1");
    let first = lab.save();
    lab.write("a", "2");
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    fs::File::options().write(true).open(lab.at("a")).unwrap().set_modified(old).unwrap();
    lab.save();
    lab.restore(first);
    assert!(lab.at("a").metadata().unwrap().modified().unwrap() > old);
}

/// If it fails, whoever shows a restore's progress, or counts on its order, is misled.
#[test]
fn steps_are_told_in_order() {
    let lab = Lab::new();
    lab.write("a", "1");
    let first = lab.save();
    lab.write("a", "2");
    lab.save();
    let told = Mutex::new(Vec::new());
    let watch = |step: Step<'_>| {
        told.lock().unwrap().push(format!("{step:?}"));
        true
    };
    lab.try_restore(&RestoreRequest::new(first), in_order(), &watch).unwrap();
    lab.repository.settle_restore(&watch).unwrap();
    let expected =
        ["Begun { paths: 1 }", "Staged(\"a\")", "Displaced(\"a\")", "Done(\"a\")", "Written", "Recorded", "Synced"];
    assert_eq!(*told.lock().unwrap(), expected);
    lab.repository.settle_restore(&unwatched).unwrap();
    assert!(lab.repository.recover_restore(false, in_order(), &unwatched).unwrap().is_none());
}

/// A state whose tree was empty is one, too.
#[test]
fn nothing_at_all_can_be_restored() {
    let lab = Lab::new();
    lab.repository
        .update(&Dirty::everything(), &tl_journal::UpdateRequest { always: true, ..crate::lab::request() })
        .unwrap();
    let empty = lab.head();
    assert_eq!(empty.root, ObjectId::EMPTY_TREE);
    lab.write("dir/a", "a");
    lab.save();
    assert!(lab.restore(empty.id).receipt.is_exact());
    assert!(lab.disk().is_empty());
    lab.undo();
    assert_eq!(fs::read(lab.at("dir/a")).unwrap(), b"a");
}

/// If it fails, a dry run of a copy elsewhere makes something, or promises what the copy does not do.
#[test]
fn the_plan_of_a_copy_elsewhere_is_what_it_does() {
    let lab = Lab::new();
    lab.write("a", "1");
    lab.write("d/b", "2");
    lab.write("d/e/c", "3");
    lab.write("f/x", "4");
    let request = RestoreRequest::new(lab.save());
    let elsewhere = lab.dir.path().join("elsewhere");
    let plan = |kept: &[&str], refused: &[&str]| {
        let plan = lab.repository.plan_restore_to(&elsewhere, &request).unwrap();
        let paths = plan.changes.iter().map(|change| change.path.to_string()).collect::<Vec<_>>();
        assert_eq!(paths, kept);
        assert_eq!(plan.refused.iter().map(|refused| refused.path.to_string()).collect::<Vec<_>>(), refused);
    };
    plan(&["a", "d", "d/b", "d/e", "d/e/c", "f", "f/x"], &[]);
    assert!(!elsewhere.exists());

    fs::create_dir_all(elsewhere.join("d/b")).unwrap();
    fs::write(elsewhere.join("f"), "a file where a directory is wanted").unwrap();
    fs::write(elsewhere.join("other"), "of no state").unwrap();
    let before = disk(&elsewhere);
    plan(&["a", "d", "d/e", "d/e/c"], &["d/b", "f", "f/x"]);
    assert_eq!(disk(&elsewhere), before);

    let report = lab.repository.restore_to(&elsewhere, &request, in_order(), &unwatched).unwrap();
    let refused = report.refused.iter().map(|refused| refused.path.to_string()).collect::<Vec<_>>();
    assert_eq!(refused, ["d/b", "f", "f/x"]);
    let mut after = disk(&elsewhere);
    after.retain(|path, _| !before.contains_key(path));
    assert_eq!(after.into_keys().collect::<Vec<_>>(), ["a", "d/e", "d/e/c"]);
}
