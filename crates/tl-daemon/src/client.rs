//! The other end of the socket: programs that use a daemon, and that start one.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::connection::{Connection, ConnectionError, Timeouts};
use crate::error::{Error, Result};
use crate::server::other_end;
use crate::wire::{
    Answer, DATA_LEN_MAX, Event, Failure, FailureKind, Greeting, Hello, IDS_MAX, Item, Message, ObjectHead, ObjectId,
    Request, StoreId, Subscribe, VERSION, Verdict, WELCOME_LEN, WireError, Wish,
};

/// For how long a daemon may be starting before nobody waits for it any more: it recovers its store before it listens.
const START_MAX: Duration = Duration::from_secs(60);
/// For how long a daemon that was told to end may take.
const STOP_MAX: Duration = Duration::from_secs(60);
/// How long to wait before looking again whether a daemon that is ending has ended.
pub(crate) const ENDING_POLL: Duration = Duration::from_millis(10);
/// For how long a daemon is started again and again that ends before it is ready: the last one may not have let go of the store yet.
const RESTART_MAX: Duration = Duration::from_secs(2);
/// Most bytes of one object that are taken from a daemon.
const OBJECT_LEN_MAX: u64 = 1 << 30;

/// What a daemon hands out for an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The bytes as they are stored. Nobody has checked them.
    Stored(Vec<u8>),
    /// It is not there.
    Missing,
    /// It was purged.
    Purged {
        /// Length of the content that it had.
        len: u64,
    },
}

/// A connection to a store's daemon.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    greeting: Greeting,
}

impl Client {
    /// Connects to the daemon of `store` at `socket`.
    ///
    /// # Errors
    /// [`Error::NoDaemon`] if none listens, [`Error::OtherVersion`], [`Error::DaemonBusy`], [`Error::DaemonEnding`], [`Error::ForeignDaemon`], or what happened to
    /// the connection.
    pub fn connect(socket: &Path, store: StoreId, timeouts: Timeouts) -> Result<Self> {
        let (connection, greeting) = greet(socket, store, timeouts, Wish::Talk)?;
        match greeting.verdict {
            Verdict::Welcome if greeting.version == VERSION && greeting.store == store => {
                Ok(Self { connection, greeting })
            }
            Verdict::Welcome | Verdict::OtherVersion => {
                Err(Error::OtherVersion { daemon: greeting.version, ours: VERSION })
            }
            Verdict::OtherStore => Err(Error::NoDaemon { socket: socket.into() }),
            Verdict::TooManyPeers => Err(Error::DaemonBusy),
            Verdict::Ending => Err(Error::DaemonEnding),
        }
    }

    /// As [`Client::connect`], once no daemon is ending.
    ///
    /// # Errors
    /// As for [`Client::connect`]; [`Error::DaemonEnding`] only if that takes too long.
    pub(crate) fn connect_to_lasting(socket: &Path, store: StoreId, timeouts: Timeouts) -> Result<Self> {
        let until = Instant::now() + STOP_MAX;
        loop {
            match Self::connect(socket, store, timeouts) {
                Err(Error::DaemonEnding) if Instant::now() < until => std::thread::sleep(ENDING_POLL),
                connected => return connected,
            }
        }
    }

    /// Process id of the daemon.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.greeting.pid
    }

    /// Sends a request and waits for its end. What comes before goes to `on_item`.
    ///
    /// # Errors
    /// [`Error::Refused`] with the daemon's failure, after which the connection is still good; [`Error::Connection`].
    pub fn call(&mut self, request: Request, on_item: &mut dyn FnMut(Item)) -> Result<Answer> {
        self.connection.send_request(request)?;
        loop {
            match self.next()? {
                Message::Item(item) => on_item(*item),
                Message::Answer(answer) => return Ok(*answer),
                Message::Failure(failure) => return Err(failure.into()),
                other => return Err(unexpected(&other, "an item or an answer")),
            }
        }
    }

    /// Objects as they are stored, in the order of `ids`.
    ///
    /// # Errors
    /// As for [`Client::call`].
    pub fn objects(&mut self, ids: &[ObjectId]) -> Result<Vec<Fetched>> {
        let mut fetched = Vec::with_capacity(ids.len());
        for ids in ids.chunks(IDS_MAX) {
            self.connection.send_request(Request::Objects { ids: ids.to_vec() })?;
            loop {
                match self.next()? {
                    Message::Item(item) => match *item {
                        Item::Object(ObjectHead::Stored { len }) => fetched.push(Fetched::Stored(self.receive(len)?)),
                        Item::Object(ObjectHead::Missing) => fetched.push(Fetched::Missing),
                        Item::Object(ObjectHead::Purged { len }) => fetched.push(Fetched::Purged { len }),
                        _ => return Err(unexpected(&Message::Item(item), "an object")),
                    },
                    Message::Answer(_) => break,
                    Message::Failure(failure) => return Err(failure.into()),
                    other => return Err(unexpected(&other, "an object")),
                }
            }
        }
        Ok(fetched)
    }

    /// Puts a content for a restore of chosen parts; it is kept as long as the connection lasts.
    ///
    /// # Errors
    /// As for [`Client::call`].
    pub fn put_blob(&mut self, content: &[u8]) -> Result<ObjectId> {
        self.connection.send_request(Request::PutBlob { len: content.len() as u64 })?;
        for piece in content.chunks(DATA_LEN_MAX) {
            self.connection.send_data(piece)?;
        }
        match self.next()? {
            Message::Answer(answer) => match *answer {
                Answer::Object { id, .. } => Ok(id),
                _ => Err(unexpected(&Message::Answer(answer), "an object")),
            },
            Message::Failure(failure) => Err(failure.into()),
            other => Err(unexpected(&other, "an answer")),
        }
    }

    /// Begins to listen to what happens.
    ///
    /// # Errors
    /// As for [`Client::call`].
    pub fn subscribe(mut self, subscribe: Subscribe) -> Result<Events> {
        self.connection.send_request(Request::Subscribe(subscribe))?;
        Ok(Events { client: self })
    }

    fn next(&mut self) -> Result<Message> {
        Ok(self.connection.receive()?.ok_or(ConnectionError::Closed)?)
    }

    fn receive(&mut self, len: u64) -> Result<Vec<u8>> {
        if len > OBJECT_LEN_MAX {
            return Err(ConnectionError::from(WireError::FrameLength { len }).into());
        }
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < len {
            match self.next()? {
                Message::Data(more) if !more.is_empty() && (bytes.len() + more.len()) as u64 <= len => {
                    bytes.extend_from_slice(&more);
                }
                other => return Err(unexpected(&other, "data")),
            }
        }
        Ok(bytes)
    }
}

fn unexpected(found: &Message, expected: &'static str) -> Error {
    ConnectionError::from(WireError::Unexpected { found: found.name(), expected }).into()
}

/// What happens in a store, as it happens.
#[derive(Debug)]
pub struct Events {
    client: Client,
}

impl Events {
    /// Waits for the next event; `None` if the daemon ended.
    ///
    /// # Errors
    /// What happened to the connection.
    pub fn wait(&mut self) -> Result<Option<Event>> {
        match self.client.connection.receive()? {
            None => Ok(None),
            Some(Message::Item(item)) => match *item {
                Item::Event(event) => Ok(Some(event)),
                _ => Err(unexpected(&Message::Item(item), "an event")),
            },
            Some(Message::Failure(Failure { kind: FailureKind::Stopping, .. })) => Ok(None),
            Some(Message::Failure(failure)) => Err(failure.into()),
            Some(other) => Err(unexpected(&other, "an event")),
        }
    }

    /// The socket, for whoever waits for something else too: readable when [`Events::wait`] would not wait.
    #[must_use]
    pub const fn stream(&self) -> &UnixStream {
        self.client.connection.stream()
    }
}

/// Ends the daemon of `store`, whatever its version, and waits until its store is free. Returns its process id; `None` if there was none.
///
/// # Errors
/// What happened to the connection, or that it did not end in time.
pub fn stop(socket: &Path, store: StoreId, timeouts: Timeouts) -> Result<Option<u32>> {
    let timeouts = Timeouts { idle: Some(STOP_MAX), ..timeouts };
    let until = Instant::now() + STOP_MAX;
    let (mut connection, greeting) = loop {
        match greet(socket, store, timeouts, Wish::Stop) {
            Ok(greeted) => break greeted,
            Err(Error::NoDaemon { .. }) => return Ok(None),
            Err(Error::DaemonEnding) if Instant::now() < until => std::thread::sleep(ENDING_POLL),
            Err(error) => return Err(error),
        }
    };
    match connection.receive()? {
        None => Ok(Some(greeting.pid)),
        Some(other) => Err(unexpected(&other, "the end")),
    }
}

fn greet(socket: &Path, store: StoreId, timeouts: Timeouts, wish: Wish) -> Result<(Connection, Greeting)> {
    let stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Error::NoDaemon { socket: socket.into() },
        _ => Error::io("connect to", socket, error),
    })?;
    let ours = rustix::process::geteuid().as_raw();
    match other_end(&stream).map_err(ConnectionError::from)? {
        Some(other) if other.user != ours => {
            return Err(Error::ForeignDaemon { socket: socket.into(), user: other.user });
        }
        _ => {}
    }
    // A daemon that was killed takes connections until the system has taken its sockets from it, and never greets.
    let ended = |error| match error {
        ConnectionError::Closed => Error::DaemonEnding,
        error => error.into(),
    };
    let mut connection = Connection::new(stream, timeouts).map_err(ConnectionError::from)?;
    connection.send_bytes(&Hello { version: VERSION, wish, store }.encode()).map_err(ended)?;
    let greeting = Greeting::decode(&connection.receive_bytes::<WELCOME_LEN>().map_err(ended)?);
    let malformed = || ConnectionError::from(WireError::Malformed { what: "greeting" });
    Ok((connection, greeting.ok_or_else(malformed)?))
}

/// Starts a daemon with `program` and waits until it takes connections.
///
/// The program has to run [`daemon::run`](crate::daemon::run) and, when that says that it is ready, write the line `ready` to its standard output and close it. What it
/// writes to its standard error before that goes into the error. It runs in a process group of its own, without a standard input.
///
/// # Errors
/// [`Error::NotStarted`] with what the program said, or as for [`Client::connect`]. If another daemon was started meanwhile, that one is connected to.
pub fn start(program: &mut Command, socket: &Path, store: StoreId, timeouts: Timeouts) -> Result<Client> {
    let until = Instant::now() + RESTART_MAX;
    let mut pause = ENDING_POLL;
    loop {
        let Some(complaint) = launch(program)? else { return Client::connect(socket, store, timeouts) };
        // It ended: perhaps because another one was faster, or because the last one still has the store.
        match Client::connect_to_lasting(socket, store, timeouts) {
            Err(Error::NoDaemon { .. }) if Instant::now() < until => std::thread::sleep(pause),
            Err(Error::NoDaemon { .. }) => return Err(Error::NotStarted { reason: complaint }),
            connected => return connected,
        }
        pause *= 2;
    }
}

/// Starts a daemon and waits until it is ready. If it ended before that, returns what it said about it.
fn launch(program: &mut Command) -> Result<Option<String>> {
    let not_started = |reason: String| Error::NotStarted { reason };
    let mut child = program
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| not_started(format!("{}: {error}", program.get_program().display())))?;
    let mut said = Vec::new();
    if let Some(output) = child.stdout.take() {
        read_until_ready(output, &mut said)?;
    }
    if is_ready(&said) {
        return Ok(None);
    }
    let mut complaint = String::new();
    if let Some(errors) = child.stderr.take() {
        // Not being able to read it leaves the message shorter.
        drop(errors.take(4096).read_to_string(&mut complaint));
    }
    let status = child.wait().map_err(|error| not_started(error.to_string()))?;
    Ok(Some(format!("{status}: {}", complaint.trim())))
}

/// Reads the program's line, or up to its end.
fn read_until_ready(mut output: impl Read + std::os::fd::AsFd, said: &mut Vec<u8>) -> Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let until = Instant::now() + START_MAX;
    let failed = |reason: String| Error::NotStarted { reason };
    loop {
        let left = until.saturating_duration_since(Instant::now());
        // It is below a minute, which the system can count.
        let timeout = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(&output, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) => return Err(failed(format!("it was not ready after {} s", START_MAX.as_secs()))),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(failed(errno.to_string())),
        }
        let mut buffer = [0; 256];
        match output.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => said.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error.to_string())),
        }
        if is_ready(said) || said.len() > 4096 {
            return Ok(());
        }
    }
}

/// True if the line that says so is among the lines.
fn is_ready(said: &[u8]) -> bool {
    said.split_inclusive(|&byte| byte == b'\n').any(|line| line == b"ready\n")
}
