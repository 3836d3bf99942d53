//! Reading a queue, from a state that stands or within a transaction.

use super::error::{Error, Result};
use super::key::{self, Key, rank_of};
use super::name::{TaskId, TaskType};
use super::task::{Header, Task, TypeStatus};
use crate::db::{Cursor, Snapshot, Tree, WriteTxn};
use crate::tree::Value;

/// Something that has the entries of a queue.
pub(super) trait Source {
    fn value(&self, key: &[u8]) -> Result<Option<Value>>;
    /// `None`: there is no queue in this state.
    fn cursor(&self) -> Result<Option<Cursor<'_>>>;
}

/// A state that stands. It has no tree if the queue was made later.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub(super) snapshot: Snapshot,
    pub(super) tree: Option<Tree>,
}

impl Source for Standing {
    fn value(&self, key: &[u8]) -> Result<Option<Value>> {
        match self.tree {
            Some(tree) => Ok(self.snapshot.get(tree, key)?),
            None => Ok(None),
        }
    }

    fn cursor(&self) -> Result<Option<Cursor<'_>>> {
        Ok(self.tree.map(|tree| self.snapshot.cursor(tree)).transpose()?)
    }
}

impl Source for (&mut WriteTxn<'_>, Tree) {
    fn value(&self, key: &[u8]) -> Result<Option<Value>> {
        Ok(self.0.get(self.1, key)?)
    }

    fn cursor(&self) -> Result<Option<Cursor<'_>>> {
        Ok(Some(self.0.cursor(self.1)?))
    }
}

pub(super) fn header(source: &impl Source) -> Result<Header> {
    let key = Key::Header.encode();
    match source.value(&key)? {
        Some(value) => Header::decode(&key, &value),
        None => Ok(Header::NEW),
    }
}

pub(super) fn type_status(source: &impl Source, task_type: &TaskType) -> Result<Option<TypeStatus>> {
    let key = Key::Type { task_type: task_type.clone() }.encode();
    source.value(&key)?.map(|value| TypeStatus::decode(&key, &value)).transpose()
}

pub(super) fn task(source: &impl Source, id: TaskId) -> Result<Option<Task>> {
    let key = Key::Record { id }.encode();
    source.value(&key)?.map(|value| Task::decode(id, &key, &value)).transpose()
}

/// A task that something else in the queue points to.
pub(super) fn linked_task(source: &impl Source, id: TaskId, from: &[u8]) -> Result<Task> {
    task(source, id)?.ok_or_else(|| Error::damaged(from, "it points to a task that is not there"))
}

/// The payload of a task; it is stored even when it is empty.
pub(super) fn payload(source: &impl Source, id: TaskId) -> Result<Value> {
    let key = Key::Payload { id }.encode();
    source.value(&key)?.ok_or_else(|| Error::damaged(&key, "a task has no payload"))
}

/// Up to `max` keys that begin with `prefix`.
pub(super) fn keys_with(source: &impl Source, prefix: &[u8], max: usize) -> Result<Vec<Key>> {
    let mut found = Vec::new();
    let Some(mut cursor) = source.cursor()? else { return Ok(found) };
    let mut is_there = cursor.seek(prefix)?;
    while is_there && cursor.key().starts_with(prefix) && found.len() < max {
        found.push(Key::decode(cursor.key()).ok_or_else(|| Error::damaged(cursor.key(), "it is no key of a queue"))?);
        is_there = cursor.next()?;
    }
    Ok(found)
}

/// A task that can be claimed now. Ordered by who comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Head {
    pub(super) rank: u8,
    pub(super) run_at_us: u64,
    pub(super) id: TaskId,
}

/// What stands first in a type's ready index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ahead {
    /// The first one whose time has come.
    pub(super) head: Option<Head>,
    /// When the first one of those that were passed over can be claimed.
    pub(super) next_us: Option<u64>,
}

/// Looks for the first task of a type, from a rank on, that can be claimed at `now_us`. The index is ordered by rank and then by time, so it looks
/// at one entry for each rank in use, 256 at most, however many tasks wait for their time.
pub(super) fn look_ahead(source: &impl Source, task_type: &TaskType, from_rank: u8, now_us: u64) -> Result<Ahead> {
    let mut ahead = Ahead { head: None, next_us: None };
    let Some(mut cursor) = source.cursor()? else { return Ok(ahead) };
    let prefix = key::ready(task_type);
    let mut from = prefix.clone();
    from.push(from_rank);
    while cursor.seek(&from)? && cursor.key().starts_with(&prefix) {
        let Some(Key::Ready { priority, run_at_us, id, .. }) = Key::decode(cursor.key()) else {
            return Err(Error::damaged(cursor.key(), "it is no key of the ready index"));
        };
        let rank = rank_of(priority);
        if run_at_us <= now_us {
            ahead.head = Some(Head { rank, run_at_us, id });
            break;
        }
        ahead.next_us = Some(ahead.next_us.map_or(run_at_us, |next_us| next_us.min(run_at_us)));
        let Some(next_rank) = rank.checked_add(1) else { break };
        from.truncate(prefix.len());
        from.push(next_rank);
    }
    Ok(ahead)
}

/// The leased task of a type whose lease expires first.
pub(super) fn first_lease(source: &impl Source, task_type: &TaskType) -> Result<Option<(u64, TaskId)>> {
    let first = keys_with(source, &key::leased(task_type), 1)?.pop();
    Ok(match first {
        Some(Key::Leased { expires_us, id, .. }) => Some((expires_us, id)),
        _ => None,
    })
}

/// Up to `max` tasks of a type whose leases have expired, the first ones first.
pub(super) fn expired_leases(
    source: &impl Source,
    task_type: &TaskType,
    now_us: u64,
    max: usize,
) -> Result<Vec<TaskId>> {
    let mut expired = Vec::new();
    let Some(mut cursor) = source.cursor()? else { return Ok(expired) };
    let prefix = key::leased(task_type);
    let mut is_there = cursor.seek(&prefix)?;
    while is_there && cursor.key().starts_with(&prefix) && expired.len() < max {
        match Key::decode(cursor.key()) {
            Some(Key::Leased { expires_us, id, .. }) if expires_us <= now_us => expired.push(id),
            Some(_) => break,
            None => return Err(Error::damaged(cursor.key(), "it is no key of a lease")),
        }
        is_there = cursor.next()?;
    }
    Ok(expired)
}
