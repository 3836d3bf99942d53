//! Looking at a queue: as it is, or as it was.

use super::error::{Error, Result};
use super::event::Event;
use super::key::{self, Key};
use super::limits::{BLOCKERS_MAX, DEPENDENTS_MAX};
use super::name::{DedupeKey, TaskId, TaskType};
use super::source::{self, Source, Standing};
use super::task::{State, Task, TypeStatus};
use super::verify::{self, Fault};
use crate::db::{Cursor, Snapshot};
use crate::id::TxnId;

/// One state of a queue. It does not change, and keeps the pages that it shows from being used again: drop it when done. From
/// [`Queue::view`](super::Queue::view) or [`Queue::as_of`](super::Queue::as_of).
#[derive(Debug, Clone)]
pub struct View {
    pub(super) standing: Standing,
}

/// Which tasks [`View::list`] shows, and from where on. The default is all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Of this type.
    pub task_type: Option<TaskType>,
    /// In these states; empty for all.
    pub states: Vec<State>,
}

impl View {
    /// The queue in a tree of this name, in a state of its database: of one that is open for writing elsewhere, with [`Reader`](crate::Reader).
    #[must_use]
    pub fn new(snapshot: Snapshot, tree_name: &str) -> Self {
        // There is no queue before it was made: that is an empty one.
        let tree = snapshot.tree(tree_name).ok();
        Self { standing: Standing { snapshot, tree } }
    }

    /// The transaction after which the queue was like this.
    #[must_use]
    pub fn txn(&self) -> TxnId {
        self.standing.snapshot.txn()
    }

    /// A task. `None`: it is not there yet, or was forgotten.
    ///
    /// # Errors
    /// [`Error::Damaged`], or an error of the database. So for all that reads.
    pub fn task(&self, id: TaskId) -> Result<Option<Task>> {
        source::task(&self.standing, id)
    }

    /// The task that was enqueued with this dedupe key.
    ///
    /// # Errors
    /// As for [`task`](Self::task).
    pub fn find(&self, task_type: &TaskType, key: &DedupeKey) -> Result<Option<Task>> {
        let key = Key::Dedupe { task_type: task_type.clone(), key: key.clone() }.encode();
        let Some(value) = self.standing.value(&key)? else { return Ok(None) };
        let id = super::enqueue::id_of(&value).ok_or_else(|| Error::damaged(&key, "a dedupe key leads to no id"))?;
        source::linked_task(&self.standing, id, &key).map(Some)
    }

    /// What a task is to work on. `None`: there is no such task.
    ///
    /// # Errors
    /// As for [`task`](Self::task).
    pub fn payload(&self, id: TaskId) -> Result<Option<Vec<u8>>> {
        Ok(self.standing.value(&Key::Payload { id }.encode())?.map(Vec::from))
    }

    /// What came of a task. `None`: it is not done.
    ///
    /// # Errors
    /// As for [`task`](Self::task).
    pub fn result(&self, id: TaskId) -> Result<Option<Vec<u8>>> {
        Ok(self.standing.value(&Key::Result { id }.encode())?.map(Vec::from))
    }

    /// What a task still waits for.
    ///
    /// # Errors
    /// As for [`task`](Self::task).
    pub fn blockers(&self, id: TaskId) -> Result<Vec<TaskId>> {
        let found = source::keys_with(&self.standing, &key::blockers(id), BLOCKERS_MAX)?;
        Ok(found
            .into_iter()
            .filter_map(|key| if let Key::Blocker { blocker, .. } = key { Some(blocker) } else { None })
            .collect())
    }

    /// Which tasks wait for a task.
    ///
    /// # Errors
    /// As for [`task`](Self::task).
    pub fn dependents(&self, id: TaskId) -> Result<Vec<TaskId>> {
        let found = source::keys_with(&self.standing, &key::dependents(id), DEPENDENTS_MAX as usize)?;
        Ok(found
            .into_iter()
            .filter_map(|key| if let Key::Dependent { dependent, .. } = key { Some(dependent) } else { None })
            .collect())
    }

    /// What happened to a task, from the start.
    ///
    /// # Errors
    /// As for [`task`](Self::task).
    pub fn history(&self, id: TaskId) -> Result<Vec<Event>> {
        let prefix = key::events(id);
        let mut events = Vec::new();
        let Some(mut cursor) = self.standing.cursor()? else { return Ok(events) };
        let mut is_there = cursor.seek(&prefix)?;
        while is_there && cursor.key().starts_with(&prefix) {
            let key = cursor.key().to_vec();
            let Some(Key::Event { txn, .. }) = Key::decode(&key) else {
                return Err(Error::damaged(&key, "it is no key of an event"));
            };
            events.push(Event::decode(txn, &key, cursor.value()?)?);
            is_there = cursor.next()?;
        }
        Ok(events)
    }

    /// A type. `None`: it was never used.
    ///
    /// # Errors
    /// As for [`task`](Self::task).
    pub fn type_status(&self, task_type: &TaskType) -> Result<Option<TypeStatus>> {
        source::type_status(&self.standing, task_type)
    }

    /// All types that were ever used, sorted by name.
    ///
    /// # Errors
    /// As for [`task`](Self::task).
    pub fn types(&self) -> Result<Vec<(TaskType, TypeStatus)>> {
        let mut types = Vec::new();
        let Some(mut cursor) = self.standing.cursor()? else { return Ok(types) };
        let prefix = key::types();
        let mut is_there = cursor.seek(&prefix)?;
        while is_there && cursor.key().starts_with(&prefix) {
            let key = cursor.key().to_vec();
            let Some(Key::Type { task_type }) = Key::decode(&key) else {
                return Err(Error::damaged(&key, "it is no key of a type"));
            };
            types.push((task_type, TypeStatus::decode(&key, cursor.value()?)?));
            is_there = cursor.next()?;
        }
        Ok(types)
    }

    /// The tasks that fit, by type, then by state in the order of [`State::ALL`]; within a state, those that can be claimed in the order of claiming, leased ones by
    /// expiry, and others by when they came into it. Costs what is taken from it.
    ///
    /// # Errors
    /// As for [`task`](Self::task); the items carry errors of reading.
    pub fn list(&self, filter: &Filter) -> Result<List<'_>> {
        let types = match &filter.task_type {
            Some(task_type) => vec![task_type.clone()],
            None => self.types()?.into_iter().map(|(task_type, _)| task_type).collect(),
        };
        let mut prefixes = Vec::new();
        for task_type in &types {
            for state in State::ALL {
                if filter.states.is_empty() || filter.states.contains(&state) {
                    prefixes.push(match state {
                        State::Ready => key::ready(task_type),
                        State::Leased => key::leased(task_type),
                        filed => key::filed(task_type, filed),
                    });
                }
            }
        }
        prefixes.reverse();
        Ok(List { standing: &self.standing, cursor: self.standing.cursor()?, prefixes, is_within: false })
    }

    /// Looks at everything, and tells what contradicts the invariants in `docs/format/northstar-queue.md`. Empty for a sound queue.
    ///
    /// # Errors
    /// An error of the database; what the queue itself has wrong is no error here.
    pub fn verify(&self) -> Result<Vec<Fault>> {
        verify::verify(&self.standing)
    }
}

/// The tasks of a [`View`] that fit a [`Filter`]. An error ends it.
#[derive(Debug)]
pub struct List<'a> {
    standing: &'a Standing,
    cursor: Option<Cursor<'a>>,
    /// The parts of the indexes that are still to be walked over; the next one is the last.
    prefixes: Vec<Vec<u8>>,
    /// The cursor stands in the next part already.
    is_within: bool,
}

impl List<'_> {
    fn step(&mut self) -> Result<Option<Task>> {
        let Some(cursor) = &mut self.cursor else { return Ok(None) };
        while let Some(prefix) = self.prefixes.last() {
            let is_there = if self.is_within { cursor.next()? } else { cursor.seek(prefix)? };
            if is_there && cursor.key().starts_with(prefix) {
                self.is_within = true;
                let Some(Key::Ready { id, .. } | Key::Leased { id, .. } | Key::Filed { id, .. }) =
                    Key::decode(cursor.key())
                else {
                    return Err(Error::damaged(cursor.key(), "it is no key of an index"));
                };
                return source::linked_task(self.standing, id, cursor.key()).map(Some);
            }
            self.is_within = false;
            self.prefixes.pop();
        }
        Ok(None)
    }
}

impl Iterator for List<'_> {
    type Item = Result<Task>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.step().transpose();
        if !matches!(found, Some(Ok(_))) {
            self.prefixes.clear();
        }
        found
    }
}
