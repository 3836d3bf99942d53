//! The engines of this workspace: granite, the floors and the machine. Peers live in a workspace of their own.

mod floor;
mod granite;
mod no_database;

pub use floor::floors;
pub use granite::granite;
pub use no_database::{NoDatabase, machine};

use crate::engine::EngineSpec;

/// All engines of this workspace.
#[must_use]
pub fn own() -> Vec<EngineSpec> {
    let mut all = vec![machine()];
    all.extend(floors());
    all.push(granite());
    all
}
