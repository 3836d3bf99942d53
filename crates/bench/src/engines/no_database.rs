//! Stands where a benchmark has no database: it measures the machine, or one that is not open yet.

use anyhow::{Result, bail};

use crate::engine::{Direction, Durability, Engine, EngineSpec, Metered, Op, Role};

/// Refuses everything.
#[derive(Debug, Clone, Copy)]
pub struct NoDatabase;

impl Metered for NoDatabase {}

impl Engine for NoDatabase {
    fn write(&self, _: &[Op<'_>], _: Durability) -> Result<()> {
        bail!("no database is open")
    }

    fn get(&self, _: &[u8], _: &mut dyn FnMut(&[u8])) -> Result<bool> {
        bail!("no database is open")
    }

    fn scan(&self, _: Option<&[u8]>, _: Direction, _: usize, _: &mut dyn FnMut(&[u8], &[u8])) -> Result<usize> {
        bail!("no database is open")
    }

    fn settle(&self) -> Result<()> {
        bail!("no database is open")
    }
}

/// The machine, as an entry beside the engines.
#[must_use]
pub fn machine() -> EngineSpec {
    EngineSpec {
        name: "machine",
        version: String::new(),
        role: Role::Machine,
        notes: "no store at all",
        durable: true,
        allocates_in_rust: true,
        open: |_, _| Ok(Box::new(NoDatabase)),
    }
}
