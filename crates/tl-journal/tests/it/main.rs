//! Tests of tl-journal through its public interface.

mod journal;
mod names;
