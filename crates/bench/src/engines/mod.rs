//! The engines that need nothing from outside this workspace: the floors and the machine. Peers live in a workspace of their own.

mod floor;
mod no_database;

pub use floor::floors;
pub use no_database::{NoDatabase, machine};

use crate::engine::EngineSpec;

/// All engines of this workspace.
#[must_use]
pub fn own() -> Vec<EngineSpec> {
    let mut all = vec![machine()];
    all.extend(floors());
    all
}
