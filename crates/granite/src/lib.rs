//! granite: a durable embedded LSM key-value engine.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable)
)]

mod coding;
mod cursor;
mod error;
mod key;
mod memtable;
mod range_tombstone;

pub use error::{Error, ErrorKind, Result};
pub use key::Seq;
