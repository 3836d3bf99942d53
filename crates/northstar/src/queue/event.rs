//! What happened to a task.

use super::error::{Error, Result};
use super::limits::REASON_LEN_MAX;
use super::name::Token;
use super::task::{State, VERSION};
use crate::coding::Reader;
use crate::id::TxnId;

/// What happened. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EventKind {
    /// It was enqueued.
    Enqueued = 1,
    /// It was claimed. The text is who did.
    Claimed = 2,
    /// It was completed.
    Completed = 3,
    /// It failed. The text says why.
    Failed = 4,
    /// Its lease expired and was taken back.
    Expired = 5,
    /// It was put back by hand, with its attempts counted anew.
    Requeued = 6,
    /// It was cancelled.
    Cancelled = 7,
    /// It was made to wait for other tasks.
    Blocked = 8,
    /// What it waited for is done, or it need not wait any more.
    Unblocked = 9,
}

impl EventKind {
    const ALL: [Self; 9] = [
        Self::Enqueued,
        Self::Claimed,
        Self::Completed,
        Self::Failed,
        Self::Expired,
        Self::Requeued,
        Self::Cancelled,
        Self::Blocked,
        Self::Unblocked,
    ];

    /// Its name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enqueued => "enqueued",
            Self::Claimed => "claimed",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Requeued => "requeued",
            Self::Cancelled => "cancelled",
            Self::Blocked => "blocked",
            Self::Unblocked => "unblocked",
        }
    }
}

/// One step in the life of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The transaction in which it happened: [`Queue::as_of`](super::Queue::as_of) shows the queue after it.
    pub txn: TxnId,
    /// When, in microseconds since the Unix epoch, by the queue's clock.
    pub time_us: u64,
    /// What.
    pub kind: EventKind,
    /// What the task was waiting for afterwards.
    pub state: State,
    /// The attempts so far.
    pub attempts: u32,
    /// The token of the lease that it is about.
    pub token: Option<Token>,
    /// Who, or why: see the kind.
    pub text: Option<Box<str>>,
}

impl Event {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.kind as u8, self.state as u8];
        out.extend_from_slice(&self.time_us.to_le_bytes());
        out.extend_from_slice(&self.token.map_or(0, |token| token.0).to_le_bytes());
        out.extend_from_slice(&self.attempts.to_le_bytes());
        out.extend_from_slice(self.text.as_deref().unwrap_or("").as_bytes());
        out
    }

    pub(super) fn decode(txn: TxnId, key: &[u8], bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        match reader.u8() {
            Some(VERSION) => {}
            Some(found) if found > VERSION => return Err(Error::NewerFormat { found, supported: VERSION }),
            _ => return Err(Error::damaged(key, "a value has no version")),
        }
        Self::decode_fields(txn, &mut reader).ok_or_else(|| Error::damaged(key, "an event is not well-formed"))
    }

    fn decode_fields(txn: TxnId, reader: &mut Reader<'_>) -> Option<Self> {
        let number = reader.u8()?;
        let kind = EventKind::ALL.into_iter().find(|kind| *kind as u8 == number)?;
        let state = State::decode(reader.u8()?)?;
        let (time_us, token, attempts) = (reader.u64()?, reader.u64()?, reader.u32()?);
        let text = std::str::from_utf8(reader.bytes(reader.remaining())?).ok()?;
        if text.len() > REASON_LEN_MAX {
            return None;
        }
        let token = (token != 0).then_some(Token(token));
        Some(Self { txn, time_us, kind, state, attempts, token, text: (!text.is_empty()).then(|| text.into()) })
    }
}
