//! The power fails anywhere: what is found afterwards is the queue after some call, every acknowledged call is in it, and leases that were given hold.

use std::collections::BTreeMap;
use std::time::Duration;

use northstar::queue::{
    Blocker, Claim, DedupeKey, Error, Failure, Filter, NewTask, Queue, State, TaskId, Token, TypeSettings, View,
};
use northstar::{Background, Database, MIN_MEMORY_BUDGET};
use vfs_sim::{Points, SimDisk, Sweep};

use super::{assert_sound, kind, options, task};

/// What a queue shows, as one text.
fn shown(view: &View) -> String {
    let mut shown = String::new();
    for task in view.list(&Filter::default()).unwrap() {
        let task = task.unwrap();
        let history = view.history(task.id).unwrap();
        let result = view.result(task.id).unwrap();
        shown += &format!("{task:?} {history:?} {result:?}\n");
    }
    shown + &format!("{:?}", view.types().unwrap())
}

/// What agents were promised.
#[derive(Debug, Default, Clone)]
struct Promises {
    /// The last transaction that was acknowledged.
    acknowledged: u64,
    /// Leases that were given, with the token, and not ended by their holders or by time.
    held: BTreeMap<TaskId, Token>,
    /// Every lease that was ever given.
    given: Vec<(TaskId, Token)>,
}

fn open(disk: &SimDisk, checkpoint_log_len: u64) -> Result<Queue, Error> {
    let options = options(disk)
        .background(Background::Inline)
        .memory_budget(MIN_MEMORY_BUDGET)
        .checkpoint_log_len(checkpoint_log_len)
        .segment_len(6_000);
    Queue::open(&Database::open("/db", options)?)
}

/// Checkpoints all the time, and hardly any.
const OFTEN: u64 = 4_000;
const SELDOM: u64 = 1 << 20;

impl Promises {
    fn note(&mut self, queue: &Queue, states: &mut impl FnMut(u64, String)) {
        let view = queue.view();
        self.acknowledged = view.txn().0;
        states(self.acknowledged, shown(&view));
    }
}

/// Agents work for some rounds, with a restart now and then. `states` is told what the queue shows after each call.
fn work(
    disk: &SimDisk,
    checkpoint_log_len: u64,
    promises: &mut Promises,
    rounds: u64,
    states: &mut impl FnMut(u64, String),
) -> Result<(), Error> {
    let mut queue = open(disk, checkpoint_log_len)?;
    promises.note(&queue, states);
    let settings = TypeSettings { attempts_max: 2, ..TypeSettings::default() };
    queue.configure(&kind("build"), settings)?;
    promises.note(&queue, states);
    for round in 0..rounds {
        let named = DedupeKey::new(&format!("round {}", round / 2)).ok();
        let tasks = [
            NewTask { dedupe_key: named, payload: vec![round as u8; 300], ..task("build", "") },
            NewTask { blocked_by: vec![Blocker::Batch(0)], ..task("link", "x") },
            NewTask { priority: (round % 5) as i8, ..task("build", "y") },
        ];
        queue.enqueue_many(&tasks)?;
        promises.note(&queue, states);
        // Those whose lease is over are given to others, or buried.
        disk.advance(Duration::from_secs(25));
        let now_us = queue.now_us();
        let view = queue.view();
        promises.held.retain(|id, _| {
            view.task(*id).ok().flatten().and_then(|task| task.expires_us).is_some_and(|expires_us| expires_us > now_us)
        });
        for claimed in queue.claim(&Claim::new([kind("build"), kind("link")], 2))? {
            let lease = (claimed.task.id, claimed.token);
            assert!(!promises.given.contains(&lease), "{lease:?} was given before");
            assert!(promises.held.insert(lease.0, lease.1).is_none(), "{lease:?}: the task is leased already");
            promises.given.push(lease);
        }
        promises.note(&queue, states);
        let held: Vec<_> = promises.held.iter().map(|(id, token)| (*id, *token)).collect();
        for (place, (id, token)) in held.into_iter().enumerate() {
            match (place as u64 + round) % 4 {
                0 => drop(queue.complete(id, token, b"done")?),
                1 => drop(queue.fail(id, token, &Failure::new("no"))?),
                2 => drop(queue.heartbeat(id, token, None)?),
                _ => continue,
            }
            if (place as u64 + round) % 4 < 2 {
                promises.held.remove(&id);
            }
            promises.note(&queue, states);
        }
        if round % 5 == 4 {
            drop(queue);
            queue = open(disk, checkpoint_log_len)?;
        }
    }
    Ok(())
}

/// What the queue shows after each transaction when nothing goes wrong.
fn rehearse(rounds: u64) -> BTreeMap<u64, String> {
    let mut states = BTreeMap::new();
    let note = &mut |txn, shown| drop(states.insert(txn, shown));
    work(&SimDisk::new(), OFTEN, &mut Promises::default(), rounds, note).unwrap();
    states
}

fn check(disk: &SimDisk, promises: &Promises, states: &BTreeMap<u64, String>) -> Result<(), Error> {
    let queue = open(disk, OFTEN)?;
    let view = queue.view();
    let txn = view.txn().0;
    assert!(txn >= promises.acknowledged, "{txn} of {} acknowledged transactions are left", promises.acknowledged);
    if let Some(expected) = states.get(&txn) {
        assert_eq!(&shown(&view), expected, "the queue after transaction {txn} is another");
    } else {
        assert_eq!(view.list(&Filter::default())?.count(), 0);
    }
    assert_sound(&queue);
    let live: Vec<_> = promises
        .held
        .iter()
        // The call that was cut off may have ended it.
        .filter(|(id, token)| {
            let task = view.task(**id).unwrap().unwrap();
            txn == promises.acknowledged || (task.state == State::Leased && task.token == Some(**token))
        })
        .filter(|(id, _)| view.task(**id).unwrap().unwrap().expires_us.unwrap() > queue.now_us())
        .collect();
    let types = [kind("build"), kind("link")];
    let others = queue.claim(&Claim::new(types, 100))?;
    for claimed in &others {
        let lease = (claimed.task.id, claimed.token);
        assert!(!promises.given.contains(&lease), "{lease:?} was given before the crash");
        assert!(live.iter().all(|(id, _)| **id != lease.0), "{lease:?}: somebody holds the task");
    }
    for (id, token) in live {
        queue.complete(*id, *token, b"after the crash")?;
    }
    for claimed in others {
        queue.complete(claimed.task.id, claimed.token, b"after the crash")?;
    }
    assert_sound(&queue);
    Ok(())
}

/// Two agents would hold one task, or an agent's lease or result would be gone, after a loss of power.
#[test]
fn the_power_may_fail_at_any_call_to_the_queue() {
    let rounds = 14;
    let states = rehearse(rounds);
    let sweep = Sweep { points: Points::Sample { count: 120, seed: 11 }, ..Sweep::with_seeds(3) };
    let report = sweep.run(
        SimDisk::new,
        |disk, promises| work(disk, OFTEN, promises, rounds, &mut |_, _| {}),
        |disk, promises| check(disk, promises, &states),
    );
    let report = report.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(report.ops > 100, "{report:?}");
}

/// As above at each single call of a short run, the making of the queue included.
#[test]
fn the_power_may_fail_while_a_queue_is_made() {
    let states = rehearse(2);
    let report = Sweep::with_seeds(4).run(
        SimDisk::new,
        |disk, promises| work(disk, OFTEN, promises, 2, &mut |_, _| {}),
        |disk, promises| check(disk, promises, &states),
    );
    report.unwrap_or_else(|failure| panic!("{failure}"));
}

/// The tests above would not notice a claim that is acknowledged before it is durable.
#[test]
fn a_claim_without_its_sync_is_noticed() {
    let rounds = 3;
    let states = rehearse(rounds);
    let build = || {
        let disk = SimDisk::new();
        open(&disk, SELDOM).unwrap();
        disk
    };
    // Checkpoints sync the log too, and would make up for what is left out.
    let unnoticed = Sweep::with_seeds(2)
        .unnoticed_syncs(
            build,
            |disk, promises| work(disk, SELDOM, promises, rounds, &mut |_, _| {}),
            |disk, promises| check(disk, promises, &states),
        )
        .unwrap_or_else(|failure| panic!("{failure}"));
    // Whoever opens syncs what somebody else may have left; here nobody has.
    let opening = unnoticed.iter().map(|sync| sync.nth).min();
    let of_calls: Vec<_> = unnoticed.iter().filter(|sync| Some(sync.nth) != opening).collect();
    assert!(of_calls.is_empty(), "{of_calls:?}");
}

/// A restart after a crash would take an agent's lease away although the machine stayed on.
#[test]
fn a_killed_owner_loses_nothing() {
    let disk = SimDisk::new();
    let mut promises = Promises::default();
    let mut states = BTreeMap::new();
    work(&disk, OFTEN, &mut promises, 9, &mut |txn, shown| drop(states.insert(txn, shown))).unwrap();
    check(&disk.kill(), &promises, &states).unwrap();
}
