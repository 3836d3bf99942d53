//! What a user does with a queue, and what it refuses.

use std::time::Duration;

use northstar::ErrorKind;
use northstar::queue::{
    Blocker, Claim, Completed, DedupeKey, Error, EventKind, Failed, Failure, Filter, NewTask, RunAt, State, TaskId,
    TaskType, Token, TypeSettings,
};
use vfs_sim::SimDisk;

use super::{assert_sound, claim, kind, open, task};

/// A user could not get work done.
#[test]
fn work_is_done_by_priority_and_then_by_time() {
    let disk = SimDisk::new();
    let queue = open(&disk);
    let (low, high) =
        (NewTask { priority: -128, ..task("mail", "low") }, NewTask { priority: 127, ..task("mail", "high") });
    let first = NewTask { run_at: RunAt::TimeUs(1), ..task("mail", "first") };
    queue.enqueue_many(&[low, task("mail", "second"), first, high]).unwrap();
    queue.enqueue(&task("other", "not asked for")).unwrap();
    let found = claim(&queue, "mail", 10);
    let payloads: Vec<_> = found.iter().map(|claimed| claimed.payload.as_slice()).collect();
    assert_eq!(payloads, [&b"high"[..], b"first", b"second", b"low"]);
    assert!(claim(&queue, "mail", 1).is_empty());
    for claimed in found {
        assert_eq!(queue.complete(claimed.task.id, claimed.token, b"sent").unwrap(), Completed::Now);
        assert_eq!(queue.complete(claimed.task.id, claimed.token, b"again").unwrap(), Completed::Before);
        assert_eq!(queue.view().result(claimed.task.id).unwrap().unwrap(), b"sent");
    }
    assert_sound(&queue);
}

/// Two agents would do the same task, and both would believe that they alone did.
#[test]
fn a_stale_token_is_refused() {
    let disk = SimDisk::new();
    let queue = open(&disk);
    let id = queue.enqueue(&task("mail", "x")).unwrap().id;
    let slow = claim(&queue, "mail", 1).remove(0);
    assert!(claim(&queue, "mail", 1).is_empty());
    disk.advance(Duration::from_secs(61));
    let quick = claim(&queue, "mail", 1).remove(0);
    assert_eq!((quick.task.id, quick.task.attempts), (id, 2));
    assert!(quick.token > slow.token);
    for error in [
        queue.complete(id, slow.token, b"").unwrap_err(),
        queue.heartbeat(id, slow.token, None).unwrap_err(),
        queue.fail(id, slow.token, &Failure::new("late")).unwrap_err(),
    ] {
        assert!(
            matches!(error, Error::StaleToken { given, current: Some(current), .. }
            if given == slow.token && current == quick.token),
            "{error}"
        );
        assert_eq!(error.kind(), ErrorKind::FixInput);
    }
    queue.complete(id, quick.token, b"").unwrap();
    let error = queue.complete(id, slow.token, b"").unwrap_err();
    assert!(matches!(error, Error::StaleToken { current: None, state: State::Done, .. }), "{error}");
    let kinds: Vec<_> = queue.view().history(id).unwrap().iter().map(|event| event.kind).collect();
    use EventKind::{Claimed, Completed, Enqueued, Expired};
    assert_eq!(kinds, [Enqueued, Claimed, Expired, Claimed, Completed]);
    assert_sound(&queue);
}

/// A heartbeat would not keep a lease, or work under an expired lease that nobody took back would be thrown away.
#[test]
fn a_heartbeat_keeps_a_lease() {
    let disk = SimDisk::new();
    let queue = open(&disk);
    let id = queue.enqueue(&task("mail", "x")).unwrap().id;
    let held = claim(&queue, "mail", 1).remove(0);
    for _ in 0..5 {
        disk.advance(Duration::from_secs(50));
        let expires_us = queue.heartbeat(id, held.token, None).unwrap();
        assert_eq!(expires_us, queue.now_us() + 60_000_000);
        assert!(claim(&queue, "mail", 1).is_empty());
    }
    disk.advance(Duration::from_secs(1000));
    assert_eq!(queue.complete(id, held.token, b"").unwrap(), Completed::Now);
}

/// A task that always fails would be tried for ever, or too fast.
#[test]
fn failures_rest_twice_as_long_each_time_until_the_task_is_dead() {
    let disk = SimDisk::new();
    let queue = open(&disk);
    let settings =
        TypeSettings { attempts_max: 4, backoff_us: 1_000_000, backoff_us_max: 3_000_000, ..TypeSettings::default() };
    queue.configure(&kind("mail"), settings).unwrap();
    let id = queue.enqueue(&task("mail", "x")).unwrap().id;
    for rest_us in [1_000_000, 2_000_000, 3_000_000] {
        let held = claim(&queue, "mail", 1).remove(0);
        let failed = queue.fail(id, held.token, &Failure::new("no network")).unwrap();
        assert_eq!(failed, Failed::Retry { run_at_us: queue.now_us() + rest_us });
        disk.advance(Duration::from_micros(rest_us - 1));
        assert!(claim(&queue, "mail", 1).is_empty());
        disk.advance(Duration::from_micros(1));
    }
    let held = claim(&queue, "mail", 1).remove(0);
    assert_eq!(queue.fail(id, held.token, &Failure::new("no network")).unwrap(), Failed::Dead);
    let dead = Filter { states: vec![State::Dead], ..Filter::default() };
    let listed: Vec<_> = queue.view().list(&dead).unwrap().map(|task| task.unwrap()).collect();
    assert_eq!((listed.len(), listed[0].last_error.as_deref()), (1, Some("no network")));
    queue.requeue(id).unwrap();
    let held = claim(&queue, "mail", 1).remove(0);
    assert_eq!(held.task.attempts, 1);
    let last = Failure { is_final: true, ..Failure::new("never") };
    assert_eq!(queue.fail(id, held.token, &last).unwrap(), Failed::Dead);
    assert_sound(&queue);
}

/// A repeated enqueue would make a second task.
#[test]
fn a_dedupe_key_names_one_task() {
    let disk = SimDisk::new();
    let queue = open(&disk);
    let named = NewTask { dedupe_key: Some(DedupeKey::new("order 7").unwrap()), ..task("mail", "x") };
    let added = queue.enqueue_many(&[named.clone(), named.clone()]).unwrap();
    assert_eq!((added[0].is_new, added[1].is_new, added[0].id), (true, false, added[1].id));
    assert!(!queue.enqueue(&named).unwrap().is_new);
    let elsewhere = NewTask { task_type: kind("other"), ..named.clone() };
    assert!(queue.enqueue(&elsewhere).unwrap().is_new);
    queue.cancel(added[0].id).unwrap();
    assert_eq!(queue.forget(&kind("mail"), State::Cancelled, u64::MAX, 10).unwrap(), 1);
    assert!(queue.enqueue(&named).unwrap().is_new);
    assert_eq!(queue.view().find(&kind("mail"), &DedupeKey::new("order 7").unwrap()).unwrap().unwrap().id, TaskId(3));
    assert_sound(&queue);
}

/// A task would begin before what it needs is done, or never.
#[test]
fn a_blocked_task_waits_until_all_others_are_done() {
    let disk = SimDisk::new();
    let queue = open(&disk);
    let last = NewTask { blocked_by: vec![Blocker::Batch(1), Blocker::Batch(2)], ..task("build", "link") };
    let added = queue.enqueue_many(&[last, task("build", "a"), task("build", "b")]).unwrap();
    let view = queue.view();
    assert_eq!(view.task(added[0].id).unwrap().unwrap().state, State::Blocked);
    assert_eq!(view.blockers(added[0].id).unwrap(), [added[1].id, added[2].id]);
    assert_eq!(view.dependents(added[1].id).unwrap(), [added[0].id]);
    for _ in 0..2 {
        let held = claim(&queue, "build", 1).remove(0);
        assert_ne!(held.task.id, added[0].id);
        queue.complete(held.task.id, held.token, b"").unwrap();
    }
    assert_eq!(claim(&queue, "build", 9).len(), 1);
    assert_sound(&queue);
}

/// Tasks that wait for each other would wait for ever.
#[test]
fn a_circle_is_refused() {
    let disk = SimDisk::new();
    let queue = open(&disk);
    let in_a_row = |blocker| NewTask { blocked_by: vec![blocker], ..task("build", "") };
    let first = queue.enqueue(&task("build", "")).unwrap().id;
    let second = queue.enqueue(&in_a_row(Blocker::Task(first))).unwrap().id;
    let third = queue.enqueue(&in_a_row(Blocker::Task(second))).unwrap().id;
    for blocker in [first, second, third] {
        let error = queue.block(first, &[blocker]).unwrap_err();
        assert!(matches!(error, Error::Cycle { .. }), "{error}");
    }
    let before = queue.view().txn();
    for circle in [
        vec![in_a_row(Blocker::Batch(0))],
        vec![in_a_row(Blocker::Batch(2)), in_a_row(Blocker::Batch(0)), in_a_row(Blocker::Batch(1))],
    ] {
        assert!(matches!(queue.enqueue_many(&circle), Err(Error::Cycle { .. })));
    }
    assert_eq!(queue.view().txn(), before, "a refused call has changed something");
    queue.unblock(third, &[second]).unwrap();
    queue.block(first, &[third]).unwrap();
    assert_sound(&queue);
}

/// A pause would not hold, or hold for ever.
#[test]
fn a_paused_type_is_not_claimed() {
    let disk = SimDisk::new();
    let queue = open(&disk);
    queue.enqueue(&task("mail", "x")).unwrap();
    queue.pause(&kind("mail")).unwrap();
    drop(queue);
    let queue = open(&disk);
    assert!(claim(&queue, "mail", 1).is_empty());
    queue.resume(&kind("mail")).unwrap();
    assert_eq!(claim(&queue, "mail", 1).len(), 1);
}

/// Work that nobody wants would be done, and its worker never told.
#[test]
fn a_cancelled_task_is_not_claimed_and_its_holder_is_told() {
    let disk = SimDisk::new();
    let queue = open(&disk);
    let added = queue.enqueue_many(&[task("mail", "held"), task("mail", "waiting")]).unwrap();
    let held = claim(&queue, "mail", 1).remove(0);
    for enqueued in &added {
        queue.cancel(enqueued.id).unwrap();
        queue.cancel(enqueued.id).unwrap();
    }
    assert!(claim(&queue, "mail", 1).is_empty());
    let error = queue.complete(held.task.id, held.token, b"").unwrap_err();
    assert!(matches!(error, Error::StaleToken { current: None, state: State::Cancelled, .. }), "{error}");
    queue.requeue(held.task.id).unwrap();
    assert!(matches!(queue.complete(held.task.id, held.token, b""), Err(Error::StaleToken { .. })));
    let again = claim(&queue, "mail", 1).remove(0);
    queue.complete(held.task.id, again.token, b"").unwrap();
    assert!(matches!(queue.cancel(held.task.id), Err(Error::WrongState { .. })));
    assert_sound(&queue);
}

/// A clock that is set back would keep leases from expiring and delays from ending.
#[test]
fn time_goes_on_when_the_clock_steps_back() {
    let disk = SimDisk::new();
    let queue = open(&disk);
    queue.enqueue(&task("mail", "x")).unwrap();
    let held = claim(&queue, "mail", 1).remove(0);
    let before_us = queue.now_us();
    disk.set_now(Duration::from_secs(1000));
    assert!(queue.now_us() >= before_us);
    queue.enqueue(&NewTask { run_at: RunAt::DelayUs(30_000_000), ..task("mail", "later") }).unwrap();
    disk.advance(Duration::from_secs(59));
    assert_eq!(claim(&queue, "mail", 9).len(), 1, "the delay is over, the lease is not");
    disk.advance(Duration::from_secs(2));
    let again = claim(&queue, "mail", 9);
    assert_eq!((again.len(), again[0].task.id), (1, held.task.id));
    let reached_us = queue.now_us();
    drop(queue);
    let queue = open(&disk);
    assert!(queue.now_us() + 1_000_000 >= reached_us, "the time that was reached is forgotten");
}

/// Bad input would be stored, or fail deep inside.
#[test]
fn bad_input_is_refused() {
    let disk = SimDisk::new();
    let queue = open(&disk);
    for name in ["", "a\0b", "line\n", &"x".repeat(256)] {
        assert!(matches!(TaskType::new(name), Err(Error::Invalid { .. })));
        assert!(matches!(DedupeKey::new(name), Err(Error::Invalid { .. })));
    }
    let widest = |name: &str| kind(&name.repeat(255));
    queue
        .enqueue(&NewTask {
            dedupe_key: Some(DedupeKey::new(&"k".repeat(255)).unwrap()),
            ..NewTask::new(widest("t"), "")
        })
        .unwrap();
    for wrong in [
        NewTask { payload: vec![0; (1 << 20) + 1], ..task("mail", "") },
        NewTask { attempts_max: Some(0), ..task("mail", "") },
        NewTask { run_at: RunAt::DelayUs(u64::MAX), ..task("mail", "") },
        NewTask { blocked_by: vec![Blocker::Task(TaskId(77))], ..task("mail", "") },
        NewTask { blocked_by: vec![Blocker::Batch(1)], ..task("mail", "") },
    ] {
        assert_eq!(queue.enqueue(&wrong).unwrap_err().kind(), ErrorKind::FixInput);
    }
    for wrong in [
        Claim::new([], 1),
        Claim::new([kind("mail")], 0),
        Claim::new([kind("mail")], 1001),
        Claim { lease_us: Some(0), ..Claim::new([kind("mail")], 1) },
        Claim { agent: Some("a".repeat(256)), ..Claim::new([kind("mail")], 1) },
    ] {
        assert_eq!(queue.claim(&wrong).unwrap_err().kind(), ErrorKind::FixInput);
    }
    assert!(matches!(queue.complete(TaskId(9), Token(1), b""), Err(Error::UnknownTask { .. })));
    assert!(matches!(queue.requeue(TaskId(1)), Err(Error::WrongState { .. })));
    let id = queue.enqueue(&task("mail", "")).unwrap().id;
    let held = claim(&queue, "mail", 1).remove(0);
    assert!(matches!(queue.complete(id, held.token, &vec![0; (1 << 20) + 1]), Err(Error::TooLarge { .. })));
    let long = Failure::new("ä".repeat(3000));
    queue.fail(id, held.token, &long).unwrap();
    assert_eq!(queue.view().task(id).unwrap().unwrap().last_error.unwrap().len(), 4096);
    assert_sound(&queue);
}

/// The past could not be asked.
#[test]
fn the_queue_as_it_was_can_be_seen() {
    let disk = SimDisk::new();
    let queue = open(&disk);
    let none = queue.view();
    let id = queue.enqueue(&task("mail", "x")).unwrap().id;
    let ready = queue.view();
    disk.advance(Duration::from_secs(1));
    let then = northstar::CommitTime(queue.now_us() - 500_000);
    let held = claim(&queue, "mail", 1).remove(0);
    disk.advance(Duration::from_secs(1));
    queue.complete(id, held.token, b"").unwrap();
    drop(queue);
    let queue = open(&disk);
    let state = |view: northstar::queue::View| view.task(id).unwrap().map(|task| task.state);
    assert_eq!(state(queue.as_of(none.txn()).unwrap()), None);
    assert_eq!(state(queue.as_of(ready.txn()).unwrap()), Some(State::Ready));
    assert_eq!(state(queue.as_of(then).unwrap()), Some(State::Ready));
    assert_eq!(state(queue.view()), Some(State::Done));
    for event in queue.view().history(id).unwrap() {
        assert_eq!(state(queue.as_of(event.txn).unwrap()), Some(event.state));
    }
    let now = queue.view();
    let changes: Vec<_> = now.tasks_since(&none).map(|change| change.unwrap()).collect();
    assert_eq!(changes.len(), 1);
    assert_eq!(
        (changes[0].before.clone(), changes[0].after.as_ref().map(|task| task.state)),
        (None, Some(State::Done))
    );
    assert_eq!(now.tasks_since(&now).count(), 0);
}

/// An index that follows the queue would show other tasks than can be claimed.
#[test]
fn differences_feed_the_cartridge_of_pending_tasks() {
    use northstar::cartridge::kinds::pending_tasks::{PendingTasks, pending};
    use northstar::cartridge::{Catalog, Position, StreamId};
    let disk = SimDisk::new();
    let queue = open(&disk);
    let catalog = Catalog::new(std::sync::Arc::new(disk), "/");
    let mut builder = catalog.build::<PendingTasks>(StreamId(*b"the queue itself")).unwrap();
    let mut older = queue.view();
    let first = NewTask { blocked_by: vec![Blocker::Batch(1)], ..task("mail", "") };
    queue.enqueue_many(&[first, task("mail", ""), task("mail", ""), task("other", "")]).unwrap();
    for round in 0..3 {
        if round == 1 {
            claim(&queue, "mail", 1);
        } else if round == 2 {
            let held = queue.view().task(TaskId(2)).unwrap().unwrap();
            queue.complete(TaskId(2), held.token.unwrap(), b"").unwrap();
        }
        let newer = queue.view();
        let changes: Vec<_> = newer.tasks_since(&older).map(|difference| difference.unwrap()).collect();
        let changes: Vec<_> = changes.iter().map(|difference| difference.pending_change()).collect();
        let position = Position { sequence: newer.txn().0, anchor: [0; 32] };
        builder.push(position, changes.iter().map(|change| change.get())).unwrap();
        older = newer;
    }
    let cartridge = builder.finish().unwrap();
    let ids: Vec<_> = pending(&cartridge, b"mail").map(|task| task.unwrap().id).collect();
    assert_eq!(ids, [1u64.to_be_bytes(), 3u64.to_be_bytes()]);
}
