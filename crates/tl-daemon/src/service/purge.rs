//! Purge: what would go, and its going.

use std::collections::{BTreeMap, BTreeSet};

use tl_core::{Entry, ObjectId, RepoPathBuf};
use tl_journal::Order;

use super::convert::{failure, path_of, to_path};
use super::{Answered, Replies, Service, progress};
use crate::wire::{Answer, Failure, FailureKind, Purge, Purged};

impl Service {
    pub(super) fn purge(&self, purge: &Purge, replies: &mut dyn Replies) -> Answered {
        progress::begin("looking through history", replies)?;
        let paths = purge.paths.iter().map(path_of).collect::<Result<Vec<_>, _>>()?;
        let plan = self.plan_purge(&paths)?;
        if purge.dry_run {
            return Ok(Answer::Purged(plan));
        }
        progress::begin("removing contents", replies)?;
        let report = self.turn(move |turn| {
            // What is there now is recorded first, so that it is purged as well.
            turn.update(tl_journal::Reason::FsBatch, tl_journal::Provenance::default(), |_| {})
                .and_then(|_| turn.repository.purge(&paths))
                .map_err(|error| failure(&error))
        })?;
        if !report.found_in.is_empty() {
            let files: Vec<String> = report.found_in.iter().map(|path| path.display().to_string()).collect();
            let message = format!("the content is still in {}", files.join(", "));
            return Err(Failure::new(FailureKind::Retry, message).hint("purge again").into());
        }
        Ok(Answer::Purged(Purged {
            objects: report.purged.len() as u64,
            bytes: report.bytes,
            checkpoints: plan.checkpoints,
            shared_with: report.shared.iter().map(|shared| to_path(&shared.with)).collect(),
            scanned_files: Some(self.files_of_database()?),
            still_recorded: report.still_recorded.iter().map(|path| to_path(path)).collect(),
            kept_for_readers: report.kept_for_readers,
            published: report.published.len() as u64,
            dry_run: false,
        }))
    }

    /// What a purge would take out: contents that `paths` had and nothing else has.
    fn plan_purge(&self, paths: &[RepoPathBuf]) -> Result<Purged, Failure> {
        let is_meant = |path: &RepoPathBuf| paths.iter().any(|wanted| path.starts_with(wanted));
        let mut contents: BTreeMap<ObjectId, u64> = BTreeMap::new();
        let mut checkpoints = BTreeSet::new();
        self.for_each_content(|path, entry, sequence| {
            if is_meant(path) {
                contents.insert(entry.id, entry.size);
                checkpoints.insert(sequence);
            }
        })?;
        let mut shared = BTreeSet::new();
        self.for_each_content(|path, entry, _| {
            if !is_meant(path) && contents.remove(&entry.id).is_some() {
                shared.insert(path.clone());
            }
        })?;
        // What was purged before is gone already.
        let mut left = (0, 0);
        for (id, size) in contents {
            if self.repository.store().contains(&id)? {
                left = (left.0 + 1, left.1 + size);
            }
        }
        Ok(Purged {
            objects: left.0,
            bytes: left.1,
            checkpoints: checkpoints.len() as u64,
            shared_with: shared.iter().map(|path| to_path(path)).collect(),
            dry_run: true,
            ..Purged::default()
        })
    }

    /// Every content of every recorded state, with its path and the checkpoint that brought it, at least once.
    fn for_each_content(&self, mut visit: impl FnMut(&RepoPathBuf, &Entry, u64)) -> Result<(), Failure> {
        let mut before = ObjectId::EMPTY_TREE;
        for checkpoint in self.repository.journal().walk(.., Order::OldestFirst)? {
            let checkpoint = checkpoint?;
            let saved = checkpoint.saved.map(|saved| (ObjectId::EMPTY_TREE, saved));
            for (from, to) in std::iter::once((before, checkpoint.root)).chain(saved) {
                for change in self.repository.store().diff(&from, &to)? {
                    let change = change?;
                    if let Some(entry) = change.after.filter(|entry| !entry.is_directory()) {
                        visit(&change.path, &entry, checkpoint.sequence);
                    }
                }
            }
            before = checkpoint.root;
        }
        Ok(())
    }

    fn files_of_database(&self) -> Result<u64, Failure> {
        let db = self.home.store.db();
        let files = self.repository.config().vfs.read_dir(&db);
        let count = files.map_err(|error| crate::Error::io("list", &db, error))?.len();
        Ok(count as u64)
    }
}
