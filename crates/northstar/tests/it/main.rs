//! Integration tests of northstar.

mod basics;
mod crash;
mod golden;
mod model;
mod threads;
