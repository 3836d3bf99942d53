//! The cost of a claim does not depend on how many tasks there are.

use northstar::queue::{NewTask, Queue, RunAt};
use northstar::{Background, Database, MIN_MEMORY_BUDGET, Options};
use std::sync::Arc;
use vfs_sim::SimDisk;

use super::{claim, kind, task};

#[derive(Debug)]
struct Cost {
    /// Pages read from the file for one claim, at most, with a cold cache.
    reads_max: u64,
    /// Bytes of log for 50 claims.
    log_len: u64,
}

fn fill(queue: &Queue, count: u64, new: impl Fn(u64) -> NewTask) {
    for start in (0..count).step_by(5000) {
        let tasks: Vec<_> = (start..count.min(start + 5000)).map(&new).collect();
        queue.enqueue_many(&tasks).unwrap();
    }
}

fn cost_among(tasks: u64) -> Cost {
    let disk = SimDisk::new();
    let options = || Options::new().vfs(Arc::new(disk.clone())).background(Background::Inline);
    let open = |options| Queue::open(&Database::open("/db", options).unwrap()).unwrap();
    let queue = open(options());
    // Before the ready ones in the index, behind them, and among the leased.
    let later = |n: u64| NewTask { priority: 100, run_at: RunAt::DelayUs(3_600_000_000 + n), ..task("mail", "later") };
    fill(&queue, tasks / 2, later);
    fill(&queue, tasks / 2, |n| NewTask { priority: (n % 7) as i8, ..task("mail", "ready") });
    for _ in 0..3 {
        claim(&queue, "mail", 100);
    }
    queue.database().clone().close().unwrap();
    drop(queue);
    let queue = open(options().memory_budget(MIN_MEMORY_BUDGET));
    let old = queue.view();
    let (mut reads_max, start) = (0, queue.database().stats());
    for _ in 0..50 {
        let before = queue.database().stats().page_reads;
        assert_eq!(claim(&queue, "mail", 1).len(), 1);
        reads_max = reads_max.max(queue.database().stats().page_reads - before);
    }
    let log_len = queue.database().stats().log_len - start.log_len;
    assert_eq!(old.type_status(&kind("mail")).unwrap().unwrap().counts.total(), tasks);
    Cost { reads_max, log_len }
}

/// A long queue would make every claim slow.
#[test]
fn a_claim_costs_the_same_among_a_hundred_thousand_tasks() {
    let (few, many) = (cost_among(2_000), cost_among(100_000));
    assert!(many.reads_max <= few.reads_max + 16, "pages read for a claim: {few:?}, {many:?}");
    assert!(many.log_len <= few.log_len + few.log_len / 10, "bytes of log: {few:?}, {many:?}");
    assert!(many.log_len / 50 < 1200, "bytes of log a claim: {many:?}");
}
