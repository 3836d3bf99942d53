//! granite: a durable embedded LSM key-value engine.
//!
//! Begin with [`Db::open`], take a [`Keyspace`] from it, and write to it directly or through a [`WriteBatch`] that spans several.
//! [`Snapshot`] keeps a moment readable, [`Iter`] walks in both directions, [`Options`] and [`KeyspaceOptions`] say what may be chosen,
//! [`Error::kind`] what to do when something goes wrong.
//!
//! The disk, the clock and randomness come in through the crate `vfs`; nothing here looks at the environment or the terminal, and nothing
//! knows an async runtime.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable)
)]

mod batch;
mod cache;
mod checksum;
mod coding;
mod commit;
mod compaction;
mod cursor;
mod db;
mod directory;
mod error;
mod flush;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod handles;
pub mod inspect;
mod install;
mod iter;
mod jobs;
mod key;
mod keyspace;
mod log;
mod manifest;
mod memtable;
mod open;
mod ops;
mod options;
mod range_tombstone;
mod snapshot;
mod stats;
mod sweep;
mod table;
mod tree;
pub mod typed;

pub use batch::{Committed, MAX_BATCH_LEN, WriteBatch};
pub use db::Db;
pub use error::{Error, ErrorKind, Result};
pub use iter::Iter;
pub use key::{MAX_KEY_LEN, MAX_VALUE_LEN, Seq};
pub use keyspace::Keyspace;
pub use log::replay::LostLog;
pub use open::Recovery;
pub use ops::{
    CheckpointReport, EraseReport, Finding, IngestReport, LostRange, LostValue, RepairReport, VerifyReport, repair,
    verify,
};
pub use options::{
    Background, CompactionPolicy, Durability, KeyLayout, KeyspaceOptions, MIN_MEMORY_BUDGET, Options, RecoveryMode,
};
pub use snapshot::Snapshot;
pub use stats::{DbStats, KeyspaceStats, LatencySummary, LevelStats};
pub use sweep::SweepReport;
pub use table::{Codec, FilterPolicy};

/// Leaves out one comparison of a checksum, for the test that must notice it.
#[cfg(feature = "mutation")]
#[doc(hidden)]
pub fn leave_out_checksum(site: u8) {
    checksum::leave_out(site);
}
