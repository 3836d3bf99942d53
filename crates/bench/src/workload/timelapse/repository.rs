//! Timelapse's side: a repository whose disk is counted.

use std::path::Path;

use anyhow::{Result, ensure};
use granite::Durability;
use tl_core::{RepoPath, RepoPathBuf};
use tl_journal::{Dirty, Outcome, Reason, Repository, RepositoryConfig, UpdateRequest};

use crate::engines::CountedDisk;
use crate::workload::Site;

/// A repository, opened, and what its disk was asked to do.
pub(super) struct Subject {
    pub(super) repository: Repository,
    pub(super) disk: CountedDisk,
}

impl Subject {
    /// Opens the store in `store`, made if it is not there. Without `root` nothing can be captured.
    pub(super) fn open(site: &Site<'_>, store: &Path, root: Option<&Path>) -> Result<Self> {
        Self::open_counted(site, store, root, &CountedDisk::new())
    }

    /// The same on a disk that is counted already.
    pub(super) fn open_counted(site: &Site<'_>, store: &Path, root: Option<&Path>, disk: &CountedDisk) -> Result<Self> {
        let disk = disk.clone();
        let mut config = RepositoryConfig { vfs: disk.vfs(), ..RepositoryConfig::new(store, root.map(Path::to_owned)) };
        config.memory_budget = site.parameters.memory_bytes.unwrap_or(config.memory_budget);
        Ok(Self { repository: Repository::open(config)?, disk })
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
