//! The disk of a database or a repository, which counts what it is asked to do.

use std::sync::Arc;

use vfs::{DiskVfs, Vfs};

use crate::engine::{EngineCounters, Metered};

/// The real disk, and its counters.
#[derive(Debug, Clone)]
pub struct CountedDisk(Arc<DiskVfs>);

impl CountedDisk {
    /// With nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(DiskVfs::new()))
    }

    /// What to open a store on.
    #[must_use]
    pub fn vfs(&self) -> Arc<dyn Vfs> {
        Arc::<DiskVfs>::clone(&self.0)
    }
}

impl Default for CountedDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl Metered for CountedDisk {
    fn counters(&self) -> Option<EngineCounters> {
        let counted = self.0.counters();
        Some(EngineCounters { syncs: counted.syncs(), bytes_written: counted.bytes_written })
    }
}
