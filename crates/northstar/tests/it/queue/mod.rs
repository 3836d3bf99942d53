//! The task queue.

mod basics;
mod crash;
mod flat;
mod golden;
mod model;
mod owner;
mod plain;
mod waiting;

use std::sync::Arc;

use northstar::queue::{Claim, Claimed, NewTask, Queue, TaskType};
use northstar::{Background, Database, Options, Retention};
use vfs_sim::SimDisk;

pub fn options(disk: &SimDisk) -> Options {
    Options::new()
        .vfs(Arc::new(disk.clone()))
        .background(Background::Inline)
        .retention(Retention { transactions: 10_000, ..Retention::default() })
}

pub fn open(disk: &SimDisk) -> Queue {
    Queue::open(&Database::open("/db", options(disk)).unwrap()).unwrap()
}

pub fn kind(name: &str) -> TaskType {
    TaskType::new(name).unwrap()
}

pub fn task(name: &str, payload: &str) -> NewTask {
    NewTask::new(kind(name), payload)
}

pub fn claim(queue: &Queue, name: &str, count: usize) -> Vec<Claimed> {
    queue.claim(&Claim::new([kind(name)], count)).unwrap()
}

pub fn assert_sound(queue: &Queue) {
    assert_eq!(queue.view().verify().unwrap(), []);
}
