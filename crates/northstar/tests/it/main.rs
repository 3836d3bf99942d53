//! Integration tests of northstar.

mod basics;
mod cartridge;
mod crash;
mod golden;
mod isolation;
mod kill;
mod model;
mod queue;
mod readers;
mod threads;
