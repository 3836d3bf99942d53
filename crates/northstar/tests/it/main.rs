//! Integration tests of northstar.

mod basics;
mod crash;
mod model;
