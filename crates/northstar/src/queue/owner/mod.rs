//! One queue for several processes. The one that has the database open owns the queue and serves it over a Unix socket; the others are its clients. Whoever finds no owner becomes it.
//!
//! The owner has a thread for each client. Their calls are transactions like its own, and share syncs as those of threads do: so a claim under load costs a part of a sync.
//!
//! The protocol is specified in `docs/format/northstar-queue.md`. Both sides take what comes in for hostile: lengths and times are limited, and a connection that breaks a rule is closed.

mod connection;
mod server;
mod service;
mod shared;
pub(super) mod wire;

pub use shared::Shared;
