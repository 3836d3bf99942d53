//! Integration tests of northstar.

mod basics;
mod cartridge;
mod crash;
mod golden;
mod model;
mod readers;
mod threads;
