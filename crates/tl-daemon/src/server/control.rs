//! Who is connected, and how everybody is sent away at the end.

use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::pipe::{PipeFlags, pipe_with};

/// Shared by the accepting thread, the peers and the capture thread.
#[derive(Debug)]
pub(crate) struct Control {
    state: Mutex<State>,
    left: Condvar,
    /// Readable when the accepting thread is to look up.
    woken: OwnedFd,
    wake: OwnedFd,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    peers: HashMap<u64, UnixStream>,
    stopping: bool,
    /// Who is told by the end of their connection that the store is free.
    farewells: Vec<UnixStream>,
}

/// One that is connected.
#[derive(Debug)]
pub(crate) struct Entered {
    control: Arc<Control>,
    number: u64,
    /// How many there are with it.
    pub(crate) count: usize,
}

impl Control {
    pub(crate) fn new() -> io::Result<Self> {
        let (woken, wake) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Self { state: Mutex::default(), left: Condvar::new(), woken, wake })
    }

    /// Has the accepting thread look up.
    pub(crate) fn wake(&self) {
        // A pipe that is full wakes just as well.
        let _ = rustix::io::write(&self.wake, &[0]);
    }

    /// Readable once [`Control::wake`] was called.
    pub(crate) fn woken(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }

    /// Has the daemon end.
    pub(crate) fn stop(&self) {
        self.state.lock().stopping = true;
        self.wake();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.state.lock().stopping
    }

    pub(crate) fn count(&self) -> usize {
        self.state.lock().peers.len()
    }

    pub(super) fn enter(self: &Arc<Self>, stream: &UnixStream) -> io::Result<Entered> {
        let stream = stream.try_clone()?;
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        state.peers.insert(number, stream);
        Ok(Entered { control: Arc::clone(self), number, count: state.peers.len() })
    }

    /// Keeps a connection open until the store is free.
    pub(super) fn farewell(&self, stream: UnixStream) {
        self.state.lock().farewells.push(stream);
    }

    /// Ends all connections, and waits until their threads are done, or for as long as `patience`. Returns what says farewell when it is dropped.
    pub(crate) fn send_everybody_away(&self, patience: Duration) -> Vec<UnixStream> {
        let until = Instant::now() + patience;
        let mut state = self.state.lock();
        for peer in state.peers.values() {
            // A peer that is gone already needs no ending. What is being answered is still sent.
            drop(peer.shutdown(Shutdown::Read));
        }
        while !state.peers.is_empty() {
            if self.left.wait_until(&mut state, until).timed_out() {
                tracing::warn!(peers = state.peers.len(), "connections are cut off");
                break;
            }
        }
        std::mem::take(&mut state.farewells)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.control.state.lock().peers.remove(&self.number);
        self.control.left.notify_all();
    }
}
