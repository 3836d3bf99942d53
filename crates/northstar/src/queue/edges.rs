//! Tasks that wait for tasks. An edge stands at both ends, as long as the one that is waited for is not done.

use std::collections::{BTreeSet, HashSet};

use super::error::{Error, Result};
use super::event::EventKind;
use super::key::{self, Key};
use super::limits::{BLOCKERS_MAX, CYCLE_WALK_MAX, DEPENDENTS_MAX};
use super::name::TaskId;
use super::queue::Queue;
use super::rows::Rows;
use super::source;
use super::task::{State, Task};

impl Queue {
    /// Makes a task wait for others, too. Those that are done are no reason to wait.
    ///
    /// # Errors
    /// [`Error::UnknownTask`], [`Error::Cycle`], [`Error::TooLarge`]; [`Error::WrongState`] for a task that is neither ready nor blocked.
    pub fn block(&self, id: TaskId, blockers: &[TaskId]) -> Result<()> {
        Error::check_len("tasks to wait for", blockers.len(), BLOCKERS_MAX)?;
        self.write(|rows| {
            let before = rows.task(id)?;
            if !matches!(before.state, State::Ready | State::Blocked) {
                return Err(Error::WrongState { id, state: before.state, action: "blocked" });
            }
            let mut added = 0;
            for blocker in blockers.iter().copied().collect::<BTreeSet<_>>() {
                let mut other = rows.task(blocker)?;
                let edge = Key::Blocker { id, blocker };
                if other.state == State::Done || source::Source::value(rows, &edge.encode())?.is_some() {
                    continue;
                }
                if closes_cycle(rows, id, blocker)? {
                    return Err(Error::Cycle { id, blocker });
                }
                put_edge(rows, id, &mut other)?;
                added += 1;
            }
            if added == 0 {
                rows.rely_on_the_past();
                return Ok(());
            }
            let mut after = before.clone();
            after.blockers += added;
            Error::check_len("tasks to wait for", after.blockers as usize, BLOCKERS_MAX)?;
            after.state = State::Blocked;
            rows.store(Some(&before), &mut after)?;
            rows.note(&after, EventKind::Blocked, None)
        })
    }

    /// Lets a task no longer wait for others. Those that it does not wait for make no difference.
    ///
    /// # Errors
    /// [`Error::UnknownTask`].
    pub fn unblock(&self, id: TaskId, blockers: &[TaskId]) -> Result<()> {
        self.write(|rows| {
            let task = rows.task(id)?;
            let mut removed = 0;
            for blocker in blockers.iter().copied().collect::<BTreeSet<_>>() {
                if rows.delete_if_there(&Key::Blocker { id, blocker })? {
                    let edge = Key::Dependent { id: blocker, dependent: id };
                    rows.take(&edge)?;
                    let before = source::linked_task(rows, blocker, &edge.encode())?;
                    let mut after = before.clone();
                    after.dependents = after.dependents.saturating_sub(1);
                    rows.store(Some(&before), &mut after)?;
                    removed += 1;
                }
            }
            if removed == 0 {
                rows.rely_on_the_past();
                return Ok(());
            }
            settle(rows, &task, removed)
        })
    }
}

/// Puts an edge at both ends, and counts it at the one that is waited for.
pub(super) fn put_edge(rows: &mut Rows<'_, '_>, id: TaskId, blocker: &mut Task) -> Result<()> {
    let before = blocker.clone();
    if blocker.dependents >= DEPENDENTS_MAX {
        let (len, max) = (blocker.dependents as usize + 1, DEPENDENTS_MAX as usize);
        return Err(Error::TooLarge { what: "tasks that wait for one task", len, max });
    }
    blocker.dependents += 1;
    rows.put(&Key::Blocker { id, blocker: blocker.id }, &[])?;
    rows.put(&Key::Dependent { id: blocker.id, dependent: id }, &[])?;
    rows.store(Some(&before), blocker)
}

/// Whether `blocker` waits for `id`, directly or through others, so that `id` must not wait for it.
pub(super) fn closes_cycle(rows: &Rows<'_, '_>, id: TaskId, blocker: TaskId) -> Result<bool> {
    let mut seen = HashSet::from([blocker]);
    let mut waiting = vec![blocker];
    while let Some(at) = waiting.pop() {
        if at == id {
            return Ok(true);
        }
        for edge in source::keys_with(rows, &key::blockers(at), BLOCKERS_MAX)? {
            if let Key::Blocker { blocker, .. } = edge
                && seen.insert(blocker)
            {
                waiting.push(blocker);
            }
        }
        Error::check_len("tasks behind a new edge", seen.len(), CYCLE_WALK_MAX)?;
    }
    Ok(false)
}

/// Frees those that wait for a task which is done.
pub(super) fn free_dependents(rows: &mut Rows<'_, '_>, done: TaskId) -> Result<()> {
    for edge in source::keys_with(rows, &key::dependents(done), DEPENDENTS_MAX as usize)? {
        let Key::Dependent { dependent, .. } = edge else { continue };
        rows.take(&edge)?;
        rows.take(&Key::Blocker { id: dependent, blocker: done })?;
        let task = source::linked_task(rows, dependent, &edge.encode())?;
        settle(rows, &task, 1)?;
    }
    Ok(())
}

/// Removes all edges to those that a task waits for, without freeing it: it is about to be forgotten.
pub(super) fn drop_blockers(rows: &mut Rows<'_, '_>, id: TaskId) -> Result<()> {
    for edge in source::keys_with(rows, &key::blockers(id), BLOCKERS_MAX)? {
        let Key::Blocker { blocker, .. } = edge else { continue };
        rows.take(&edge)?;
        rows.take(&Key::Dependent { id: blocker, dependent: id })?;
        let before = source::linked_task(rows, blocker, &edge.encode())?;
        let mut after = before.clone();
        after.dependents = after.dependents.saturating_sub(1);
        rows.store(Some(&before), &mut after)?;
    }
    Ok(())
}

/// Takes `removed` edges off the count of a task, which can be claimed if none is left.
fn settle(rows: &mut Rows<'_, '_>, before: &Task, removed: u32) -> Result<()> {
    let mut after = before.clone();
    after.blockers = after.blockers.saturating_sub(removed);
    let is_free = after.blockers == 0 && after.state == State::Blocked;
    if is_free {
        after.state = State::Ready;
    }
    rows.store(Some(before), &mut after)?;
    if is_free { rows.note(&after, EventKind::Unblocked, None) } else { Ok(()) }
}
