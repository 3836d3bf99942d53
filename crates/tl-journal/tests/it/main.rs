//! Tests of tl-journal through its public interface.

mod collect;
mod costs;
mod crash;
mod hostile;
mod journal;
mod lab;
mod names;
mod repair;
mod update;
