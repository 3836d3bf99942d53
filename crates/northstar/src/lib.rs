//! northstar: an embedded single-file ordered store, a copy-on-write B+tree with snapshots.
//!
//! The disk, the clock and randomness come in through the crate `vfs`; nothing here looks at the environment or the terminal, and nothing
//! knows an async runtime.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable)
)]

