//! tl-daemon: the composition of Timelapse.
//!
//! [`stores`] says where stores are and which directory each belongs to. [`wire`] is the protocol between the daemon and the programs that use a store,
//! [`connection`] carries it over a socket. [`daemon::run`] is the daemon; [`Session`] is a store to use, through its daemon or without one, and [`StoreReader`]
//! one to read.
//!
//! Directories, the user's home and everything else from the environment come in as values.
#![deny(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable)
)]

mod capture;
pub mod client;
pub mod connection;
pub mod daemon;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod home;
mod hub;
pub mod logs;
mod memory;
mod metrics;
mod path_upkeep;
mod place;
mod reader;
mod server;
mod service;
pub mod session;
pub mod settings;
pub mod stores;
mod upkeep;
pub mod wire;

pub use capture::Removal;
pub use client::Client;

pub use error::{Error, ErrorKind, Result};
pub use place::Place;
pub use reader::StoreReader;
pub use session::{Access, Session};
