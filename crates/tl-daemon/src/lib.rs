//! tl-daemon: the composition of Timelapse.
//!
//! [`stores`] says where stores are and which directory each belongs to. [`wire`] is the protocol between the daemon and the programs that use a store,
//! [`connection`] carries it over a socket.
//!
//! Directories, the user's home and everything else from the environment come in as values.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable)
)]

pub mod connection;
mod error;
pub mod stores;
pub mod wire;

pub use error::{Error, ErrorKind, Result};
