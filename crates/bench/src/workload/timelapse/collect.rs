//! A collection that lets most of ten thousand checkpoints go.

use std::time::Duration;

use anyhow::{Result, ensure};
use granite::Durability;
use rand::RngExt;
use tl_journal::{CollectRequest, Dirty, RetentionPolicy};

use super::repository::{Subject, dirty};
use super::tree::{WorkTree, path_of};
use crate::measure::{Measurement, Meter, Recorder};
use crate::workload::Site;

const CHECKPOINTS: u64 = 10_000;
const FILES: u64 = 1000;
/// One in so many stays.
const KEPT_OF: u64 = 5;

/// Makes the checkpoints, collects once as a trial, and then in earnest.
pub(super) fn run(site: &Site<'_>) -> Result<Measurement> {
    let mut tree = WorkTree::borrow(site, site.scaled(FILES))?;
    let subject = Subject::open(site, &site.dir.join("store"), Some(tree.root()))?;
    subject.update(&Dirty::everything(), Durability::Buffered)?;
    let checkpoints = site.scaled(CHECKPOINTS);
    let mut rng = site.rng(1);
    for version in 1..checkpoints {
        let index = rng.random_range(0..tree.files());
        tree.write(index, version)?;
        let outcome = subject.update(&dirty([path_of(index)])?, Durability::Buffered)?;
        ensure!(outcome.checkpoint.is_some(), "a save made no checkpoint");
    }
    let repository = &subject.repository;
    repository.db().wait_for_background()?;
    repository.db().sync()?;
    site.settle_disk();
    let kept = usize::try_from(checkpoints / KEPT_OF)?;
    let policy = RetentionPolicy {
        newest: kept,
        dense_for: Duration::ZERO,
        hourly_for: Duration::ZERO,
        daily_for: Some(Duration::ZERO),
        ..RetentionPolicy::default()
    };
    let trial = repository.collect(&CollectRequest { policy: policy.clone(), dry_run: true })?;
    let mut recorder = Recorder::new(1)?;
    let meter = Meter::start(&subject.disk)?;
    let mut report = None;
    recorder.call(|| {
        let done = repository.collect(&CollectRequest { policy, dry_run: false })?;
        let counts = (done.checkpoints_deleted + kept as u64, done.bytes_dropped);
        report = Some(done);
        Ok(counts)
    })?;
    let mut done = meter.stop(&recorder)?;
    // None if nothing ran, which the next line finds out.
    let report = report.unwrap_or_default();
    ensure!(report.checkpoints_deleted == checkpoints - kept as u64, "{} were let go", report.checkpoints_deleted);
    ensure!(report.objects_dropped == trial.objects_dropped, "the trial said {}", trial.objects_dropped);
    subject.ensure_clean()?;
    let figures = [
        ("checkpoints_deleted", report.checkpoints_deleted as f64),
        ("objects_dropped", report.objects_dropped as f64),
        ("objects_seen", report.objects as f64),
        ("collect_ms", report.duration.as_secs_f64() * 1e3),
        ("dry_run_ms", trial.duration.as_secs_f64() * 1e3),
        ("disk_bytes_before", report.disk_bytes_before as f64),
        ("disk_bytes_after", report.disk_bytes_after as f64),
    ];
    done.extra = figures.map(|(name, value)| (name.to_owned(), value)).into();
    tree.give_back()?;
    Ok(done)
}
