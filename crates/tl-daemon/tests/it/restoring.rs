//! Restore, undo, redo, purge and repair, through a daemon and without one.

use std::fs;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tl_daemon::wire::{
    Answer, CheckpointId, FailureKind, Flush, Item, PathBytes, Picked, PlanAction, PlanStep, Provenance, Purge, Reason,
    Request, Restore, Restored, Step,
};
use tl_daemon::{Access, Error, Session, session};

use crate::lab::{Lab, ask, assert_same, flush, flushed, is_long, objects, on_disk, recorded, seed_or};

fn request(state: CheckpointId) -> Restore {
    Restore {
        state,
        paths: Vec::new(),
        picked: Vec::new(),
        to: None,
        exact: false,
        dry_run: false,
        provenance: Provenance::default(),
    }
}

fn restored(session: &mut Session, request: Request) -> (Restored, Vec<PlanStep>) {
    let mut steps = Vec::new();
    let mut on_item = |item: Item| {
        if let Item::PlanStep(step) = item {
            steps.push(step);
        }
    };
    match session.call(request, &mut on_item).unwrap() {
        Answer::Restored(restored) => (*restored, steps),
        other => panic!("{other:?}"),
    }
}

fn flush_of(session: &mut Session) -> tl_daemon::wire::Checkpoint {
    flushed(session.call(Request::Flush(Flush::default()), &mut |_| {}).unwrap()).0
}

/// The same with a daemon and without one.
fn with_each_session(test: impl Fn(&Lab, &mut Session)) {
    let lab = Lab::new();
    test(&lab, &mut lab.alone(Access::Write));
    let lab = Lab::new();
    let daemon = lab.start();
    test(&lab, &mut Session::open(&lab.place, Access::Write, None).unwrap());
    drop(daemon);
}

#[test]
fn a_state_comes_back_and_what_it_replaced_too() {
    with_each_session(|lab, session| {
        lab.write("a", "1");
        lab.write("dir/b", "2");
        let first = flush_of(session);
        let before = on_disk(&lab.root);
        lab.write("a", "changed");
        fs::remove_dir_all(lab.path("dir")).unwrap();
        lab.write("new", "3");
        // Not flushed: the restore itself sees to that.
        let after = on_disk(&lab.root);
        let (plan, steps) = restored(session, Request::Restore(Restore { dry_run: true, ..request(first.id) }));
        assert_eq!((plan.dry_run, plan.verified), (true, None));
        let actions: Vec<_> = steps.iter().map(|step| (step.path.0.as_slice(), step.action)).collect();
        assert_eq!(
            actions,
            [
                (&b"a"[..], PlanAction::Replace),
                (b"dir", PlanAction::Create),
                (b"dir/b", PlanAction::Create),
                (b"new", PlanAction::Remove),
            ]
        );
        assert_same(&on_disk(&lab.root), &after, "a plan touches nothing");
        let (done, steps) = restored(session, Request::Restore(request(first.id)));
        assert_eq!((done.verified, done.written, done.removed, steps.len()), (Some(true), 2, 1, 0), "{done:?}");
        assert_same(&on_disk(&lab.root), &before, "restored");
        let (undone, _) = restored(session, Request::Undo(Step::default()));
        assert_eq!(undone.verified, Some(true));
        assert_same(&on_disk(&lab.root), &after, "undone");
        let (redone, _) = restored(session, Request::Redo(Step::default()));
        assert_eq!(redone.verified, Some(true));
        assert_same(&on_disk(&lab.root), &before, "redone");
        let head = flush_of(session);
        assert_eq!(head.reason, Reason::Restore, "the restore leaves nothing to capture");
        assert_eq!(Some(head.id), redone.checkpoint);
    });
}

#[test]
fn paths_parts_and_other_directories() {
    with_each_session(|lab, session| {
        lab.write("a", "1");
        lab.write("b", "1");
        let first = flush_of(session);
        lab.write("a", "2");
        lab.write("b", "2");
        flush_of(session);
        let paths = vec![PathBytes(b"a".to_vec())];
        restored(session, Request::Restore(Restore { paths, ..request(first.id) }));
        assert_eq!(
            (fs::read(lab.path("a")).unwrap(), fs::read(lab.path("b")).unwrap()),
            (b"1".to_vec(), b"2".to_vec())
        );
        let content = session.put_blob(b"half of each").unwrap();
        let picked = vec![Picked { path: PathBytes(b"b".to_vec()), content, len: 12 }];
        restored(session, Request::Restore(Restore { picked, ..request(first.id) }));
        assert_eq!(fs::read(lab.path("b")).unwrap(), b"half of each");
        let to = lab.outside().join("elsewhere");
        let to_bytes = PathBytes(to.as_os_str().as_encoded_bytes().to_vec());
        restored(session, Request::Restore(Restore { to: Some(to_bytes), ..request(first.id) }));
        assert_eq!(fs::read(to.join("b")).unwrap(), b"1");
        let escaping = Restore { paths: vec![PathBytes(b"../x".to_vec())], ..request(first.id) };
        match session.call(Request::Restore(escaping), &mut |_| {}) {
            Err(Error::Refused(failure)) => assert_eq!(failure.kind, FailureKind::Invalid, "{failure}"),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn what_cannot_be_undone_is_said() {
    with_each_session(|lab, session| {
        lab.write("a", "1");
        flush_of(session);
        for request in [Request::Undo(Step::default()), Request::Redo(Step::default())] {
            match session.call(request, &mut |_| {}) {
                Err(Error::Refused(failure)) => assert_eq!(failure.kind, FailureKind::NotFound, "{failure}"),
                other => panic!("{other:?}"),
            }
        }
    });
}

/// If it fails, a daemon that is killed during a restore leaves a mixture of two states.
#[test]
fn a_restore_that_is_killed_is_finished_or_taken_back() {
    let seed = seed_or(5);
    let rounds = if is_long() { 200 } else { 8 };
    let lab = Lab::new();
    let mut rng = StdRng::seed_from_u64(seed);
    for number in 0..60 {
        lab.write(&format!("d{}/f{number}", number % 7), format!("one {number}"));
    }
    let mut daemon = lab.start();
    let one = flush(&mut daemon.client);
    let tree_one = on_disk(&lab.root);
    for number in 0..60 {
        lab.write(&format!("d{}/f{number}", number % 7), format!("two, longer, {number}"));
    }
    fs::remove_dir_all(lab.path("d3")).unwrap();
    let two = flush(&mut daemon.client);
    let tree_two = on_disk(&lab.root);
    daemon.stop(&lab);
    let mut wanted = &one;
    for round in 0..rounds {
        let mut daemon = lab.start();
        flush(&mut daemon.client);
        let pid = rustix::process::Pid::from_child(&daemon.child);
        let delay = Duration::from_micros(rng.random_range(0..15_000));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(delay);
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        });
        // It may be done before it is killed, and may not have begun.
        drop(daemon.client.call(Request::Restore(request(wanted.id)), &mut |_| {}));
        killer.join().unwrap();
        daemon.child.wait().unwrap();
        let mut daemon = lab.start();
        let head = flush(&mut daemon.client);
        let found = on_disk(&lab.root);
        let context = format!("TL_SEED={seed}, round {round}");
        assert!(found == tree_one || found == tree_two, "{context}: neither state\n{}", lab.log());
        assert_same(&recorded(&objects(&lab), head.root), &found, &context);
        wanted = if found == tree_one { &two } else { &one };
        daemon.stop(&lab);
    }
}

/// If it fails, a secret that was purged is still in the store, or more than the secret is gone.
#[test]
fn a_purge_takes_the_content_and_leaves_the_history() {
    with_each_session(|lab, session| {
        lab.write("secret", "a password that must never have been here");
        lab.write("kept", "shared content");
        lab.write("copy", "shared content");
        let first = flush_of(session);
        fs::remove_file(lab.path("secret")).unwrap();
        flush_of(session);
        let purge = |paths: &[&str], dry_run| {
            let paths = paths.iter().map(|path| PathBytes(path.as_bytes().to_vec())).collect();
            Request::Purge(Purge { paths, dry_run })
        };
        let Answer::Purged(plan) = session.call(purge(&["secret", "kept"], true), &mut |_| {}).unwrap() else {
            panic!()
        };
        assert_eq!((plan.objects, plan.dry_run), (1, true));
        assert_eq!(plan.shared_with, [PathBytes(b"copy".to_vec())]);
        let Answer::Purged(purged) = session.call(purge(&["secret", "kept"], false), &mut |_| {}).unwrap() else {
            panic!()
        };
        assert_eq!((purged.objects, purged.dry_run), (1, false), "{purged:?}");
        assert!(purged.scanned_files.unwrap() > 0);
        let objects = session.objects().unwrap();
        let root = tl_core::ObjectId::from_bytes(first.root.0);
        let tree = objects.get_tree(&root).unwrap();
        let id = |name: &[u8]| tree.get(tl_core::EntryName::new(name).unwrap()).unwrap().id;
        assert!(matches!(objects.get_blob(&id(b"secret"), 1000), Err(tl_core::Error::Purged { .. })));
        assert_eq!(objects.get_blob(&id(b"kept"), 1000).unwrap(), b"shared content");
        for entry in fs::read_dir(lab.place.store.db()).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(19).any(|window| window == b"a password that mus"));
        }
    });
}

#[test]
fn a_sound_store_needs_no_repair_and_one_in_use_is_not_repaired() {
    let lab = Lab::new();
    lab.write("a", "1");
    let mut daemon = lab.start();
    let head = flush(&mut daemon.client);
    assert!(matches!(session::repair(&lab.place, &mut |_| {}), Err(Error::AlreadyRunning { .. })));
    daemon.stop(&lab);
    let repaired = session::repair(&lab.place, &mut |item| panic!("{item:?}")).unwrap();
    assert_eq!((repaired.found, repaired.lost), (0, 0));
    let mut daemon = lab.start();
    assert_eq!(flush(&mut daemon.client).id, head.id);
    assert_eq!(ask(&mut daemon.client, Request::Checkpoint { id: head.id }), Answer::Checkpoint(head.into()));
}
