//! Tests of granite through its public interface.

mod basics;
mod costs;
mod crash;
mod ops;
mod oracle;
mod recovery;
mod workload;
