//! A watcher and a repository with a loop between them: what a daemon is at its core.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use granite::Durability;
use tl_journal::{Dirty, Outcome};
use tl_watcher::{Batch, IgnoreRules, Mode, WatchConfig, Watcher};

use super::repository::{Subject, repo_path};
use crate::workload::Site;

/// Both, with everything recorded that was there at the start.
pub(super) struct Watching {
    pub(super) watcher: Watcher,
    pub(super) subject: Subject,
}

impl Watching {
    pub(super) fn start(site: &Site<'_>, store: &Path, root: &Path) -> Result<Self> {
        let subject = Subject::open(site, store, Some(root))?;
        let watcher = watch(root)?;
        let watching = Self { watcher, subject };
        // The first batch asks for everything.
        let first = watching.watcher.drain()?;
        watching.record(&first)?;
        Ok(watching)
    }

    /// Records the next changes; nothing at the deadline.
    pub(super) fn step(&self, deadline: Instant) -> Result<Option<Outcome>> {
        let batch = self.watcher.wait(deadline);
        if batch.is_empty() { Ok(None) } else { self.record(&batch).map(Some) }
    }

    /// Records everything that was written before the call.
    pub(super) fn flush(&self) -> Result<Outcome> {
        self.record(&self.watcher.drain()?)
    }

    fn record(&self, batch: &Batch) -> Result<Outcome> {
        ensure!(batch.root.is_none(), "something happened to the working directory: {:?}", batch.root);
        let outcome = self.subject.update(&to_look_at(batch)?, Durability::Sync)?;
        if outcome.checkpoint.is_some() {
            self.watcher.checkpointed();
        }
        Ok(outcome)
    }
}

/// A watcher by events, without rules.
pub(super) fn watch(root: &Path) -> Result<Watcher> {
    let rules = Arc::new(IgnoreRules::open(root, Vec::new())?);
    let watcher = Watcher::start(WatchConfig::new(root, rules))?;
    let stats = watcher.stats();
    ensure!(stats.mode == Mode::Native && stats.scanned.is_empty(), "not all is watched: {:?}", stats.scanned);
    Ok(watcher)
}

fn to_look_at(batch: &Batch) -> Result<Dirty> {
    let mut dirty = if batch.rescan.is_some() { Dirty::everything() } else { Dirty::new() };
    for path in &batch.paths {
        dirty.add_path(repo_path(path.as_bytes())?);
    }
    // A listing of more than is asked for costs time only.
    for directory in batch.listings.iter().chain(&batch.subtrees) {
        dirty.add_subtree(repo_path(directory.as_bytes())?);
    }
    Ok(dirty)
}
