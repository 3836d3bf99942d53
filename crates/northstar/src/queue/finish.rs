//! How a lease ends when its holder ends it.

use super::claim::{End, end_attempt, held};
use super::edges::free_dependents;
use super::error::{Error, Result};
use super::event::EventKind;
use super::key::Key;
use super::limits::RESULT_LEN_MAX;
use super::name::{TaskId, Token};
use super::queue::Queue;
use super::task::{State, check_span};

/// What became of a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Completed {
    /// The task is done.
    Now,
    /// It was done under the same lease before: the result of then stays.
    Before,
}

/// How a task failed. Start from [`Failure::new`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failure {
    /// Why. What is longer than 4096 bytes is cut.
    pub reason: String,
    /// After how many microseconds it can be tried again. Default: what its type says for that many attempts.
    pub retry_us: Option<u64>,
    /// True if there is no use in trying again: it is a dead letter at once.
    pub is_final: bool,
}

impl Failure {
    /// A failure after which the task can be tried again.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), retry_us: None, is_final: false }
    }
}

/// What became of a task that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failed {
    /// It can be claimed again.
    Retry {
        /// From when on, in microseconds since the Unix epoch.
        run_at_us: u64,
    },
    /// It is a dead letter.
    Dead,
}

impl Queue {
    /// Ends a task with a result, and frees those that wait for it. A call can be repeated when it is not known whether it succeeded.
    ///
    /// A lease that has expired and was not taken back yet is as good as one that has not: nobody else has the task.
    ///
    /// # Errors
    /// [`Error::StaleToken`] if the lease is over, [`Error::UnknownTask`], [`Error::TooLarge`].
    pub fn complete(&self, id: TaskId, token: Token, result: &[u8]) -> Result<Completed> {
        Error::check_len("bytes of result", result.len(), RESULT_LEN_MAX)?;
        self.write(|rows| {
            let task = rows.task(id)?;
            if task.state == State::Done && task.token == Some(token) {
                rows.rely_on_the_past();
                return Ok(Completed::Before);
            }
            let before = held(rows, id, token)?;
            free_dependents(rows, id)?;
            let mut after = before.clone();
            after.state = State::Done;
            after.expires_us = None;
            after.dependents = 0;
            after.result_len = Some(result.len() as u32);
            rows.put(&Key::Result { id }, result)?;
            rows.store(Some(&before), &mut after)?;
            rows.note(&after, EventKind::Completed, None)?;
            Ok(Completed::Now)
        })
    }

    /// Ends a lease without success. The task rests and can be claimed again, or is a dead letter if it was tried often enough.
    ///
    /// # Errors
    /// [`Error::StaleToken`] if the lease is over, [`Error::UnknownTask`], [`Error::Invalid`].
    pub fn fail(&self, id: TaskId, token: Token, failure: &Failure) -> Result<Failed> {
        check_span("time until the next attempt", failure.retry_us.unwrap_or(0), 0)?;
        self.write(|rows| {
            let before = held(rows, id, token)?;
            let settings = rows.find_type(&before.task_type)?.unwrap_or_default().settings;
            let rest_us = failure.retry_us.unwrap_or_else(|| settings.rest_us(before.attempts));
            let run_at_us = rows.now_us().saturating_add(rest_us);
            let end = End { kind: EventKind::Failed, reason: &failure.reason, run_at_us, is_final: failure.is_final };
            let after = end_attempt(rows, &before, end)?;
            Ok(if after.state == State::Dead { Failed::Dead } else { Failed::Retry { run_at_us } })
        })
    }
}
