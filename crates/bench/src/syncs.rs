//! Counts from a trace of system calls how often an engine waited for the disk. Durability is only equal if these counts say so.
//!
//! What counts: `fsync`, `fdatasync`, `msync` with `MS_SYNC`, `sync_file_range`, and writes to files that were opened with `O_SYNC` or
//! `O_DSYNC` (LMDB writes its meta page so) or that carry `RWF_DSYNC` or `RWF_SYNC`.

use std::collections::HashSet;

use anyhow::{Result, ensure};

/// The system calls that a trace must hold.
pub const TRACED_CALLS: &str = "openat,open,creat,close,dup,dup2,dup3,fcntl,fsync,fdatasync,msync,sync_file_range,sync,syncfs,\
                                write,pwrite64,writev,pwritev,pwritev2";
/// Operations per thread of a traced run.
pub const TRACED_OPERATIONS: u64 = 50;
/// Operations per thread before them.
pub const TRACED_WARMUP_OPERATIONS: u64 = 5;

/// The syncs between the first and the last mark of an `strace -f -y` log.
///
/// # Errors
/// If the marks of the measured part are missing.
pub fn count(trace: &str) -> Result<u64> {
    let mut synchronous_files = HashSet::new();
    let (mut marks, mut total) = (0, 0);
    for line in trace.lines() {
        let call = line.trim_start().split_once(' ').map_or(line, |(_, call)| call.trim_start());
        if is_mark(call) {
            marks += 1;
            continue;
        }
        if let Some(file) = opened_synchronously(call) {
            synchronous_files.insert(file.to_owned());
        }
        total += u64::from(marks == 1 && is_sync(call, &synchronous_files));
    }
    ensure!(marks == 2, "the trace shows {marks} marks instead of the start and the end of the measured part");
    Ok(total)
}

fn is_mark(call: &str) -> bool {
    call.starts_with("fdatasync(") && call.contains("</dev/null")
}

/// A synchronous file's descriptor with its path, as strace decorates it: `5</dir/data.mdb>`.
fn opened_synchronously(call: &str) -> Option<&str> {
    let opens = call.starts_with("openat(") || call.starts_with("open(") || call.contains("<... openat resumed>");
    if !opens || !(call.contains("O_DSYNC") || call.contains("O_SYNC")) {
        return None;
    }
    let (_, file) = call.rsplit_once(" = ")?;
    file.contains('<').then(|| file.trim())
}

fn is_sync(call: &str, synchronous_files: &HashSet<String>) -> bool {
    // A call that another thread interrupts is printed twice, with its name at both; the first half counts.
    let Some((name, arguments)) = call.split_once('(') else { return false };
    match name {
        "fsync" | "fdatasync" | "sync_file_range" | "sync" | "syncfs" => true,
        "msync" => arguments.contains("MS_SYNC"),
        "write" | "pwrite64" | "writev" | "pwritev" => {
            arguments.split_once(',').is_some_and(|(file, _)| synchronous_files.contains(file))
        }
        "pwritev2" => {
            arguments.contains("RWF_DSYNC")
                || arguments.contains("RWF_SYNC")
                || arguments.split_once(',').is_some_and(|(file, _)| synchronous_files.contains(file))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = r#"100 openat(AT_FDCWD</w>, "/d/log", O_WRONLY|O_CREAT, 0666) = 4</d/log>
100 openat(AT_FDCWD</w>, "/d/data.mdb", O_RDWR|O_DSYNC|O_CLOEXEC, 0666) = 5</d/data.mdb>
100 fdatasync(4</d/log>) = 0
100 fdatasync(9</dev/null>) = -1 EINVAL (Invalid argument)
101 write(4</d/log>, ""..., 100) = 100
101 fdatasync(4</d/log> <unfinished ...>
102 pwrite64(5</d/data.mdb>, ""..., 64, 0) = 64
101 <... fdatasync resumed>) = 0
102 msync(0x7f0000000000, 4096, MS_ASYNC) = 0
102 msync(0x7f0000000000, 4096, MS_SYNC) = 0
102 pwritev2(4</d/log>, [{iov_base=""..., iov_len=1}], 1, 0, RWF_DSYNC) = 1
100 fdatasync(9</dev/null>) = -1 EINVAL (Invalid argument)
100 fsync(4</d/log>) = 0
"#;

    #[test]
    fn every_way_to_wait_for_the_disk_counts_once_and_only_between_the_marks() {
        assert_eq!(count(TRACE).expect("two marks"), 4);
    }

    #[test]
    fn a_trace_without_marks_is_refused() {
        let unmarked: String = TRACE.lines().filter(|line| !line.contains("/dev/null")).collect::<Vec<_>>().join("\n");
        assert!(count(&unmarked).is_err());
    }
}
