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

/// Calls the worker.
#[derive(Debug, Default)]
pub(super) struct Bell {
    call: Mutex<Call>,
    rung: Condvar,
}

impl Bell {
    /// Asks for a checkpoint. False if there is no worker any more.
    pub(super) fn ring(&self) -> bool {
        let mut call = self.call.lock();
        if *call == Call::None {
            *call = Call::Checkpoint;
            self.rung.notify_one();
        }
        *call != Call::Stop
    }

    fn wait(&self) -> Call {
        let mut call = self.call.lock();
        while *call == Call::None {
            self.rung.wait(&mut call);
        }
        if *call == Call::Stop {
            return Call::Stop;
        }
        std::mem::take(&mut *call)
    }
}

/// The thread, as the handles of a database hold it together. It ends with the last of them, before the database does: who drops the last handle
/// can open the file again at once.
#[derive(Debug)]
pub(super) struct Worker {
    bell: Arc<Bell>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Worker {
    pub(super) fn start(inner: &Arc<Inner>) -> Result<Self> {
        let bell = Arc::clone(&inner.bell);
        let weak = Arc::downgrade(inner);
        let thread = thread::Builder::new()
            .name("northstar-checkpoint".to_owned())
            .spawn(move || Self::run(&weak, &bell))
            .map_err(|error| Error::io("start a thread for", &inner.path, error))?;
        Ok(Self { bell: Arc::clone(&inner.bell), thread: Mutex::new(Some(thread)) })
    }

    fn run(inner: &Weak<Inner>, bell: &Bell) {
        while bell.wait() == Call::Checkpoint {
            let Some(inner) = inner.upgrade() else { return };
            // A full disk: the next commit calls again. A failed sync: the handle is poisoned, and says so to everybody.
            let _told_by_others = inner.checkpoint();
        }
    }

    /// Ends the thread, and waits for that.
    pub(super) fn stop(&self) {
        *self.bell.call.lock() = Call::Stop;
        self.bell.rung.notify_one();
        if let Some(thread) = self.thread.lock().take() {
            // It has nothing to say: a panic in it was printed where it happened.
            let _joined = thread.join();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}
