//! What goes over the socket. What a number or a text means is checked by the queue itself, as for any other caller.

use serde::{Deserialize, Serialize};

use crate::error::ErrorKind;
use crate::queue::error::Error;
use crate::queue::name::{TaskId, Token};
use crate::queue::task::State;

pub(super) const MAGIC: [u8; 8] = *b"NSQUEUE\x1a";
pub(super) const VERSION: u32 = 1;
/// Bytes of a greeting, in either direction.
pub(super) const GREETING_LEN: usize = 16;
/// Most bytes that follow a frame's length: a claim of 4 MiB of payload and a thousand tasks fits, and so does a task with the longest payload.
pub(super) const FRAME_LEN_MAX: usize = 16 << 20;

/// How the owner receives a client. The numbers are part of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Verdict {
    Welcome = 0,
    OtherVersion = 1,
    Full = 2,
    Ending = 3,
}

/// Either side's first bytes: the magic, its version, and what the owner says (a client says 0).
pub(super) fn greeting(verdict: Verdict) -> [u8; GREETING_LEN] {
    let mut bytes = [0; GREETING_LEN];
    let fields = MAGIC.into_iter().chain(VERSION.to_le_bytes()).chain((verdict as u32).to_le_bytes());
    bytes.iter_mut().zip(fields).for_each(|(place, byte)| *place = byte);
    bytes
}

/// The version and the number of the verdict in a greeting; `None` if it is none.
pub(super) fn parse_greeting(bytes: &[u8; GREETING_LEN]) -> Option<(u32, u32)> {
    let rest = bytes.strip_prefix(&MAGIC)?;
    let (version, verdict) = rest.split_first_chunk()?;
    Some((u32::from_le_bytes(*version), u32::from_le_bytes(verdict.try_into().ok()?)))
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::queue) enum Request {
    Enqueue(Vec<WireTask>),
    Claim { types: Vec<String>, count: u32, agent: Option<String>, lease_us: Option<u64>, wait_us: u64 },
    Heartbeat { id: u64, token: u64, lease_us: Option<u64> },
    Complete { id: u64, token: u64, result: Vec<u8> },
    Fail { id: u64, token: u64, reason: String, retry_us: Option<u64>, is_final: bool },
    Cancel { id: u64 },
    Requeue { id: u64 },
    Block { id: u64, blockers: Vec<u64> },
    Unblock { id: u64, blockers: Vec<u64> },
    Pause { task_type: String },
    Resume { task_type: String },
    Configure { task_type: String, lease_us: u64, attempts_max: u32, backoff_us: u64, backoff_us_max: u64 },
    Forget { task_type: String, state: u8, before_us: u64, max: u64 },
}

/// A new task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::queue) struct WireTask {
    pub(super) task_type: String,
    pub(super) payload: Vec<u8>,
    pub(super) priority: i8,
    pub(super) run_at: WireRunAt,
    pub(super) dedupe_key: Option<String>,
    pub(super) attempts_max: Option<u32>,
    pub(super) blocked_by: Vec<WireBlocker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::queue) enum WireRunAt {
    Now,
    DelayUs(u64),
    TimeUs(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::queue) enum WireBlocker {
    Task(u64),
    Batch(u32),
}

/// What the owner answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::queue) enum Response {
    /// Ids, and whether they are new.
    Enqueued(Vec<(u64, bool)>),
    Claimed(Vec<WireClaimed>),
    Expires(u64),
    /// Whether it was done by this call.
    Completed(bool),
    /// When it can be tried again, unless it is dead.
    Failed(Option<u64>),
    Done,
    Forgotten(u64),
    Refused(Refusal),
    /// The owner ends, and has not looked at the request.
    Ending,
}

/// A claimed task: its id, its record as it is stored, its payload. The token is in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::queue) struct WireClaimed {
    pub(super) id: u64,
    pub(super) record: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

/// An error: those that programs act upon as they are, and others by their kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::queue) enum Refusal {
    UnknownTask { id: u64 },
    StaleToken { id: u64, given: u64, current: Option<u64>, state: u8 },
    Cycle { id: u64, blocker: u64 },
    Other { kind: u8, message: String },
}

const KINDS: [ErrorKind; 4] = [ErrorKind::Retry, ErrorKind::FixInput, ErrorKind::Repair, ErrorKind::Stop];

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::UnknownTask { id } => Self::UnknownTask { id: id.0 },
            Error::StaleToken { id, given, current, state } => {
                let current = current.map(|token| token.0);
                Self::StaleToken { id: id.0, given: given.0, current, state: state as u8 }
            }
            Error::Cycle { id, blocker } => Self::Cycle { id: id.0, blocker: blocker.0 },
            other => {
                let kind = KINDS.iter().position(|kind| *kind == other.kind()).unwrap_or(KINDS.len() - 1);
                Self::Other { kind: kind as u8, message: other.to_string() }
            }
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownTask { id } => Self::UnknownTask { id: TaskId(id) },
            Refusal::StaleToken { id, given, current, state } => match State::decode(state) {
                Some(state) => {
                    let current = current.map(Token);
                    Self::StaleToken { id: TaskId(id), given: Token(given), current, state }
                }
                None => Self::Protocol { what: "a state that does not exist" },
            },
            Refusal::Cycle { id, blocker } => Self::Cycle { id: TaskId(id), blocker: TaskId(blocker) },
            Refusal::Other { kind, message } => {
                Self::Remote { kind: KINDS.get(usize::from(kind)).copied().unwrap_or(ErrorKind::Stop), message }
            }
        }
    }
}

/// A message with its frame.
pub(in crate::queue) fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, Error> {
    let unencodable = |_| Error::Protocol { what: "a message that cannot be encoded" };
    let mut frame = postcard::to_extend(message, vec![0; 4]).map_err(unencodable)?;
    let len = frame.len() - 4;
    Error::check_len("bytes of a message to the owner of the queue", len, FRAME_LEN_MAX)?;
    frame.iter_mut().zip((len as u32).to_le_bytes()).for_each(|(place, byte)| *place = byte);
    Ok(frame)
}

/// What a frame holds: one message and nothing behind it.
pub(in crate::queue) fn decode<'a, M: Deserialize<'a>>(content: &'a [u8]) -> Result<M, Error> {
    match postcard::take_from_bytes(content) {
        Ok((message, [])) => Ok(message),
        _ => Err(Error::Protocol { what: "a malformed message" }),
    }
}
