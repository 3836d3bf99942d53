//! What is done with a database as a whole: copies of it, bulk loads into it, checks, repairs, reopening.
//!
//! Each operation is a thin method on [`Db`](crate::Db) or [`Keyspace`](crate::Keyspace), or a function where no database is open, in a file
//! of its own. Nothing here is on the path of an ordinary read or write.

mod checkpoint;
mod erase;
mod ingest;
mod reopen;
mod repair;
mod tables;
mod verify;

pub use checkpoint::CheckpointReport;
pub use erase::EraseReport;
pub use ingest::IngestReport;
pub(crate) use repair::mark::remove as forget_repair;
pub use repair::{LostRange, LostValue, RepairReport, repair};
pub use verify::{Finding, VerifyReport, verify};
