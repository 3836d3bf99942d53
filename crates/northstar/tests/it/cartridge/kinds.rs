//! The kinds, against models of what they index.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use northstar::cartridge::kinds::Entries;
use northstar::cartridge::kinds::path_history::{PathHistory, TouchedPath, touched};
use northstar::cartridge::kinds::pending_tasks::{
    self, PendingTask, PendingTasks, TaskChange, TaskRow, TaskState, pending, types,
};
use northstar::cartridge::{Error, Order, Policy, Result, View};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::stream::{STREAM, catalog, position};

#[derive(Debug, Clone, PartialEq)]
struct Task {
    task_type: &'static str,
    priority: i32,
    run_at_us: u64,
    state: TaskState,
}

const STATES: [TaskState; 7] = [
    TaskState::Pending,
    TaskState::Leased,
    TaskState::Blocked,
    TaskState::Paused,
    TaskState::Done,
    TaskState::Dead,
    TaskState::Cancelled,
];

fn random_task(random: &mut StdRng) -> Task {
    Task {
        task_type: ["mail", "mail\u{1}", "build", "b"][random.random_range(0..4)],
        priority: [i32::MIN, -1, 0, 1, 7, i32::MAX][random.random_range(0..6)],
        run_at_us: [0, 5, 1 << 40, u64::MAX][random.random_range(0..4)],
        state: if random.random_bool(0.5) { TaskState::Pending } else { STATES[random.random_range(0..7)] },
    }
}

fn row<'a>(id: &'a [u8], task: &Task) -> TaskRow<'a> {
    let Task { task_type, priority, run_at_us, state } = *task;
    TaskRow { task_type: task_type.as_bytes(), priority, run_at_us, id, state }
}

fn check_tasks(entries: &impl Entries, tasks: &BTreeMap<Vec<u8>, Task>) {
    let mut expected: BTreeMap<&str, Vec<PendingTask>> = BTreeMap::new();
    for (id, task) in tasks.iter().filter(|(_, task)| task.state == TaskState::Pending) {
        expected.entry(task.task_type).or_default().push(PendingTask {
            task_type: task.task_type.as_bytes().to_vec(),
            priority: task.priority,
            run_at_us: task.run_at_us,
            id: id.clone(),
        });
    }
    let found: Vec<Vec<u8>> = types(entries).unwrap();
    assert_eq!(found, expected.keys().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>());
    for (name, mut tasks) in expected {
        tasks.sort_by_key(|task| (std::cmp::Reverse(task.priority), task.run_at_us, task.id.clone()));
        let found: Vec<PendingTask> = pending(entries, name.as_bytes()).collect::<Result<_>>().unwrap();
        assert_eq!(found, tasks);
        assert_eq!(pending_tasks::count(entries, name.as_bytes()).unwrap(), tasks.len() as u64);
    }
    assert_eq!(pending_tasks::count(entries, b"mai").unwrap(), 0);
    assert_eq!(pending(entries, b"maim").count(), 0);
}

/// If it fails, a task is offered that cannot be claimed, one is forgotten, or they come in the wrong order.
#[test]
fn pending_tasks_are_those_of_a_model_in_the_order_of_claiming() {
    for seed in 50..55 {
        let mut random = StdRng::seed_from_u64(seed);
        let (_disk, catalog) = catalog();
        let mut view = View::<PendingTasks>::new(None, STREAM, Policy::default());
        let mut tasks: BTreeMap<Vec<u8>, Task> = BTreeMap::new();
        for number in 1..=300 {
            let id = format!("{}", random.random_range(0..60)).into_bytes();
            let before = tasks.get(&id).cloned();
            let after = random.random_bool(0.9).then(|| random_task(&mut random));
            match &after {
                Some(task) => tasks.insert(id.clone(), task.clone()),
                None => tasks.remove(&id),
            };
            let change = TaskChange {
                before: before.as_ref().map(|task| row(&id, task)),
                after: after.as_ref().map(|task| row(&id, task)),
            };
            view.push(position(number), [change], Duration::ZERO).unwrap();
            if number % 100 == 50 {
                view.rebuild(&catalog).unwrap();
            }
            if number % 30 == 0 {
                check_tasks(&view, &tasks);
            }
        }
        view.rebuild(&catalog).unwrap();
        check_tasks(view.cartridge().unwrap(), &tasks);
    }
}

/// If it fails, a row that would break the order of keys is indexed.
#[test]
fn tasks_that_cannot_be_indexed_are_refused() {
    let (_disk, catalog) = catalog();
    let mut builder = catalog.build::<PendingTasks>(STREAM).unwrap();
    let row = TaskRow { task_type: b"t", priority: 0, run_at_us: 0, id: b"1", state: TaskState::Pending };
    for wrong in [
        TaskRow { task_type: b"", ..row },
        TaskRow { task_type: b"a\0b", ..row },
        TaskRow { task_type: &[b't'; 256], ..row },
        TaskRow { id: b"", ..row },
        TaskRow { id: &[1; 65], ..row },
    ] {
        let change = TaskChange { before: None, after: Some(wrong) };
        assert!(matches!(builder.push(position(1), [change]), Err(Error::InvalidChange { .. })), "{wrong:?}");
    }
}

/// The answer by looking at everything.
fn touched_by_model(stream: &[Vec<String>], path: &str) -> Vec<u64> {
    let is_below = |a: &str, b: &str| a == b || a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'));
    let is_touched =
        |paths: &Vec<String>| paths.iter().any(|touched| is_below(touched, path) || is_below(path, touched));
    (1..).zip(stream).filter(|(_, paths)| is_touched(paths)).map(|(sequence, _)| sequence).collect()
}

/// If it fails, the history of a path lacks a state, or has one that did not touch it.
#[test]
fn the_history_of_a_path_is_that_of_a_model() {
    let mut random = StdRng::seed_from_u64(60);
    let names = ["a", "b", "a.rs", "src", "\u{ff}"];
    let path = |random: &mut StdRng| {
        let depth = random.random_range(1..5);
        (0..depth).map(|_| names[random.random_range(0..names.len())]).collect::<Vec<_>>().join("/")
    };
    let stream: Vec<Vec<String>> =
        (0..700).map(|_| (0..random.random_range(0..3)).map(|_| path(&mut random)).collect()).collect();
    let (_disk, catalog) = catalog();
    let mut view = View::<PathHistory>::new(None, STREAM, Policy::default());
    for (number, paths) in stream.iter().enumerate() {
        let changes = paths.iter().map(|path| TouchedPath(path.as_bytes()));
        view.push(position(number + 1), changes, Duration::ZERO).unwrap();
        if number == 500 {
            view.rebuild(&catalog).unwrap();
        }
    }
    let mut asked: BTreeSet<String> = stream.iter().flatten().cloned().collect();
    asked.extend((0..100).map(|_| path(&mut random)));
    for path in asked {
        let expected = touched_by_model(&stream, &path);
        let found = |range, order| touched(&view, path.as_bytes(), range, order).collect::<Result<Vec<u64>>>().unwrap();
        assert_eq!(found(0..=u64::MAX, Order::Forward), expected, "{path}");
        let mut backward = found(100..=600, Order::Backward);
        backward.reverse();
        let expected: Vec<u64> = expected.into_iter().filter(|sequence| (100..=600).contains(sequence)).collect();
        assert_eq!(backward, expected, "{path}");
    }
}

/// If it fails, a path is indexed under the name of another one.
#[test]
fn paths_that_cannot_be_indexed_are_refused() {
    let (_disk, catalog) = catalog();
    let mut builder = catalog.build::<PathHistory>(STREAM).unwrap();
    for wrong in [&b""[..], b"a\0b", &[b'p'; 65_536]] {
        let pushed = builder.push(position(1), [TouchedPath(wrong)]);
        assert!(matches!(pushed, Err(Error::InvalidChange { .. })), "{wrong:?}");
    }
}
