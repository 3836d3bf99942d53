//! How far long work is, told to whoever waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use tl_journal::Step;

use super::{Replies, Unanswered, gone};
use crate::wire::{Failure, FailureKind, Item, Progress};

/// How often somebody who waits is told.
const INTERVAL: Duration = Duration::from_millis(100);

/// Counts paths of a restore, from several threads.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    done: AtomicU64,
    /// None that is known of while it is 0.
    total: AtomicU64,
}

impl Meter {
    /// Told of each step; goes on always.
    pub(super) fn step(&self, step: Step<'_>) -> bool {
        match step {
            Step::Begun { paths } => self.counts.total.store(paths as u64, Ordering::Relaxed),
            Step::Done(_) => {
                self.counts.done.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        true
    }

    fn progress(&self, phase: &str) -> Progress {
        let total = Some(self.counts.total.load(Ordering::Relaxed)).filter(|total| *total > 0);
        Progress { phase: phase.to_owned(), done: self.counts.done.load(Ordering::Relaxed), total }
    }
}

/// Says that a phase begins whose length is not known.
pub(super) fn begin(phase: &str, replies: &mut dyn Replies) -> Result<(), Unanswered> {
    let item = Item::Progress(Progress { phase: phase.to_owned(), done: 0, total: None });
    replies.item(item).map_err(gone)
}

/// Has `work` done in a thread of its own, and tells meanwhile how far `meter` says it is. It is done even if nobody is told any more.
pub(super) fn told<T: Send>(
    phase: &str,
    meter: &Meter,
    replies: &mut dyn Replies,
    work: impl FnOnce() -> Result<T, Failure> + Send,
) -> Result<T, Unanswered> {
    std::thread::scope(|scope| {
        let (done, result) = sync_channel(1);
        let worker = scope.spawn(move || {
            // The other end waits for it below.
            drop(done.send(work()));
        });
        let mut telling = Ok(());
        let ended = loop {
            match result.recv_timeout(INTERVAL) {
                Ok(result) => break Some(result),
                Err(RecvTimeoutError::Timeout) if telling.is_ok() => {
                    telling = replies.item(Item::Progress(meter.progress(phase))).map_err(gone);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break None,
            }
        };
        let panicked = || Failure::new(FailureKind::Internal, format!("the thread for {phase} panicked"));
        let joined = worker.join().map_err(|_| panicked());
        telling?;
        joined?;
        Ok(ended.ok_or_else(panicked)??)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::connection::ConnectionError;

    struct Told {
        items: Vec<Progress>,
        /// Lets the work go on once something was told.
        go_on: std::sync::mpsc::Sender<()>,
        is_there: bool,
    }

    impl Replies for Told {
        fn item(&mut self, item: Item) -> Result<(), ConnectionError> {
            if let Item::Progress(progress) = item {
                self.items.push(progress);
            }
            self.go_on.send(()).unwrap();
            if self.is_there { Ok(()) } else { Err(ConnectionError::Closed) }
        }

        fn data(&mut self, _: &[u8]) -> Result<(), ConnectionError> {
            Ok(())
        }

        fn receive(&mut self) -> Result<Vec<u8>, ConnectionError> {
            Err(ConnectionError::Closed)
        }
    }

    fn run(is_there: bool) -> (Result<u64, Unanswered>, Told, Meter) {
        let (go_on, told_of): (_, Receiver<()>) = channel();
        let (meter, mut replies) = (Meter::default(), Told { items: Vec::new(), go_on, is_there });
        let path = tl_core::RepoPath::new(b"a").unwrap().to_owned();
        let counted = meter.clone();
        let (count, path) = (&counted, &path);
        let result = told("restoring", &meter, &mut replies, move || {
            count.step(Step::Begun { paths: 2 });
            count.step(Step::Done(path));
            told_of.recv().unwrap();
            count.step(Step::Done(path));
            Ok(7)
        });
        (result, replies, meter)
    }

    /// If it fails, somebody who restores much sees nothing until it is over.
    #[test]
    fn who_waits_is_told_how_far_it_is() {
        let (result, replies, _) = run(true);
        assert!(matches!(result, Ok(7)));
        assert_eq!(replies.items.first(), Some(&Progress { phase: "restoring".into(), done: 1, total: Some(2) }));
    }

    /// If it fails, a restore is left halfway because the program that asked for it was ended.
    #[test]
    fn what_nobody_waits_for_is_done_all_the_same() {
        let (result, replies, meter) = run(false);
        assert!(matches!(result, Err(Unanswered::Gone(_))));
        assert_eq!((replies.items.len(), meter.progress("").done), (1, 2));
    }
}
