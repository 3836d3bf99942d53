//! The harness: what the engines of this project are measured with, beside their peers and the machine's floor, and what refuses a change
//! that makes something worse.
//!
//! A run takes benchmarks in turn ([`workload`]), and for each interleaves the engines ([`run`](mod@run)), every measurement in a process
//! and a directory of its own. Each repeat becomes one JSON file ([`results`]); [`report`] and [`gate`] only read those.
//!
//! This crate knows no foreign engine: programs register what they link ([`engine::EngineSpec`]) and hand over to [`cli::main`].

pub mod alloc;
mod cell;
pub mod cli;
pub mod compare;
pub mod data;
pub mod document;
pub mod engine;
pub mod engines;
pub mod floor;
pub mod gate;
pub mod machine;
pub mod measure;
pub mod process;
pub mod profile;
pub mod report;
pub mod resources;
pub mod results;
pub mod run;
pub mod stats;
mod syncs;
pub mod workload;
