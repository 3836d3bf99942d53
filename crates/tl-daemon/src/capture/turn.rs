//! One turn: what may have changed is known, and nobody else records anything meanwhile.

use tl_core::RepoPath;
use tl_journal::{Dirty, Outcome, Present, Provenance, Reason, Repository, UpdateRequest};
use tl_watcher::{IgnoreRules, Watcher};

use super::batch::{is_ignored, to_watcher};
use crate::metrics::Metrics;
use crate::service::failure;
use crate::wire::Failure;

/// The right to record the working directory's state.
pub(crate) struct Turn<'a> {
    pub(crate) repository: &'a Repository,
    rules: Option<&'a IgnoreRules>,
    watcher: Option<&'a Watcher>,
    metrics: Option<&'a Metrics>,
    /// What may have changed since the newest checkpoint.
    pending: &'a mut Dirty,
}

impl std::fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("pending", &self.pending).finish_non_exhaustive()
    }
}

impl<'a> Turn<'a> {
    pub(super) const fn watched(
        repository: &'a Repository,
        rules: &'a IgnoreRules,
        watcher: &'a Watcher,
        metrics: &'a Metrics,
        pending: &'a mut Dirty,
    ) -> Self {
        Self { repository, rules: Some(rules), watcher: Some(watcher), metrics: Some(metrics), pending }
    }

    /// A turn without a watcher: `pending` has to name everything.
    pub(crate) const fn unwatched(
        repository: &'a Repository,
        rules: Option<&'a IgnoreRules>,
        pending: &'a mut Dirty,
    ) -> Self {
        Self { repository, rules, watcher: None, metrics: None, pending }
    }

    /// Looks at everything in the next update.
    pub(crate) fn look_at_everything(&mut self) {
        *self.pending = Dirty::everything();
    }

    /// The rules of what is not to be recorded.
    pub(crate) fn ignored(&self) -> impl Fn(&RepoPath, bool) -> bool + Sync + use<'a> {
        let rules = self.rules;
        move |path, is_directory| rules.is_some_and(|rules| is_ignored(rules, path, is_directory))
    }

    /// Makes a checkpoint of what may have changed. If it fails, that is still to be looked at.
    pub(crate) fn update(
        &mut self,
        reason: Reason,
        provenance: Provenance,
        change: impl FnOnce(&mut UpdateRequest<'_>),
    ) -> tl_journal::Result<Outcome> {
        let ignored = self.ignored();
        let mut request = UpdateRequest::new(reason).ignoring(&ignored);
        request.provenance = provenance;
        change(&mut request);
        let begun = std::time::Instant::now();
        let outcome = self.repository.update(self.pending, &request)?;
        *self.pending = Dirty::new();
        if let Some(metrics) = self.metrics {
            metrics.updated(&outcome, begun.elapsed());
        }
        match self.watcher {
            Some(watcher) => {
                if outcome.checkpoint.is_some() {
                    watcher.checkpointed();
                }
                let again: Vec<_> = outcome.requeue.iter().filter_map(|path| to_watcher(path)).collect();
                watcher.requeue(&again);
            }
            None => outcome.requeue.iter().for_each(|path| self.pending.add_path(path.clone())),
        }
        Ok(outcome)
    }

    /// Does what records the present state itself before it goes on, and the state that it leaves.
    pub(crate) fn present<T>(
        &mut self,
        work: impl FnOnce(&Repository, Present<'_>) -> tl_journal::Result<T>,
    ) -> Result<T, Failure> {
        let ignored = self.ignored();
        let done = work(self.repository, Present { dirty: self.pending, ignored: &ignored });
        // If it failed, what it did record is looked at once more, which costs time only.
        let done = done.map_err(|error| failure(&error))?;
        *self.pending = Dirty::new();
        Ok(done)
    }
}
