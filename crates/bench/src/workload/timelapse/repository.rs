//! Timelapse's side: a repository whose disk is counted.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use granite::Durability;
use tl_core::{RepoPath, RepoPathBuf};
use tl_journal::{Dirty, Outcome, Reason, Repository, RepositoryConfig, UpdateRequest};
use vfs::{DiskVfs, Vfs};

use crate::engine::{self, Direction, Engine, EngineCounters, Op};
use crate::workload::Site;

/// A repository, opened, and what its disk was asked to do.
pub(super) struct Subject {
    pub(super) repository: Repository,
    pub(super) meters: Meters,
}

impl Subject {
    /// Opens the store in `store`, made if it is not there. Without `root` nothing can be captured.
    pub(super) fn open(site: &Site<'_>, store: &Path, root: Option<&Path>) -> Result<Self> {
        Self::open_counted(site, store, root, &Meters::new())
    }

    /// The same on a disk that is counted already.
    pub(super) fn open_counted(site: &Site<'_>, store: &Path, root: Option<&Path>, meters: &Meters) -> Result<Self> {
        let meters = meters.clone();
        let mut config =
            RepositoryConfig { vfs: meters.disk(), ..RepositoryConfig::new(store, root.map(Path::to_owned)) };
        config.memory_budget = site.parameters.memory_bytes.unwrap_or(config.memory_budget);
        Ok(Self { repository: Repository::open(config)?, meters })
    }

    /// Records what `dirty` names, with what the working directory lacks an error.
    pub(super) fn update(&self, dirty: &Dirty, durability: Durability) -> Result<Outcome> {
        let request = UpdateRequest { durability, ..UpdateRequest::new(Reason::FsBatch) };
        let outcome = self.repository.update(dirty, &request)?;
        ensure!(outcome.is_complete() && outcome.requeue.is_empty(), "a checkpoint lacks {:?}", outcome.gaps);
        Ok(outcome)
    }

    /// Fails if the working directory holds what is not recorded.
    pub(super) fn ensure_clean(&self) -> Result<()> {
        let outcome = self.update(&Dirty::everything(), Durability::Buffered)?;
        ensure!(outcome.checkpoint.is_none(), "changes were left out: {:?}", outcome.stats);
        Ok(())
    }
}

/// These paths, each for itself.
pub(super) fn dirty(paths: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<Dirty> {
    let mut dirty = Dirty::new();
    for path in paths {
        dirty.add_path(repo_path(path.as_ref())?);
    }
    Ok(dirty)
}

pub(super) fn repo_path(bytes: &[u8]) -> Result<RepoPathBuf> {
    Ok(RepoPath::new(bytes)?.to_owned())
}

/// The counters of a disk, in the place of an engine. Without a disk nothing is counted.
#[derive(Debug, Clone)]
pub(super) struct Meters(Arc<DiskVfs>);

impl Meters {
    pub(super) fn new() -> Self {
        Self(Arc::new(DiskVfs::new()))
    }

    pub(super) fn disk(&self) -> Arc<dyn Vfs> {
        Arc::<DiskVfs>::clone(&self.0)
    }
}

impl Engine for Meters {
    fn write(&self, _: &[Op<'_>], _: engine::Durability) -> Result<()> {
        bail!("a repository is no database")
    }

    fn get(&self, _: &[u8], _: &mut dyn FnMut(&[u8])) -> Result<bool> {
        bail!("a repository is no database")
    }

    fn scan(&self, _: Option<&[u8]>, _: Direction, _: usize, _: &mut dyn FnMut(&[u8], &[u8])) -> Result<usize> {
        bail!("a repository is no database")
    }

    fn settle(&self) -> Result<()> {
        bail!("a repository is no database")
    }

    fn counters(&self) -> Option<EngineCounters> {
        let counted = self.0.counters();
        Some(EngineCounters { syncs: counted.syncs(), bytes_written: counted.bytes_written })
    }
}
