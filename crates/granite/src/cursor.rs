//! The one way in which everything sorted is walked: memtables, runs, tables, levels, merges.

use crate::error::Result;
use crate::key::Trailer;

/// A position in a sorted sequence of entries, in the order of [`crate::key::compare`].
///
/// A new cursor is not valid until it has been positioned. After an error it is not valid.
pub(crate) trait Cursor {
    /// True while the cursor stands on an entry; only then may `key`, `trailer`, `value`, `next`, `prev` be called.
    fn valid(&self) -> bool;
    /// Moves to the first entry.
    fn seek_to_first(&mut self) -> Result<()>;
    /// Moves to the last entry.
    fn seek_to_last(&mut self) -> Result<()>;
    /// Moves to the first entry at or after the given internal key.
    fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<()>;
    /// Moves to the last entry before the given internal key (strictly).
    fn seek_before(&mut self, key: &[u8], trailer: Trailer) -> Result<()>;
    /// Moves to the following entry.
    fn next(&mut self) -> Result<()>;
    /// Moves to the preceding entry.
    fn prev(&mut self) -> Result<()>;
    /// The user key.
    fn key(&self) -> &[u8];
    /// Sequence and kind.
    fn trailer(&self) -> Trailer;
    /// The value's bytes, to be understood by the trailer's kind.
    fn value(&self) -> &[u8];
}
