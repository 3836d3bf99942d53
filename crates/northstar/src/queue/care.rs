//! What people do with a queue: pause and resume types, cancel, requeue and forget tasks.

use super::edges::drop_blockers;
use super::error::{Error, Result};
use super::event::EventKind;
use super::key::{self, Key};
use super::limits::ENQUEUE_MAX;
use super::name::{TaskId, TaskType};
use super::queue::Queue;
use super::source;
use super::task::{State, TypeSettings, TypeStatus};

impl Queue {
    /// Nobody can claim tasks of a type until it is resumed. Leases go on.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for more types than there can be.
    pub fn pause(&self, task_type: &TaskType) -> Result<()> {
        self.write(|rows| {
            rows.type_mut(task_type)?.is_paused = true;
            Ok(())
        })
    }

    /// Tasks of a type can be claimed again.
    ///
    /// # Errors
    /// As for [`pause`](Self::pause).
    pub fn resume(&self, task_type: &TaskType) -> Result<()> {
        self.write(|rows| {
            rows.type_mut(task_type)?.is_paused = false;
            let now_us = rows.now_us();
            rows.offer(task_type, now_us);
            Ok(())
        })
    }

    /// Says how the tasks of a type are dealt with from now on. Leases and tasks that are there keep what they have.
    ///
    /// # Errors
    /// [`Error::Invalid`]; as for [`pause`](Self::pause).
    pub fn configure(&self, task_type: &TaskType, settings: TypeSettings) -> Result<()> {
        settings.check()?;
        self.write(|rows| {
            rows.type_mut(task_type)?.settings = settings;
            Ok(())
        })
    }

    /// A type, with how many tasks it has in which state. `None`: it was never used.
    ///
    /// # Errors
    /// An error of the database.
    pub fn type_status(&self, task_type: &TaskType) -> Result<Option<TypeStatus>> {
        self.view().type_status(task_type)
    }

    /// Nobody wants a task any more. Whoever holds a lease on it is told when it shows its token. Tasks that wait for it go on waiting, until they are
    /// [unblocked](Self::unblock) or it is requeued and done. One that is cancelled already stays so.
    ///
    /// # Errors
    /// [`Error::UnknownTask`]; [`Error::WrongState`] for one that is done.
    pub fn cancel(&self, id: TaskId) -> Result<()> {
        self.write(|rows| {
            let before = rows.task(id)?;
            match before.state {
                State::Cancelled => {
                    rows.rely_on_the_past();
                    return Ok(());
                }
                State::Done => return Err(Error::WrongState { id, state: before.state, action: "cancelled" }),
                State::Ready | State::Leased | State::Blocked | State::Dead => {}
            }
            let mut after = before.clone();
            after.state = State::Cancelled;
            after.expires_us = None;
            rows.store(Some(&before), &mut after)?;
            rows.note(&after, EventKind::Cancelled, None)
        })
    }

    /// Puts a dead or cancelled task back, with its attempts counted anew. It can be claimed at once, unless it waits for others.
    ///
    /// # Errors
    /// [`Error::UnknownTask`]; [`Error::WrongState`] for one that is neither dead nor cancelled.
    pub fn requeue(&self, id: TaskId) -> Result<()> {
        self.write(|rows| {
            let before = rows.task(id)?;
            if !matches!(before.state, State::Dead | State::Cancelled) {
                return Err(Error::WrongState { id, state: before.state, action: "requeued" });
            }
            let mut after = before.clone();
            after.state = if before.blockers > 0 { State::Blocked } else { State::Ready };
            after.attempts = 0;
            after.run_at_us = rows.now_us();
            rows.store(Some(&before), &mut after)?;
            rows.note(&after, EventKind::Requeued, None)
        })
    }

    /// Removes tasks of a type that came into a state before a time, with all that is known of them: `max` at most, the oldest first. Those that others
    /// wait for stay. Their dedupe keys are free again. Returns how many were removed.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a state in which tasks still have work before them: only what is done, dead or cancelled can be forgotten.
    pub fn forget(&self, task_type: &TaskType, state: State, before_us: u64, max: usize) -> Result<usize> {
        if !matches!(state, State::Done | State::Dead | State::Cancelled) {
            return Err(Error::invalid("state", format!("tasks that are {state} cannot be forgotten: cancel them")));
        }
        self.write(|rows| {
            let mut removed = 0;
            for key in source::keys_with(rows, &key::filed(task_type, state), max.min(ENQUEUE_MAX))? {
                let Key::Filed { changed_us, id, .. } = key else { continue };
                if changed_us >= before_us {
                    break;
                }
                let task = rows.task(id)?;
                if task.dependents > 0 {
                    continue;
                }
                drop_blockers(rows, id)?;
                rows.forget(&task)?;
                removed += 1;
            }
            Ok(removed)
        })
    }
}
