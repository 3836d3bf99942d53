//! tl-journal: checkpoints of a working directory.
//!
//! Begin with [`Repository::open`]. [`Repository::update`] makes a checkpoint of what changed, [`Repository::reconcile`] looks at everything, [`Journal`] answers
//! questions, [`names::resolve`] turns what people type into a [`Checkpoint`].
//!
//! The store's disk, the clock and randomness come in through the crate `vfs`; the working directory is the real filesystem. Nothing here looks at the
//! environment or the terminal, listens to events or talks to other processes.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable)
)]

mod checkpoint;
mod collect;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod journal;
mod lease;
pub mod names;
mod path_history;
mod purge;
mod repair;
mod repository;
mod reserve;
mod restore;
mod retention;
mod update;
mod wire;
mod workdir;

pub use checkpoint::{
    ChangeStats, Checkpoint, CheckpointId, Completeness, Draft, Gap, GapCause, InvalidId, InvalidRecord, LISTED_MAX,
    MESSAGE_LEN_MAX, NAME_LEN_MAX, PARENTS_MAX, Provenance, Reason, Touched,
};
pub use collect::{CollectReport, CollectRequest};
pub use error::{Error, ErrorKind, Result};
pub use index::{IndexFinding, IndexProblem};
pub use journal::{Ancestors, Append, Ids, Journal, Order, PIN_NAME_LEN_MAX, Pin, Publication, Walk};
pub use lease::Lease;
pub use path_history::{Candidates, PathHistory, PathHistoryReport};
pub use purge::{PurgeReport, PurgedContent, SharedContent};
pub use repair::{LostObject, RepairReport};
pub use repository::{Repository, RepositoryConfig, StartReport};
pub use restore::{
    Action, Folding, PlannedChange, Present, Receipt, Recovered, Recovery, Refusal, Refused, Resolve, RestoreCounts,
    RestoreOptions, RestorePlan, RestoreReport, RestoreRequest, Selection, Step, Swap, UNDO_DEPTH_MAX, Watch,
    unwatched,
};
pub use retention::{EvictReason, Eviction, KeepReason, RetentionPlan, RetentionPolicy};
pub use update::{Dirty, Ignored, Outcome, UpdateRequest};

/// Leaves out the mark of index entries that go ahead of their checkpoint, or no longer, for the test that must notice it.
#[cfg(feature = "mutation")]
#[doc(hidden)]
pub fn leave_out_ahead_mark(leave_out: bool) {
    index::leave_out_ahead_mark(leave_out);
}
