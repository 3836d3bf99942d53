//! Looking for what contradicts the invariants of a queue. It walks over everything once and looks up each link from both of its ends.

use std::collections::BTreeMap;

use super::error::{Error, Result};
use super::event::Event;
use super::key::Key;
use super::name::{TaskId, TaskType};
use super::source::{self, Source, Standing};
use super::task::{Counts, Header, State, Task, TypeStatus};
use crate::tree::Value;

/// Something in a queue that contradicts its invariants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key in the queue's tree.
    pub key: Vec<u8>,
    /// What does not fit.
    pub what: String,
}

/// After so many, more tell nothing new.
const FAULTS_MAX: usize = 1000;

struct Verifier<'a> {
    standing: &'a Standing,
    header: Header,
    faults: Vec<Fault>,
    counts: BTreeMap<TaskType, Counts>,
    stored: BTreeMap<TaskType, Counts>,
    /// What each blocked task waits for.
    edges: BTreeMap<TaskId, Vec<TaskId>>,
    /// The task that is being walked over, with the edges at its end so far.
    current: Option<(Task, u32, u32)>,
}

pub(super) fn verify(standing: &Standing) -> Result<Vec<Fault>> {
    let Some(mut cursor) = standing.cursor()? else { return Ok(Vec::new()) };
    let mut verifier = Verifier {
        standing,
        header: Header::NEW,
        faults: Vec::new(),
        counts: BTreeMap::new(),
        stored: BTreeMap::new(),
        edges: BTreeMap::new(),
        current: None,
    };
    let mut is_there = cursor.first()?;
    while is_there && verifier.faults.len() < FAULTS_MAX {
        let key = cursor.key().to_vec();
        let value = cursor.value()?;
        match Key::decode(&key) {
            Some(decoded) if decoded.encode() == key => match verifier.entry(&key, &decoded, value) {
                Ok(()) => {}
                Err(error @ Error::Store(_)) => return Err(error),
                Err(error) => verifier.fault(&key, error.to_string()),
            },
            _ => verifier.fault(&key, "it is no key of a queue"),
        }
        is_there = cursor.next()?;
    }
    verifier.end_task();
    verifier.end();
    Ok(verifier.faults)
}

impl Verifier<'_> {
    fn fault(&mut self, key: &[u8], what: impl Into<String>) {
        self.faults.push(Fault { key: key.to_vec(), what: what.into() });
    }

    fn expect(&mut self, key: &[u8], holds: bool, what: &'static str) {
        if !holds {
            self.fault(key, what);
        }
    }

    fn linked(&self, id: TaskId, key: &[u8]) -> Result<Task> {
        source::linked_task(self.standing, id, key)
    }

    fn has(&self, key: &Key) -> Result<bool> {
        Ok(self.standing.value(&key.encode())?.is_some())
    }

    fn entry(&mut self, key: &[u8], decoded: &Key, value: &[u8]) -> Result<()> {
        match decoded {
            Key::Header => self.header = Header::decode(key, value)?,
            Key::Type { task_type } => {
                let status = TypeStatus::decode(key, value)?;
                self.stored.insert(task_type.clone(), status.counts);
            }
            Key::Dedupe { task_type, key: dedupe_key } => {
                let id = super::enqueue::id_of(value).ok_or_else(|| Error::damaged(key, "it leads to no id"))?;
                let task = self.linked(id, key)?;
                let is_its = task.task_type == *task_type && task.dedupe_key.as_ref() == Some(dedupe_key);
                self.expect(key, is_its, "the task was enqueued with another dedupe key");
            }
            Key::Ready { id, .. } | Key::Leased { id, .. } | Key::Filed { id, .. } => {
                let task = self.linked(*id, key)?;
                self.expect(key, Key::place_of(&task) == *decoded, "the task belongs to another place");
                self.expect(key, value.is_empty(), "an entry of an index has a value");
            }
            Key::Record { id } => {
                self.end_task();
                let task = Task::decode(*id, key, value)?;
                self.task(key, &task)?;
                self.current = Some((task, 0, 0));
            }
            Key::Payload { .. }
            | Key::Result { .. }
            | Key::Blocker { .. }
            | Key::Dependent { .. }
            | Key::Event { .. } => {
                self.part(key, decoded, value)?;
            }
        }
        Ok(())
    }

    fn task(&mut self, key: &[u8], task: &Task) -> Result<()> {
        let id = task.id;
        self.expect(key, id.0 > 0 && id.0 < self.header.next_id, "its id was not given out yet");
        let has_place = self.has(&Key::place_of(task))?;
        self.expect(key, has_place, "it is missing in the index of its state");
        if let Some(dedupe_key) = task.dedupe_key.clone() {
            let found =
                self.standing.value(&Key::Dedupe { task_type: task.task_type.clone(), key: dedupe_key }.encode())?;
            let leads_here = found.as_deref().and_then(super::enqueue::id_of) == Some(id);
            self.expect(key, leads_here, "its dedupe key does not lead to it");
        }
        let len = |value: Option<Value>| value.map(|value| value.len());
        let payload_len = len(self.standing.value(&Key::Payload { id }.encode())?);
        self.expect(key, payload_len == Some(task.payload_len as usize), "its payload has another length");
        let result_len = len(self.standing.value(&Key::Result { id }.encode())?);
        self.expect(key, result_len == task.result_len.map(|len| len as usize), "its result has another length");
        let is_of_the_past = task.token.is_none_or(|token| token.0 <= self.standing.snapshot.txn().0);
        self.expect(key, is_of_the_past, "its token is of a transaction to come");
        *self.counts.entry(task.task_type.clone()).or_default().get_mut(task.state) += 1;
        Ok(())
    }

    fn part(&mut self, key: &[u8], decoded: &Key, value: &[u8]) -> Result<()> {
        let (Key::Payload { id }
        | Key::Result { id }
        | Key::Blocker { id, .. }
        | Key::Dependent { id, .. }
        | Key::Event { id, .. }) = decoded
        else {
            return Ok(());
        };
        let is_current = self.current.as_ref().is_some_and(|(task, _, _)| task.id == *id);
        if !is_current {
            self.fault(key, "it belongs to no task");
            return Ok(());
        }
        match decoded {
            Key::Blocker { id, blocker } => {
                if let Some((_, blockers, _)) = &mut self.current {
                    *blockers += 1;
                }
                let other_end = self.has(&Key::Dependent { id: *blocker, dependent: *id })?;
                self.expect(key, other_end, "the other end of an edge is missing");
                self.edges.entry(*id).or_default().push(*blocker);
                let state = self.linked(*blocker, key)?.state;
                self.expect(key, state != State::Done, "it waits for a task that is done");
            }
            Key::Dependent { id, dependent } => {
                if let Some((_, _, dependents)) = &mut self.current {
                    *dependents += 1;
                }
                let other_end = self.has(&Key::Blocker { id: *dependent, blocker: *id })?;
                self.expect(key, other_end, "the other end of an edge is missing");
            }
            Key::Event { txn, .. } => {
                Event::decode(*txn, key, value)?;
                let is_of_the_past = *txn <= self.standing.snapshot.txn();
                self.expect(key, is_of_the_past, "an event of a transaction to come");
            }
            _ => {}
        }
        Ok(())
    }

    fn end_task(&mut self) {
        let Some((task, blockers, dependents)) = self.current.take() else { return };
        let key = Key::Record { id: task.id }.encode();
        self.expect(&key, task.blockers == blockers, "it counts other tasks that it waits for");
        self.expect(&key, task.dependents == dependents, "it counts other tasks that wait for it");
    }

    /// Takes away those that wait for nothing, again and again: what is left waits for itself.
    fn end_edges(&mut self) {
        let mut waiting: BTreeMap<TaskId, usize> = self.edges.iter().map(|(id, to)| (*id, to.len())).collect();
        let mut dependents: BTreeMap<TaskId, Vec<TaskId>> = BTreeMap::new();
        for (id, blockers) in &self.edges {
            blockers.iter().for_each(|blocker| dependents.entry(*blocker).or_default().push(*id));
        }
        let mut free: Vec<TaskId> = dependents.keys().filter(|id| !waiting.contains_key(id)).copied().collect();
        while let Some(id) = free.pop() {
            for dependent in dependents.remove(&id).unwrap_or_default() {
                if let Some(count) = waiting.get_mut(&dependent) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        waiting.remove(&dependent);
                        free.push(dependent);
                    }
                }
            }
        }
        if let Some(id) = waiting.into_keys().next() {
            self.fault(&Key::Record { id }.encode(), "it waits for itself, through others");
        }
    }

    fn end(&mut self) {
        self.end_edges();
        let key = Key::Header.encode();
        self.expect(&key, self.header.types as usize == self.stored.len(), "it counts other types");
        for (task_type, counts) in std::mem::take(&mut self.stored) {
            let counted = self.counts.remove(&task_type).unwrap_or_default();
            let key = Key::Type { task_type }.encode();
            self.expect(&key, counted == counts, "a type counts other tasks than there are");
        }
        for task_type in std::mem::take(&mut self.counts).into_keys() {
            self.fault(&Key::Type { task_type }.encode(), "a type of tasks is missing");
        }
    }
}
