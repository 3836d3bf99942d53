//! The manifest: which files make up the database, and how far the log has been absorbed by tables.
//!
//! `format` knows the bytes (`docs/format/granite.md`, "Manifest"), `state` is what the edits add up to, `file` reads, appends and rewrites.

pub(crate) mod file;
pub(crate) mod format;
pub(crate) mod state;

pub(crate) use file::ManifestFile;
pub(crate) use format::{Edit, TableMeta};
pub(crate) use state::ManifestState;
