//! The entries of a queue within one transaction. All changes of a task's state go through here, so that its record, its place in the indexes, its
//! type's counts and its history cannot come apart.

use std::collections::{BTreeMap, HashMap};

use super::clock::Reading;
use super::error::{Error, Result};
use super::event::{Event, EventKind};
use super::key::Key;
use super::limits::{REASON_LEN_MAX, TYPES_MAX};
use super::name::{TaskId, TaskType, Token};
use super::source::{self, Source};
use super::task::{Header, State, Task, TypeStatus};
use crate::db::{Cursor, Tree, WriteTxn};
use crate::id::TxnId;
use crate::tree::Value;

/// A type from when on some task of it can be claimed, as far as a transaction changed that.
pub(super) type Offers = BTreeMap<TaskType, u64>;

pub(super) struct Rows<'t, 'db> {
    entries: (&'t mut WriteTxn<'db>, Tree),
    reading: Reading,
    header: Header,
    stored_header: Header,
    types: HashMap<TaskType, TypeStatus>,
    /// Events of each task so far.
    events: HashMap<TaskId, u8>,
    offers: Offers,
    has_changed: bool,
    must_be_durable: bool,
}

/// What a transaction did that others must know of.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) offers: Offers,
    pub(super) has_changed: bool,
    /// The answer promises what an earlier transaction did, which may not be durable yet.
    pub(super) must_be_durable: bool,
}

impl Source for Rows<'_, '_> {
    fn value(&self, key: &[u8]) -> Result<Option<Value>> {
        self.entries.value(key)
    }

    fn cursor(&self) -> Result<Option<Cursor<'_>>> {
        self.entries.cursor()
    }
}

impl<'t, 'db> Rows<'t, 'db> {
    pub(super) fn new(txn: &'t mut WriteTxn<'db>, tree: Tree, reading: Reading) -> Result<Self> {
        let entries = (txn, tree);
        let header = source::header(&entries)?;
        Ok(Self {
            entries,
            reading,
            header,
            stored_header: header,
            types: HashMap::new(),
            events: HashMap::new(),
            offers: Offers::new(),
            has_changed: false,
            must_be_durable: false,
        })
    }

    pub(super) const fn now_us(&self) -> u64 {
        self.reading.now_us
    }

    pub(super) fn txn(&self) -> TxnId {
        self.entries.0.txn()
    }

    pub(super) fn token(&self) -> Token {
        Token::of(self.txn())
    }

    /// The answer will promise what an earlier transaction did.
    pub(super) const fn rely_on_the_past(&mut self) {
        self.must_be_durable = true;
    }

    pub(super) fn put(&mut self, key: &Key, value: &[u8]) -> Result<bool> {
        self.has_changed = true;
        Ok(self.entries.0.put(self.entries.1, &key.encode(), value)?)
    }

    fn delete(&mut self, key: &Key) -> Result<bool> {
        self.has_changed = true;
        Ok(self.entries.0.delete(self.entries.1, &key.encode())?)
    }

    /// Removes an entry if it is there; says whether it was.
    pub(super) fn delete_if_there(&mut self, key: &Key) -> Result<bool> {
        Ok(self.entries.value(&key.encode())?.is_some() && self.delete(key)?)
    }

    /// Removes an entry that must be there.
    pub(super) fn take(&mut self, key: &Key) -> Result<()> {
        if self.delete(key)? { Ok(()) } else { Err(Error::damaged(&key.encode(), "an entry is missing")) }
    }

    pub(super) fn task(&self, id: TaskId) -> Result<Task> {
        source::task(self, id)?.ok_or(Error::UnknownTask { id })
    }

    /// The id that the next new task gets.
    pub(super) const fn upcoming_id(&self) -> TaskId {
        TaskId(self.header.next_id)
    }

    pub(super) fn next_id(&mut self) -> TaskId {
        let id = TaskId(self.header.next_id);
        self.header.next_id += 1;
        id
    }

    /// A type as this transaction has it, if it was ever used.
    pub(super) fn find_type(&self, task_type: &TaskType) -> Result<Option<TypeStatus>> {
        match self.types.get(task_type) {
            Some(status) => Ok(Some(*status)),
            None => source::type_status(self, task_type),
        }
    }

    /// A type to be changed. One that was never used begins with defaults.
    pub(super) fn type_mut(&mut self, task_type: &TaskType) -> Result<&mut TypeStatus> {
        if !self.types.contains_key(task_type) {
            let status = match source::type_status(self, task_type)? {
                Some(status) => status,
                None if self.header.types >= TYPES_MAX => {
                    return Err(Error::TooLarge {
                        what: "types of a queue",
                        len: TYPES_MAX as usize + 1,
                        max: TYPES_MAX as usize,
                    });
                }
                None => {
                    self.header.types += 1;
                    TypeStatus::default()
                }
            };
            self.types.insert(task_type.clone(), status);
        }
        self.has_changed = true;
        Ok(self.types.entry(task_type.clone()).or_default())
    }

    /// Notes that a task of this type can be claimed, or its lease taken back, from a time on.
    pub(super) fn offer(&mut self, task_type: &TaskType, from_us: u64) {
        let offered = self.offers.entry(task_type.clone()).or_insert(from_us);
        *offered = from_us.min(*offered);
    }

    /// Stores a task, which takes the place of `before` unless it is new. Counts, and moves it to its place by its new state.
    pub(super) fn store(&mut self, before: Option<&Task>, after: &mut Task) -> Result<()> {
        let now_us = self.now_us();
        if before.is_none_or(|before| before.state != after.state) {
            after.changed_us = now_us;
        }
        let place = Key::place_of(after);
        let old_place = before.map(Key::place_of);
        if old_place.as_ref() != Some(&place) {
            if let Some(old_place) = &old_place {
                self.take(old_place)?;
            }
            self.put(&place, &[])?;
        }
        if before.is_none_or(|before| before.state != after.state) {
            let counts = &mut self.type_mut(&after.task_type)?.counts;
            if let Some(before) = before {
                let count = counts.get_mut(before.state);
                *count = count.saturating_sub(1);
            }
            *counts.get_mut(after.state) += 1;
        }
        match after.state {
            State::Ready => self.offer(&after.task_type, after.run_at_us),
            State::Leased => self.offer(&after.task_type, after.expires_us.unwrap_or(now_us)),
            State::Blocked | State::Done | State::Dead | State::Cancelled => {}
        }
        self.put(&Key::Record { id: after.id }, &after.encode())?;
        Ok(())
    }

    /// Forgets a task and everything of it, but edges, which must be gone.
    pub(super) fn forget(&mut self, task: &Task) -> Result<()> {
        self.take(&Key::place_of(task))?;
        if let Some(key) = task.dedupe_key.clone() {
            self.take(&Key::Dedupe { task_type: task.task_type.clone(), key })?;
        }
        let count = self.type_mut(&task.task_type)?.counts.get_mut(task.state);
        *count = count.saturating_sub(1);
        let start = super::key::task(task.id);
        let end = super::key::task(TaskId(task.id.0.saturating_add(1)));
        self.entries.0.delete_range(self.entries.1, start..end)?;
        Ok(())
    }

    /// Writes down what happened to a task that was just stored.
    pub(super) fn note(&mut self, task: &Task, kind: EventKind, text: Option<&str>) -> Result<()> {
        let number = self.events.entry(task.id).or_insert(0);
        let key = Key::Event { id: task.id, txn: self.entries.0.txn(), number: *number };
        *number = number.saturating_add(1);
        let event = Event {
            txn: self.txn(),
            time_us: self.now_us(),
            kind,
            state: task.state,
            attempts: task.attempts,
            token: match kind {
                EventKind::Claimed | EventKind::Completed | EventKind::Failed | EventKind::Expired => task.token,
                _ => None,
            },
            text: text.map(|text| shortened(text).into()),
        };
        self.put(&key, &event.encode())?;
        Ok(())
    }

    /// Writes what was kept back. Then the transaction is ready to be committed.
    pub(super) fn finish(mut self) -> Result<Outcome> {
        if self.has_changed {
            if self.reading.is_ahead {
                self.header.clock_us = self.header.clock_us.max(self.reading.now_us);
            }
            for (task_type, status) in std::mem::take(&mut self.types) {
                self.put(&Key::Type { task_type }, &status.encode())?;
            }
            if self.header != self.stored_header {
                let header = self.header.encode();
                self.put(&Key::Header, &header)?;
            }
        }
        let Self { offers, has_changed, must_be_durable, .. } = self;
        Ok(Outcome { offers, has_changed, must_be_durable })
    }
}

/// A reason within the limit: a long one is cut at the end of a character.
pub(super) fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(REASON_LEN_MAX)).unwrap_or(text)
}
