//! The B+tree over pages: reading, cursors, changes, checks, differences. What is committed when, and which pages may be given out again, is
//! not known here.

mod changes;
mod cursor;
mod diff;
mod edit;
mod read;
mod verify;

pub(crate) use changes::{Allocator, Changes, Editor, Mark, VirtualPages};
pub(crate) use cursor::{Cursor, Position};
pub use diff::Difference;
pub(crate) use diff::Differences;
pub(crate) use edit::{Appender, check_key};
pub use read::Value;
pub(crate) use read::{View, contains, get};
pub(crate) use verify::survey;

/// More levels than any tree can have: what is deeper is a damaged page that leads back up.
pub(crate) const DEPTH_MAX: usize = 32;
