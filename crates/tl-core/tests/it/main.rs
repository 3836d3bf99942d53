//! Tests of tl-core through its public interface.

mod blobs;
mod store;
mod support;
