//! What stands in the files of a database, for tools that show it: entries of a table, records of a segment, edits of a manifest.
//!
//! Everything here reads one file by itself, changes nothing, takes no lock, and goes on past damage, saying where it is. These are plain
//! structures for printing; nothing else in granite is built on them.
//!
//! ```
//! # let dir = tempfile::tempdir().unwrap();
//! let db = granite::Db::open(dir.path(), &granite::Options::new())?;
//! db.keyspace("fruit", granite::KeyspaceOptions::new())?;
//! let manifest = granite::inspect::manifest(dir.path().join("MANIFEST"))?;
//! assert_eq!(manifest.keyspaces[0].name, "fruit");
//! # Ok::<(), granite::Error>(())
//! ```

mod manifest;
mod segment;
mod table;

pub use manifest::{KeyspaceDump, ManifestDump, ManifestRecord, ManifestTable, manifest};
pub use segment::{LogOperation, LogRecord, Records, SegmentDump, SegmentItem, SegmentKind, segment};
pub use table::{BlockDump, RangeDelete, TableDump, TableEntries, TableEntry, TableProperties, table};

use std::path::Path;
use std::sync::Arc;

use vfs::{DiskVfs, File, OpenMode, Vfs};

use crate::error::{Error, Result};
use crate::key::{Kind, Trailer};
use crate::log::pointer::ValuePointer;

/// A place that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where in the file.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

/// What an entry or operation says of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The key is gone.
    Delete,
    /// The key has this value.
    Inline(Vec<u8>),
    /// The key has a value that stands in a segment.
    Separated {
        /// Number of the segment.
        segment: u64,
        /// Offset of the value in the segment's file.
        offset: u64,
        /// Length of the value in bytes.
        len: u32,
        /// CRC-32C of the value.
        crc: u32,
    },
    /// Every key from this one up to, not including, the end is gone.
    DeleteRange {
        /// The end.
        end: Vec<u8>,
    },
    /// What stands there cannot be understood.
    Malformed(Vec<u8>),
}

fn content(trailer: Trailer, value: &[u8]) -> Content {
    match trailer.kind() {
        Kind::Delete => Content::Delete,
        Kind::Inline => Content::Inline(value.to_vec()),
        Kind::RangeDelete => Content::DeleteRange { end: value.to_vec() },
        Kind::Separated => match ValuePointer::decode(value) {
            Some(ValuePointer { segment, offset, len, crc }) => Content::Separated { segment, offset, len, crc },
            None => Content::Malformed(value.to_vec()),
        },
    }
}

fn open(path: &Path) -> Result<(Arc<dyn File>, u64)> {
    let file = DiskVfs::new().open(path, OpenMode::Read).map_err(|error| Error::io("open", path, error))?;
    let len = file.len().map_err(|error| Error::io("read the length of", path, error))?;
    Ok((file, len))
}
