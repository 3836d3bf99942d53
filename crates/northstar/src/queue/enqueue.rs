//! New tasks.

use std::collections::BTreeSet;

use super::edges::{closes_cycle, put_edge};
use super::error::{Error, Result};
use super::event::EventKind;
use super::key::Key;
use super::limits::{BLOCKERS_MAX, ENQUEUE_MAX, PAYLOAD_LEN_MAX, SPAN_US_MAX};
use super::name::{DedupeKey, TaskId, TaskType};
use super::queue::Queue;
use super::rows::Rows;
use super::source::Source;
use super::task::{State, Task, check_span};

/// From when on a task can be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunAt {
    /// From the start.
    #[default]
    Now,
    /// So many microseconds after it was enqueued; ten years at most.
    DelayUs(u64),
    /// From this time on, in microseconds since the Unix epoch.
    TimeUs(u64),
}

/// A task that another one waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Blocker {
    /// One that is in the queue.
    Task(TaskId),
    /// One that is enqueued by the same call, by its place in it, from 0.
    Batch(usize),
}

/// A task to be enqueued. Start from [`NewTask::new`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// Its type.
    pub task_type: TaskType,
    /// What it is to work on: the queue does not look at it.
    pub payload: Vec<u8>,
    /// The greater, the sooner. Default 0.
    pub priority: i8,
    /// From when on it can be claimed. Default: from the start.
    pub run_at: RunAt,
    /// Makes it the same as the task of its type that was enqueued with this key before and was not forgotten since, if there is one. Default: none.
    pub dedupe_key: Option<DedupeKey>,
    /// After how many attempts it is dead. Default: what its type says.
    pub attempts_max: Option<u32>,
    /// What must be done before it can be claimed. Default: nothing.
    pub blocked_by: Vec<Blocker>,
}

impl NewTask {
    /// A task that can be claimed from the start.
    #[must_use]
    pub fn new(task_type: TaskType, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            task_type,
            payload: payload.into(),
            priority: 0,
            run_at: RunAt::Now,
            dedupe_key: None,
            attempts_max: None,
            blocked_by: Vec::new(),
        }
    }

    fn check(&self, batch_len: usize) -> Result<()> {
        Error::check_len("bytes of payload", self.payload.len(), PAYLOAD_LEN_MAX)?;
        Error::check_len("tasks to wait for", self.blocked_by.len(), BLOCKERS_MAX)?;
        if self.attempts_max == Some(0) {
            return Err(Error::invalid("attempts", "a task needs at least one"));
        }
        if let RunAt::DelayUs(delay_us) = self.run_at {
            check_span("delay", delay_us, 0)?;
        }
        let outside = |blocker: &&Blocker| matches!(blocker, Blocker::Batch(place) if *place >= batch_len);
        match self.blocked_by.iter().find(outside) {
            Some(Blocker::Batch(place)) => {
                Err(Error::invalid("blocker", format!("there is no task {place} among the {batch_len} of this call")))
            }
            _ => Ok(()),
        }
    }

    fn run_at_us(&self, now_us: u64) -> u64 {
        match self.run_at {
            RunAt::Now => now_us,
            RunAt::DelayUs(delay_us) => now_us.saturating_add(delay_us.min(SPAN_US_MAX)),
            RunAt::TimeUs(time_us) => time_us,
        }
    }
}

/// What became of a [`NewTask`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Enqueued {
    /// Its id.
    pub id: TaskId,
    /// False if it was there already, by its dedupe key. Then nothing of it was changed.
    pub is_new: bool,
}

impl Queue {
    /// Adds a task, unless it is there already by its dedupe key: so a call can be repeated when it is not known whether it succeeded.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Invalid`]; [`Error::UnknownTask`] and [`Error::Cycle`] for what it is to wait for.
    pub fn enqueue(&self, task: &NewTask) -> Result<Enqueued> {
        let added = self.enqueue_many(std::slice::from_ref(task))?;
        added.first().copied().ok_or_else(|| Error::invalid("task", "it was not enqueued"))
    }

    /// Adds all tasks, or none. The answers are in the order of the tasks.
    ///
    /// # Errors
    /// As for [`enqueue`](Self::enqueue).
    pub fn enqueue_many(&self, tasks: &[NewTask]) -> Result<Vec<Enqueued>> {
        Error::check_len("tasks to enqueue", tasks.len(), ENQUEUE_MAX)?;
        tasks.iter().try_for_each(|task| task.check(tasks.len()))?;
        self.write(|rows| {
            let first = rows.upcoming_id();
            let mut added = Vec::with_capacity(tasks.len());
            for task in tasks {
                let enqueued = name(rows, task)?;
                if !enqueued.is_new {
                    rows.rely_on_the_past();
                }
                added.push(enqueued);
            }
            let mut edges = Vec::with_capacity(tasks.len());
            for (task, enqueued) in tasks.iter().zip(&added) {
                let blockers = if enqueued.is_new { unfinished(rows, task, &added, first)? } else { BTreeSet::new() };
                if enqueued.is_new {
                    create(rows, enqueued.id, task, blockers.len() as u32)?;
                }
                edges.push(blockers);
            }
            for (enqueued, blockers) in added.iter().zip(&edges) {
                for blocker in blockers {
                    put_edge(rows, enqueued.id, &mut rows.task(*blocker)?)?;
                }
            }
            // What is older cannot wait for a new task, so every circle has an edge to a task that is not.
            for (enqueued, blockers) in added.iter().zip(&edges) {
                for blocker in blockers.range(enqueued.id..) {
                    if closes_cycle(rows, enqueued.id, *blocker)? {
                        return Err(Error::Cycle { id: enqueued.id, blocker: *blocker });
                    }
                }
            }
            Ok(added)
        })
    }
}

/// Gives a task its id, or finds that of the task that it is the same as.
fn name(rows: &mut Rows<'_, '_>, task: &NewTask) -> Result<Enqueued> {
    let Some(key) = task.dedupe_key.clone() else { return Ok(Enqueued { id: rows.next_id(), is_new: true }) };
    let key = Key::Dedupe { task_type: task.task_type.clone(), key };
    let encoded = key.encode();
    if let Some(found) = rows.value(&encoded)? {
        let id = id_of(&found).ok_or_else(|| Error::damaged(&encoded, "a dedupe key leads to no id"))?;
        return Ok(Enqueued { id, is_new: false });
    }
    let id = rows.next_id();
    rows.put(&key, &id.0.to_le_bytes())?;
    Ok(Enqueued { id, is_new: true })
}

/// The id that a dedupe key leads to.
pub(super) fn id_of(value: &[u8]) -> Option<TaskId> {
    value.try_into().ok().map(|id| TaskId(u64::from_le_bytes(id))).filter(|id| id.0 > 0)
}

/// What a new task has to wait for. Those of the same call, which begin with `first`, are not done, whether they are stored yet or not.
fn unfinished(rows: &Rows<'_, '_>, task: &NewTask, added: &[Enqueued], first: TaskId) -> Result<BTreeSet<TaskId>> {
    let mut blockers = BTreeSet::new();
    for blocker in &task.blocked_by {
        let id = match blocker {
            Blocker::Task(id) => *id,
            Blocker::Batch(place) => match added.get(*place) {
                Some(enqueued) => enqueued.id,
                None => return Err(Error::invalid("blocker", "it is not among the tasks of this call")),
            },
        };
        let is_new = (first..rows.upcoming_id()).contains(&id);
        if is_new || rows.task(id)?.state != State::Done {
            blockers.insert(id);
        }
    }
    Ok(blockers)
}

fn create(rows: &mut Rows<'_, '_>, id: TaskId, new: &NewTask, blockers: u32) -> Result<()> {
    let now_us = rows.now_us();
    let settings = rows.type_mut(&new.task_type)?.settings;
    let mut task = Task {
        id,
        task_type: new.task_type.clone(),
        state: if blockers == 0 { State::Ready } else { State::Blocked },
        priority: new.priority,
        run_at_us: new.run_at_us(now_us),
        created_us: now_us,
        changed_us: now_us,
        attempts: 0,
        attempts_max: new.attempts_max.unwrap_or(settings.attempts_max),
        token: None,
        expires_us: None,
        blockers,
        dependents: 0,
        payload_len: new.payload.len() as u32,
        result_len: None,
        dedupe_key: new.dedupe_key.clone(),
        agent: None,
        last_error: None,
    };
    rows.put(&Key::Payload { id }, &new.payload)?;
    rows.store(None, &mut task)?;
    rows.note(&task, EventKind::Enqueued, None)
}
