//! The way to a store: requests and answers of the wire, whoever carries them out.

use std::io;
use std::os::unix::net::UnixStream;

use anyhow::{Context as _, Result};
use tl_daemon::connection::{Connection, ConnectionError, Timeouts};
use tl_daemon::stores::Located;
use tl_daemon::wire::{Answer, Checkpoint, Greeting, Hello, Item, Message, Request, VERSION, Verdict, Wish};

use crate::context::Context;
use crate::failure::Failure;

/// A store that answers.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    located: Located,
    zone: String,
}

impl Session {
    /// The store that the command is about.
    pub fn open(context: &Context) -> Result<Self> {
        let located = context.locate()?;
        let path = context.runtime().socket(located.store.id())?;
        let stream = UnixStream::connect(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                Failure::retry(format!("no daemon runs for {}", located.root.path.display()), "`tl start` starts one")
            }
            _ => anyhow::Error::new(error).context(format!("cannot connect to {}", path.display())),
        })?;
        let mut connection = Connection::new(stream, Timeouts::default()).context("cannot use the socket")?;
        greet(&mut connection, &located)?;
        let zone = context.environment.zone().iana_name().unwrap_or_default().to_owned();
        Ok(Self { connection, located, zone })
    }

    /// The store and its directory.
    pub const fn located(&self) -> &Located {
        &self.located
    }

    /// Asks, when no items are expected before the answer.
    pub fn ask(&mut self, request: Request) -> Result<Answer> {
        self.ask_each(request, |_item| Ok(()))
    }

    /// Asks, and hands out each item that comes before the answer. An error of `each` ends the session.
    pub fn ask_each(&mut self, request: Request, mut each: impl FnMut(Item) -> Result<()>) -> Result<Answer> {
        self.connection.send_request(request).map_err(tl_daemon::Error::from)?;
        loop {
            match self.connection.receive().map_err(tl_daemon::Error::from)? {
                Some(Message::Item(item)) => each(*item)?,
                Some(Message::Answer(answer)) => return Ok(*answer),
                Some(Message::Failure(failure)) => return Err(failure.into()),
                Some(other) => return Err(unexpected(&other)),
                None => return Err(tl_daemon::Error::from(ConnectionError::Closed).into()),
            }
        }
    }

    /// Asks for something that is answered by its being done.
    pub fn done(&mut self, request: Request) -> Result<()> {
        match self.ask(request)? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// The checkpoint that a name stands for.
    pub fn resolve(&mut self, name: &str) -> Result<Checkpoint> {
        match self.ask(Request::Resolve { name: name.to_owned(), zone: self.zone.clone() })? {
            Answer::Checkpoint(checkpoint) => Ok(*checkpoint),
            other => Err(unexpected(&other)),
        }
    }
}

/// The error for an answer to another question.
pub fn unexpected(answer: &impl std::fmt::Debug) -> anyhow::Error {
    anyhow::anyhow!("the daemon answered something else than was asked: {answer:?}")
}

fn greet(connection: &mut Connection, located: &Located) -> Result<()> {
    let hello = Hello { version: VERSION, wish: Wish::Talk, store: located.store.id() };
    connection.send_bytes(&hello.encode()).map_err(tl_daemon::Error::from)?;
    let bytes = connection.receive_bytes().map_err(tl_daemon::Error::from)?;
    let Some(greeting) = Greeting::decode(&bytes) else {
        return Err(Failure::retry("what listens on the socket is no daemon of Timelapse", "`tl stop` ends it"));
    };
    match greeting.verdict {
        Verdict::Welcome => Ok(()),
        Verdict::OtherVersion => Err(Failure::retry(
            format!("the daemon (process {}) is of another version", greeting.pid),
            "`tl stop` ends it, and the next command starts its own",
        )),
        Verdict::OtherStore => Err(anyhow::anyhow!("the daemon on that socket serves store {}", greeting.store)),
        Verdict::TooManyPeers => Err(Failure::retry("the daemon has as many peers as it takes", "try again later")),
        Verdict::Ending => Err(Failure::retry("the daemon is ending", "run the command again")),
    }
}
