//! Telling subscribers what happens, without ever waiting for one.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::wire::Event;

/// Events that wait for a subscriber before it misses the next ones.
const WAITING_MAX: usize = 256;

/// Where events are told to whoever subscribed.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    subscribers: Mutex<Vec<Weak<Inbox>>>,
}

/// What waits for one subscriber.
#[derive(Debug)]
struct Inbox {
    waiting: Mutex<Waiting>,
    /// Readable while something waits.
    wake: OwnedFd,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Event>,
    missed: u64,
    over: bool,
    woken: bool,
}

/// One subscription; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Subscription {
    inbox: Arc<Inbox>,
    ready: OwnedFd,
}

impl Hub {
    /// Begins a subscription: it is told what is published from now on.
    pub(crate) fn subscribe(&self) -> Result<Subscription, Errno> {
        let (ready, wake) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let inbox = Arc::new(Inbox { waiting: Mutex::default(), wake });
        self.subscribers.lock().push(Arc::downgrade(&inbox));
        Ok(Subscription { inbox, ready })
    }

    /// Tells everybody.
    pub(crate) fn publish(&self, event: &Event) {
        self.each(|waiting| {
            if waiting.events.len() < WAITING_MAX {
                waiting.events.push_back(event.clone());
            } else {
                waiting.missed += 1;
            }
        });
    }

    /// Ends all subscriptions once what waits is taken.
    pub(crate) fn close(&self) {
        self.each(|waiting| waiting.over = true);
    }

    fn each(&self, change: impl Fn(&mut Waiting)) {
        self.subscribers.lock().retain(|inbox| {
            let Some(inbox) = inbox.upgrade() else { return false };
            let mut waiting = inbox.waiting.lock();
            change(&mut waiting);
            if !waiting.woken {
                // A pipe that is full wakes as well as an empty one that gets a byte; nothing else can fail while both ends are open.
                waiting.woken = rustix::io::write(&inbox.wake, &[0]).is_ok();
            }
            true
        });
    }
}

impl Subscription {
    /// What waits, oldest first, and whether there will be more.
    pub(crate) fn take(&self) -> (Vec<Event>, bool) {
        let mut waiting = self.inbox.waiting.lock();
        if waiting.woken {
            // The one byte that `woken` stands for.
            waiting.woken = rustix::io::read(&self.ready, &mut [0; 8]).is_err();
        }
        let mut events: Vec<Event> = waiting.events.drain(..).collect();
        if waiting.missed > 0 {
            events.push(Event::Missed { events: std::mem::take(&mut waiting.missed) });
        }
        (events, !waiting.over)
    }
}

/// Readable while something waits.
impl AsFd for Subscription {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;
    use crate::wire::Health;

    fn is_ready(subscription: &Subscription) -> bool {
        poll(&mut [PollFd::new(subscription, PollFlags::IN)], Some(&Timespec::default())).unwrap() == 1
    }

    #[test]
    fn events_arrive_once_and_wake() {
        let hub = Hub::default();
        let subscription = hub.subscribe().unwrap();
        assert!(!is_ready(&subscription));
        for event in [Health::Starting, Health::Healthy] {
            hub.publish(&Event::Health(event));
        }
        assert!(is_ready(&subscription));
        assert_eq!(subscription.take(), (vec![Event::Health(Health::Starting), Event::Health(Health::Healthy)], true));
        assert!(!is_ready(&subscription));
        assert_eq!(subscription.take(), (Vec::new(), true));
        hub.close();
        assert!(is_ready(&subscription));
        assert_eq!(subscription.take(), (Vec::new(), false));
    }

    /// If it fails, a subscriber that does not read makes the daemon take any amount of memory, or is not told that it missed something.
    #[test]
    fn a_slow_subscriber_misses_events_and_is_told() {
        let hub = Hub::default();
        let subscription = hub.subscribe().unwrap();
        for _ in 0..WAITING_MAX + 7 {
            hub.publish(&Event::Health(Health::Healthy));
        }
        let (events, _) = subscription.take();
        assert_eq!(events.len(), WAITING_MAX + 1);
        assert_eq!(events.last(), Some(&Event::Missed { events: 7 }));
    }

    #[test]
    fn a_subscriber_that_went_away_is_forgotten() {
        let hub = Hub::default();
        drop(hub.subscribe().unwrap());
        hub.publish(&Event::Health(Health::Healthy));
        assert!(hub.subscribers.lock().is_empty());
    }
}
