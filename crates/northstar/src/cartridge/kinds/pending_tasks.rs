//! `pending_tasks_by_type`: which tasks of a queue can be claimed, in the order of claiming.
//!
//! The queue feeds it with the row of each task that a transaction touched, as it was and as it is.

use std::ops::Bound;

use super::Entries;
use crate::cartridge::error::{Error, Result};
use crate::cartridge::header::Kind;
use crate::cartridge::projection::{Edits, Projection};
use crate::cartridge::scan::Order;
use crate::cartridge::view::with_prefix;

/// The name of the kind.
pub const NAME: &str = "pending_tasks_by_type";
/// Longest type in bytes.
pub const TYPE_LEN_MAX: usize = 255;
/// Longest id in bytes.
pub const ID_LEN_MAX: usize = 64;

/// What a task is waiting for. Only pending ones are indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// For somebody to claim it, once its time has come.
    Pending,
    /// For whoever claimed it.
    Leased,
    /// For other tasks.
    Blocked,
    /// For its type to be let go on.
    Paused,
    /// For nothing: it is done.
    Done,
    /// For a person: it failed too often.
    Dead,
    /// For nothing: nobody wants it any more.
    Cancelled,
}

/// A task as this index sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskRow<'a> {
    /// Its type, 1 to [`TYPE_LEN_MAX`] bytes, none of them zero.
    pub task_type: &'a [u8],
    /// The greater, the sooner.
    pub priority: i32,
    /// From when on it may be claimed, in microseconds since 1970.
    pub run_at_us: u64,
    /// Its id, 1 to [`ID_LEN_MAX`] bytes.
    pub id: &'a [u8],
    /// What it is waiting for.
    pub state: TaskState,
}

/// What a transaction did to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskChange<'a> {
    /// The task before, unless it is new: exactly as it was after its last change.
    pub before: Option<TaskRow<'a>>,
    /// The task from now on, unless it is forgotten.
    pub after: Option<TaskRow<'a>>,
}

/// A task that can be claimed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PendingTask {
    /// Its type.
    pub task_type: Vec<u8>,
    /// The greater, the sooner.
    pub priority: i32,
    /// From when on, in microseconds since 1970.
    pub run_at_us: u64,
    /// Its id.
    pub id: Vec<u8>,
}

/// The rules of `pending_tasks_by_type`.
///
/// ```
/// use std::sync::Arc;
/// use northstar::cartridge::kinds::pending_tasks::{PendingTasks, TaskChange, TaskRow, TaskState, pending};
/// use northstar::cartridge::{Catalog, Position, StreamId};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// let catalog = Catalog::new(Arc::new(vfs::DiskVfs::new()), dir.path());
/// let mut builder = catalog.build::<PendingTasks>(StreamId(*b"example queue 01"))?;
/// let task = TaskRow { task_type: b"mail", priority: 0, run_at_us: 7, id: b"first", state: TaskState::Pending };
/// let enqueued = TaskChange { before: None, after: Some(task) };
/// builder.push(Position { sequence: 1, anchor: [1; 32] }, [enqueued])?;
/// let cartridge = builder.finish()?;
/// assert_eq!(pending(&cartridge, b"mail").next().ok_or("nothing to do")??.id, b"first");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct PendingTasks;

impl Projection for PendingTasks {
    type Change<'a> = TaskChange<'a>;

    fn kind() -> Kind {
        Kind::of(NAME, 1)
    }

    fn project(_sequence: u64, change: &TaskChange<'_>, edits: &mut Edits<'_>) -> Result<()> {
        if let Some(before) = change.before.filter(|before| before.state == TaskState::Pending) {
            edits.remove(&key(&before)?)?;
        }
        if let Some(after) = change.after.filter(|after| after.state == TaskState::Pending) {
            edits.put(&key(&after)?, &[])?;
        }
        Ok(())
    }
}

fn key(row: &TaskRow<'_>) -> Result<Vec<u8>> {
    let invalid = |what| Err(Error::InvalidChange { what });
    if row.task_type.is_empty() || row.task_type.len() > TYPE_LEN_MAX || row.task_type.contains(&0) {
        return invalid("a type has 1 to 255 bytes, none of them zero");
    }
    if row.id.is_empty() || row.id.len() > ID_LEN_MAX {
        return invalid("an id has 1 to 64 bytes");
    }
    let mut key = type_prefix(row.task_type);
    // The greatest comes first: 2^31 - 1 becomes 0.
    let rank = (i64::from(i32::MAX) - i64::from(row.priority)) as u32;
    key.extend_from_slice(&rank.to_be_bytes());
    key.extend_from_slice(&row.run_at_us.to_be_bytes());
    key.extend_from_slice(row.id);
    Ok(key)
}

fn type_prefix(task_type: &[u8]) -> Vec<u8> {
    [task_type, &[0]].concat()
}

fn task_of(key: &[u8]) -> Option<PendingTask> {
    let end = key.iter().position(|byte| *byte == 0)?;
    let (task_type, rest) = key.split_at_checked(end)?;
    let (_, rest) = rest.split_first()?;
    let (rank, rest) = rest.split_first_chunk()?;
    let (run_at, id) = rest.split_first_chunk()?;
    let priority = i32::try_from(i64::from(i32::MAX) - i64::from(u32::from_be_bytes(*rank))).ok()?;
    let is_valid = (1..=TYPE_LEN_MAX).contains(&task_type.len()) && (1..=ID_LEN_MAX).contains(&id.len());
    is_valid.then(|| PendingTask {
        task_type: task_type.to_vec(),
        priority,
        run_at_us: u64::from_be_bytes(*run_at),
        id: id.to_vec(),
    })
}

const fn invalid_entry() -> Error {
    Error::InvalidEntry { kind: NAME }
}

/// The tasks of a type that can be claimed: those of greater priority first, then by time, then by id. Those whose time lies ahead are among them.
pub fn pending<'a>(entries: &'a impl Entries, task_type: &[u8]) -> impl Iterator<Item = Result<PendingTask>> + 'a {
    let found = with_prefix(&type_prefix(task_type), |range| entries.entries(range, Order::Forward));
    found.map(|entry| task_of(&entry?.key).ok_or_else(invalid_entry))
}

/// How many tasks of a type can be claimed. Costs the same, however many there are.
///
/// # Errors
/// [`Error::Damaged`].
pub fn count(entries: &impl Entries, task_type: &[u8]) -> Result<u64> {
    with_prefix(&type_prefix(task_type), |range| entries.entry_count(range))
}

/// The types of which there are tasks, in order. Costs one look-up for each.
///
/// # Errors
/// [`Error::Damaged`], [`Error::InvalidEntry`].
pub fn types(entries: &impl Entries) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let mut from = Vec::new();
    while let Some(entry) = entries.entries((Bound::Included(&from), Bound::Unbounded), Order::Forward).next() {
        let task = task_of(&entry?.key).ok_or_else(invalid_entry)?;
        // Behind the last key of this type, and before the first of any other.
        from = [task.task_type.as_slice(), &[1]].concat();
        found.push(task.task_type);
    }
    Ok(found)
}
