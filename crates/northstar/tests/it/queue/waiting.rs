//! Waiting for work without asking again and again. Real time passes here: a call that is missed shows as a wait of a minute in vain.

use std::thread;
use std::time::Duration;

use northstar::queue::{Blocker, Claim, Claimed, Failure, NewTask, Queue, RunAt};
use northstar::{Database, Options};
use tempfile::TempDir;

use super::{kind, task};

const LONG: Duration = Duration::from_secs(60);

fn open() -> (TempDir, Queue) {
    let dir = tempfile::tempdir().unwrap();
    let db = Database::open(dir.path().join("db"), Options::new()).unwrap();
    (dir, Queue::open(&db).unwrap())
}

fn wait(queue: &Queue, name: &str) -> Claimed {
    let mut found = queue.claim_wait(&Claim::new([kind(name)], 1), LONG).unwrap();
    assert_eq!(found.len(), 1, "nobody was called");
    found.remove(0)
}

/// An agent would sleep although there is work for it.
#[test]
fn who_waits_is_called_when_work_comes() {
    let (_dir, queue) = open();
    let rounds = 60;
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..rounds {
                let ping = wait(&queue, "ping");
                queue.enqueue(&task("pong", "")).unwrap();
                queue.complete(ping.task.id, ping.token, b"").unwrap();
            }
        });
        for _ in 0..rounds {
            queue.enqueue(&task("ping", "")).unwrap();
            let pong = wait(&queue, "pong");
            queue.complete(pong.task.id, pong.token, b"").unwrap();
        }
    });
}

/// Everything that makes a task claimable would have to wake, and something would not.
#[test]
fn who_waits_is_called_for_every_reason() {
    let (_dir, queue) = open();
    let mail = kind("mail");
    let reasons: [&(dyn Fn() + Sync); 5] = [
        &|| {
            queue.enqueue(&NewTask { run_at: RunAt::DelayUs(50_000), ..task("mail", "") }).unwrap();
        },
        &|| {
            queue.pause(&mail).unwrap();
            queue.enqueue(&task("mail", "")).unwrap();
            queue.resume(&mail).unwrap();
        },
        &|| {
            let waiting = NewTask { blocked_by: vec![Blocker::Batch(1)], ..task("mail", "") };
            queue.enqueue_many(&[waiting, task("first", "")]).unwrap();
            let first = wait(&queue, "first");
            queue.complete(first.task.id, first.token, b"").unwrap();
        },
        &|| {
            let id = queue.enqueue(&NewTask { run_at: RunAt::DelayUs(3_600_000_000), ..task("mail", "") }).unwrap().id;
            queue.cancel(id).unwrap();
            queue.requeue(id).unwrap();
        },
        &|| {
            let other = Queue::clone(&queue);
            let id = other.enqueue(&NewTask { run_at: RunAt::DelayUs(3_600_000_000), ..task("mail", "") }).unwrap().id;
            other.block(id, &[other.enqueue(&task("first", "")).unwrap().id]).unwrap();
            other.cancel(id).unwrap();
            other.unblock(id, &other.view().blockers(id).unwrap()).unwrap();
            other.requeue(id).unwrap();
        },
    ];
    for reason in reasons {
        thread::scope(|scope| {
            let waiter = scope.spawn(|| wait(&queue, "mail"));
            reason();
            let claimed = waiter.join().unwrap();
            queue.complete(claimed.task.id, claimed.token, b"").unwrap();
        });
    }
}

/// A task whose agent died would be left lying by those who wait already.
#[test]
fn who_waits_is_called_when_a_lease_expires_or_a_rest_is_over() {
    let (_dir, queue) = open();
    thread::scope(|scope| {
        let id = queue.enqueue(&task("mail", "")).unwrap().id;
        let short = Claim { lease_us: Some(80_000), ..Claim::new([kind("mail")], 1) };
        assert_eq!(queue.claim(&short).unwrap().len(), 1);
        let waiter = scope.spawn(|| wait(&queue, "mail"));
        let second = waiter.join().unwrap();
        assert_eq!((second.task.id, second.task.attempts), (id, 2));
        let waiter = scope.spawn(|| wait(&queue, "mail"));
        let soon = Failure { retry_us: Some(50_000), ..Failure::new("busy") };
        queue.fail(id, second.token, &soon).unwrap();
        let third = waiter.join().unwrap();
        assert_eq!(third.task.attempts, 3);
        // Nobody is called for nothing, and the time ends.
        assert!(queue.claim_wait(&Claim::new([kind("mail")], 1), Duration::from_millis(20)).unwrap().is_empty());
        let waiter = scope.spawn(|| queue.claim_wait(&Claim::new([kind("mail")], 1), LONG).unwrap());
        queue.stop_waiting();
        assert!(waiter.join().unwrap().is_empty());
    });
}
