//! granite: a durable embedded LSM key-value engine.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable)
)]

#[allow(dead_code, unused_imports, reason = "the engine does not use it yet")]
mod cache;
mod coding;
mod cursor;
mod error;
mod key;
mod memtable;
mod range_tombstone;
#[allow(dead_code, unused_imports, reason = "the engine does not use it yet")]
mod table;

pub use error::{Error, ErrorKind, Result};
pub use key::Seq;
