//! Paths shared out among threads: those of one directory together, so that each directory is opened once for many of them.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tl_core::{RepoPath, RepoPathBuf};

use super::plan::Task;
use crate::error::{Error, Result};

/// Paths of one directory that a thread takes at a time.
const CHUNK_LEN: usize = 32;
/// Fewer paths are not worth a second thread.
const PARALLEL_MIN: usize = 24;

type Item<'a> = (&'a RepoPathBuf, &'a Task);

/// Some paths of one directory.
pub(super) struct Chunk<'a> {
    directory: &'a RepoPath,
    paths: &'a [Item<'a>],
}

impl<'a> Chunk<'a> {
    pub(super) const fn directory(&self) -> &'a RepoPath {
        self.directory
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = Item<'a>> {
        self.paths.iter().copied()
    }
}

fn directory_of<'a>(item: &Item<'a>) -> &'a RepoPath {
    item.0.parent().unwrap_or(RepoPath::root())
}

/// Calls `work` for all of `paths`, from up to `threads` threads if that is worth it. The first error ends it: it is returned, and the flag that `work`
/// gets says so to the other threads.
pub(super) fn for_each_chunk(
    paths: &[Item<'_>],
    threads: usize,
    work: impl Fn(&Chunk<'_>, &AtomicBool) -> Result<()> + Sync,
) -> Result<()> {
    let mut sorted = paths.to_vec();
    sorted.sort_by(|a, b| (directory_of(a), a.0).cmp(&(directory_of(b), b.0)));
    let in_one_directory = sorted.chunk_by(|a, b| directory_of(a) == directory_of(b));
    let chunks: Vec<Chunk<'_>> = in_one_directory
        .flat_map(|items| items.chunks(CHUNK_LEN))
        .filter_map(|paths| Some(Chunk { directory: directory_of(paths.first()?), paths }))
        .collect();
    let taken: Vec<AtomicBool> = chunks.iter().map(|_| AtomicBool::new(false)).collect();
    let stop = AtomicBool::new(false);
    let first_error: Mutex<Option<Error>> = Mutex::default();
    let threads = if sorted.len() < PARALLEL_MIN { 1 } else { threads.clamp(1, chunks.len().max(1)) };
    // Each begins elsewhere: two that work in one directory wait for its lock in the kernel.
    let worker = |number: usize| {
        let (before, after) = chunks.split_at(chunks.len() * number / threads);
        let (taken_before, taken_after) = taken.split_at(before.len());
        let from_here = after.iter().zip(taken_after).chain(before.iter().zip(taken_before));
        for (chunk, taken) in from_here {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            if taken.swap(true, Ordering::Relaxed) {
                continue;
            }
            if let Err(error) = work(chunk, &stop) {
                stop.store(true, Ordering::Relaxed);
                first_error.lock().get_or_insert(error);
            }
        }
    };
    let worker = &worker;
    std::thread::scope(|scope| {
        for number in 1..threads {
            scope.spawn(move || worker(number));
        }
        worker(0);
    });
    first_error.into_inner().map_or(Ok(()), Err)
}
