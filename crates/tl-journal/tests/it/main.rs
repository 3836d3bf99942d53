//! Tests of tl-journal through its public interface.

mod collect;
mod costs;
mod crash;
mod fixture;
mod hostile;
mod journal;
mod lab;
mod names;
mod path_history;
mod purge;
mod repair;
mod restore;
mod undo;
mod update;
