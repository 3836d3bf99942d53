//! Cartridges: versioned, read-only indexes over a stream of changes, in files that are looked up where they lie.
//!
//! A [`Projection`] says how a change becomes entries of an ordered map. A [`Builder`] is fed with the changes in their order, whoever has them: a file of northstar, another
//! journal. The same stream gives the same bytes. A [`Cartridge`] answers look-ups without reading more than it looks at; a [`View`] answers them from a cartridge and the
//! changes that came since; a [`Catalog`] is a directory of cartridges. The format is specified in `docs/format/northstar-cartridge.md`.
//!
//! Cartridges are derived: one that is lost, damaged or of another stream is built again, and no answer ever comes from bytes that do not fit their checksum. Nothing here
//! knows what a stream is about.

mod build;
mod catalog;
mod coding;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod header;
mod index;
pub mod kinds;
mod policy;
mod projection;
mod reader;
mod scan;
mod section;
mod sort;
mod verify;
mod view;
mod writer;

pub use build::{BUILD_MEMORY_BYTES, Builder};
pub use catalog::{Catalog, Inspected, Listed};
pub use error::{Error, ErrorKind, Result};
pub use header::{FORMAT_VERSION, Header, KEY_LEN_MAX, Kind, Position, StreamId, VALUE_LEN_MAX};
pub use policy::{Policy, PrefixRule, Trigger};
pub use projection::{Edits, Projection};
pub use reader::{Access, Cartridge};
pub use scan::{Entry, Order, Scan, prefix_end};
pub use verify::Verified;
pub use view::{View, ViewScan};
