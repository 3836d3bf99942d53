//! The working directory as the operating system has it, seen through directory descriptors only: no path is ever resolved through a symbolic link.
//!
//! Nothing here knows what is recorded.

mod dir;
mod read;
mod stat;

pub(crate) use dir::{Dir, open_for_reading};
pub(crate) use read::{FileRead, read_file, read_link};
pub use stat::FileTime;
pub(crate) use stat::{Stat, StatKind};
