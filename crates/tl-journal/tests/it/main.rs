//! Tests of tl-journal through its public interface.

mod hostile;
mod journal;
mod lab;
mod names;
mod update;
