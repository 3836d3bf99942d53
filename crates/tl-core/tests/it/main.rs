//! Tests of tl-core through its public interface.

mod blobs;
mod collection;
mod oracle;
mod store;
mod support;
mod trees;
mod verify;
