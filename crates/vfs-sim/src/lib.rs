#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable)
)]

mod content;
mod control;
mod crash;
mod disk;
mod export;
mod fault;
mod file;
mod names;
mod operation;
mod power;
mod random;
mod state;
mod sweep;

pub use crash::{Crash, CrashOptions, NameLoss, Sector, WriteLoss};
pub use disk::SimDisk;
pub use fault::{DiskError, Fault, FaultId, SyncLoss};
pub use operation::{Op, OpKind, Outcome, SyncCall};
pub use power::is_power_loss;
pub use sweep::{Points, Sweep, SweepFailure, SweepReport, for_each_crash_point};
