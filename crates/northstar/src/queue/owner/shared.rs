//! A queue that several processes use at once.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::connection::{Connection, failed};
use super::server::Server;
use super::service::{WAIT_MAX, serve, wire_task};
use super::wire::{Request, Response, VERSION, Verdict, decode, encode, greeting, parse_greeting};
use crate::db::Database;
use crate::options::Options;
use crate::queue::claim::{Claim, Claimed};
use crate::queue::enqueue::{Enqueued, NewTask};
use crate::queue::error::{Error, Result};
use crate::queue::finish::{Completed, Failed, Failure};
use crate::queue::name::{TaskId, TaskType, Token};
use crate::queue::queue::Queue;
use crate::queue::task::{State, Task, TypeSettings};

/// How often an owner is looked for before it is taken for out of reach, and how long between.
const ATTEMPTS_MAX: u32 = 500;
const PAUSE: Duration = Duration::from_millis(10);
/// How much longer than it takes to wait for work an answer may take.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// A queue in a database that any number of processes open like this. One of them owns it and serves the others; when it ends, another one takes its place. Calls are those of
/// [`Queue`]; to look at the queue, open the database with [`Reader`](crate::Reader) and make a [`View`](crate::queue::View).
///
/// Threads of a client take turns: open one for each thread that is to claim at the same time.
#[derive(Debug)]
pub struct Shared {
    path: PathBuf,
    socket: PathBuf,
    options: Options,
    role: Mutex<Option<Role>>,
}

#[derive(Debug)]
enum Role {
    /// In the order in which they go: the server ends before the database is let go.
    Owner {
        _server: Server,
        queue: Queue,
    },
    Client(Connection),
}

/// What a try to reach an owner came to.
enum Reached {
    Connection(Connection),
    /// There is none.
    Nobody,
    /// There is one that cannot take anybody now.
    Busy,
}

/// A request that was not answered.
enum Unanswered {
    /// It was not looked at: it can be sent to another owner.
    Unseen,
    /// It may have been done.
    Unknown(Error),
}

impl Shared {
    /// The queue of the database at `path`, which this process opens if no other has it open. The owner listens at the socket `path-queue`.
    ///
    /// # Errors
    /// An error of the database; [`crate::Error::Locked`] if it is open for writing by somebody who serves no queue.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let mut socket = path.clone().into_os_string();
        socket.push("-queue");
        let shared = Self { path, socket: socket.into(), options, role: Mutex::new(None) };
        let role = shared.find_role()?;
        *shared.role.lock() = Some(role);
        Ok(shared)
    }

    /// Whether this process serves the others at the moment.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        matches!(*self.role.lock(), Some(Role::Owner { .. }))
    }

    fn find_role(&self) -> Result<Role> {
        let mut locked = None;
        for _ in 0..ATTEMPTS_MAX {
            match self.reach()? {
                Reached::Connection(connection) => return Ok(Role::Client(connection)),
                Reached::Busy => {}
                Reached::Nobody => match Database::open(&self.path, self.options.clone()) {
                    Ok(db) => {
                        let queue = Queue::open(&db)?;
                        let server = Server::start(queue.clone(), &self.socket)?;
                        return Ok(Role::Owner { _server: server, queue });
                    }
                    // Somebody else has just become the owner, or is about to let go.
                    Err(error @ crate::Error::Locked { .. }) => locked = Some(error),
                    Err(error) => return Err(error.into()),
                },
            }
            thread::sleep(PAUSE);
        }
        Err(locked.unwrap_or_else(|| crate::Error::Locked { path: self.path.clone() }).into())
    }

    fn reach(&self) -> Result<Reached> {
        let stream = match UnixStream::connect(&self.socket) {
            Ok(stream) => stream,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(Reached::Nobody),
                    io::ErrorKind::WouldBlock => Ok(Reached::Busy),
                    _ => Err(failed("connect to", error)),
                };
            }
        };
        let mut connection = Connection::new(stream)?;
        // An owner that ends meanwhile closes without a word.
        let greeted = connection.send(&greeting(Verdict::Welcome)).and_then(|()| connection.receive_greeting());
        let Ok(answer) = greeted else { return Ok(Reached::Busy) };
        match parse_greeting(&answer) {
            Some((VERSION, verdict)) if verdict == Verdict::Welcome as u32 => Ok(Reached::Connection(connection)),
            Some((VERSION, _)) => Ok(Reached::Busy),
            Some(_) => Err(Error::Protocol { what: "an owner that speaks another version" }),
            None => Err(Error::Protocol { what: "something else listens at the socket" }),
        }
    }

    /// Has a request answered, by this process or by the owner. When the owner ends before it has looked at it, another one is found.
    fn call(&self, request: &Request) -> Result<Response> {
        let frame = encode(request)?;
        for _ in 0..ATTEMPTS_MAX {
            let mut role = self.role.lock();
            let response = match &mut *role {
                Some(Role::Owner { queue, .. }) => {
                    let queue = queue.clone();
                    drop(role);
                    return accepted(serve(&queue, request.clone()));
                }
                Some(Role::Client(connection)) => ask(connection, &frame),
                None => Err(Unanswered::Unseen),
            };
            match response {
                Ok(response) => return accepted(response),
                Err(unanswered) => {
                    *role = None;
                    if let Unanswered::Unknown(error) = unanswered {
                        return Err(error);
                    }
                    *role = Some(self.find_role()?);
                }
            }
        }
        Err(Error::Protocol { what: "owners that end before they answer" })
    }

    /// As [`Queue::enqueue_many`].
    ///
    /// # Errors
    /// As there. [`Error::Connection`]: the owner died, and it is not known whether it was done. So for all calls.
    pub fn enqueue_many(&self, tasks: &[NewTask]) -> Result<Vec<Enqueued>> {
        match self.call(&Request::Enqueue(tasks.iter().map(wire_task).collect()))? {
            Response::Enqueued(added) if added.len() == tasks.len() => {
                Ok(added.into_iter().map(|(id, is_new)| Enqueued { id: TaskId(id), is_new }).collect())
            }
            _ => Err(UNFITTING),
        }
    }

    /// As [`Queue::claim`] without a timeout, and as [`Queue::claim_wait`] with one.
    ///
    /// # Errors
    /// As there. [`Error::Connection`]: what may have been claimed can be claimed again once its lease has expired.
    pub fn claim(&self, claim: &Claim, timeout: Option<Duration>) -> Result<Vec<Claimed>> {
        let clock = &self.options.vfs;
        let start = clock.monotonic();
        loop {
            let left = timeout.unwrap_or_default().saturating_sub(clock.monotonic().saturating_sub(start));
            let wait_us = u64::try_from(left.min(WAIT_MAX).as_micros()).unwrap_or(u64::MAX);
            let request = Request::Claim {
                types: claim.types.iter().map(|task_type| task_type.as_str().to_owned()).collect(),
                count: u32::try_from(claim.count).unwrap_or(u32::MAX),
                agent: claim.agent.clone(),
                lease_us: claim.lease_us,
                wait_us,
            };
            let Response::Claimed(found) = self.call(&request)? else { return Err(UNFITTING) };
            // An owner that ends answers those who wait early.
            if found.is_empty() && !left.is_zero() {
                continue;
            }
            return found
                .into_iter()
                .map(|claimed| {
                    let task = Task::decode(TaskId(claimed.id), &[], &claimed.record)?;
                    let token = task.token.ok_or(UNFITTING)?;
                    Ok(Claimed { task, token, payload: claimed.payload })
                })
                .collect();
        }
    }

    /// As [`Queue::heartbeat`].
    ///
    /// # Errors
    /// As there, and as for [`enqueue_many`](Self::enqueue_many).
    pub fn heartbeat(&self, id: TaskId, token: Token, lease_us: Option<u64>) -> Result<u64> {
        match self.call(&Request::Heartbeat { id: id.0, token: token.0, lease_us })? {
            Response::Expires(expires_us) => Ok(expires_us),
            _ => Err(UNFITTING),
        }
    }

    /// As [`Queue::complete`]. It can be repeated when it is not known whether it was done.
    ///
    /// # Errors
    /// As there, and as for [`enqueue_many`](Self::enqueue_many).
    pub fn complete(&self, id: TaskId, token: Token, result: &[u8]) -> Result<Completed> {
        match self.call(&Request::Complete { id: id.0, token: token.0, result: result.to_vec() })? {
            Response::Completed(true) => Ok(Completed::Now),
            Response::Completed(false) => Ok(Completed::Before),
            _ => Err(UNFITTING),
        }
    }

    /// As [`Queue::fail`].
    ///
    /// # Errors
    /// As there, and as for [`enqueue_many`](Self::enqueue_many).
    pub fn fail(&self, id: TaskId, token: Token, failure: &Failure) -> Result<Failed> {
        let Failure { reason, retry_us, is_final } = failure.clone();
        match self.call(&Request::Fail { id: id.0, token: token.0, reason, retry_us, is_final })? {
            Response::Failed(Some(run_at_us)) => Ok(Failed::Retry { run_at_us }),
            Response::Failed(None) => Ok(Failed::Dead),
            _ => Err(UNFITTING),
        }
    }

    fn command(&self, request: &Request) -> Result<()> {
        match self.call(request)? {
            Response::Done => Ok(()),
            _ => Err(UNFITTING),
        }
    }

    /// As [`Queue::cancel`].
    ///
    /// # Errors
    /// As there, and as for [`enqueue_many`](Self::enqueue_many).
    pub fn cancel(&self, id: TaskId) -> Result<()> {
        self.command(&Request::Cancel { id: id.0 })
    }

    /// As [`Queue::requeue`].
    ///
    /// # Errors
    /// As there, and as for [`enqueue_many`](Self::enqueue_many).
    pub fn requeue(&self, id: TaskId) -> Result<()> {
        self.command(&Request::Requeue { id: id.0 })
    }

    /// As [`Queue::block`].
    ///
    /// # Errors
    /// As there, and as for [`enqueue_many`](Self::enqueue_many).
    pub fn block(&self, id: TaskId, blockers: &[TaskId]) -> Result<()> {
        self.command(&Request::Block { id: id.0, blockers: blockers.iter().map(|id| id.0).collect() })
    }

    /// As [`Queue::unblock`].
    ///
    /// # Errors
    /// As there, and as for [`enqueue_many`](Self::enqueue_many).
    pub fn unblock(&self, id: TaskId, blockers: &[TaskId]) -> Result<()> {
        self.command(&Request::Unblock { id: id.0, blockers: blockers.iter().map(|id| id.0).collect() })
    }

    /// As [`Queue::pause`].
    ///
    /// # Errors
    /// As there, and as for [`enqueue_many`](Self::enqueue_many).
    pub fn pause(&self, task_type: &TaskType) -> Result<()> {
        self.command(&Request::Pause { task_type: task_type.as_str().to_owned() })
    }

    /// As [`Queue::resume`].
    ///
    /// # Errors
    /// As there, and as for [`enqueue_many`](Self::enqueue_many).
    pub fn resume(&self, task_type: &TaskType) -> Result<()> {
        self.command(&Request::Resume { task_type: task_type.as_str().to_owned() })
    }

    /// As [`Queue::configure`].
    ///
    /// # Errors
    /// As there, and as for [`enqueue_many`](Self::enqueue_many).
    pub fn configure(&self, task_type: &TaskType, settings: TypeSettings) -> Result<()> {
        let TypeSettings { lease_us, attempts_max, backoff_us, backoff_us_max } = settings;
        let task_type = task_type.as_str().to_owned();
        self.command(&Request::Configure { task_type, lease_us, attempts_max, backoff_us, backoff_us_max })
    }

    /// As [`Queue::forget`].
    ///
    /// # Errors
    /// As there, and as for [`enqueue_many`](Self::enqueue_many).
    pub fn forget(&self, task_type: &TaskType, state: State, before_us: u64, max: usize) -> Result<usize> {
        let task_type = task_type.as_str().to_owned();
        match self.call(&Request::Forget { task_type, state: state as u8, before_us, max: max as u64 })? {
            Response::Forgotten(count) => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
            _ => Err(UNFITTING),
        }
    }
}

const UNFITTING: Error = Error::Protocol { what: "an answer to something else" };

fn accepted(response: Response) -> Result<Response> {
    match response {
        Response::Refused(refusal) => Err(refusal.into()),
        other => Ok(other),
    }
}

fn ask(connection: &mut Connection, frame: &[u8]) -> Result<Response, Unanswered> {
    // What was not written whole is not looked at.
    connection.send(frame).map_err(|_| Unanswered::Unseen)?;
    let content = connection.receive(Some(WAIT_MAX + ANSWER_TIME)).map_err(Unanswered::Unknown)?;
    let closed = || failed("wait for", io::ErrorKind::ConnectionAborted.into());
    let content = content.ok_or_else(|| Unanswered::Unknown(closed()))?;
    match decode(&content).map_err(Unanswered::Unknown)? {
        Response::Ending => Err(Unanswered::Unseen),
        response => Ok(response),
    }
}
