//! The keys of a queue's tree. They are ordered as bytes, so numbers in them are big-endian, and what is claimed first has the least key.

use super::name::{DedupeKey, TaskId, TaskType};
use super::task::{State, Task};
use crate::id::TxnId;

const HEADER: u8 = 0x01;
const TYPE: u8 = 0x02;
const DEDUPE: u8 = 0x03;
const READY: u8 = 0x04;
const LEASED: u8 = 0x05;
const FILED: u8 = 0x06;
const TASK: u8 = 0x10;

const RECORD: u8 = 0;
const PAYLOAD: u8 = 1;
const RESULT: u8 = 2;
const BLOCKER: u8 = 3;
const DEPENDENT: u8 = 4;
const EVENT: u8 = 5;

/// The part of a key that is less for what is claimed sooner.
pub(super) const fn rank_of(priority: i8) -> u8 {
    (i8::MAX as i16 - priority as i16) as u8
}

const fn priority_of(rank: u8) -> i8 {
    (i8::MAX as i16 - rank as i16) as i8
}

/// A key with what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// What the queue knows of itself.
    Header,
    /// What it knows of a type.
    Type { task_type: TaskType },
    /// The task that was enqueued with a dedupe key.
    Dedupe { task_type: TaskType, key: DedupeKey },
    /// A task that can be claimed, in the order of claiming.
    Ready { task_type: TaskType, priority: i8, run_at_us: u64, id: TaskId },
    /// A leased task, in the order of expiry.
    Leased { task_type: TaskType, expires_us: u64, id: TaskId },
    /// A task that nobody can claim, in the order in which it came to be so.
    Filed { task_type: TaskType, state: State, changed_us: u64, id: TaskId },
    /// A task.
    Record { id: TaskId },
    /// What it is to work on.
    Payload { id: TaskId },
    /// What came of it.
    Result { id: TaskId },
    /// A task that it waits for.
    Blocker { id: TaskId, blocker: TaskId },
    /// A task that waits for it.
    Dependent { id: TaskId, dependent: TaskId },
    /// What happened to it.
    Event { id: TaskId, txn: TxnId, number: u8 },
}

fn typed(tag: u8, task_type: &TaskType) -> Vec<u8> {
    let mut key = Vec::with_capacity(task_type.as_str().len() + 20);
    key.push(tag);
    key.extend_from_slice(task_type.as_str().as_bytes());
    // Types have no zero byte, so none is the beginning of another.
    key.push(0);
    key
}

fn part(id: TaskId, part: u8) -> Vec<u8> {
    let mut key = Vec::with_capacity(20);
    key.push(TASK);
    key.extend_from_slice(&id.0.to_be_bytes());
    key.push(part);
    key
}

/// Before all types.
pub(super) fn types() -> Vec<u8> {
    vec![TYPE]
}

/// Before all tasks.
pub(super) fn tasks() -> Vec<u8> {
    vec![TASK]
}

/// Before everything of a task.
pub(super) fn task(id: TaskId) -> Vec<u8> {
    let mut key = vec![TASK];
    key.extend_from_slice(&id.0.to_be_bytes());
    key
}

/// Before all tasks of a type that can be claimed.
pub(super) fn ready(task_type: &TaskType) -> Vec<u8> {
    typed(READY, task_type)
}

/// Before all leased tasks of a type.
pub(super) fn leased(task_type: &TaskType) -> Vec<u8> {
    typed(LEASED, task_type)
}

/// Before all tasks of a type that are in a state in which nobody can claim them.
pub(super) fn filed(task_type: &TaskType, state: State) -> Vec<u8> {
    let mut key = typed(FILED, task_type);
    key.push(state as u8);
    key
}

/// Before all tasks that a task waits for.
pub(super) fn blockers(id: TaskId) -> Vec<u8> {
    part(id, BLOCKER)
}

/// Before all tasks that wait for a task.
pub(super) fn dependents(id: TaskId) -> Vec<u8> {
    part(id, DEPENDENT)
}

/// Before all that happened to a task.
pub(super) fn events(id: TaskId) -> Vec<u8> {
    part(id, EVENT)
}

impl Key {
    /// The one index entry that a task has by its state.
    pub(super) fn place_of(task: &Task) -> Self {
        let (task_type, id) = (task.task_type.clone(), task.id);
        match (task.state, task.expires_us) {
            (State::Ready, _) => Self::Ready { task_type, priority: task.priority, run_at_us: task.run_at_us, id },
            (State::Leased, Some(expires_us)) => Self::Leased { task_type, expires_us, id },
            (state, _) => Self::Filed { task_type, state, changed_us: task.changed_us, id },
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Header => vec![HEADER],
            Self::Type { task_type } => [&[TYPE], task_type.as_str().as_bytes()].concat(),
            Self::Dedupe { task_type, key } => [&typed(DEDUPE, task_type), key.as_str().as_bytes()].concat(),
            Self::Ready { task_type, priority, run_at_us, id } => {
                let mut key = ready(task_type);
                key.push(rank_of(*priority));
                key.extend_from_slice(&run_at_us.to_be_bytes());
                key.extend_from_slice(&id.0.to_be_bytes());
                key
            }
            Self::Leased { task_type, expires_us, id } => {
                let mut key = leased(task_type);
                key.extend_from_slice(&expires_us.to_be_bytes());
                key.extend_from_slice(&id.0.to_be_bytes());
                key
            }
            Self::Filed { task_type, state, changed_us, id } => {
                let mut key = filed(task_type, *state);
                key.extend_from_slice(&changed_us.to_be_bytes());
                key.extend_from_slice(&id.0.to_be_bytes());
                key
            }
            Self::Record { id } => part(*id, RECORD),
            Self::Payload { id } => part(*id, PAYLOAD),
            Self::Result { id } => part(*id, RESULT),
            Self::Blocker { id, blocker } => [part(*id, BLOCKER).as_slice(), &blocker.0.to_be_bytes()].concat(),
            Self::Dependent { id, dependent } => [part(*id, DEPENDENT).as_slice(), &dependent.0.to_be_bytes()].concat(),
            Self::Event { id, txn, number } => [part(*id, EVENT).as_slice(), &txn.0.to_be_bytes(), &[*number]].concat(),
        }
    }

    /// What a key means; `None` for what is no key of a queue.
    pub(super) fn decode(key: &[u8]) -> Option<Self> {
        let (tag, rest) = key.split_first()?;
        match *tag {
            HEADER => rest.is_empty().then_some(Self::Header),
            TYPE => Some(Self::Type { task_type: TaskType::new(std::str::from_utf8(rest).ok()?).ok()? }),
            DEDUPE => {
                let (task_type, rest) = split_type(rest)?;
                Some(Self::Dedupe { task_type, key: DedupeKey::new(std::str::from_utf8(rest).ok()?).ok()? })
            }
            READY => {
                let (task_type, rest) = split_type(rest)?;
                let (rank, rest) = rest.split_first()?;
                let (run_at_us, id) = pair(rest)?;
                Some(Self::Ready { task_type, priority: priority_of(*rank), run_at_us, id: TaskId(id) })
            }
            LEASED => {
                let (task_type, rest) = split_type(rest)?;
                let (expires_us, id) = pair(rest)?;
                Some(Self::Leased { task_type, expires_us, id: TaskId(id) })
            }
            FILED => {
                let (task_type, rest) = split_type(rest)?;
                let (state, rest) = rest.split_first()?;
                let state = State::decode(*state).filter(|state| !matches!(state, State::Ready | State::Leased))?;
                let (changed_us, id) = pair(rest)?;
                Some(Self::Filed { task_type, state, changed_us, id: TaskId(id) })
            }
            TASK => {
                let (id, rest) = rest.split_first_chunk()?;
                let (part, rest) = rest.split_first()?;
                Self::decode_part(TaskId(u64::from_be_bytes(*id)), *part, rest)
            }
            _ => None,
        }
    }

    fn decode_part(id: TaskId, part: u8, rest: &[u8]) -> Option<Self> {
        let other = || Some(TaskId(u64::from_be_bytes(rest.try_into().ok()?)));
        match part {
            RECORD => rest.is_empty().then_some(Self::Record { id }),
            PAYLOAD => rest.is_empty().then_some(Self::Payload { id }),
            RESULT => rest.is_empty().then_some(Self::Result { id }),
            BLOCKER => Some(Self::Blocker { id, blocker: other()? }),
            DEPENDENT => Some(Self::Dependent { id, dependent: other()? }),
            EVENT => {
                let (txn, number) = rest.split_first_chunk()?;
                let [number] = number else { return None };
                Some(Self::Event { id, txn: TxnId(u64::from_be_bytes(*txn)), number: *number })
            }
            _ => None,
        }
    }
}

fn split_type(rest: &[u8]) -> Option<(TaskType, &[u8])> {
    let end = rest.iter().position(|byte| *byte == 0)?;
    let (name, rest) = rest.split_at_checked(end)?;
    let (_, rest) = rest.split_first()?;
    Some((TaskType::new(std::str::from_utf8(name).ok()?).ok()?, rest))
}

fn pair(rest: &[u8]) -> Option<(u64, u64)> {
    let (first, rest) = rest.split_first_chunk()?;
    let second = rest.try_into().ok()?;
    Some((u64::from_be_bytes(*first), u64::from_be_bytes(second)))
}
