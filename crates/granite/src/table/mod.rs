//! Sorted tables: immutable files of entries, written once from front to back, read by key or in order.
//!
//! The format is `docs/format/granite-table.md`. What is read from a file is untrusted until checked: nothing here
//! panics on it or allocates by a length that was not compared with the file's. This module knows no keyspace, level or
//! engine, and never syncs, renames or removes a file.

mod block;
mod block_builder;
mod block_cursor;
mod codec;
mod cursor;
mod filter;
mod format;
mod frame;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod index;
mod options;
mod output;
mod properties;
mod range_tombstone_block;
mod reader;
mod separators;
mod survey;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use block::Block;
pub use codec::Codec;
pub(crate) use cursor::TableCursor;
pub use filter::FilterPolicy;
pub(crate) use filter::{Filter, KeyHash};
pub(crate) use format::BlockKind;
pub(crate) use index::Index;
pub(crate) use options::{KeyLayout, TableOptions};
pub(crate) use properties::Properties;
pub(crate) use reader::Table;
pub(crate) use survey::{BlockRef, Damage, Entries, Survey};
pub(crate) use writer::{TableWriter, UnstampedTable};

/// A rule of the format that some bytes break; the caller knows the file and the offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl Malformed {
    pub(crate) fn at(self, path: &std::path::Path, offset: u64) -> crate::error::Error {
        crate::error::Error::corrupt(path, offset, self.0)
    }
}
