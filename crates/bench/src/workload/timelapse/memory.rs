//! Memory of a process that watches and records, and does nothing else.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use granite::Durability;
use tl_journal::Dirty;

use super::repository::Subject;
use super::tree::WorkTree;
use super::watching::Watching;
use crate::engines::NoDatabase;
use crate::measure::{Measurement, Meter, Recorder};
use crate::process::{self, ResidentMemory};
use crate::workload::Site;

pub(super) const FILES: u64 = 100_000;
/// Threads in the background get this long to come to rest.
const REST: Duration = Duration::from_millis(500);
const SAMPLE_INTERVAL: Duration = Duration::from_millis(2);
const SAVES_PER_SECOND: u64 = 1000;
const SAVED_FILES: u64 = 10_000;

/// When memory is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::workload) enum Memory {
    /// At rest, after a start on a tree that was recorded before.
    Idle,
    /// At its peak while the first checkpoint of a tree is made.
    First,
    /// At its peak while a thousand files are saved each second.
    Saves,
}

impl Memory {
    fn files(self, site: &Site<'_>) -> u64 {
        site.scaled(if self == Self::Saves { SAVED_FILES } else { FILES })
    }

    /// What must not weigh on the process that is looked at.
    pub(super) fn prepare(self, site: &Site<'_>) -> Result<()> {
        let tree = WorkTree::borrow(site, self.files(site))?;
        if self != Self::First {
            let subject = Subject::open(site, &site.dir.join("store"), Some(tree.root()))?;
            subject.update(&Dirty::everything(), Durability::Sync)?;
        }
        tree.give_back()
    }

    pub(super) fn run(self, site: &Site<'_>) -> Result<Measurement> {
        match self {
            Self::Idle => idle(site, self.files(site)),
            Self::First => first(site, self.files(site)),
            Self::Saves => saves(site, self.files(site)),
        }
    }
}

fn idle(site: &Site<'_>, files: u64) -> Result<Measurement> {
    let program = ResidentMemory::now()?;
    // A tree that is only looked at, so that its contents need not be in memory.
    let root = WorkTree::at_rest(site, files)?;
    let mut recorder = Recorder::new(1)?;
    let meter = Meter::start(&NoDatabase)?;
    let mut watching = None;
    recorder.call(|| {
        watching = Some(Watching::start(site, &site.dir.join("store"), &root)?);
        Ok((files, files))
    })?;
    let mut done = meter.stop(&recorder)?;
    let Some(watching) = watching else { return Err(anyhow!("nothing watches")) };
    ensure!(watching.subject.repository.journal().count() == 1, "the tree had changed");
    let saved = root.join("saved.rs");
    fs::write(&saved, b"saved")?;
    ensure!(watching.flush()?.checkpoint.is_some(), "a save made no checkpoint");
    fs::remove_file(&saved)?;
    watching.flush()?;
    watching.subject.repository.store().trim();
    watching.subject.repository.db().trim()?;
    process::release_free_memory();
    thread::sleep(REST);
    done.extra = ResidentMemory::now()?.figures_at_rest(&program);
    let stats = watching.watcher.stats();
    let figures = [
        ("watches", stats.watches as u64),
        ("watch_table_bytes", stats.table_bytes as u64),
        ("kernel_watch_bytes", stats.kernel_bytes),
    ];
    done.extra.extend(figures.map(|(name, bytes)| (name.to_owned(), bytes as f64)));
    Ok(done)
}

fn first(site: &Site<'_>, files: u64) -> Result<Measurement> {
    let root = WorkTree::at_rest(site, files)?;
    let mut recorder = Recorder::new(1)?;
    let meter = Meter::start(&NoDatabase)?;
    let mut bytes = 0;
    let peak = with_peak(|| {
        recorder.call(|| {
            let subject = Subject::open(site, &site.dir.join("store"), Some(&root))?;
            let first = subject.update(&Dirty::everything(), Durability::Sync)?;
            ensure!(first.stats.files_added == files, "the first checkpoint has {:?}", first.stats);
            bytes = first.bytes_read;
            Ok((files, bytes))
        })
    })?;
    let mut done = meter.stop(&recorder)?;
    peak.note(&mut done);
    Ok(done)
}

fn saves(site: &Site<'_>, files: u64) -> Result<Measurement> {
    let mut tree = WorkTree::borrow(site, files)?;
    let watching = Watching::start(site, &site.dir.join("store"), tree.root())?;
    let length = Duration::from_secs_f64(site.parameters.seconds);
    let count = site.parameters.operations.unwrap_or((length.as_secs_f64() * SAVES_PER_SECOND as f64) as u64).max(1);
    let mut recorder = Recorder::new(1)?;
    let meter = Meter::start(&watching.subject.disk)?;
    let watching = &watching;
    let peak = with_peak(|| {
        thread::scope(|scope| {
            let saver = scope.spawn(|| save_paced(&mut tree, count));
            while !saver.is_finished() {
                let start = Instant::now();
                if let Some(outcome) = watching.step(Instant::now() + Duration::from_millis(20))? {
                    let saved = outcome.stats.files();
                    if saved > 0 {
                        recorder.note_run(saved, outcome.bytes_read, start.elapsed())?;
                    }
                }
            }
            let start = Instant::now();
            let last = watching.flush()?;
            recorder.note_run(last.stats.files().max(1), last.bytes_read, start.elapsed())?;
            saver.join().map_err(|_| anyhow!("the thread that saves panicked"))?
        })
    })?;
    let mut done = meter.stop(&recorder)?;
    (done.cost.allocations, done.cost.allocated_bytes) = (None, None);
    watching.subject.ensure_clean()?;
    peak.note(&mut done);
    done.extra.insert("overflows".to_owned(), watching.watcher.stats().overflows as f64);
    tree.give_back()?;
    Ok(done)
}

/// Saves as many files as are asked for, at an even pace.
fn save_paced(tree: &mut WorkTree, count: u64) -> Result<()> {
    let began = Instant::now();
    for number in 0..count {
        let due = began + Duration::from_secs(1) * u32::try_from(number)? / SAVES_PER_SECOND as u32;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        tree.write(number * 7 % tree.files(), 1 + number)?;
    }
    Ok(())
}

/// The most memory that was seen.
struct Peak {
    private_bytes: u64,
    total_bytes: u64,
    before_private_bytes: u64,
}

impl Peak {
    fn note(&self, done: &mut Measurement) {
        let figures = [
            ("peak_private_bytes", self.private_bytes),
            ("peak_total_bytes", self.total_bytes),
            ("program_private_bytes", self.before_private_bytes),
        ];
        done.extra.extend(figures.map(|(name, bytes)| (name.to_owned(), bytes as f64)));
    }
}

/// Says that something is over when it is dropped.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Looks at the memory of this process while `work` runs.
fn with_peak(work: impl FnOnce() -> Result<()>) -> Result<Peak> {
    let before = ResidentMemory::now()?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let sampler = scope.spawn(|| -> Result<(u64, u64)> {
            let (mut private, mut total) = (0, 0);
            loop {
                let last = over.load(Ordering::Acquire);
                let now = ResidentMemory::now()?;
                private = private.max(now.anonymous_bytes + now.shared_bytes);
                total = total.max(now.total_bytes());
                if last {
                    return Ok((private, total));
                }
                thread::sleep(SAMPLE_INTERVAL);
            }
        });
        // The thread ends even if the work panics.
        let ending = Ending(&over);
        let worked = work();
        drop(ending);
        let (private_bytes, total_bytes) =
            sampler.join().map_err(|_| anyhow!("the thread that looks at memory panicked"))??;
        worked?;
        let before_private_bytes = before.anonymous_bytes + before.shared_bytes;
        Ok(Peak { private_bytes, total_bytes, before_private_bytes })
    })
}
