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

/// How often an ending daemon looks for the second connection of somebody whom it still answers.
const MEANWHILE: Duration = Duration::from_millis(5);

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
    peers: HashMap<u64, Connected>,
    stopping: bool,
    /// Who is told by the end of their connection that the store is free.
    farewells: Vec<UnixStream>,
}

/// What is known of one that is connected.
#[derive(Debug)]
struct Connected {
    stream: UnixStream,
    doing: Doing,
    /// The process at the other end, once it is welcome and where the system tells.
    process: Option<i32>,
}

#[derive(Debug, Clone, Copy)]
enum Doing {
    /// It asks nothing since then.
    Nothing(Instant),
    /// It waits for an answer.
    Asking,
    /// It listens, and is told of the end.
    Listening,
    /// It was sent away.
    Leaving,
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
        state.peers.insert(number, Connected { stream, doing: Doing::Nothing(Instant::now()), process: None });
        Ok(Entered { control: Arc::clone(self), number, count: state.peers.len() })
    }

    /// True if `process` has a connection beside that of `entered`, and was not sent away.
    pub(super) fn is_welcome_elsewhere(&self, process: i32, entered: &Entered) -> bool {
        let state = self.state.lock();
        let mut others = state.peers.iter().filter(|(number, _)| **number != entered.number);
        others.any(|(_, peer)| peer.process == Some(process) && !matches!(peer.doing, Doing::Leaving))
    }

    /// Keeps a connection open until the store is free.
    pub(super) fn farewell(&self, stream: UnixStream) {
        self.state.lock().farewells.push(stream);
    }

    /// Ends each connection once it has asked nothing for as long as `between`, and waits until their threads are done; all of them after `patience`. Now
    /// and then `meanwhile` is called. Returns what says farewell when it is dropped.
    pub(crate) fn send_everybody_away(
        &self,
        between: Duration,
        patience: Duration,
        mut meanwhile: impl FnMut(),
    ) -> Vec<UnixStream> {
        let until = Instant::now() + patience;
        loop {
            meanwhile();
            let mut state = self.state.lock();
            if state.peers.is_empty() {
                return std::mem::take(&mut state.farewells);
            }
            let now = Instant::now();
            let mut next = until.min(now + MEANWHILE);
            for peer in state.peers.values_mut() {
                match peer.doing {
                    Doing::Nothing(since) if now < until && now < since + between => next = next.min(since + between),
                    Doing::Asking if now < until => {}
                    Doing::Leaving => {}
                    Doing::Nothing(_) | Doing::Asking | Doing::Listening => peer.send_away(),
                }
            }
            if now >= until {
                tracing::warn!(peers = state.peers.len(), "connections are cut off");
                return std::mem::take(&mut state.farewells);
            }
            self.left.wait_until(&mut state, next);
        }
    }
}

impl Connected {
    fn send_away(&mut self) {
        // One that is gone already needs no ending. What is being answered is still sent.
        drop(self.stream.shutdown(Shutdown::Read));
        self.doing = Doing::Leaving;
    }
}

impl Entered {
    /// It may ask.
    pub(super) fn welcomed(&self, process: Option<i32>) {
        if let Some(peer) = self.control.state.lock().peers.get_mut(&self.number) {
            peer.process = process;
        }
    }

    /// A request came.
    pub(super) fn asked(&self) {
        self.is(Doing::Asking);
    }

    /// It was answered.
    pub(super) fn answered(&self) {
        self.is(Doing::Nothing(Instant::now()));
    }

    /// From here on it is only told things.
    pub(super) fn subscribed(&self) {
        self.is(Doing::Listening);
    }

    fn is(&self, doing: Doing) {
        if let Some(peer) = self.control.state.lock().peers.get_mut(&self.number)
            && !matches!(peer.doing, Doing::Leaving)
        {
            peer.doing = doing;
            self.control.left.notify_all();
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.control.state.lock().peers.remove(&self.number);
        self.control.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    /// One that is connected, what its thread reads from, and the other side, which says nothing and stays.
    fn entered(control: &Arc<Control>) -> (Entered, UnixStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        // What a peer's thread reads from is ours: it sees the end of it.
        let seen = ours.try_clone().unwrap();
        let entered = control.enter(&ours).unwrap();
        (entered, seen, theirs)
    }

    fn is_cut(seen: &mut UnixStream) -> bool {
        seen.set_nonblocking(true).unwrap();
        matches!(seen.read(&mut [0]), Ok(0))
    }

    fn wait_until_cut(seen: &mut UnixStream) {
        seen.set_nonblocking(false).unwrap();
        assert_eq!(seen.read(&mut [0]).unwrap(), 0);
    }

    /// If it fails, a command that is being served while the daemon ends fails with a closed connection.
    #[test]
    fn who_is_being_answered_is_not_sent_away_before_the_answer() {
        let control = Arc::new(Control::new().unwrap());
        let (idle, mut of_idle, _one) = entered(&control);
        let (busy, mut of_busy, _other) = entered(&control);
        busy.asked();
        let sender = std::thread::spawn({
            let control = Arc::clone(&control);
            move || control.send_everybody_away(Duration::ZERO, LONG, || {})
        });
        wait_until_cut(&mut of_idle);
        // The other one was looked at in the same turn, which is over when the lock can be had.
        assert_eq!(control.count(), 2);
        assert!(!is_cut(&mut of_busy));
        busy.answered();
        wait_until_cut(&mut of_busy);
        drop((idle, busy));
        sender.join().unwrap();
    }

    /// If it fails, a command that opens its second connection while the daemon ends fails, or anybody may begin anew.
    #[test]
    fn a_process_that_is_being_answered_may_connect_again() {
        let control = Arc::new(Control::new().unwrap());
        let (first, _of_first, _one) = entered(&control);
        let (second, _of_second, _other) = entered(&control);
        assert!(!control.is_welcome_elsewhere(7, &second), "nobody of that process was welcome yet");
        first.welcomed(Some(7));
        assert!(control.is_welcome_elsewhere(7, &second));
        assert!(!control.is_welcome_elsewhere(8, &second) && !control.is_welcome_elsewhere(7, &first));
        control.send_everybody_away(LONG, Duration::ZERO, || {});
        assert!(!control.is_welcome_elsewhere(7, &second));
    }

    /// If it fails, a command cannot ask its second question, or one that never ends keeps a daemon alive.
    #[test]
    fn who_may_ask_again_is_left_alone_until_patience_ends() {
        let control = Arc::new(Control::new().unwrap());
        let (listening, mut of_listening, _one) = entered(&control);
        let (asks, mut of_asks, _other) = entered(&control);
        listening.subscribed();
        let sender = std::thread::spawn({
            let control = Arc::clone(&control);
            move || control.send_everybody_away(LONG, LONG, || {})
        });
        wait_until_cut(&mut of_listening);
        assert_eq!(control.count(), 2);
        assert!(!is_cut(&mut of_asks));
        drop((listening, asks));
        sender.join().unwrap();

        let (_asks, mut of_asks, _other) = entered(&control);
        control.send_everybody_away(LONG, Duration::ZERO, || {});
        assert!(is_cut(&mut of_asks));
    }
}
