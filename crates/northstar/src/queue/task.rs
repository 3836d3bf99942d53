//! What a queue knows of a task, of a type and of itself, and how that is written down. Decoders take any bytes, and nothing that an encoder would
//! not have written.

use std::fmt;

use super::error::{Error, Result};
use super::limits::{AGENT_LEN_MAX, DEPENDENTS_MAX, PAYLOAD_LEN_MAX, REASON_LEN_MAX, RESULT_LEN_MAX, SPAN_US_MAX};
use super::name::{DedupeKey, TaskId, TaskType, Token};
use crate::coding::Reader;

/// The version that every value of a queue begins with.
pub(super) const VERSION: u8 = 1;

/// What a task is waiting for. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// For somebody to claim it, once its time has come.
    Ready = 1,
    /// For whoever claimed it.
    Leased = 2,
    /// For other tasks to be done.
    Blocked = 3,
    /// For nothing: it is done.
    Done = 4,
    /// For a person: it failed too often. A dead letter.
    Dead = 5,
    /// For nothing: nobody wants it any more.
    Cancelled = 6,
}

impl State {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [Self::Ready, Self::Leased, Self::Blocked, Self::Done, Self::Dead, Self::Cancelled];

    pub(super) fn decode(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as u8 == number)
    }

    /// Its name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Leased => "leased",
            Self::Blocked => "blocked",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A task, without its payload and its result. Times are in microseconds since the Unix epoch, by the queue's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Its type.
    pub task_type: TaskType,
    /// What it is waiting for.
    pub state: State,
    /// The greater, the sooner.
    pub priority: i8,
    /// From when on it can be claimed.
    pub run_at_us: u64,
    /// When it was enqueued.
    pub created_us: u64,
    /// When it last came into its state.
    pub changed_us: u64,
    /// How often it was claimed since it was enqueued, or requeued.
    pub attempts: u32,
    /// After how many it is dead.
    pub attempts_max: u32,
    /// The token of its newest lease, which may be over.
    pub token: Option<Token>,
    /// Until when it is leased.
    pub expires_us: Option<u64>,
    /// How many tasks it still waits for.
    pub blockers: u32,
    /// How many tasks wait for it.
    pub dependents: u32,
    /// Bytes of its payload.
    pub payload_len: u32,
    /// Bytes of its result, if it is done.
    pub result_len: Option<u32>,
    /// What makes it the same as another one.
    pub dedupe_key: Option<DedupeKey>,
    /// Who claimed it last, as that one called itself.
    pub agent: Option<Box<str>>,
    /// Why it failed last.
    pub last_error: Option<Box<str>>,
}

/// `None` as the greatest number.
const NO_RESULT: u32 = u32::MAX;

impl Task {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        out.extend_from_slice(&[VERSION, self.state as u8, self.priority as u8]);
        for number in [self.run_at_us, self.created_us, self.changed_us] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.token.map_or(0, |token| token.0).to_le_bytes());
        out.extend_from_slice(&self.expires_us.unwrap_or(0).to_le_bytes());
        let result_len = self.result_len.unwrap_or(NO_RESULT);
        for number in [self.attempts, self.attempts_max, self.blockers, self.dependents, self.payload_len, result_len] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        put_text(&mut out, self.task_type.as_str());
        put_text(&mut out, self.dedupe_key.as_ref().map_or("", DedupeKey::as_str));
        put_text(&mut out, self.agent.as_deref().unwrap_or(""));
        put_text(&mut out, self.last_error.as_deref().unwrap_or(""));
        out
    }

    pub(super) fn decode(id: TaskId, key: &[u8], bytes: &[u8]) -> Result<Self> {
        let mut reader = versioned(key, bytes)?;
        let malformed = || Error::damaged(key, "a task is not well-formed");
        let task = Self::decode_fields(id, &mut reader).filter(|_| reader.is_empty()).ok_or_else(malformed)?;
        if !task.is_consistent() {
            return Err(Error::damaged(key, "a task contradicts itself"));
        }
        Ok(task)
    }

    fn decode_fields(id: TaskId, reader: &mut Reader<'_>) -> Option<Self> {
        let state = State::decode(reader.u8()?)?;
        let priority = reader.u8()? as i8;
        let (run_at_us, created_us, changed_us) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let (token, expires_us) = (reader.u64()?, reader.u64()?);
        let (attempts, attempts_max) = (reader.u32()?, reader.u32()?);
        let (blockers, dependents) = (reader.u32()?, reader.u32()?);
        let (payload_len, result_len) = (reader.u32()?, reader.u32()?);
        let task_type = TaskType::new(text(reader)?).ok()?;
        let dedupe_key = match text(reader)? {
            "" => None,
            key => Some(DedupeKey::new(key).ok()?),
        };
        let agent = optional(text(reader)?);
        let last_error = optional(text(reader)?);
        Some(Self {
            id,
            task_type,
            state,
            priority,
            run_at_us,
            created_us,
            changed_us,
            attempts,
            attempts_max,
            token: (token != 0).then_some(Token(token)),
            expires_us: (expires_us != 0).then_some(expires_us),
            blockers,
            dependents,
            payload_len,
            result_len: (result_len != NO_RESULT).then_some(result_len),
            dedupe_key,
            agent,
            last_error,
        })
    }

    /// What holds for each task by itself.
    fn is_consistent(&self) -> bool {
        let is_leased = self.state == State::Leased;
        is_leased == self.expires_us.is_some()
            && (!is_leased || (self.token.is_some() && self.attempts > 0))
            && (self.state == State::Done) == self.result_len.is_some()
            && (self.state != State::Blocked || self.blockers > 0)
            && (self.blockers == 0 || !matches!(self.state, State::Ready | State::Leased | State::Done))
            && (self.dependents == 0 || self.state != State::Done)
            && self.dependents <= DEPENDENTS_MAX
            && self.payload_len as usize <= PAYLOAD_LEN_MAX
            && self.result_len.is_none_or(|len| len as usize <= RESULT_LEN_MAX)
            && self.agent.as_ref().is_none_or(|agent| agent.len() <= AGENT_LEN_MAX)
            && self.last_error.as_ref().is_none_or(|reason| reason.len() <= REASON_LEN_MAX)
    }
}

fn versioned<'a>(key: &[u8], bytes: &'a [u8]) -> Result<Reader<'a>> {
    let mut reader = Reader::new(bytes);
    match reader.u8() {
        Some(VERSION) => Ok(reader),
        Some(found) if found > VERSION => Err(Error::NewerFormat { found, supported: VERSION }),
        _ => Err(Error::damaged(key, "a value has no version")),
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    debug_assert!(text.len() <= usize::from(u16::MAX), "limits are checked before");
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn text<'a>(reader: &mut Reader<'a>) -> Option<&'a str> {
    let len = reader.u16()?;
    std::str::from_utf8(reader.bytes(usize::from(len))?).ok()
}

fn optional(text: &str) -> Option<Box<str>> {
    (!text.is_empty()).then(|| text.into())
}

/// How the tasks of a type are dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeSettings {
    /// How long a lease lasts when the claim does not say it, in microseconds. Default: a minute.
    pub lease_us: u64,
    /// After how many attempts a task is dead when it does not say so itself. Default: 5.
    pub attempts_max: u32,
    /// How long a task rests after its first failure, in microseconds; after each further one twice as long. Default: a second.
    pub backoff_us: u64,
    /// How long it rests at most. Default: ten minutes.
    pub backoff_us_max: u64,
}

impl Default for TypeSettings {
    fn default() -> Self {
        Self { lease_us: 60_000_000, attempts_max: 5, backoff_us: 1_000_000, backoff_us_max: 600_000_000 }
    }
}

impl TypeSettings {
    pub(super) fn check(&self) -> Result<()> {
        check_span("lease", self.lease_us, 1)?;
        check_span("backoff", self.backoff_us, 0)?;
        check_span("longest backoff", self.backoff_us_max, 0)?;
        if self.attempts_max == 0 {
            return Err(Error::invalid("attempts", "a task needs at least one"));
        }
        Ok(())
    }

    /// How long a task rests after so many attempts.
    pub(super) fn rest_us(&self, attempts: u32) -> u64 {
        let doublings = attempts.saturating_sub(1).min(63);
        self.backoff_us.saturating_mul(1 << doublings).min(self.backoff_us_max)
    }
}

/// Checks a length of time.
pub(super) fn check_span(what: &'static str, span_us: u64, span_us_min: u64) -> Result<()> {
    if (span_us_min..=SPAN_US_MAX).contains(&span_us) {
        return Ok(());
    }
    Err(Error::invalid(what, format!("{span_us} microseconds are not between {span_us_min} and {SPAN_US_MAX}")))
}

/// How many tasks of a type are in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts([u64; 6]);

impl Counts {
    /// How many are in this state. Those whose time has not come are `Ready`.
    #[must_use]
    pub const fn of(&self, state: State) -> u64 {
        let [ready, leased, blocked, done, dead, cancelled] = self.0;
        match state {
            State::Ready => ready,
            State::Leased => leased,
            State::Blocked => blocked,
            State::Done => done,
            State::Dead => dead,
            State::Cancelled => cancelled,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(super) fn get_mut(&mut self, state: State) -> &mut u64 {
        let [ready, leased, blocked, done, dead, cancelled] = &mut self.0;
        match state {
            State::Ready => ready,
            State::Leased => leased,
            State::Blocked => blocked,
            State::Done => done,
            State::Dead => dead,
            State::Cancelled => cancelled,
        }
    }
}

/// What a queue knows of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TypeStatus {
    /// Whether its tasks wait until it is let go on.
    pub is_paused: bool,
    /// How its tasks are dealt with.
    pub settings: TypeSettings,
    /// How many tasks it has.
    pub counts: Counts,
}

impl TypeStatus {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, u8::from(self.is_paused)];
        let TypeSettings { lease_us, attempts_max, backoff_us, backoff_us_max } = self.settings;
        out.extend_from_slice(&lease_us.to_le_bytes());
        out.extend_from_slice(&attempts_max.to_le_bytes());
        out.extend_from_slice(&backoff_us.to_le_bytes());
        out.extend_from_slice(&backoff_us_max.to_le_bytes());
        for state in State::ALL {
            out.extend_from_slice(&self.counts.of(state).to_le_bytes());
        }
        out
    }

    pub(super) fn decode(key: &[u8], bytes: &[u8]) -> Result<Self> {
        let mut reader = versioned(key, bytes)?;
        let status = Self::decode_fields(&mut reader).filter(|_| reader.is_empty());
        status
            .filter(|status| status.settings.check().is_ok())
            .ok_or_else(|| Error::damaged(key, "a type is not well-formed"))
    }

    fn decode_fields(reader: &mut Reader<'_>) -> Option<Self> {
        let is_paused = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let settings = TypeSettings {
            lease_us: reader.u64()?,
            attempts_max: reader.u32()?,
            backoff_us: reader.u64()?,
            backoff_us_max: reader.u64()?,
        };
        let mut counts = Counts::default();
        for state in State::ALL {
            *counts.get_mut(state) = reader.u64()?;
        }
        Some(Self { is_paused, settings, counts })
    }
}

/// What a queue knows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The id of the next task.
    pub(super) next_id: u64,
    /// A time that the queue's clock has reached although the machine's clock says less.
    pub(super) clock_us: u64,
    /// How many types there are.
    pub(super) types: u32,
}

impl Header {
    pub(super) const NEW: Self = Self { next_id: 1, clock_us: 0, types: 0 };

    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.next_id.to_le_bytes());
        out.extend_from_slice(&self.clock_us.to_le_bytes());
        out.extend_from_slice(&self.types.to_le_bytes());
        out
    }

    pub(super) fn decode(key: &[u8], bytes: &[u8]) -> Result<Self> {
        let mut reader = versioned(key, bytes)?;
        let mut fields = || {
            let header = Self { next_id: reader.u64()?, clock_us: reader.u64()?, types: reader.u32()? };
            (header.next_id > 0 && reader.is_empty()).then_some(header)
        };
        fields().ok_or_else(|| Error::damaged(key, "the queue's own record is not well-formed"))
    }
}
