//! One connection: frames over a Unix socket, each within a limit of time.
//!
//! The socket is non-blocking, and every wait has an end that was fixed before the first byte: a peer that sends or takes one byte now and then does not hold
//! anybody up.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::wire::{Answer, DATA_LEN_MAX, Failure, Item, Message, Request, WireError, data_frame, parse_header};

/// Room for what comes in; a frame that needs more gets it as its bytes arrive.
const READ_LEN: usize = 8 << 10;
/// Memory that is kept for the next frame.
const KEPT_LEN: usize = 32 << 10;

/// How long a peer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the handshake.
    pub handshake: Duration,
    /// From the first byte of a frame to its last, in either direction.
    pub frame: Duration,
    /// From one frame to the next; none for as long as it likes.
    pub idle: Option<Duration>,
    /// From one request to the next while the daemon ends: a command asks several things, and is to get through with them.
    pub between: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let (handshake, frame) = (Duration::from_secs(5), Duration::from_secs(20));
        Self { handshake, frame, idle: None, between: Duration::from_millis(250) }
    }
}

/// Why a connection is of no further use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The peer broke the protocol.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The peer took too long.
    #[error("the other side did not {action} within {} ms", after.as_millis())]
    Slow {
        /// What it did not do.
        action: &'static str,
        /// The limit.
        after: Duration,
    },
    /// The peer closed the connection in the middle of something.
    #[error("the other side closed the connection")]
    Closed,
    /// The system failed.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for ConnectionError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// Frames over a socket.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    timeouts: Timeouts,
    /// What came in: the bytes from `start` on are not yet taken.
    inbound: Vec<u8>,
    start: usize,
}

/// When a wait ends, and what it was for.
#[derive(Clone, Copy)]
struct Deadline {
    at: Option<Instant>,
    after: Duration,
    action: &'static str,
}

impl Deadline {
    fn after(after: Duration, action: &'static str) -> Self {
        Self { at: Some(Instant::now() + after), after, action }
    }
}

impl Connection {
    /// Takes over a connected socket.
    ///
    /// # Errors
    /// If the socket cannot be made non-blocking.
    pub fn new(stream: UnixStream, timeouts: Timeouts) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, timeouts, inbound: Vec::new(), start: 0 })
    }

    /// The socket.
    #[must_use]
    pub const fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Sends fixed bytes, as the handshake does.
    ///
    /// # Errors
    /// [`ConnectionError::Slow`], [`ConnectionError::Closed`], [`ConnectionError::Io`].
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        self.write(bytes, Deadline::after(self.timeouts.handshake, "take the greeting"))
    }

    /// Receives bytes of a fixed number, as the handshake does.
    ///
    /// # Errors
    /// As for [`Connection::send_bytes`].
    pub fn receive_bytes<const N: usize>(&mut self) -> Result<[u8; N], ConnectionError> {
        self.fill(N, Deadline::after(self.timeouts.handshake, "greet"))?;
        let bytes = self.pending().first_chunk().copied().ok_or(ConnectionError::Closed)?;
        self.take(N);
        Ok(bytes)
    }

    /// The next message; none if the peer closed the connection between two.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub fn receive(&mut self) -> Result<Option<Message>, ConnectionError> {
        let idle = match self.timeouts.idle {
            Some(after) => Deadline::after(after, "ask for anything"),
            None => Deadline { at: None, after: Duration::ZERO, action: "ask for anything" },
        };
        match self.fill(1, idle) {
            Ok(()) => {}
            Err(ConnectionError::Closed) => return Ok(None),
            Err(error) => return Err(error),
        }
        let deadline = Deadline::after(self.timeouts.frame, "finish a frame");
        self.fill(crate::wire::HEADER_LEN, deadline)?;
        let header = *self.pending().first_chunk().ok_or(ConnectionError::Closed)?;
        let (len, kind) = parse_header(header)?;
        self.take(header.len());
        self.fill(len, deadline)?;
        let message = Message::decode(kind, self.pending().get(..len).unwrap_or_default())?;
        self.take(len);
        Ok(Some(message))
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`ConnectionError`]. After [`WireError::FrameLength`] nothing was sent, and the connection is still good.
    pub fn send(&mut self, message: &Message) -> Result<(), ConnectionError> {
        let frame = message.encode()?;
        self.write(&frame, Deadline::after(self.timeouts.frame, "take a frame"))
    }

    /// Sends a request.
    ///
    /// # Errors
    /// As for [`Connection::send`].
    pub fn send_request(&mut self, request: Request) -> Result<(), ConnectionError> {
        self.send(&Message::Request(request.into()))
    }

    /// Sends an item.
    ///
    /// # Errors
    /// As for [`Connection::send`].
    pub fn send_item(&mut self, item: Item) -> Result<(), ConnectionError> {
        self.send(&Message::Item(item.into()))
    }

    /// Sends what ends a request.
    ///
    /// # Errors
    /// As for [`Connection::send`].
    pub fn send_end(&mut self, end: Result<Answer, Failure>) -> Result<(), ConnectionError> {
        self.send(&match end {
            Ok(answer) => Message::Answer(answer.into()),
            Err(failure) => Message::Failure(failure),
        })
    }

    /// Sends bytes of any number, in as many frames as they need.
    ///
    /// # Errors
    /// As for [`Connection::send`].
    pub fn send_data(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        for piece in bytes.chunks(DATA_LEN_MAX) {
            let frame = data_frame(piece)?;
            self.write(&frame, Deadline::after(self.timeouts.frame, "take a frame"))?;
        }
        Ok(())
    }

    fn pending(&self) -> &[u8] {
        self.inbound.get(self.start..).unwrap_or_default()
    }

    fn take(&mut self, len: usize) {
        self.start += len;
        if self.start >= self.inbound.len() {
            self.start = 0;
            self.inbound.clear();
            self.inbound.shrink_to(KEPT_LEN);
        }
    }

    /// Reads until `len` bytes are there.
    fn fill(&mut self, len: usize, deadline: Deadline) -> Result<(), ConnectionError> {
        while self.pending().len() < len {
            if self.start > 0 {
                self.inbound.drain(..self.start);
                self.start = 0;
            }
            // Memory grows by what has come, not by what was announced.
            let have = self.inbound.len();
            let room = (len - have).clamp(READ_LEN, READ_LEN.max(have));
            self.inbound.resize(have + room, 0);
            let read = self.stream.read(self.inbound.get_mut(have..).unwrap_or_default());
            self.inbound.truncate(have + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Err(ConnectionError::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(PollFlags::IN, deadline)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn write(&mut self, mut bytes: &[u8], deadline: Deadline) -> Result<(), ConnectionError> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(ConnectionError::Closed),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(PollFlags::OUT, deadline)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn wait(&self, readiness: PollFlags, deadline: Deadline) -> Result<(), ConnectionError> {
        let left = match deadline.at {
            None => None,
            Some(at) => match at.checked_duration_since(Instant::now()) {
                Some(left) => Some(left),
                None => return Err(ConnectionError::Slow { action: deadline.action, after: deadline.after }),
            },
        };
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::new(&self.stream, readiness)], timeout.as_ref()) {
            // After a timeout the caller tries once more and comes back.
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(ConnectionError::Io(error.into())),
        }
    }
}

#[cfg(test)]
mod tests;
