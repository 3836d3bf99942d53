//! A durable queue of tasks, through which agents on one machine share work.
//!
//! A [`Queue`] lives in a tree of a [`Database`](crate::Database). Each call is one transaction: it happens as a whole or not at all, and is on the disk when it returns.
//!
//! - [`Queue::enqueue`] adds tasks: with priority, delay, dedupe key, and other tasks to wait for.
//! - [`Queue::claim`] leases those that can be claimed, by priority and time; [`Queue::claim_wait`] waits for one.
//! - A lease has a [`Token`]: [`Queue::heartbeat`], [`Queue::complete`] and [`Queue::fail`] want to see it, and whoever comes too late is told [`Error::StaleToken`].
//! - A task that fails, or whose lease expires, is tried again after a rest that doubles, until it is a dead letter.
//! - [`Shared`] is a queue for several processes: one of them owns it and serves the others.
//! - [`Queue::view`] and [`Queue::as_of`] show the queue as it is and as it was, with the history of each task.
//!
//! What may stand here: the meaning of the entries in the queue's tree, which `docs/format/northstar-queue.md` specifies. Nothing here touches pages, the log or the disk; those
//! are the database's.
//!
//! ## What it promises
//!
//! - No task has two leases at a time, also across crashes. A lease that was acknowledged is there after a crash. A lease ends when its holder ends it, when the task is
//!   cancelled, or when it has expired and a claim takes it back: from then on its token is stale for ever.
//! - A task that was enqueued is done, dead or cancelled one day as long as somebody claims; none is lost.
//! - Work is done at least once. That it is done only once is for the worker to see to, with the token.

mod bell;
mod care;
mod claim;
mod clock;
mod edges;
mod enqueue;
mod error;
mod event;
mod feed;
mod finish;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod key;
mod limits;
mod name;
mod owner;
#[expect(clippy::module_inception, reason = "the handle is what the module is named after")]
mod queue;
mod rows;
mod source;
mod task;
mod verify;
mod view;

pub use claim::{Claim, Claimed};
pub use enqueue::{Blocker, Enqueued, NewTask, RunAt};
pub use error::{Error, Result};
pub use event::{Event, EventKind};
pub use feed::{PendingChange, TaskDifference};
pub use finish::{Completed, Failed, Failure};
pub use limits::{
    AGENT_LEN_MAX, BLOCKERS_MAX, CLAIM_LEN_MAX, CLAIM_MAX, CLAIM_TYPES_MAX, CYCLE_WALK_MAX, DEDUPE_KEY_LEN_MAX,
    DEPENDENTS_MAX, ENQUEUE_MAX, PAYLOAD_LEN_MAX, REASON_LEN_MAX, RESULT_LEN_MAX, SPAN_US_MAX, TYPE_LEN_MAX, TYPES_MAX,
};
pub use name::{DedupeKey, TaskId, TaskType, Token};
pub use owner::Shared;
pub use queue::{Queue, TREE_NAME};
pub use task::{Counts, State, Task, TypeSettings, TypeStatus};
pub use verify::Fault;
pub use view::{Filter, List, View};
