//! Frames over a socket, with limits on their length and on time.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use super::wire::{FRAME_LEN_MAX, GREETING_LEN};
use crate::queue::error::{Error, Result};

/// For both greetings.
const GREETING_TIME: Duration = Duration::from_secs(5);
/// For a frame, from its first byte to its last, sent or received. A peer that takes longer between two pieces is gone.
const FRAME_TIME: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
}

/// An error of a socket.
pub(super) fn failed(action: &'static str, source: io::Error) -> Error {
    Error::Connection { action, source: Arc::new(source) }
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(GREETING_TIME)).map_err(|error| failed("set up", error))?;
        stream.set_write_timeout(Some(FRAME_TIME)).map_err(|error| failed("set up", error))?;
        Ok(Self { stream })
    }

    pub(super) const fn stream(&self) -> &UnixStream {
        &self.stream
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).map_err(|error| failed("write to", error))
    }

    pub(super) fn receive_greeting(&mut self) -> Result<[u8; GREETING_LEN]> {
        let mut greeting = [0; GREETING_LEN];
        self.stream.read_exact(&mut greeting).map_err(|error| failed("read from", error))?;
        Ok(greeting)
    }

    /// The content of the next frame, whose first byte may take up to `patience`; for ever without one. `None`: the other side has closed.
    pub(super) fn receive(&mut self, patience: Option<Duration>) -> Result<Option<Vec<u8>>> {
        let failed = |error| failed("read from", error);
        self.stream.set_read_timeout(patience).map_err(failed)?;
        let mut header = [0; 4];
        let (first, rest) = header.split_at_mut(1);
        loop {
            match self.stream.read(first) {
                Ok(0) => return Ok(None),
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        self.stream.set_read_timeout(Some(FRAME_TIME)).map_err(failed)?;
        self.stream.read_exact(rest).map_err(failed)?;
        let len = u32::from_le_bytes(header) as usize;
        if len > FRAME_LEN_MAX {
            return Err(Error::Protocol { what: "a frame over the limit" });
        }
        // Memory grows with what comes, not with what was announced.
        let mut content = Vec::new();
        (&self.stream).take(len as u64).read_to_end(&mut content).map_err(failed)?;
        if content.len() < len {
            return Err(Error::Protocol { what: "a frame that ends early" });
        }
        Ok(Some(content))
    }
}
