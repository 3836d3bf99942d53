//! The thread that writes checkpoints when they are due.

use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};

use parking_lot::{Condvar, Mutex};

use super::Inner;
use crate::error::{Error, Result};

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Call {
    #[default]
    None,
    Checkpoint,
    Stop,
}

#[derive(Debug, Default)]
struct Bell {
    call: Mutex<Call>,
    rung: Condvar,
}

#[derive(Debug)]
pub(super) struct Worker {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub(super) fn start(inner: &Arc<Inner>) -> Result<Self> {
        let bell = Arc::new(Bell::default());
        let (weak, own) = (Arc::downgrade(inner), Arc::clone(&bell));
        let thread = thread::Builder::new()
            .name("northstar-checkpoint".to_owned())
            .spawn(move || Self::run(&weak, &own))
            .map_err(|error| Error::io("start a thread for", &inner.path, error))?;
        Ok(Self { bell, thread: Some(thread) })
    }

    pub(super) fn wake(&self) {
        let mut call = self.bell.call.lock();
        if *call == Call::None {
            *call = Call::Checkpoint;
            self.bell.rung.notify_one();
        }
    }

    fn run(inner: &Weak<Inner>, bell: &Bell) {
        loop {
            let mut call = bell.call.lock();
            while *call == Call::None {
                bell.rung.wait(&mut call);
            }
            if *call == Call::Stop {
                return;
            }
            *call = Call::None;
            drop(call);
            let Some(inner) = inner.upgrade() else { return };
            // A full disk: the next commit calls again. A failed sync: the handle is poisoned, and says so to everybody.
            let _told_by_others = inner.checkpoint();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        *self.bell.call.lock() = Call::Stop;
        self.bell.rung.notify_one();
        let Some(thread) = self.thread.take() else { return };
        // The last handle may go on the worker's own thread, which ends by itself.
        if thread.thread().id() != thread::current().id() {
            // It has nothing to say: a panic in it was printed where it happened.
            let _joined = thread.join();
        }
    }
}
