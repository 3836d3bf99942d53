//! Any calls against plain maps: the same answers, the same tasks, the same histories; in the past, after restarts, and sound all the time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use northstar::queue::{
    Blocker, Claim, Completed, DedupeKey, Error, EventKind, Failed, Failure, Filter, NewTask, Queue, RunAt, State,
    TaskId, Token, TypeSettings, View,
};
use northstar::{Background, Options, TxnId};
use proptest::prelude::*;
use vfs_sim::SimDisk;

use super::plain::{Model, ModelTask};
use super::{assert_sound, kind};

#[derive(Debug, Clone)]
struct New {
    task_type: usize,
    priority: i8,
    delay_s: u64,
    dedupe: Option<u8>,
    attempts_max: Option<u32>,
    /// Existing tasks and earlier ones of the call, by a number that is taken modulo how many there are.
    blockers: Vec<u16>,
}

#[derive(Debug, Clone)]
enum Act {
    Enqueue(Vec<New>),
    Claim { types: Vec<usize>, count: usize, lease_s: Option<u64> },
    Complete { pick: u16, is_stale: bool },
    Fail { pick: u16, retry_s: Option<u64>, is_final: bool },
    Heartbeat { pick: u16, lease_s: Option<u64> },
    Cancel(u16),
    Requeue(u16),
    Block(u16, u16),
    Unblock(u16, u16),
    Pause(usize),
    Resume(usize),
    Configure(usize, u32, u64),
    Forget(usize, State),
    Advance(u64),
    StepBack(u64),
    Restart,
}

fn new() -> impl Strategy<Value = New> {
    let blockers = prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(any::<u16>(), 1..4)];
    (
        0usize..3,
        -2i8..3,
        prop_oneof![2 => Just(0u64), 1 => 1u64..90],
        prop::option::weighted(0.3, 0u8..6),
        prop::option::weighted(0.3, 1u32..3),
        blockers,
    )
        .prop_map(|(task_type, priority, delay_s, dedupe, attempts_max, blockers)| New {
            task_type,
            priority,
            delay_s,
            dedupe,
            attempts_max,
            blockers,
        })
}

fn act() -> impl Strategy<Value = Act> {
    let lease = || prop::option::weighted(0.4, 1u64..100);
    prop_oneof![
        10 => prop::collection::vec(new(), 1..5).prop_map(Act::Enqueue),
        14 => (prop::collection::vec(0usize..4, 1..4), 1usize..5, lease())
            .prop_map(|(types, count, lease_s)| Act::Claim { types, count, lease_s }),
        9 => (any::<u16>(), prop::bool::weighted(0.2)).prop_map(|(pick, is_stale)| Act::Complete { pick, is_stale }),
        6 => (any::<u16>(), prop::option::weighted(0.3, 0u64..50), prop::bool::weighted(0.2))
            .prop_map(|(pick, retry_s, is_final)| Act::Fail { pick, retry_s, is_final }),
        3 => (any::<u16>(), lease()).prop_map(|(pick, lease_s)| Act::Heartbeat { pick, lease_s }),
        2 => any::<u16>().prop_map(Act::Cancel),
        3 => any::<u16>().prop_map(Act::Requeue),
        3 => (any::<u16>(), any::<u16>()).prop_map(|(id, blocker)| Act::Block(id, blocker)),
        2 => (any::<u16>(), any::<u16>()).prop_map(|(id, blocker)| Act::Unblock(id, blocker)),
        1 => (0usize..3).prop_map(Act::Pause),
        2 => (0usize..3).prop_map(Act::Resume),
        1 => (0usize..3, 1u32..4, 0u64..20).prop_map(|(task_type, max, rest_s)| Act::Configure(task_type, max, rest_s)),
        2 => (0usize..3, prop::sample::select(State::ALL.as_slice())).prop_map(|(task_type, state)| Act::Forget(task_type, state)),
        8 => (1u64..80).prop_map(Act::Advance),
        1 => (1u64..5000).prop_map(Act::StepBack),
        2 => Just(Act::Restart),
    ]
}

fn name(task_type: usize) -> String {
    format!("type {task_type}")
}

struct Run {
    disk: SimDisk,
    queue: Queue,
    model: Model,
    past: Vec<(TxnId, Model)>,
}

fn options(disk: &SimDisk) -> Options {
    super::options(disk).background(Background::Inline).checkpoint_log_len(20_000).segment_len(30_000)
}

fn open(disk: &SimDisk) -> Queue {
    Queue::open(&northstar::Database::open("/db", options(disk)).unwrap()).unwrap()
}

impl Run {
    /// Some task that there is, or one that there is not.
    fn pick(&self, pick: u16) -> u64 {
        let ids: Vec<_> = self.model.tasks.keys().copied().collect();
        let place = usize::from(pick) % (ids.len() + 1);
        ids.get(place).copied().unwrap_or(9999)
    }

    /// A leased task more often than another one.
    fn pick_leased(&self, pick: u16) -> (u64, u64) {
        let leased: Vec<_> =
            self.model.tasks.iter().filter(|(_, task)| task.state == State::Leased).map(|(id, _)| *id).collect();
        let id = match leased.len() {
            0 => self.pick(pick),
            _ if pick.is_multiple_of(5) => self.pick(pick / 5),
            len => leased[usize::from(pick) % len],
        };
        (id, self.model.tasks.get(&id).and_then(|task| task.token).unwrap_or(1))
    }

    fn token_outcome<T>(&self, id: u64, token: u64, answer: Result<T, Error>) -> Option<T> {
        match answer {
            Ok(answer) => {
                assert!(self.model.holds(id, token), "task {id} was not held with {token}");
                Some(answer)
            }
            Err(Error::UnknownTask { .. }) => {
                assert!(!self.model.tasks.contains_key(&id));
                None
            }
            Err(Error::StaleToken { current, state, .. }) => {
                assert!(!self.model.holds(id, token), "task {id} is held with {token}");
                let task = &self.model.tasks[&id];
                let holder = task.token.filter(|_| task.state == State::Leased);
                assert_eq!((current.map(|token| token.0), state), (holder, task.state));
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn enqueue(&mut self, news: &[New], now_us: u64) {
        let mut model = self.model.clone();
        let (mut tasks, mut expected) = (Vec::new(), Vec::new());
        for new in news {
            let known: Vec<u64> = self.model.tasks.keys().copied().collect();
            let candidates = known.len() + tasks.len();
            let mut blocked_by = Vec::new();
            let mut blockers = BTreeSet::new();
            for blocker in new.blockers.iter().filter(|_| candidates > 0) {
                let place = usize::from(*blocker) % candidates;
                match known.get(place) {
                    Some(id) => {
                        blocked_by.push(Blocker::Task(TaskId(*id)));
                        blockers.insert(*id);
                    }
                    None => {
                        blocked_by.push(Blocker::Batch(place - known.len()));
                        blockers.insert(expected[place - known.len()]);
                    }
                }
            }
            blockers.retain(|blocker| model.tasks[blocker].state != State::Done);
            let payload = format!("{new:?}").into_bytes();
            tasks.push(NewTask {
                priority: new.priority,
                run_at: RunAt::DelayUs(new.delay_s * 1_000_000),
                dedupe_key: new.dedupe.map(|key| DedupeKey::new(&key.to_string()).unwrap()),
                attempts_max: new.attempts_max,
                blocked_by,
                ..NewTask::new(kind(&name(new.task_type)), payload.clone())
            });
            let same = model
                .tasks
                .iter()
                .find(|(_, task)| new.dedupe.is_some() && (task.dedupe, task.task_type) == (new.dedupe, new.task_type));
            if let Some((id, _)) = same {
                expected.push(*id);
                continue;
            }
            model.next_id += 1;
            expected.push(model.next_id);
            let state = if blockers.is_empty() { State::Ready } else { State::Blocked };
            let task = ModelTask {
                task_type: new.task_type,
                state,
                priority: new.priority,
                run_at_us: now_us + new.delay_s * 1_000_000,
                changed_us: now_us,
                attempts: 0,
                attempts_max: new.attempts_max.unwrap_or(model.settings(new.task_type).attempts_max),
                token: None,
                expires_us: None,
                blockers,
                dedupe: new.dedupe,
                payload,
                result: None,
                last_error: None,
                events: vec![(EventKind::Enqueued, state)],
            };
            model.tasks.insert(model.next_id, task);
        }
        let added = self.queue.enqueue_many(&tasks).unwrap();
        assert_eq!(added.iter().map(|added| added.id.0).collect::<Vec<_>>(), expected);
        self.model = model;
    }

    fn act(&mut self, act: &Act) {
        let (queue, now_us) = (self.queue.clone(), self.queue.now_us());
        let next = queue.view().txn().0 + 1;
        match act {
            Act::Enqueue(news) => self.enqueue(news, now_us),
            Act::Claim { types, count, lease_s } => {
                let lease_us = lease_s.map(|lease_s| lease_s * 1_000_000);
                let claim = Claim { lease_us, ..Claim::new(types.iter().map(|n| kind(&name(*n))), *count) };
                let expected = self.model.claim(types, *count, lease_us, now_us, next);
                let found = queue.claim(&claim).unwrap();
                assert_eq!(found.iter().map(|claimed| claimed.task.id.0).collect::<Vec<_>>(), expected);
                for claimed in found {
                    assert_eq!(claimed.token, Token(next));
                    assert_eq!(claimed.payload, self.model.tasks[&claimed.task.id.0].payload);
                }
            }
            Act::Complete { pick, is_stale } => {
                let (id, token) = self.pick_leased(*pick);
                let token = if *is_stale { token.saturating_sub(1).max(1) } else { token };
                let result = format!("by {token}").into_bytes();
                let answer = queue.complete(TaskId(id), Token(token), &result);
                if matches!(answer, Ok(Completed::Before)) {
                    let task = &self.model.tasks[&id];
                    assert_eq!((task.state, task.token), (State::Done, Some(token)));
                } else if self.token_outcome(id, token, answer).is_some() {
                    let waiting: Vec<_> = self.model.tasks.keys().copied().collect();
                    for dependent in waiting {
                        if self.model.tasks[&dependent].blockers.contains(&id) {
                            self.model.settle(dependent, now_us, |blocker| blocker == id);
                        }
                    }
                    self.model.change(id, now_us, EventKind::Completed, |task| {
                        (task.state, task.expires_us, task.result) = (State::Done, None, Some(result));
                    });
                }
            }
            Act::Fail { pick, retry_s, is_final } => {
                let (id, token) = self.pick_leased(*pick);
                let retry_us = retry_s.map(|retry_s| retry_s * 1_000_000);
                let failure = Failure { retry_us, is_final: *is_final, ..Failure::new("why") };
                let answer = queue.fail(TaskId(id), Token(token), &failure);
                if let Some(failed) = self.token_outcome(id, token, answer) {
                    let task = &self.model.tasks[&id];
                    let settings = self.model.settings(task.task_type);
                    let rest_us = settings.backoff_us * 2u64.pow(task.attempts - 1);
                    let rest_us = retry_us.unwrap_or(rest_us.min(settings.backoff_us_max));
                    self.model.end_attempt(id, now_us, EventKind::Failed, "why", now_us + rest_us, *is_final);
                    let is_dead = self.model.tasks[&id].state == State::Dead;
                    let expected = if is_dead { Failed::Dead } else { Failed::Retry { run_at_us: now_us + rest_us } };
                    assert_eq!(failed, expected);
                }
            }
            Act::Heartbeat { pick, lease_s } => {
                let (id, token) = self.pick_leased(*pick);
                let lease_us = lease_s.map(|lease_s| lease_s * 1_000_000);
                let answer = queue.heartbeat(TaskId(id), Token(token), lease_us);
                if let Some(expires_us) = self.token_outcome(id, token, answer) {
                    let settings = self.model.settings(self.model.tasks[&id].task_type);
                    assert_eq!(expires_us, now_us + lease_us.unwrap_or(settings.lease_us));
                    self.model.tasks.get_mut(&id).unwrap().expires_us = Some(expires_us);
                }
            }
            Act::Cancel(pick) => {
                let id = self.pick(*pick);
                let state = self.model.tasks.get(&id).map(|task| task.state);
                match queue.cancel(TaskId(id)) {
                    Ok(()) if state == Some(State::Cancelled) => {}
                    Ok(()) => {
                        assert!(!matches!(state, None | Some(State::Done)));
                        self.model.change(id, now_us, EventKind::Cancelled, |task| {
                            (task.state, task.expires_us) = (State::Cancelled, None);
                        });
                    }
                    Err(Error::UnknownTask { .. }) => assert_eq!(state, None),
                    Err(error) => assert!(matches!(error, Error::WrongState { state: State::Done, .. }), "{error}"),
                }
            }
            Act::Requeue(pick) => {
                let id = self.pick(*pick);
                let state = self.model.tasks.get(&id).map(|task| task.state);
                let can = matches!(state, Some(State::Dead | State::Cancelled));
                let answer = queue.requeue(TaskId(id));
                assert_eq!(answer.is_ok(), can, "{answer:?}");
                if can {
                    self.model.change(id, now_us, EventKind::Requeued, |task| {
                        task.state = if task.blockers.is_empty() { State::Ready } else { State::Blocked };
                        (task.attempts, task.run_at_us) = (0, now_us);
                    });
                }
            }
            Act::Block(pick, other) => {
                let (id, blocker) = (self.pick(*pick), self.pick(*other));
                let answer = queue.block(TaskId(id), &[TaskId(blocker)]);
                let Some(task) = self.model.tasks.get(&id) else {
                    assert!(matches!(answer, Err(Error::UnknownTask { .. })));
                    return;
                };
                if !matches!(task.state, State::Ready | State::Blocked) {
                    assert!(matches!(answer, Err(Error::WrongState { .. })), "{answer:?}");
                } else if !self.model.tasks.contains_key(&blocker) {
                    assert!(matches!(answer, Err(Error::UnknownTask { .. })), "{answer:?}");
                } else if task.blockers.contains(&blocker) || self.model.tasks[&blocker].state == State::Done {
                    answer.unwrap();
                } else if self.model.reaches(blocker, id) {
                    assert!(matches!(answer, Err(Error::Cycle { .. })), "{answer:?}");
                } else {
                    answer.unwrap();
                    self.model.change(id, now_us, EventKind::Blocked, |task| {
                        task.blockers.insert(blocker);
                        task.state = State::Blocked;
                    });
                }
            }
            Act::Unblock(pick, other) => {
                let id = self.pick(*pick);
                let waiting = self.model.tasks.get(&id).map(|task| task.blockers.clone());
                let first = waiting.iter().flatten().next().copied();
                let blocker = first.unwrap_or_else(|| self.pick(*other));
                let answer = queue.unblock(TaskId(id), &[TaskId(blocker)]);
                assert_eq!(answer.is_ok(), waiting.is_some());
                if first.is_some() {
                    self.model.settle(id, now_us, |other| other == blocker);
                }
            }
            Act::Pause(task_type) => {
                queue.pause(&kind(&name(*task_type))).unwrap();
                self.model.paused.insert(*task_type);
            }
            Act::Resume(task_type) => {
                queue.resume(&kind(&name(*task_type))).unwrap();
                self.model.paused.remove(task_type);
            }
            Act::Configure(task_type, attempts_max, rest_s) => {
                let settings = TypeSettings {
                    lease_us: 30_000_000,
                    attempts_max: *attempts_max,
                    backoff_us: rest_s * 1_000_000,
                    backoff_us_max: 30_000_000,
                };
                queue.configure(&kind(&name(*task_type)), settings).unwrap();
                self.model.settings.insert(*task_type, settings);
            }
            Act::Forget(task_type, state) => {
                let before_us = now_us.saturating_sub(20_000_000);
                let answer = queue.forget(&kind(&name(*task_type)), *state, before_us, 1000);
                if !matches!(state, State::Done | State::Dead | State::Cancelled) {
                    assert!(matches!(answer, Err(Error::Invalid { .. })));
                    return;
                }
                // In order: one that waits for another lets that one go, if it comes later.
                let mut old: Vec<_> = self
                    .model
                    .tasks
                    .iter()
                    .filter(|(_, task)| (task.task_type, task.state) == (*task_type, *state))
                    .filter(|(_, task)| task.changed_us < before_us)
                    .map(|(id, task)| (task.changed_us, *id))
                    .collect();
                old.sort_unstable();
                let mut removed = 0;
                for (_, id) in old {
                    if !self.model.tasks.values().any(|task| task.blockers.contains(&id)) {
                        self.model.tasks.remove(&id);
                        removed += 1;
                    }
                }
                assert_eq!(answer.unwrap(), removed);
            }
            Act::Advance(seconds) => self.disk.advance(Duration::from_secs(*seconds)),
            Act::StepBack(seconds) => {
                let now = vfs::Vfs::now(&self.disk);
                self.disk.set_now(now.saturating_sub(Duration::from_secs(*seconds)));
            }
            Act::Restart => {
                let other = SimDisk::new();
                self.queue = open(&other);
                drop(queue);
                self.queue = open(&self.disk);
            }
        }
    }
}

/// What a state of the queue shows is what the model has.
fn assert_same(view: &View, model: &Model) {
    let mut listed = BTreeMap::new();
    for task in view.list(&Filter::default()).unwrap() {
        let task = task.unwrap();
        assert!(listed.insert(task.id.0, task).is_none(), "a task is listed twice");
    }
    assert_eq!(listed.keys().collect::<Vec<_>>(), model.tasks.keys().collect::<Vec<_>>());
    for (id, task) in listed {
        let expected = &model.tasks[&id];
        let id = TaskId(id);
        let events = view.history(id).unwrap();
        assert!(events.is_sorted_by_key(|event| event.txn));
        let found = ModelTask {
            task_type: task.task_type.as_str().rsplit(' ').next().unwrap().parse().unwrap(),
            state: task.state,
            priority: task.priority,
            run_at_us: task.run_at_us,
            changed_us: task.changed_us,
            attempts: task.attempts,
            attempts_max: task.attempts_max,
            token: task.token.map(|token| token.0),
            expires_us: task.expires_us,
            blockers: view.blockers(id).unwrap().into_iter().map(|id| id.0).collect(),
            dedupe: task.dedupe_key.as_ref().map(|key| key.as_str().parse().unwrap()),
            payload: view.payload(id).unwrap().unwrap(),
            result: view.result(id).unwrap(),
            last_error: task.last_error.as_deref().map(str::to_owned),
            events: events.iter().map(|event| (event.kind, event.state)).collect(),
        };
        assert_eq!(&found, expected, "task {id}");
    }
    for (task_type, status) in view.types().unwrap() {
        let number: usize = task_type.as_str().rsplit(' ').next().unwrap().parse().unwrap();
        assert_eq!(status.is_paused, model.paused.contains(&number));
        assert_eq!(status.settings, model.settings(number));
        for state in State::ALL {
            let count = model.tasks.values().filter(|task| (task.task_type, task.state) == (number, state)).count();
            assert_eq!(status.counts.of(state), count as u64);
        }
    }
}

/// The differences from each state of the past to the newest one lead from the one to the other.
fn assert_differences(run: &Run) {
    let newest = run.queue.view();
    for (txn, model) in run.past.iter().step_by(7) {
        let older = run.queue.as_of(*txn).unwrap();
        let mut states: BTreeMap<u64, State> = model.tasks.iter().map(|(id, task)| (*id, task.state)).collect();
        for difference in newest.tasks_since(&older) {
            let difference = difference.unwrap();
            assert_ne!(difference.before, difference.after);
            if let Some(before) = difference.before {
                assert_eq!(states.remove(&before.id.0), Some(before.state));
            }
            if let Some(after) = difference.after {
                assert_eq!(states.insert(after.id.0, after.state), None);
            }
        }
        let expected: BTreeMap<u64, State> = run.model.tasks.iter().map(|(id, task)| (*id, task.state)).collect();
        assert_eq!(states, expected);
    }
}

proptest! {
    /// The queue would not do what its documentation says.
    #[test]
    fn any_calls_do_what_the_model_does(acts in prop::collection::vec(act(), 1..90)) {
        let disk = SimDisk::new();
        let queue = open(&disk);
        let mut run = Run { disk, queue, model: Model::default(), past: Vec::new() };
        for act in &acts {
            let (before, txn) = (run.model.clone(), run.queue.view().txn());
            run.act(act);
            let view = run.queue.view();
            prop_assert!(view.txn().0 <= txn.0 + 1, "one call made more than one transaction");
            if view.txn() == txn {
                prop_assert!(before == run.model, "{act:?} changed something without a transaction");
            }
            assert_same(&view, &run.model);
            assert_sound(&run.queue);
            run.past.push((view.txn(), run.model.clone()));
        }
        for (txn, model) in run.past.iter().step_by(5) {
            assert_same(&run.queue.as_of(*txn).unwrap(), model);
        }
        assert_differences(&run);
    }
}
