//! The engines of this workspace: granite, the floors and the machine; and the tools that keep states of a working directory. Peers live in a workspace of their own.

mod counted_disk;
mod floor;
mod granite;
mod no_database;
mod tools;

pub use counted_disk::CountedDisk;
pub use floor::floors;
pub use granite::{GRANITE, granite};
pub use no_database::{NoDatabase, machine};
pub use tools::{Tool, tools};

use crate::engine::EngineSpec;

/// All engines and tools of this workspace.
#[must_use]
pub fn own() -> Vec<EngineSpec> {
    let mut all = vec![machine()];
    all.extend(floors());
    all.push(granite());
    all.extend(tools());
    all
}
