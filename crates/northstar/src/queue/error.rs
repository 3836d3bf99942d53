//! Everything that can go wrong with a queue, and what the caller should do about it.

use std::io;
use std::sync::Arc;

use super::name::{TaskId, Token};
use super::task::State;
use crate::error::ErrorKind;

/// The result of an operation on a queue.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong with a queue. Nothing was changed then, unless it is a [`Store`](Error::Store) error of kind `Stop`: that
/// change may or may not survive.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database under the queue.
    #[error(transparent)]
    Store(#[from] crate::Error),
    /// There is no task of that id: it never was, or it was forgotten.
    #[error("there is no task {id}")]
    UnknownTask {
        /// The id.
        id: TaskId,
    },
    /// Who asks does not hold the task's lease any more: it expired and was taken back, or the task was cancelled. What was done under it
    /// is not to be trusted to be the only time that it was done.
    #[error("the lease with token {given} on task {id} is over: {}", match current {
        Some(current) => format!("it is leased with token {current} now"),
        None => format!("the task is {state}"),
    })]
    StaleToken {
        /// The task.
        id: TaskId,
        /// The token that was shown.
        given: Token,
        /// The token of the lease that is on the task now.
        current: Option<Token>,
        /// What the task is waiting for.
        state: State,
    },
    /// What is asked for cannot be done to a task that is as this one is.
    #[error("task {id} is {state}: it cannot be {action}")]
    WrongState {
        /// The task.
        id: TaskId,
        /// What it is.
        state: State,
        /// What was to be done, as a participle.
        action: &'static str,
    },
    /// A task would wait for itself.
    #[error("task {id} cannot wait for task {blocker}: that one waits for it, directly or through others")]
    Cycle {
        /// The task that is to wait.
        id: TaskId,
        /// The task that it is to wait for.
        blocker: TaskId,
    },
    /// An argument cannot be used.
    #[error("invalid {what}: {reason}")]
    Invalid {
        /// Which one.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// An argument over a limit.
    #[error("{what}: {len} are over the limit of {max}")]
    TooLarge {
        /// Which one, and its unit.
        what: &'static str,
        /// How much it is.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// What the tree holds is no queue, or was changed by something else.
    #[error("the queue is damaged at key {key}: {what}; run `ns verify` to see the extent")]
    Damaged {
        /// The key in hexadecimal digits.
        key: String,
        /// What does not fit.
        what: &'static str,
    },
    /// The socket of the queue's owner. If the owner died, it is not known whether the call was done: one that can be repeated should be.
    #[error("cannot {action} the socket of the queue's owner: {source}")]
    Connection {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The operating system's error.
        source: Arc<io::Error>,
    },
    /// The other end of the socket does not keep to the protocol.
    #[error("the other end of the queue's socket does not keep to the protocol: {what}")]
    Protocol {
        /// What came, or could not be sent.
        what: &'static str,
    },
    /// The owner of the queue met an error.
    #[error("{message}")]
    Remote {
        /// What to do about it.
        kind: ErrorKind,
        /// The error's text.
        message: String,
    },
    /// A newer version wrote the queue.
    #[error("the queue has format version {found}, this program reads up to {supported}: use a newer program")]
    NewerFormat {
        /// Its version.
        found: u8,
        /// The newest version that this program reads.
        supported: u8,
    },
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Remote { kind, .. } => *kind,
            Self::Connection { .. } => ErrorKind::Retry,
            Self::Protocol { .. } => ErrorKind::Stop,
            Self::Damaged { .. } => ErrorKind::Repair,
            Self::UnknownTask { .. }
            | Self::StaleToken { .. }
            | Self::WrongState { .. }
            | Self::Cycle { .. }
            | Self::Invalid { .. }
            | Self::TooLarge { .. }
            | Self::NewerFormat { .. } => ErrorKind::FixInput,
        }
    }

    pub(super) fn invalid(what: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid { what, reason: reason.into() }
    }

    pub(super) fn damaged(key: &[u8], what: &'static str) -> Self {
        Self::Damaged { key: key.iter().map(|byte| format!("{byte:02x}")).collect(), what }
    }

    /// An error for a `len` over `max`.
    pub(super) const fn check_len(what: &'static str, len: usize, max: usize) -> Result<()> {
        if len > max { Err(Self::TooLarge { what, len, max }) } else { Ok(()) }
    }
}
