//! Tests of tl-core through its public interface.

mod allocations;
mod blobs;
mod collection;
mod costs;
mod crash;
mod oracle;
mod store;
mod support;
mod trees;
mod verify;
