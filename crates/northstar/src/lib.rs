//! An embedded ordered store in a single file: a copy-on-write B+tree with snapshots that never block, durable commits that cost one append
//! and one sync, and states of the past that can be opened again.
//!
//! - [`Database`] opens a file, takes [`Snapshot`]s, begins the [`WriteTxn`], and goes back in time ([`Database::as_of`]).
//! - Entries live in [`Tree`]s: [`Tree::DEFAULT`], and others with names. A transaction covers all of them.
//! - [`Cursor`] and [`Scan`] walk in the order of keys, both ways.
//! - [`Reader`] reads live what another process writes.
//! - [`Watch`] is the stream of commits; [`Snapshot::changes_since`] the difference of two states.
//! - [`queue::Queue`] is a durable queue of tasks in a tree.
//!
//! The disk, the clock and randomness come in through the crate `vfs`; nothing here looks at the environment or the terminal, and nothing
//! knows an async runtime.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable)
)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
pub mod cartridge;
mod checksum;
mod coding;
mod commit;
mod db;
mod error;
mod id;
mod log;
mod node;
mod options;
mod page;
pub mod queue;
mod shared;
mod store;
mod tree;

pub use db::{
    At, Backup, Change, Commit, Compaction, Cursor, Database, Entry, Fault, Pin, Reader, RetainedState, Savepoint,
    Scan, Snapshot, Stats, Tree, TreeStats, Verification, Watch, WriteTxn,
};
/// A door for the test that leaves out checksums. Not for programs.
#[cfg(feature = "mutation")]
pub mod mutation {
    /// Leaves out the comparison of this number, from 1 to 5, in the whole process; 0 leaves out none.
    pub fn leave_out_checksum(site: u8) {
        crate::checksum::leave_out(site);
    }
}

pub use error::{Error, ErrorKind, Result};
pub use id::{CommitTime, TxnId};
pub use options::{Background, Durability, LongReader, LongReaderCallback, MIN_MEMORY_BUDGET, Options, Retention};
pub use tree::{Difference, Value};
