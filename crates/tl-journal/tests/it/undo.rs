//! Undo and redo along the stack of restores.

use std::fs;
use std::time::Duration;

use tl_journal::{
    CollectRequest, Dirty, Error, KeepReason, Present, Provenance, RestoreRequest, RetentionPolicy, unwatched,
};

use crate::lab::Lab;
use crate::restore::in_order;

fn content(lab: &Lab, name: &str) -> String {
    fs::read_to_string(lab.at(name)).unwrap()
}

/// If it fails, what a restore overwrote or removed cannot be had back by the one command for it.
#[test]
fn undo_brings_everything_back() {
    let lab = Lab::new();
    lab.write("kept.out", "recorded once");
    lab.write("dir.out/x", "recorded once");
    lab.write("a", "1");
    let first = lab.save();
    fs::remove_file(lab.at("kept.out")).unwrap();
    fs::remove_dir_all(lab.at("dir.out")).unwrap();
    lab.write(".gitignore", ".out");
    lab.write("a", "2");
    lab.save();
    lab.write("kept.out", "ignored");
    lab.write("dir.out", "an ignored file where a directory was");
    lab.write("a", "3, unrecorded");
    lab.chmod("kept.out", 0o640);
    let before = lab.disk();
    lab.restore(first);
    assert_eq!(content(&lab, "dir.out/x"), "recorded once");
    let report = lab.undo();
    assert_eq!(lab.disk(), before);
    assert!(report.receipt.is_exact(), "{:?}", report.receipt);
    assert!(lab.save() == lab.head().id && lab.disk() == before);
}

/// If it fails, undo after undo goes back and forth between two states.
#[test]
fn undo_and_redo_walk_along_all_restores() {
    let lab = Lab::new();
    let mut states = Vec::new();
    for number in 0..4 {
        lab.write("a", format!("{number}"));
        states.push(lab.save());
    }
    lab.restore(states[2]);
    lab.restore(states[1]);
    lab.restore(states[0]);
    let seen = |lab: &Lab| content(lab, "a");
    assert_eq!(seen(&lab), "0");
    for expected in ["1", "2", "3"] {
        lab.undo();
        assert_eq!(seen(&lab), expected);
    }
    let present = Present { dirty: &Dirty::everything(), ignored: &|_, _| false };
    let error = lab.repository.undo(Provenance::default(), present, in_order(), &unwatched).unwrap_err();
    assert!(matches!(error, Error::NothingToUndo { .. }), "{error}");
    for expected in ["2", "1", "0"] {
        lab.redo();
        assert_eq!(seen(&lab), expected);
    }
    lab.undo();
    assert_eq!(seen(&lab), "1");
    assert_eq!(lab.repository.undo_list().unwrap().len(), 2);
}

/// If it fails, edits made between a restore and its undo are lost by redo.
#[test]
fn edits_after_a_restore_survive_undo_and_redo() {
    let lab = Lab::new();
    lab.write("a", "1");
    let first = lab.save();
    lab.write("a", "2");
    lab.save();
    lab.restore(first);
    lab.write("a", "1 and more");
    lab.write("new", "n");
    lab.undo();
    assert_eq!(content(&lab, "a"), "2");
    assert!(!lab.at("new").exists());
    lab.redo();
    assert_eq!(content(&lab, "a"), "1 and more");
    assert_eq!(content(&lab, "new"), "n");
    // A new restore makes what was undone unreachable by redo.
    lab.undo();
    lab.restore(first);
    let present = Present { dirty: &Dirty::everything(), ignored: &|_, _| false };
    assert!(lab.repository.redo(Provenance::default(), present, in_order(), &unwatched).is_err());
}

/// If it fails, a saved file cannot be had back once further restores were made.
#[test]
fn a_state_comes_back_with_what_it_saved_if_asked() {
    let lab = Lab::new();
    lab.write("x.out", "recorded once");
    let first = lab.save();
    fs::remove_file(lab.at("x.out")).unwrap();
    lab.write(".gitignore", ".out");
    let second = lab.save();
    lab.write("x.out", "ignored");
    let safety = lab.restore(first).safety.unwrap();
    lab.restore(second);
    let request = RestoreRequest { with_saved: true, ..RestoreRequest::new(safety.id) };
    lab.try_restore(&request, in_order(), &unwatched).unwrap();
    assert_eq!(content(&lab, "x.out"), "ignored");
}

/// If it fails, retention takes away what a restore overwrote while undo still offers it.
#[test]
fn a_collection_leaves_what_undo_and_redo_lead_to() {
    let lab = Lab::new();
    lab.write("kept.out", "recorded once");
    let first = lab.save();
    fs::remove_file(lab.at("kept.out")).unwrap();
    lab.write(".gitignore", ".out");
    lab.save();
    lab.write("kept.out", "ignored, in no state's tree");
    let before = lab.disk();
    lab.restore(first);
    for number in 0..5 {
        lab.write("later", format!("{number}"));
        lab.save();
    }
    let policy = RetentionPolicy {
        newest: 1,
        dense_for: Duration::ZERO,
        hourly_for: Duration::ZERO,
        daily_for: Some(Duration::ZERO),
        ..RetentionPolicy::default()
    };
    let report = lab.repository.collect(&CollectRequest { policy, dry_run: false }).unwrap();
    assert_eq!(report.plan.kept[&KeepReason::Undo], 2);
    assert!(report.checkpoints_deleted > 4, "{report:?}");
    lab.undo();
    assert_eq!(lab.disk(), before);
}
