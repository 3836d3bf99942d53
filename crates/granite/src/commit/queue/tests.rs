//! The queue under many interleavings. With the feature `shuttle` a model checker chooses them; otherwise the system does.

#[cfg(feature = "shuttle")]
use shuttle::{sync::Arc, sync::Mutex, thread};
#[cfg(not(feature = "shuttle"))]
use std::{sync::Arc, sync::Mutex, thread};

use super::{CommitQueue, Wait};

/// Runs `body` under many schedules.
fn explore(body: impl Fn() + Send + Sync + 'static) {
    #[cfg(feature = "shuttle")]
    {
        let body = Arc::new(body);
        let again = Arc::clone(&body);
        shuttle::check_random(move || body(), 3000);
        shuttle::check_pct(move || again(), 3000, 3);
    }
    #[cfg(not(feature = "shuttle"))]
    for _ in 0..200 {
        body();
    }
}

/// What the leaders did, in their order.
#[derive(Default)]
struct Log {
    committed: Vec<u32>,
    leaders: u32,
    together: bool,
}

/// If it fails, an item is lost, committed twice, or answered with the result of another; or two leaders work at once.
#[test]
fn every_item_is_committed_once_and_gets_its_own_result() {
    explore(|| {
        const WRITERS: u32 = 4;
        let queue = Arc::new(CommitQueue::<u32, u32>::new());
        let log = Arc::new(Mutex::new(Log::default()));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (queue, log) = (Arc::clone(&queue), Arc::clone(&log));
                thread::spawn(move || {
                    for item in [writer * 10, writer * 10 + 1] {
                        let result = queue.submit(
                            item,
                            if item % 2 == 0 { Wait::Brief } else { Wait::Long },
                            |_, taken| taken < 3,
                            |group, items| {
                                let mut state = log.lock().unwrap();
                                state.leaders += 1;
                                state.together |= state.leaders > 1;
                                drop(state);
                                thread::yield_now();
                                let mut state = log.lock().unwrap();
                                state.committed.extend(&items);
                                state.leaders -= 1;
                                drop(state);
                                group.hand_over();
                                items.iter().map(|item| item + 1000).collect()
                            },
                        );
                        assert_eq!(result, Some(item + 1000));
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        let log = log.lock().unwrap();
        assert!(!log.together, "two leaders append at once");
        let mut all = log.committed.clone();
        for writer in 0..WRITERS {
            let of_one: Vec<u32> = all.iter().copied().filter(|item| item / 10 == writer).collect();
            assert_eq!(of_one, [writer * 10, writer * 10 + 1], "a writer's items in their order");
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), log.committed.len(), "an item is committed twice");
    });
}

/// If it fails, a leader that gives up without results leaves others waiting for ever.
#[test]
fn a_leader_without_results_leaves_nobody_waiting() {
    explore(|| {
        let queue = Arc::new(CommitQueue::<u32, u32>::new());
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || {
                    let lead = |_: &mut super::Group<'_, u32, u32>, items: Vec<u32>| match writer {
                        0 => Vec::new(),
                        _ => items,
                    };
                    queue.submit(writer, Wait::Long, |_, _| true, lead)
                })
            })
            .collect();
        for (writer, thread) in (0..).zip(writers) {
            let result = thread.join().unwrap();
            assert!(result.is_none_or(|result| result == writer), "the result of another");
        }
        assert_eq!(queue.submit(7, Wait::Long, |_, _| true, |_, items| items), Some(7), "the queue does not go on");
    });
}
