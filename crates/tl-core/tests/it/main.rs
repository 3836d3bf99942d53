//! Tests of tl-core through its public interface.

mod allocations;
mod blobs;
mod collection;
mod costs;
mod crash;
mod oracle;
mod source;
mod store;
mod support;
mod trees;
mod verify;
