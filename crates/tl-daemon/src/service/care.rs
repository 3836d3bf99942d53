//! Collection, verification, settings, copies.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tl_core::{Sample, VerifyOptions};
use tl_journal::{CollectRequest, EvictReason, Order};

use super::convert::{micros, to_id};
use super::{Answered, Recorder, Replies, Service, gone, progress, read_only};
use crate::wire::{Answer, Collected, Damage, Evicted, Failure, FailureKind, Item, PathBytes, Verified, Verify};

/// Ends the names of directories in which stores are made.
const STAGED_PREFIX: &str = ".new-";

impl Service {
    pub(super) fn collect(&self, dry_run: bool, replies: &mut dyn Replies) -> Answered {
        if matches!(self.recorder, Recorder::Nobody) {
            return Err(read_only().into());
        }
        let policy = self.settings.read().retention();
        progress::begin("collecting", replies)?;
        let report = self.repository.collect(&CollectRequest { policy, dry_run })?;
        if !dry_run {
            self.metrics.collected(&report);
        }
        for eviction in &report.plan.evictions {
            let item = Evicted { id: to_id(eviction.id), why: reason_of(&eviction.reason) };
            replies.item(Item::Evicted(item)).map_err(gone)?;
        }
        let evictions = report.plan.evictions.len() as u64;
        Ok(Answer::Collected(Collected {
            checkpoints_removed: if dry_run { evictions } else { report.checkpoints_deleted },
            checkpoints_kept: report.plan.kept.values().sum(),
            objects_kept: report.objects.saturating_sub(report.objects_dropped),
            objects_removed: report.objects_dropped,
            bytes_freed: report.bytes_dropped,
            bytes_left: report.disk_bytes_after,
            duration_us: micros(report.duration),
            dry_run,
        }))
    }

    pub(super) fn verify(&self, verify: &Verify, replies: &mut dyn Replies) -> Answered {
        let mut verified = Verified::default();
        let mut damaged: Vec<Damage> = Vec::new();
        let mut add = |what: String, reason: String| damaged.push(Damage { what, reason, mended: false });
        progress::begin("checkpoints", replies)?;
        for id in self.repository.journal().ids(.., Order::OldestFirst)? {
            let id = id?;
            match self.repository.journal().get(id) {
                Ok(_) => verified.checkpoints += 1,
                Err(error @ tl_journal::Error::Damaged { .. }) => add(format!("checkpoint {id}"), error.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
        progress::begin("objects", replies)?;
        let seed = self.repository.config().vfs.random_u64();
        let sample = verify.sample.map(|share| Sample { share, seed });
        let report = self.repository.store().verify(&VerifyOptions { sample })?;
        (verified.objects, verified.bytes) = (report.objects, report.bytes);
        for object in report.damaged {
            add(format!("object {}", object.id), object.damage.to_string());
        }
        for range in report.unreadable {
            add(format!("objects after {} and before {}", range.after, range.before), range.cause);
        }
        progress::begin("index", replies)?;
        for finding in self.repository.verify_index()? {
            add(format!("index of {}", finding.path), format!("{:?}", finding.problem).to_lowercase());
        }
        verified.entries = match &self.recorder {
            Recorder::Daemon(handle) => handle.shared.entries(),
            _ => self.count_entries()?,
        };
        verified.damaged = damaged.len() as u64;
        for damage in damaged {
            replies.item(Item::Damage(damage)).map_err(gone)?;
        }
        Ok(Answer::Verified(verified))
    }

    pub(super) fn set(&self, key: &str, value: Option<&str>) -> Answered {
        if matches!(self.recorder, Recorder::Nobody) {
            return Err(read_only().into());
        }
        let mut settings = self.settings.write();
        settings.set(&self.home.store, key, value)?;
        Ok(Answer::Settings(settings.list()))
    }

    /// Copies the database into a store that is being made.
    pub(super) fn fork(&self, to: &PathBytes) -> Answered {
        let to = Path::new(OsStr::from_bytes(&to.0));
        let store = to.parent().unwrap_or(to);
        let name = store.file_name().unwrap_or_default().as_bytes();
        // The database of an unfinished store of the same user, and nothing else.
        let is_staged = name.starts_with(STAGED_PREFIX.as_bytes())
            && to.file_name() == Some(OsStr::new("db"))
            && store.parent().is_some_and(|parent| parent == self.home.stores.state().join("stores"));
        if !is_staged {
            return Err(Failure::new(FailureKind::Invalid, "a store is copied only into one that is being made").into());
        }
        self.repository.db().checkpoint(to).map_err(tl_journal::Error::from)?;
        Ok(Answer::Done)
    }
}

fn reason_of(reason: &EvictReason) -> String {
    match reason {
        EvictReason::SameHour { kept } => format!("of the same hour as {kept}, which stays"),
        EvictReason::SameDay { kept } => format!("of the same day as {kept}, which stays"),
        EvictReason::TooOld => "older than the daily ones that are kept".to_owned(),
        EvictReason::OverBudget { bytes, .. } => {
            format!("the store is over its budget, and this was the oldest that could go (about {bytes} bytes)")
        }
    }
}
