//! What changed in a working directory.
//!
//! Begin with [`Watcher::start`]. Its consumer calls [`Watcher::wait`] in a loop and gets a [`Batch`] of what has settled; [`Watcher::drain`] is the
//! barrier behind which everything that was written is known. [`IgnoreRules`] say what is left out, [`Stats`] where events come from and what is
//! scanned instead, with the reason.
//!
//! Nothing here reads a file's content or decides whether it changed: a batch names what to look at. Nothing here knows how a state is stored.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable)
)]

mod batch;
mod beneath;
mod changes;
mod config;
mod dirty;
mod error;
mod filesystem;
mod filter;
#[cfg(target_os = "linux")]
mod native;
mod path;
mod portable;
mod root;
mod rules;
mod settle;
mod stats;
mod watcher;

pub use batch::{Batch, RescanReason, RootEvent, Skipped, SpecialKind};
pub use config::{Backend, Fidelity, Keeps, WatchConfig};
pub use dirty::DirtyLimits;
pub use error::{Error, ErrorKind, Result};
pub use path::RelPath;
pub use rules::{IgnoreRules, RuleProblem};
pub use settle::SettleOptions;
pub use stats::{Mode, ScanReason, Stats};
pub use watcher::Watcher;
