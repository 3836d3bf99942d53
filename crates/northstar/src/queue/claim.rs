//! Claiming: leases, and what becomes of them when they expire.

use std::time::Duration;

use super::error::{Error, Result};
use super::event::EventKind;
use super::key;
use super::limits::{AGENT_LEN_MAX, CLAIM_LEN_MAX, CLAIM_MAX, CLAIM_TYPES_MAX, RECLAIM_BATCH};
use super::name::{TaskId, TaskType, Token};
use super::queue::Queue;
use super::rows::Rows;
use super::source::{self, Head};
use super::task::{State, Task, TypeSettings, check_span};

/// What is to be claimed. Start from [`Claim::new`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Of which types: 1 to [`CLAIM_TYPES_MAX`]. The order does not matter: priority and time decide.
    pub types: Vec<TaskType>,
    /// How many at most: 1 to [`CLAIM_MAX`]. There may be fewer also when there are more, if their payloads are long.
    pub count: usize,
    /// Who claims, for people who look at the queue. Default: nobody says.
    pub agent: Option<String>,
    /// How long the lease lasts, in microseconds. Default: what the type says.
    pub lease_us: Option<u64>,
}

impl Claim {
    /// Up to `count` tasks of some types.
    #[must_use]
    pub fn new(types: impl IntoIterator<Item = TaskType>, count: usize) -> Self {
        Self { types: types.into_iter().collect(), count, agent: None, lease_us: None }
    }

    fn check(&self) -> Result<()> {
        if self.types.is_empty() {
            return Err(Error::invalid("claim", "it names no type"));
        }
        Error::check_len("types of a claim", self.types.len(), CLAIM_TYPES_MAX)?;
        if self.count == 0 {
            return Err(Error::invalid("claim", "it is for no task"));
        }
        Error::check_len("tasks of a claim", self.count, CLAIM_MAX)?;
        Error::check_len("bytes of an agent's name", self.agent.as_ref().map_or(0, String::len), AGENT_LEN_MAX)?;
        check_span("lease", self.lease_us.unwrap_or(1), 1)
    }
}

/// A task that was claimed: whoever has the token holds the lease, until [`Task::expires_us`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The task.
    pub task: Task,
    /// What to show with everything that is done under the lease.
    pub token: Token,
    /// What to work on.
    pub payload: Vec<u8>,
}

/// What a claim found.
struct Found {
    claimed: Vec<Claimed>,
    /// When there may be something if there is nothing.
    next_us: Option<u64>,
}

/// A type that a claim takes from.
struct Lane<'a> {
    task_type: &'a TaskType,
    settings: TypeSettings,
    head: Option<Head>,
}

impl Queue {
    /// Leases up to `count` tasks, those of greater priority first, then those whose time came first. Leases of the same types that have
    /// expired are taken back before. Nothing that waits is looked at, so the cost does not depend on how many tasks there are.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::TooLarge`].
    pub fn claim(&self, claim: &Claim) -> Result<Vec<Claimed>> {
        claim.check()?;
        Ok(self.write(|rows| take(rows, claim))?.claimed)
    }

    /// As [`claim`](Self::claim), and waits up to `timeout` until there is something: until a task is enqueued or freed, its time comes, or
    /// a lease expires. Empty when the time is over, or [`stop_waiting`](Self::stop_waiting) was called.
    ///
    /// # Errors
    /// As for [`claim`](Self::claim).
    pub fn claim_wait(&self, claim: &Claim, timeout: Duration) -> Result<Vec<Claimed>> {
        claim.check()?;
        let vfs = self.inner.db.vfs();
        let start = vfs.monotonic();
        let ticket = self.inner.bell.register(&claim.types);
        let mut is_last = false;
        loop {
            let found = self.write(|rows| take(rows, claim))?;
            if !found.claimed.is_empty() || is_last || self.inner.bell.is_closed() {
                return Ok(found.claimed);
            }
            let left = timeout.saturating_sub(vfs.monotonic().saturating_sub(start));
            let now_us = self.now_us();
            let until_us = found.next_us.unwrap_or(u64::MAX);
            // A microsecond more: half of one would be none, and then the time would not have come.
            let pause = Duration::from_micros(until_us.saturating_sub(now_us).saturating_add(1));
            let was_called = ticket.wait(until_us, pause.min(left));
            is_last = !was_called && left <= pause;
        }
    }

    /// Lets the lease on a task last from now on as long as said, or as its type says. Returns when it expires.
    ///
    /// # Errors
    /// [`Error::StaleToken`], [`Error::UnknownTask`], [`Error::Invalid`].
    pub fn heartbeat(&self, id: TaskId, token: Token, lease_us: Option<u64>) -> Result<u64> {
        check_span("lease", lease_us.unwrap_or(1), 1)?;
        self.write(|rows| {
            let before = held(rows, id, token)?;
            let settings = rows.find_type(&before.task_type)?.unwrap_or_default().settings;
            let expires_us = rows.now_us().saturating_add(lease_us.unwrap_or(settings.lease_us));
            let mut after = before.clone();
            after.expires_us = Some(expires_us);
            rows.store(Some(&before), &mut after)?;
            Ok(expires_us)
        })
    }
}

/// A task whose newest lease is the one of this token.
pub(super) fn held(rows: &Rows<'_, '_>, id: TaskId, token: Token) -> Result<Task> {
    let task = rows.task(id)?;
    let current = task.token.filter(|_| task.state == State::Leased);
    if current != Some(token) {
        return Err(Error::StaleToken { id, given: token, current, state: task.state });
    }
    Ok(task)
}

fn take(rows: &mut Rows<'_, '_>, claim: &Claim) -> Result<Found> {
    let now_us = rows.now_us();
    let mut lanes: Vec<Lane<'_>> = Vec::with_capacity(claim.types.len());
    for task_type in &claim.types {
        let is_new = lanes.iter().all(|lane| lane.task_type != task_type);
        if let Some(status) = rows.find_type(task_type)?.filter(|status| is_new && !status.is_paused) {
            reclaim(rows, task_type)?;
            let head = source::look_ahead(rows, task_type, 0, now_us)?.head;
            lanes.push(Lane { task_type, settings: status.settings, head });
        }
    }
    let mut claimed = Vec::new();
    let mut len = 0;
    while claimed.len() < claim.count {
        let first = lanes.iter_mut().filter_map(|lane| Some((lane.head?, lane))).min_by_key(|(head, _)| *head);
        let Some((head, lane)) = first else { break };
        let task = source::task(rows, head.id)?.filter(|task| task.state == State::Ready);
        let task = task.ok_or_else(|| Error::damaged(&key::ready(lane.task_type), "it leads to no ready task"))?;
        len += task.payload_len as usize;
        if len > CLAIM_LEN_MAX && !claimed.is_empty() {
            break;
        }
        claimed.push(lease(rows, &task, claim, lane.settings)?);
        lane.head = source::look_ahead(rows, lane.task_type, head.rank, now_us)?.head;
    }
    let next_us = if claimed.is_empty() { next_chance(rows, &lanes)? } else { None };
    Ok(Found { claimed, next_us })
}

fn lease(rows: &mut Rows<'_, '_>, task: &Task, claim: &Claim, settings: TypeSettings) -> Result<Claimed> {
    let token = rows.token();
    let mut leased = task.clone();
    leased.state = State::Leased;
    leased.attempts = leased.attempts.saturating_add(1);
    leased.token = Some(token);
    leased.expires_us = Some(rows.now_us().saturating_add(claim.lease_us.unwrap_or(settings.lease_us)));
    leased.agent = claim.agent.as_deref().filter(|agent| !agent.is_empty()).map(Into::into);
    rows.store(Some(task), &mut leased)?;
    rows.note(&leased, EventKind::Claimed, leased.agent.as_deref())?;
    let payload = source::payload(rows, task.id)?;
    Ok(Claimed { task: leased, token, payload: payload.into() })
}

/// Takes back the expired leases of a type: until none is left, or so many tasks can be claimed again that no claim asks for more.
fn reclaim(rows: &mut Rows<'_, '_>, task_type: &TaskType) -> Result<()> {
    let now_us = rows.now_us();
    let prefix = key::leased(task_type);
    let mut freed = 0;
    while freed < CLAIM_MAX {
        let expired = source::expired_leases(rows, task_type, now_us, RECLAIM_BATCH)?;
        for id in &expired {
            let before = source::linked_task(rows, *id, &prefix)?;
            let (kind, reason) = (EventKind::Expired, "the lease expired");
            let end = End { kind, reason, run_at_us: before.run_at_us, is_final: false };
            let after = end_attempt(rows, &before, end)?;
            freed += usize::from(after.state == State::Ready);
        }
        if expired.len() < RECLAIM_BATCH {
            break;
        }
    }
    Ok(())
}

/// How an attempt ends that was none of success.
#[derive(Debug, Clone, Copy)]
pub(super) struct End<'a> {
    pub(super) kind: EventKind,
    pub(super) reason: &'a str,
    /// From when on there can be another attempt.
    pub(super) run_at_us: u64,
    /// There shall be none.
    pub(super) is_final: bool,
}

/// Ends the lease of a task that is not done: it can be claimed again, or is dead if it was tried often enough.
pub(super) fn end_attempt(rows: &mut Rows<'_, '_>, before: &Task, end: End<'_>) -> Result<Task> {
    let reason = Some(super::rows::shortened(end.reason)).filter(|reason| !reason.is_empty());
    let mut after = before.clone();
    let is_over = end.is_final || after.attempts >= after.attempts_max;
    after.state = if is_over { State::Dead } else { State::Ready };
    after.run_at_us = end.run_at_us;
    after.expires_us = None;
    after.last_error = reason.map(Into::into);
    rows.store(Some(before), &mut after)?;
    rows.note(&after, end.kind, reason)?;
    Ok(after)
}

/// When the next task of some types can be claimed, or the next lease on one expires.
fn next_chance(rows: &Rows<'_, '_>, lanes: &[Lane<'_>]) -> Result<Option<u64>> {
    let mut next_us: Option<u64> = None;
    for lane in lanes {
        let run_at_us = source::look_ahead(rows, lane.task_type, 0, rows.now_us())?.next_us;
        let expires_us = source::first_lease(rows, lane.task_type)?.map(|(expires_us, _)| expires_us);
        next_us = [next_us, run_at_us, expires_us].into_iter().flatten().min();
    }
    Ok(next_us)
}
