//! Speed of cartridges at a million tasks: building, opening, and look-ups against looking at every task.
//!
//! `cargo bench -p northstar --bench cartridge`. The scan that they are compared with is that of a map of the standard library in memory, in which the tasks are by id: no tree on a
//! disk is faster.
#![allow(missing_docs, reason = "a benchmark has no users")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use northstar::cartridge::kinds::path_history::{PathHistory, TouchedPath, touched};
use northstar::cartridge::kinds::pending_tasks::{PendingTasks, TaskChange, TaskRow, TaskState, count, pending};
use northstar::cartridge::{Cartridge, Catalog, Order, Policy, Position, StreamId, View};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use vfs::DiskVfs;

const TASKS: u64 = 1_000_000;
const TYPES: u64 = 64;
const STREAM: StreamId = StreamId(*b"a benchmark's id");

struct Task {
    task_type: Vec<u8>,
    priority: i32,
    run_at_us: u64,
}

fn task(random: &mut StdRng) -> Task {
    Task {
        task_type: format!("type {:02}", random.random_range(0..TYPES)).into_bytes(),
        priority: random.random_range(-2..3),
        run_at_us: random.random_range(1_700_000_000_000_000..1_800_000_000_000_000),
    }
}

fn row<'a>(id: &'a [u8], task: &'a Task) -> TaskRow<'a> {
    let Task { task_type, priority, run_at_us } = task;
    TaskRow { task_type, priority: *priority, run_at_us: *run_at_us, id, state: TaskState::Pending }
}

fn position(sequence: u64) -> Position {
    Position { sequence, anchor: [0; 32] }
}

fn build(catalog: &Catalog, tasks: &BTreeMap<u64, Task>) -> Cartridge {
    let mut builder = catalog.build::<PendingTasks>(STREAM).expect("the directory is ours");
    for (number, task) in tasks {
        let id = number.to_be_bytes();
        let change = TaskChange { before: None, after: Some(row(&id, task)) };
        builder.push(position(number + 1), [change]).expect("valid tasks");
    }
    builder.finish().expect("there is room")
}

fn tasks_by_type(bench: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let catalog = Catalog::new(Arc::new(DiskVfs::new()), dir.path());
    let mut random = StdRng::seed_from_u64(1);
    let tasks: BTreeMap<u64, Task> = (0..TASKS).map(|number| (number, task(&mut random))).collect();
    let cartridge = build(&catalog, &tasks);
    let types: Vec<Vec<u8>> = (0..TYPES).map(|number| format!("type {number:02}").into_bytes()).collect();

    let mut group = bench.benchmark_group("pending tasks, 1M");
    let mut next = 0;
    let mut a_type = || {
        next = (next + 1) % types.len();
        types[next].as_slice()
    };
    group.bench_function("first of a type", |bench| bench.iter(|| black_box(pending(&cartridge, a_type()).next())));
    group.bench_function("first ten of a type", |bench| {
        bench.iter(|| black_box(pending(&cartridge, a_type()).take(10).count()));
    });
    group.bench_function("count of a type", |bench| {
        bench.iter(|| black_box(count(&cartridge, a_type()).expect("sound")));
    });
    let mut view = View::<PendingTasks>::new(
        Some(catalog.open("pending_tasks_by_type").expect("built")),
        STREAM,
        Policy::default(),
    );
    for number in TASKS..TASKS + 4096 {
        let (id, task) = (number.to_be_bytes(), task(&mut random));
        let change = TaskChange { before: None, after: Some(row(&id, &task)) };
        view.push(position(number + 1), [change], Duration::ZERO).expect("valid tasks");
    }
    group.bench_function("first of a type, 4096 in the tail", |bench| {
        bench.iter(|| black_box(pending(&view, a_type()).next()));
    });
    group.bench_function("open and look up", |bench| {
        bench.iter(|| {
            let cartridge = catalog.open("pending_tasks_by_type").expect("built");
            black_box(pending(&cartridge, a_type()).next().is_some())
        });
    });
    group.sample_size(10);
    group.bench_function("first of a type by looking at all", |bench| {
        bench.iter(|| {
            let wanted = a_type();
            let of_type = tasks.iter().filter(|(_, task)| task.task_type == wanted);
            black_box(of_type.min_by_key(|(id, task)| (-task.priority, task.run_at_us, **id)).map(|(id, _)| *id))
        });
    });
    group.throughput(Throughput::Elements(TASKS));
    group.bench_function("build", |bench| {
        bench.iter_batched(|| (), |()| black_box(build(&catalog, &tasks)), BatchSize::PerIteration);
    });
    group.finish();
}

fn history_of_paths(bench: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let catalog = Catalog::new(Arc::new(DiskVfs::new()), dir.path());
    let mut builder = catalog.build::<PathHistory>(STREAM).expect("the directory is ours");
    let mut random = StdRng::seed_from_u64(2);
    let path = |number: u32| format!("src/dir{}/sub{}/file{number}.rs", number % 40, number % 5);
    for sequence in 1..=100_000 {
        let path = path(random.random_range(0..1000));
        builder.push(position(sequence), [TouchedPath(path.as_bytes())]).expect("valid paths");
    }
    let cartridge = builder.finish().expect("there is room");
    let mut group = bench.benchmark_group("history of paths, 100k");
    let mut next = 0;
    let mut a_path = || {
        next = (next + 7) % 1000;
        path(next)
    };
    group.bench_function("newest of a file", |bench| {
        bench.iter(|| black_box(touched(&cartridge, a_path().as_bytes(), 0..=u64::MAX, Order::Backward).next()));
    });
    group.bench_function("all of a file", |bench| {
        bench.iter(|| black_box(touched(&cartridge, a_path().as_bytes(), 0..=u64::MAX, Order::Forward).count()));
    });
    group.finish();
}

criterion_group!(benches, tasks_by_type, history_of_paths);
criterion_main!(benches);
