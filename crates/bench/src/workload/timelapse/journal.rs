//! Look-ups in a journal of a million checkpoints.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use granite::{Db, Durability, Options, WriteBatch};
use hdrhistogram::Histogram;
use rand::RngExt;
use tl_journal::{Checkpoint, Journal, RepositoryConfig};
use vfs::{DiskVfs, Vfs};

use super::draft;
use crate::engines::CountedDisk;
use crate::measure::{Measurement, Work, drive, nanoseconds};
use crate::workload::Site;

const CHECKPOINTS: u64 = 1_000_000;
/// Checkpoints appended in one batch.
const BATCH: u64 = 1000;
/// Checkpoints that are looked for.
const SAMPLES: usize = 10_000;
const SHOWN: usize = 50;
/// Look-ups of each kind but the first.
const OTHERS: u64 = 2000;
const SIGNIFICANT_DIGITS: u8 = 3;

type Lookup = fn(&Journal, &Checkpoint) -> Result<()>;

/// The other ways to find a checkpoint.
const OTHER_LOOKUPS: [(&str, Lookup); 5] = [
    ("by_sequence", |journal, wanted| {
        let found = journal.get_by_sequence(wanted.sequence)?;
        ensure!(found.is_some_and(|found| found.id == wanted.id), "another checkpoint was found");
        Ok(())
    }),
    ("by_time", |journal, wanted| {
        // Several can be of one millisecond; the newest of them is found.
        let found = journal.at(wanted.id.time())?;
        ensure!(found.is_some_and(|found| found.id >= wanted.id), "an older checkpoint was found");
        Ok(())
    }),
    ("parents", |journal, wanted| {
        let parents = journal.parents(wanted)?;
        ensure!(parents.len() == wanted.parents.len(), "{} parents were found", parents.len());
        Ok(())
    }),
    ("next_50", |journal, wanted| {
        let found = journal.since(wanted.sequence)?.take(SHOWN).collect::<Result<Vec<_>, _>>()?;
        let left = (journal.last_sequence() - wanted.sequence).min(SHOWN as u64);
        ensure!(found.len() as u64 == left, "{} checkpoints of {left} were found", found.len());
        Ok(())
    }),
    ("newest_50", |journal, _| {
        let found = journal.last_n(SHOWN)?.len();
        ensure!(found == SHOWN, "{found} checkpoints were found");
        Ok(())
    }),
];

/// The database of a journal alone: the trees of these checkpoints are nowhere.
fn open(site: &Site<'_>, disk: Arc<dyn Vfs>) -> Result<Db> {
    let memory = site.parameters.memory_bytes.unwrap_or(RepositoryConfig::new("", None).memory_budget);
    Ok(Db::open(site.dir.join("db"), &Options::new().vfs(disk).memory_budget(memory))?)
}

/// Appends them, in the process before the measuring one.
pub(super) fn prepare(site: &Site<'_>) -> Result<()> {
    let clock = DiskVfs::new();
    let db = open(site, Arc::new(DiskVfs::new()))?;
    let journal = Journal::open(&db)?;
    let count = site.scaled(CHECKPOINTS);
    for first in (0..count).step_by(BATCH as usize) {
        let mut append = journal.begin_append();
        let mut batch = WriteBatch::new();
        for number in first..count.min(first + BATCH) {
            let draft = draft::of_a_save(&append, number)?;
            append.add(draft, &clock, &mut batch)?;
        }
        db.write(batch, Durability::Buffered)?;
        append.committed();
    }
    db.flush()?;
    Ok(db.wait_for_background()?)
}

/// Looks them up: by id, and for the further figures in other ways.
pub(super) fn run(site: &Site<'_>) -> Result<Measurement> {
    let disk = CountedDisk::new();
    let db = open(site, disk.vfs())?;
    let journal = &Journal::open(&db)?;
    let count = journal.count();
    ensure!(count == site.scaled(CHECKPOINTS), "the journal has {count} checkpoints");
    let mut rng = site.rng(1);
    let mut known = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let sequence = rng.random_range(1..=count);
        known.push(journal.get_by_sequence(sequence)?.with_context(|| format!("no checkpoint {sequence}"))?);
    }
    let work: Work<'_> = Box::new(|recorder| {
        let wanted = &known[rng.random_range(0..known.len())];
        recorder.call(|| {
            let found = journal.get(wanted.id)?.context("a checkpoint is missing")?;
            ensure!(found.sequence == wanted.sequence, "another checkpoint was found");
            Ok((1, found.id.to_bytes().len() as u64))
        })?;
        Ok(true)
    });
    let mut done = drive(&disk, vec![work], 1, site.warmup(), site.measured())?;
    for (name, lookup) in OTHER_LOOKUPS {
        let mut histogram = Histogram::<u64>::new(SIGNIFICANT_DIGITS)?;
        for _ in 0..OTHERS.min(count) {
            let wanted = &known[rng.random_range(0..known.len())];
            let start = Instant::now();
            lookup(journal, wanted)?;
            histogram.record(nanoseconds(start.elapsed()))?;
        }
        done.extra.insert(format!("{name}_p50_us"), histogram.value_at_quantile(0.5) as f64 / 1e3);
        done.extra.insert(format!("{name}_p99_us"), histogram.value_at_quantile(0.99) as f64 / 1e3);
    }
    Ok(done)
}
