//! Cartridges: what is asked of them, and what may happen to them.

mod administration;
mod crash;
mod damage;
mod determinism;
mod file_stream;
mod golden;
mod kinds;
mod model;
mod stream;
mod view;
