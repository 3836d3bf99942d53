//! Reading many files at once, in bounded memory: a wave of jobs is gathered, worked off by a few threads, and over before the next begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tl_core::{Capture, Entry, EntryName, RepoPathBuf};

use crate::error::Result;
use crate::index::IndexEntry;
use crate::workdir::{Dir, FileRead, Stat, read_file};

/// Jobs in a wave. Each may hold a directory open.
pub(super) const JOBS_MAX: usize = 128;
/// Bytes to be read in a wave from which on threads are worth their start.
const PARALLEL_BYTES_MIN: u64 = 256 << 10;
/// As many files are, whatever their size.
const PARALLEL_JOBS_MIN: usize = 16;

/// A regular file that has to be read.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) path: RepoPathBuf,
    pub(super) dir: Arc<Dir>,
    pub(super) stat: Stat,
    /// What the tree has at its path.
    pub(super) recorded: Option<Entry>,
    /// What the index has.
    pub(super) known: Option<IndexEntry>,
}

/// Reads the files of all jobs into `capture`; the results are in the order of the jobs.
pub(super) fn read_all(
    jobs: &[Job],
    capture: &Capture,
    threads: usize,
    now: &(dyn Fn() -> Duration + Sync),
) -> Vec<Result<FileRead>> {
    let read = |job: &Job| match job.path.file_name() {
        Some(name) => read_named(job, name, capture, now),
        None => Ok(FileRead::Unstable),
    };
    let bytes: u64 = jobs.iter().fold(0, |sum, job| sum.saturating_add(job.stat.size));
    let few = jobs.len() < PARALLEL_JOBS_MIN && bytes < PARALLEL_BYTES_MIN;
    let threads = threads.min(jobs.len());
    if few || threads < 2 {
        return jobs.iter().map(read).collect();
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(jobs.len()));
    let work = || {
        while let index = next.fetch_add(1, Ordering::Relaxed)
            && let Some(job) = jobs.get(index)
        {
            let result = read(job);
            done.lock().push((index, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let mut done = done.into_inner();
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

fn read_named(job: &Job, name: &EntryName, capture: &Capture, now: &dyn Fn() -> Duration) -> Result<FileRead> {
    read_file(&job.dir, name, capture, now)
}
