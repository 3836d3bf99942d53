//! Why a request was not carried out.

use serde::{Deserialize, Serialize};

/// What kind of thing went wrong: programs choose their exit code by it, never by the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FailureKind {
    /// Something that was named is not there: a checkpoint, an object, a pin, a path.
    NotFound,
    /// A name means several things.
    Ambiguous,
    /// The request itself is wrong and will never succeed as it is.
    Invalid,
    /// Something of which there is one at a time is under way; try again later.
    Busy,
    /// The operation failed for now; the same request can succeed later.
    Retry,
    /// The disk is full, or the store's budget is used up.
    Full,
    /// The system refused access.
    Denied,
    /// The store is damaged: verify and repair.
    Damaged,
    /// What was asked for was purged.
    Purged,
    /// A newer program wrote the store.
    Newer,
    /// The working directory is not there.
    RootGone,
    /// The daemon is about to end, or its store can no longer be used: connect again.
    Stopping,
    /// This daemon cannot do it.
    Unsupported,
    /// The daemon broke a rule of its own.
    Internal,
}

/// A refusal or failure, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind.
    pub kind: FailureKind,
    /// What happened and why, without a full stop.
    pub message: String,
    /// What to do next, if that is known.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
