//! Integration tests of northstar.

mod basics;
mod cartridge;
mod crash;
mod golden;
mod isolation;
mod kill;
mod model;
#[cfg(feature = "mutation")]
mod mutation_without_checksums;
mod queue;
mod readers;
mod threads;
