//! What changed in a queue between two of its states: for whoever keeps an index of its tasks.

use super::error::{Error, Result};
use super::key::{self, Key};
use super::task::{State, Task};
use super::view::View;
use crate::cartridge::kinds::pending_tasks::{TaskChange, TaskRow, TaskState};
use crate::tree::Value;

/// A task that differs between two states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskDifference {
    /// The task in the older state, unless it was not there yet.
    pub before: Option<Task>,
    /// The task in the newer state, unless it was forgotten.
    pub after: Option<Task>,
}

impl TaskDifference {
    /// The same as the cartridge [`pending_tasks`](crate::cartridge::kinds::pending_tasks) takes it. The id there is the eight bytes of the id here, big-endian.
    /// Whether a type is paused is no matter of its tasks: ask [`View::type_status`].
    #[must_use]
    pub fn pending_change(&self) -> PendingChange<'_> {
        let id = self.before.as_ref().or(self.after.as_ref()).map_or(0, |task| task.id.0);
        PendingChange { difference: self, id: id.to_be_bytes() }
    }
}

/// A [`TaskDifference`] with the bytes of the id, which a [`TaskChange`] borrows.
#[derive(Debug, Clone, Copy)]
pub struct PendingChange<'a> {
    difference: &'a TaskDifference,
    id: [u8; 8],
}

impl PendingChange<'_> {
    /// The change.
    #[must_use]
    pub fn get(&self) -> TaskChange<'_> {
        let TaskDifference { before, after } = self.difference;
        TaskChange {
            before: before.as_ref().map(|task| self.row(task)),
            after: after.as_ref().map(|task| self.row(task)),
        }
    }

    fn row<'a>(&'a self, task: &'a Task) -> TaskRow<'a> {
        TaskRow {
            task_type: task.task_type.as_str().as_bytes(),
            priority: i32::from(task.priority),
            run_at_us: task.run_at_us,
            id: &self.id,
            state: match task.state {
                State::Ready => TaskState::Pending,
                State::Leased => TaskState::Leased,
                State::Blocked => TaskState::Blocked,
                State::Done => TaskState::Done,
                State::Dead => TaskState::Dead,
                State::Cancelled => TaskState::Cancelled,
            },
        }
    }
}

impl View {
    /// The tasks that differ between `older` and this state of one queue, in the order of their ids. The cost is that of the pages that changed
    /// between the two.
    ///
    /// A derived index that stands at [`older.txn()`](View::txn) stands at [`self.txn()`](View::txn) once it has taken them in.
    pub fn tasks_since<'a>(&'a self, older: &'a Self) -> impl Iterator<Item = Result<TaskDifference>> + 'a {
        let differences = self.standing.tree.map(|tree| {
            self.standing.snapshot.changes_since(&older.standing.snapshot, tree).filter_map(|difference| {
                let difference = match difference {
                    Ok(difference) => difference,
                    Err(error) => return Some(Err(error.into())),
                };
                if !difference.key.starts_with(&key::tasks()) {
                    return None;
                }
                let id = match Key::decode(&difference.key) {
                    Some(Key::Record { id }) => id,
                    Some(_) => return None,
                    None => return Some(Err(Error::damaged(&difference.key, "it is no key of a queue"))),
                };
                let decode =
                    |value: Option<Value>| value.map(|value| Task::decode(id, &difference.key, &value)).transpose();
                Some(
                    decode(difference.before)
                        .and_then(|before| Ok(TaskDifference { before, after: decode(difference.after)? })),
                )
            })
        });
        differences.into_iter().flatten()
    }
}
