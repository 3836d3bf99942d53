//! Tests of granite through its public interface.

mod basics;
mod costs;
mod ops;
