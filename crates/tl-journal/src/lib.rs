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
mod error;
mod index;
mod journal;
pub mod names;
mod repository;
mod update;
mod wire;
mod workdir;

pub use checkpoint::{
    ChangeStats, Checkpoint, CheckpointId, Completeness, Draft, Gap, GapCause, InvalidId, InvalidRecord, LISTED_MAX,
    MESSAGE_LEN_MAX, NAME_LEN_MAX, PARENTS_MAX, Provenance, Reason, Touched,
};
pub use error::{Error, ErrorKind, Result};
pub use index::{IndexFinding, IndexProblem};
pub use journal::{Ancestors, Append, Ids, Journal, Order, PIN_NAME_LEN_MAX, Pin, Publication, Walk};
pub use repository::{Repository, RepositoryConfig, StartReport};
pub use update::{Dirty, Ignored, Outcome, UpdateRequest};
