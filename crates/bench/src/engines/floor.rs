//! The floors: one write of a commit's bytes and one `fdatasync`, and nothing else. Writers that arrive while a sync is under way
//! share the next one, as in any group commit.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard};

use anyhow::{Context, Result, anyhow, bail};
use rustix::fs::{FallocateFlags, fallocate};

use crate::data::ValuePool;
use crate::engine::{Direction, Durability, Engine, EngineCounters, EngineOptions, EngineSpec, Metered, Op, Role};

const ALLOCATE_BYTES: u64 = 64 << 20;
const OVERWRITE_BYTES: u64 = 64 << 20;
const PAGE_BYTES: usize = 4096;
/// What a log would add: a header for the record, and a little for each entry.
const RECORD_HEADER_BYTES: u64 = 16;
const ENTRY_HEADER_BYTES: u64 = 8;
/// The largest single write; a larger commit is written in pieces.
const WRITE_BYTES_MAX: u64 = 4 << 20;

/// Where the bytes of a commit go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// The end of a file that grows by each write.
    Growing,
    /// The end of what was written in a file whose space was allocated ahead.
    Allocated,
    /// Blocks of a file that were written before, round and round.
    Written,
}

/// What the writers share. Tickets count commits: `done` of them are durable.
#[derive(Debug, Default)]
struct Queue {
    issued: u64,
    done: u64,
    pending_bytes: u64,
    leading: bool,
    failed: bool,
    offset: u64,
    allocated: u64,
    syncs: u64,
    bytes_written: u64,
}

struct Floor {
    file: File,
    target: Target,
    filler: Vec<u8>,
    queue: Mutex<Queue>,
    progress: Condvar,
}

impl Floor {
    fn open(dir: &Path, target: Target) -> Result<Self> {
        let path = dir.join("floor");
        let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path)?;
        let filler = ValuePool::new(1).into_bytes();
        if target == Target::Written {
            // Page by page, as commits would have written them: large writes make large folios of the page cache, and the kernel then
            // accounts for a whole one whenever a part of it is written.
            for (page, offset) in filler.chunks_exact(PAGE_BYTES).cycle().zip((0..OVERWRITE_BYTES).step_by(PAGE_BYTES))
            {
                file.write_all_at(page, offset)?;
            }
        }
        file.sync_all()?;
        File::open(dir)?.sync_all()?;
        Ok(Self { file, target, filler, queue: Mutex::default(), progress: Condvar::new() })
    }

    fn lock(&self) -> Result<MutexGuard<'_, Queue>> {
        self.queue.lock().map_err(|_| anyhow!("a writer of the floor panicked"))
    }

    /// Writes `bytes` at `offset` and returns where the next write goes.
    fn append(&self, mut offset: u64, allocated: &mut u64, mut bytes: u64) -> Result<u64> {
        while bytes > 0 {
            let piece = bytes.min(WRITE_BYTES_MAX);
            match self.target {
                Target::Growing => {}
                Target::Allocated => {
                    while offset + piece > *allocated {
                        fallocate(&self.file, FallocateFlags::empty(), *allocated, ALLOCATE_BYTES)
                            .context("cannot allocate space for the floor")?;
                        *allocated += ALLOCATE_BYTES;
                    }
                }
                Target::Written => {
                    if offset + piece > OVERWRITE_BYTES {
                        offset = 0;
                    }
                }
            }
            let filler = self.filler.get(..piece as usize).context("the filler is too short")?;
            self.file.write_all_at(filler, offset)?;
            offset += piece;
            bytes -= piece;
        }
        Ok(offset)
    }
}

impl Metered for Floor {
    fn counters(&self) -> Option<EngineCounters> {
        // A writer that panicked has failed the measurement already.
        let queue = self.lock().ok()?;
        Some(EngineCounters { syncs: queue.syncs, bytes_written: queue.bytes_written })
    }
}

impl Engine for Floor {
    fn write(&self, ops: &[Op<'_>], durability: Durability) -> Result<()> {
        if durability != Durability::Sync {
            bail!("a floor is only measured with syncs");
        }
        let bytes: u64 = ops.iter().map(|op| op.user_bytes() + ENTRY_HEADER_BYTES).sum::<u64>() + RECORD_HEADER_BYTES;
        let mut queue = self.lock()?;
        queue.issued += 1;
        queue.pending_bytes += bytes;
        let ticket = queue.issued;
        while queue.done < ticket {
            if queue.failed {
                bail!("an earlier commit of the floor failed");
            }
            if queue.leading {
                queue = self.progress.wait(queue).map_err(|_| anyhow!("a writer of the floor panicked"))?;
                continue;
            }
            queue.leading = true;
            let (last, bytes) = (queue.issued, std::mem::take(&mut queue.pending_bytes));
            let (offset, mut allocated) = (queue.offset, queue.allocated);
            drop(queue);
            let outcome = self.append(offset, &mut allocated, bytes).and_then(|offset| {
                self.file.sync_data()?;
                Ok(offset)
            });
            queue = self.lock()?;
            queue.leading = false;
            queue.failed = outcome.is_err();
            self.progress.notify_all();
            queue.offset = outcome?;
            queue.allocated = allocated;
            queue.done = last;
            queue.syncs += 1;
            queue.bytes_written += bytes;
        }
        Ok(())
    }

    fn get(&self, _: &[u8], _: &mut dyn FnMut(&[u8])) -> Result<bool> {
        bail!("a floor holds no keys")
    }

    fn scan(&self, _: Option<&[u8]>, _: Direction, _: usize, _: &mut dyn FnMut(&[u8], &[u8])) -> Result<usize> {
        bail!("a floor holds no keys")
    }

    fn settle(&self) -> Result<()> {
        bail!("a floor holds no keys")
    }
}

/// The floors: two ways to append, of which the better counts, and overwriting.
#[must_use]
pub fn floors() -> Vec<EngineSpec> {
    let spec = |name, notes, open| EngineSpec {
        name,
        version: String::new(),
        role: Role::Floor,
        notes,
        durable: true,
        allocates_in_rust: true,
        open,
    };
    vec![
        spec("floor-append", "fdatasync after an append to a growing file", |dir: &Path, _: &EngineOptions| {
            Ok(Box::new(Floor::open(dir, Target::Growing)?))
        }),
        spec("floor-append-allocated", "the same to a file that was allocated ahead", |dir, _| {
            Ok(Box::new(Floor::open(dir, Target::Allocated)?))
        }),
        spec("floor-overwrite", "fdatasync after overwriting blocks that were written before", |dir, _| {
            Ok(Box::new(Floor::open(dir, Target::Written)?))
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::KeyScheme;

    #[test]
    fn every_commit_is_written_and_writers_share_syncs() {
        for target in [Target::Growing, Target::Allocated, Target::Written] {
            let dir = tempfile::tempdir().expect("a directory");
            let floor = Floor::open(dir.path(), target).expect("open");
            std::thread::scope(|scope| {
                for writer in 0..4 {
                    let floor = &floor;
                    scope.spawn(move || {
                        for index in 0..50 {
                            let op = Op::Put(KeyScheme::Hash32.key(writer * 50 + index), &[1; 100]);
                            floor.write(&[op], Durability::Sync).expect("write");
                        }
                    });
                }
            });
            let counters = floor.counters().expect("counted");
            assert_eq!(counters.bytes_written, 200 * (132 + ENTRY_HEADER_BYTES + RECORD_HEADER_BYTES));
            assert!((50..=200).contains(&counters.syncs), "{} syncs for 200 commits of 4 writers", counters.syncs);
        }
    }
}
