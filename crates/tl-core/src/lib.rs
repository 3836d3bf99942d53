//! tl-core: the objects of Timelapse.
//!
//! A file's content is a *blob*, a directory a *tree* of names with the ids of blobs and other trees. Each is kept under the hash of its content
//! in a granite database, so that what two states share is stored once, and states are compared by comparing ids.
//!
//! Begin with [`Store::open`]. A [`Capture`] writes objects, and its [`commit`](Capture::commit) makes them durable together with whatever the
//! caller puts beside them, in one batch. [`Store::get_tree`] and [`Store::blob_reader`] read, [`Store::diff`] compares two trees,
//! [`Capture::edit_tree`] makes a tree from another by changing some paths, [`Store::begin_marking`] begins to
//! collect what nothing refers to. The bytes on disk are those of the project's
//! document on the format of objects.
//!
//! Nothing here looks at a working directory or a clock: paths are names in trees, and content comes in as bytes or readers.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! use granite::{Db, Durability, Options};
//! use tl_core::{Entry, EntryName, Mode, Store, StoreOptions, TreeBuilder};
//!
//! let db = Db::open(dir.path(), &Options::new())?;
//! let store = Store::open(&db, &StoreOptions::default())?;
//!
//! let capture = store.capture()?;
//! let hello = capture.put_blob(b"hello\n")?;
//! let mut root = TreeBuilder::new();
//! root.add(EntryName::new(b"hello.txt")?, Entry::file(hello, Mode::new(0o644)));
//! let root = capture.put_tree(&root.build()?)?;
//! capture.commit(|_batch| {}, Durability::Sync)?;
//!
//! let tree = store.get_tree(&root)?;
//! let entry = tree.get(EntryName::new(b"hello.txt")?).ok_or("no such entry")?;
//! assert_eq!(store.get_blob(&entry.id, 100)?, b"hello\n");
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable)
)]

mod blob_reader;
mod capture;
mod coding;
mod collect;
mod diff;
mod edit;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod id;
mod objects;
mod path;
mod purge;
mod store;
mod stored;
mod tree;
mod verify;

pub use blob_reader::BlobReader;
pub use capture::{Capture, Committed};
pub use collect::{Marking, SweepReport};
pub use diff::{Change, Diff};
pub use error::{Damage, Error, Result};
pub use granite::ErrorKind;
pub use id::{IdHasher, ObjectId, ObjectKind, ParseIdError};
pub use objects::{ObjectSource, Objects};
pub use path::{EntryName, MAX_NAME_LEN, MAX_PATH_LEN, NameError, PathError, RepoPath, RepoPathBuf};
pub use purge::{EVIDENCE_LEN_MAX, PurgeReport};
pub use store::{Store, StoreOptions};
pub use stored::{MAX_BLOB_LEN, MAX_TREE_LEN, WHOLE_BLOB_LEN_MAX};
pub use tree::{Blob, Entry, EntryKind, Mode, Tree, TreeBuilder, TreeEntry, TreeError};
pub use verify::{DamagedObject, Sample, UnreadableRange, VerifyOptions, VerifyReport};
