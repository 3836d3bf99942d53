//! Rule 3: a restore that dies at any point is finished or taken back by the next start, and nothing is lost either way.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use tl_journal::{
    CheckpointId, Dirty, Error, Recovered, RestoreOptions, RestoreRequest, Step, Swap, UpdateRequest, unwatched,
};

use super::{Disk, disk, ignored_in, in_order};
use crate::lab::Lab;

/// Two states that differ in every way that a restore knows, the second one on disk, an ignored file in the way.
fn two_states() -> (Lab, CheckpointId, Disk, Disk) {
    let lab = Lab::new();
    lab.write("replaced", "old content");
    lab.write("mode", "m");
    lab.write("file-to-dir", "file");
    lab.write("dir-to-file/inner/x", "x");
    lab.write("removed/deep/y", "y");
    lab.write("cache.out", "recorded once");
    symlink("replaced", lab.at("link")).unwrap();
    fs::create_dir(lab.at("empty")).unwrap();
    lab.chmod("empty", 0o700);
    let first = lab.save();
    let wanted = lab.disk();
    for name in ["removed", "dir-to-file"] {
        fs::remove_dir_all(lab.at(name)).unwrap();
    }
    for name in ["file-to-dir", "link", "cache.out"] {
        fs::remove_file(lab.at(name)).unwrap();
    }
    fs::remove_dir(lab.at("empty")).unwrap();
    lab.write(".gitignore", ".out");
    lab.write("replaced", "new content");
    lab.chmod("mode", 0o755);
    lab.write("file-to-dir/z", "z");
    lab.write("dir-to-file", "now a file");
    lab.write("added/w", "w");
    symlink("elsewhere", lab.at("link")).unwrap();
    lab.save();
    lab.write("cache.out", "ignored, in the way");
    let before = lab.disk();
    (lab, first, wanted, before)
}

fn swap_ways() -> [RestoreOptions; 2] {
    [in_order(), RestoreOptions { swap: Swap::Aside, ..in_order() }]
}

fn steps_of_a_restore(options: RestoreOptions) -> usize {
    let (lab, first, ..) = two_states();
    let steps = AtomicUsize::new(0);
    let count = |_: Step<'_>| {
        steps.fetch_add(1, Ordering::Relaxed);
        true
    };
    lab.try_restore(&RestoreRequest::new(first), options, &count).unwrap();
    lab.repository.settle_restore(&count).unwrap();
    steps.into_inner()
}

/// After the steps before `last`, everything stops.
fn stop_at(last: usize) -> impl Fn(Step<'_>) -> bool + Sync {
    let steps = AtomicUsize::new(0);
    move |_| steps.fetch_add(1, Ordering::Relaxed) < last
}

fn restore_and_settle(lab: &Lab, first: CheckpointId, options: RestoreOptions, last: usize) -> bool {
    let watch = stop_at(last);
    let done = lab.try_restore(&RestoreRequest::new(first), options, &watch);
    match done.map(|_| ()).and_then(|()| lab.repository.settle_restore(&watch)) {
        Ok(()) => true,
        Err(Error::Interrupted) => false,
        Err(error) => panic!("{error}"),
    }
}

/// If it fails, a crash at some step leaves neither the one state nor the other.
#[test]
fn a_restore_that_stops_at_any_step_is_finished() {
    for options in swap_ways() {
        let steps = steps_of_a_restore(options);
        assert!(steps > 20, "{steps}");
        for last in 0..steps {
            let (mut lab, first, wanted, before) = two_states();
            assert!(!restore_and_settle(&lab, first, options, last));
            lab.reopen();
            let recovery = lab.repository.recover_restore(false, options, &unwatched).unwrap().unwrap();
            assert_eq!(recovery.how, Recovered::Finished);
            assert!(recovery.receipt.is_exact(), "step {last}: {:?}", recovery.receipt);
            assert_eq!(lab.disk(), wanted, "step {last}");
            assert!(lab.repository.recover_restore(false, options, &unwatched).unwrap().is_none());
            lab.undo();
            assert_eq!(lab.disk(), before, "step {last}: what was overwritten did not come back");
        }
    }
}

/// If it fails, a restore that cannot be finished leaves a mixture.
#[test]
fn a_restore_that_stops_at_any_step_is_taken_back() {
    for options in swap_ways() {
        // The last two steps come after the restored state is recorded: then there is nothing to take back.
        for last in 0..steps_of_a_restore(options) - 2 {
            let (mut lab, first, _, before) = two_states();
            assert!(!restore_and_settle(&lab, first, options, last));
            lab.reopen();
            assert!(lab.repository.restore_is_cut_short().unwrap());
            let recovery = lab.repository.recover_restore(true, options, &unwatched).unwrap().unwrap();
            assert_eq!(recovery.how, Recovered::RolledBack);
            assert_eq!(lab.disk(), before, "step {last}");
            assert!(!lab.repository.restore_is_cut_short().unwrap());
            lab.save();
            assert_eq!(lab.disk(), before);
        }
    }
}

/// If it fails, a second crash, during the recovery, loses what the first did not.
#[test]
fn a_recovery_that_stops_at_any_step_goes_on() {
    let options = in_order();
    let steps = steps_of_a_restore(options);
    for take_back in [false, true] {
        for first_stop in [2, steps / 3, steps / 2, steps - 4] {
            for second_stop in 0..8 {
                let (mut lab, first, wanted, before) = two_states();
                assert!(!restore_and_settle(&lab, first, options, first_stop));
                lab.reopen();
                let stopped = lab.repository.recover_restore(take_back, options, &stop_at(second_stop));
                lab.reopen();
                // A rollback that was begun goes on as one, whatever is said then.
                if !matches!(stopped, Ok(Some(_))) {
                    lab.repository.recover_restore(false, options, &unwatched).unwrap().unwrap();
                }
                let expected = if take_back { &before } else { &wanted };
                assert_eq!(&lab.disk(), expected, "stops {first_stop}, {second_stop}, take back {take_back}");
            }
        }
    }
}

/// If it fails, a half restored state is recorded as if somebody had made it.
#[test]
fn nothing_is_captured_while_a_restore_is_cut_short() {
    let (lab, first, ..) = two_states();
    assert!(!restore_and_settle(&lab, first, in_order(), 5));
    let again = lab.try_restore(&RestoreRequest::new(first), in_order(), &unwatched).unwrap_err();
    assert!(matches!(again, Error::RestoreCutShort), "{again}");
    let update = lab.repository.update(&Dirty::everything(), &UpdateRequest::new(tl_journal::Reason::FsBatch));
    assert!(matches!(update, Err(Error::RestoreCutShort)), "{update:?}");
}

/// If it fails, files that were saved between a restore and a crash are overwritten by the start after it.
#[test]
fn what_is_written_after_a_restore_survives_its_completion() {
    let (mut lab, first, ..) = two_states();
    lab.restore(first);
    lab.write("replaced", "saved after the restore");
    lab.write("file-to-dir.new", "new");
    fs::remove_file(lab.at("removed/deep/y")).unwrap();
    // The intent is still there, as if the machine had died before the sync.
    lab.reopen();
    lab.repository.recover_restore(false, in_order(), &unwatched).unwrap().unwrap();
    assert_eq!(fs::read(lab.at("replaced")).unwrap(), b"saved after the restore");
    assert!(lab.at("file-to-dir.new").exists() && !lab.at("removed/deep/y").exists());
}

/// If it fails, what a loss of power took from a finished restore stays lost.
#[test]
fn what_a_loss_of_power_takes_is_written_again() {
    let (mut lab, first, wanted, _) = two_states();
    lab.restore(first);
    // As if these had never reached the disk: an empty file, an old content, a name that is missing, all of before.
    let old = fs::metadata(lab.at("mode")).unwrap().modified().unwrap() - std::time::Duration::from_secs(60);
    let make_old = |name: &str| fs::File::open(lab.at(name)).unwrap().set_modified(old).unwrap();
    fs::write(lab.at("replaced"), "").unwrap();
    make_old("replaced");
    fs::remove_file(lab.at("dir-to-file/inner/x")).unwrap();
    make_old("dir-to-file/inner");
    lab.reopen();
    let recovery = lab.repository.recover_restore(false, in_order(), &unwatched).unwrap().unwrap();
    assert_eq!(recovery.how, Recovered::Finished);
    assert_eq!(lab.disk(), wanted);
}

const CHILD: &str = "TL_RESTORE_CHILD";

/// The process that dies: `DIRECTORY;CHECKPOINT;STEP` in the environment says where and when.
#[test]
fn child() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let mut parts = told.split(';');
    let (dir, id, last) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    let (id, last): (CheckpointId, usize) = (id.parse().unwrap(), last.parse().unwrap());
    let repository = Lab::open_in(Path::new(dir));
    let steps = AtomicUsize::new(0);
    let die = |_: Step<'_>| {
        if steps.fetch_add(1, Ordering::Relaxed) == last {
            // As by kill -9: nothing is run any more.
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
        }
        true
    };
    let ignored = ignored_in(&Path::new(dir).join("work"));
    let present = tl_journal::Present { dirty: &Dirty::everything(), ignored: &ignored };
    let options = RestoreOptions { threads: 3, ..RestoreOptions::default() };
    repository.restore(&RestoreRequest::new(id), present, options, &die).unwrap();
    repository.settle_restore(&die).unwrap();
}

/// The same with a process that is killed, several threads at work.
#[test]
fn a_process_that_is_killed_loses_nothing() {
    let steps = steps_of_a_restore(in_order());
    for last in (0..steps).step_by(3) {
        let (lab, first, wanted, before) = two_states();
        let dir = lab.into_dir();
        let told = format!("{};{first};{last}", dir.path().display());
        let me = std::env::current_exe().unwrap();
        let output = Command::new(me).args(["--exact", "restore::crash::child"]).env(CHILD, told).output().unwrap();
        assert!(!output.status.success(), "it was to die at step {last}");
        let repository = Lab::open_in(dir.path());
        let recovery = repository.recover_restore(false, RestoreOptions::default(), &unwatched).unwrap().unwrap();
        assert_eq!(recovery.how, Recovered::Finished, "step {last}: {:?}", recovery.reason);
        assert_eq!(disk(&dir.path().join("work")), wanted, "step {last}");
        let lab = Lab { dir, repository };
        lab.undo();
        assert_eq!(lab.disk(), before, "step {last}");
    }
}

/// If it fails, a full disk or an unreadable store leaves the working directory between two states.
#[test]
fn a_restore_that_cannot_be_finished_goes_back() {
    let (lab, first, _, before) = two_states();
    // One of the wanted contents is lost from the store.
    let root = lab.repository.journal().get(first).unwrap().unwrap().root;
    let lost = lab.tree(&root).into_iter().find(|(path, _)| path.as_bytes() == b"replaced").unwrap().1;
    lab.repository.store().purge([lost.id]).unwrap();
    let error = lab.try_restore(&RestoreRequest::new(first), in_order(), &unwatched).unwrap_err();
    let Error::RolledBack { source } = error else { panic!("{error}") };
    assert!(source.to_string().contains("purged"), "{source}");
    assert_eq!(lab.disk(), before);
    assert!(!lab.repository.restore_is_cut_short().unwrap());
}
