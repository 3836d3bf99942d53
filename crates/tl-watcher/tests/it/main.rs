//! Tests of the watcher through its public interface, on real directories. What holds for every backend is tested on every backend.

mod basics;
mod fallback;
mod hostile;
mod ignoring;
mod mirror;
mod root;
mod tree;
