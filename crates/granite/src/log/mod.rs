//! The log: segments of checksummed records, in which separated values stay for good.
//!
//! `format` is the only place that knows the bytes (`docs/format/granite.md`, "Segments"). `segment` is an open or closed file, `writer`
//! appends, `replay` reads a log back and judges its end, `pointer` is where a value stands.

pub(crate) mod format;
pub(crate) mod pointer;
pub(crate) mod replay;
pub(crate) mod segment;
pub(crate) mod walk;
pub(crate) mod writer;
