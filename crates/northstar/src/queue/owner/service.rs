//! A request becomes a call to the queue.

use std::time::Duration;

use super::wire::{Request, Response, WireBlocker, WireClaimed, WireRunAt, WireTask};
use crate::queue::claim::Claim;
use crate::queue::enqueue::{Blocker, NewTask, RunAt};
use crate::queue::error::{Error, Result};
use crate::queue::finish::{Completed, Failed, Failure};
use crate::queue::name::{DedupeKey, TaskId, TaskType, Token};
use crate::queue::queue::Queue;
use crate::queue::task::{State, TypeSettings};

/// The longest that one request waits for work. A client that wants to wait longer asks again.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(60);

pub(super) fn serve(queue: &Queue, request: Request) -> Response {
    answer(queue, request).unwrap_or_else(|error| Response::Refused(error.into()))
}

fn new_task(task: WireTask) -> Result<NewTask> {
    Ok(NewTask {
        task_type: TaskType::new(&task.task_type)?,
        payload: task.payload,
        priority: task.priority,
        run_at: match task.run_at {
            WireRunAt::Now => RunAt::Now,
            WireRunAt::DelayUs(delay_us) => RunAt::DelayUs(delay_us),
            WireRunAt::TimeUs(time_us) => RunAt::TimeUs(time_us),
        },
        dedupe_key: task.dedupe_key.as_deref().map(DedupeKey::new).transpose()?,
        attempts_max: task.attempts_max,
        blocked_by: task
            .blocked_by
            .into_iter()
            .map(|blocker| match blocker {
                WireBlocker::Task(id) => Blocker::Task(TaskId(id)),
                WireBlocker::Batch(place) => Blocker::Batch(place as usize),
            })
            .collect(),
    })
}

pub(super) fn wire_task(task: &NewTask) -> WireTask {
    WireTask {
        task_type: task.task_type.as_str().to_owned(),
        payload: task.payload.clone(),
        priority: task.priority,
        run_at: match task.run_at {
            RunAt::Now => WireRunAt::Now,
            RunAt::DelayUs(delay_us) => WireRunAt::DelayUs(delay_us),
            RunAt::TimeUs(time_us) => WireRunAt::TimeUs(time_us),
        },
        dedupe_key: task.dedupe_key.as_ref().map(|key| key.as_str().to_owned()),
        attempts_max: task.attempts_max,
        blocked_by: task
            .blocked_by
            .iter()
            .map(|blocker| match blocker {
                Blocker::Task(id) => WireBlocker::Task(id.0),
                // One that does not fit is outside of every call.
                Blocker::Batch(place) => WireBlocker::Batch(u32::try_from(*place).unwrap_or(u32::MAX)),
            })
            .collect(),
    }
}

fn ids(numbers: &[u64]) -> Vec<TaskId> {
    numbers.iter().copied().map(TaskId).collect()
}

fn answer(queue: &Queue, request: Request) -> Result<Response> {
    Ok(match request {
        Request::Enqueue(tasks) => {
            let tasks = tasks.into_iter().map(new_task).collect::<Result<Vec<_>>>()?;
            let added = queue.enqueue_many(&tasks)?;
            Response::Enqueued(added.into_iter().map(|enqueued| (enqueued.id.0, enqueued.is_new)).collect())
        }
        Request::Claim { types, count, agent, lease_us, wait_us } => {
            let types = types.iter().map(|name| TaskType::new(name)).collect::<Result<Vec<_>>>()?;
            let claim = Claim { types, count: count as usize, agent, lease_us };
            let claimed = match Duration::from_micros(wait_us).min(WAIT_MAX) {
                Duration::ZERO => queue.claim(&claim)?,
                timeout => queue.claim_wait(&claim, timeout)?,
            };
            let wire = claimed.into_iter().map(|claimed| WireClaimed {
                id: claimed.task.id.0,
                record: claimed.task.encode(),
                payload: claimed.payload,
            });
            Response::Claimed(wire.collect())
        }
        Request::Heartbeat { id, token, lease_us } => {
            Response::Expires(queue.heartbeat(TaskId(id), Token(token), lease_us)?)
        }
        Request::Complete { id, token, result } => {
            Response::Completed(queue.complete(TaskId(id), Token(token), &result)? == Completed::Now)
        }
        Request::Fail { id, token, reason, retry_us, is_final } => {
            match queue.fail(TaskId(id), Token(token), &Failure { reason, retry_us, is_final })? {
                Failed::Retry { run_at_us } => Response::Failed(Some(run_at_us)),
                Failed::Dead => Response::Failed(None),
            }
        }
        Request::Cancel { id } => done(queue.cancel(TaskId(id)))?,
        Request::Requeue { id } => done(queue.requeue(TaskId(id)))?,
        Request::Block { id, blockers } => done(queue.block(TaskId(id), &ids(&blockers)))?,
        Request::Unblock { id, blockers } => done(queue.unblock(TaskId(id), &ids(&blockers)))?,
        Request::Pause { task_type } => done(queue.pause(&TaskType::new(&task_type)?))?,
        Request::Resume { task_type } => done(queue.resume(&TaskType::new(&task_type)?))?,
        Request::Configure { task_type, lease_us, attempts_max, backoff_us, backoff_us_max } => {
            let settings = TypeSettings { lease_us, attempts_max, backoff_us, backoff_us_max };
            done(queue.configure(&TaskType::new(&task_type)?, settings))?
        }
        Request::Forget { task_type, state, before_us, max } => {
            let state = State::decode(state).ok_or_else(|| Error::invalid("state", "there is none of that number"))?;
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            Response::Forgotten(queue.forget(&TaskType::new(&task_type)?, state, before_us, max)? as u64)
        }
    })
}

fn done(outcome: Result<()>) -> Result<Response> {
    outcome.map(|()| Response::Done)
}
