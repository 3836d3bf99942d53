//! A queue that version 1 wrote, in `fixtures/northstar/v1`: later versions must open it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use northstar::queue::{
    Blocker, Claim, DedupeKey, EventKind, Failure, Filter, NewTask, Queue, RunAt, State, TaskId, TypeSettings,
};
use northstar::{Database, Options};
use vfs_sim::SimDisk;

use super::{assert_sound, claim, kind, options, task};

fn fixtures() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it for tests");
    Path::new(&package).join("../../fixtures/northstar/v1")
}

fn small(disk: &SimDisk) -> Options {
    options(disk).segment_len(4000)
}

/// A task in every state, with everything that one can have.
fn write(disk: &SimDisk) {
    let queue = Queue::open(&Database::open("/queue.db", small(disk)).unwrap()).unwrap();
    let settings = TypeSettings { attempts_max: 1, lease_us: 3_600_000_000, ..TypeSettings::default() };
    queue.configure(&kind("mail"), settings).unwrap();
    let named = |name: &str| NewTask { dedupe_key: DedupeKey::new(name).ok(), ..task("mail", name) };
    let tasks = [
        named("done"),
        named("dead"),
        named("leased"),
        NewTask { blocked_by: vec![Blocker::Batch(2)], ..named("blocked") },
        NewTask { priority: -100, run_at: RunAt::DelayUs(60_000_000), ..named("later") },
        named("cancelled"),
        NewTask { payload: vec![7; 20_000], priority: -5, ..task("büro", "") },
    ];
    queue.enqueue_many(&tasks).unwrap();
    disk.advance(Duration::from_secs(1));
    let agent = Some("agent 7".to_owned());
    let held = queue.claim(&Claim { agent, ..Claim::new([kind("mail")], 3) }).unwrap();
    queue.complete(held[0].task.id, held[0].token, b"the result").unwrap();
    queue.fail(held[1].task.id, held[1].token, &Failure::new("it broke")).unwrap();
    queue.cancel(TaskId(6)).unwrap();
    queue.pause(&kind("büro")).unwrap();
    queue.database().clone().close().unwrap();
}

fn check(queue: &Queue) {
    assert_sound(queue);
    let view = queue.view();
    let states: Vec<_> = (1..=7).map(|id| view.task(TaskId(id)).unwrap().unwrap().state).collect();
    use State::{Blocked, Cancelled, Dead, Done, Leased, Ready};
    assert_eq!(states, [Done, Dead, Leased, Blocked, Ready, Cancelled, Ready]);
    assert_eq!(view.list(&Filter::default()).unwrap().count(), 7);
    assert_eq!(view.result(TaskId(1)).unwrap().unwrap(), b"the result");
    assert_eq!(view.payload(TaskId(7)).unwrap().unwrap(), [7; 20_000]);
    let leased = view.task(TaskId(3)).unwrap().unwrap();
    assert_eq!((leased.agent.as_deref(), leased.attempts), (Some("agent 7"), 1));
    let kinds: Vec<_> = view.history(TaskId(2)).unwrap().into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Enqueued, EventKind::Claimed, EventKind::Failed]);
    assert_eq!(view.find(&kind("mail"), &DedupeKey::new("dead").unwrap()).unwrap().unwrap().id, TaskId(2));
    assert!(view.type_status(&kind("büro")).unwrap().unwrap().is_paused);
}

/// What users have on their disks could not be opened any more.
#[test]
fn a_queue_of_version_1_opens() {
    let disk = SimDisk::import(fixtures()).unwrap();
    let queue = Queue::open(&Database::open("/queue.db", small(&disk)).unwrap()).unwrap();
    check(&queue);
    let leased = queue.view().task(TaskId(3)).unwrap().unwrap();
    queue.complete(leased.id, leased.token.unwrap(), b"").unwrap();
    assert_eq!(claim(&queue, "mail", 1)[0].task.id, TaskId(4));
    assert_sound(&queue);
}

/// The fixture would not be what this version writes, and so would not stand for it.
#[test]
fn this_version_writes_the_queue_that_the_fixture_holds() {
    let disk = SimDisk::new();
    write(&disk);
    check(&Queue::open(&Database::open("/queue.db", small(&disk)).unwrap()).unwrap());
    let written = SimDisk::new();
    write(&written);
    if std::env::var_os("NORTHSTAR_WRITE_FIXTURE").is_some() {
        written.export(fixtures()).unwrap();
    }
    let kept = SimDisk::import(fixtures()).unwrap();
    for path in ["/queue.db", "/queue.db.log"] {
        assert!(written.contents(path).unwrap() == kept.contents(path).unwrap(), "{path} differs: raise the version");
    }
}
