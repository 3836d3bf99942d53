//! Somebody changes the working directory to lead a restore astray.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use tl_journal::{Refusal, RestoreRequest, Step, unwatched};

use super::{Thing, disk, in_order, ways};
use crate::lab::Lab;

/// A directory outside with files of the same names, which must stay as they are.
fn with_victim() -> (Lab, std::path::PathBuf) {
    let lab = Lab::new();
    let victim = lab.dir.path().join("victim");
    fs::create_dir(&victim).unwrap();
    for name in ["a", "b", "gone"] {
        fs::write(victim.join(name), "not yours").unwrap();
    }
    (lab, victim)
}

/// If it fails, a link in place of a directory makes a restore write or delete outside of the root.
#[test]
fn a_link_in_place_of_a_directory_is_not_followed() {
    for options in ways() {
        let (lab, victim) = with_victim();
        let untouched = disk(&victim);
        lab.write("dir/a", "1");
        lab.write("dir/b", "1");
        let first = lab.save();
        lab.write("dir/a", "2");
        lab.write("dir/gone", "2");
        lab.save();
        let exchange = |step: Step<'_>| {
            if matches!(step, Step::Begun { .. }) {
                fs::rename(lab.at("dir"), lab.at("moved")).unwrap();
                symlink(&victim, lab.at("dir")).unwrap();
            }
            true
        };
        let report = lab.try_restore(&RestoreRequest::new(first), options, &exchange).unwrap();
        assert_eq!(disk(&victim), untouched, "{options:?}");
        assert!(!report.receipt.is_exact());
        assert!(report.refused.iter().any(|refused| refused.why == Refusal::Unreachable), "{:?}", report.refused);
    }
}

/// If it fails, a directory that is exchanged for a link in the middle of the restore leads it outside, or the receipt says that all is well.
#[test]
fn a_directory_that_is_exchanged_in_the_middle_shows_in_the_receipt() {
    for options in ways() {
        let (lab, victim) = with_victim();
        let untouched = disk(&victim);
        for name in ["a", "b"] {
            lab.write(&format!("dir/{name}"), "1");
        }
        let first = lab.save();
        for name in ["a", "b"] {
            lab.write(&format!("dir/{name}"), "2");
        }
        lab.save();
        let once = AtomicBool::new(false);
        let exchange = |step: Step<'_>| {
            if matches!(step, Step::Staged(_)) && !once.swap(true, Ordering::Relaxed) {
                fs::rename(lab.at("dir"), lab.at("moved")).unwrap();
                symlink(&victim, lab.at("dir")).unwrap();
            }
            true
        };
        let report = lab.try_restore(&RestoreRequest::new(first), options, &exchange).unwrap();
        assert_eq!(disk(&victim), untouched, "{options:?}");
        assert!(!report.receipt.is_exact());
    }
}

/// If it fails, a link in place of a file makes a restore write through it.
#[test]
fn a_link_in_place_of_a_file_is_replaced_itself() {
    for options in ways() {
        let (lab, victim) = with_victim();
        let untouched = disk(&victim);
        lab.write("a", "1");
        lab.write("mode", "m");
        let first = lab.save();
        lab.write("a", "2");
        lab.chmod("mode", 0o755);
        lab.save();
        let exchange = |step: Step<'_>| {
            if matches!(step, Step::Begun { .. }) {
                for (name, target) in [("a", "a"), ("mode", "b")] {
                    fs::remove_file(lab.at(name)).unwrap();
                    symlink(victim.join(target), lab.at(name)).unwrap();
                }
            }
            true
        };
        let report = lab.try_restore(&RestoreRequest::new(first), options, &exchange).unwrap();
        assert_eq!(disk(&victim), untouched, "{options:?}");
        assert!(report.receipt.is_exact() && report.counts.captured_late == 2, "{report:?}");
        assert_eq!(lab.disk()["a"], Thing::File(0o644, b"1".to_vec()));
    }
}

/// If it fails, a FIFO or a directory that comes in the way hangs a restore, or is lost.
#[test]
fn what_cannot_be_kept_is_left_alone() {
    for options in ways() {
        let lab = Lab::new();
        for name in ["fifo", "dir", "fine"] {
            lab.write(name, "1");
        }
        let first = lab.save();
        for name in ["fifo", "dir", "fine"] {
            lab.write(name, "2");
        }
        lab.save();
        let block = |step: Step<'_>| {
            if matches!(step, Step::Begun { .. }) {
                for name in ["fifo", "dir"] {
                    fs::remove_file(lab.at(name)).unwrap();
                }
                let mode = rustix::fs::Mode::from_raw_mode(0o600);
                rustix::fs::mknodat(rustix::fs::CWD, lab.at("fifo"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
                lab.write("dir/precious", "p");
            }
            true
        };
        let report = lab.try_restore(&RestoreRequest::new(first), options, &block).unwrap();
        let why: Vec<_> =
            report.refused.iter().map(|refused| (refused.path.to_string(), refused.why.clone())).collect();
        assert_eq!(why, [("dir".into(), Refusal::InTheWay), ("fifo".into(), Refusal::Special)], "{options:?}");
        let left = lab.disk();
        assert_eq!(left["fifo"], Thing::Special);
        assert_eq!(left["dir/precious"], Thing::File(0o644, b"p".to_vec()));
        assert_eq!(left.keys().collect::<Vec<_>>(), ["dir", "dir/precious", "fifo", "fine"], "nothing of ours is left");
    }
}

/// If it fails, a planted temporary file or link is written to.
#[test]
fn names_of_temporary_files_cannot_be_planted() {
    let (lab, victim) = with_victim();
    let untouched = disk(&victim);
    lab.write("a", "1");
    let first = lab.save();
    lab.write("a", "2");
    lab.save();
    // Whoever sees the first temporary name knows the others.
    let plant = |step: Step<'_>| {
        if let Step::Staged(_) = step {
            for entry in fs::read_dir(lab.root()).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                if let Some(stem) = name.strip_prefix(".tl-restore-").and_then(|rest| rest.split_once('-')) {
                    let planted = lab.at(format!(".tl-restore-{}-{}-old", stem.0, stem.1));
                    symlink(victim.join("a"), planted).unwrap();
                }
            }
        }
        true
    };
    for options in [in_order(), ways()[2]] {
        lab.try_restore(&RestoreRequest::new(first), options, &plant).unwrap();
        assert_eq!(disk(&victim), untouched);
        for entry in fs::read_dir(lab.root()).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name().to_string_lossy().starts_with(".tl-restore-") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        lab.write("a", "2");
        lab.save();
    }
    assert!(lab.try_restore(&RestoreRequest::new(first), in_order(), &unwatched).unwrap().receipt.is_exact());
}
