//! What the kernel knows of this process and of a directory: processor time, traffic to the disk, resident memory, space.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::fs::Advice;
use rustix::time::{ClockId, clock_gettime};

/// Processor time of all threads, and of the processes that were started and waited for.
#[must_use]
pub fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let own = Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0));
    own + children_cpu_time().unwrap_or_default()
}

/// In steps of the clock's ticks. `None` if the kernel does not tell.
fn children_cpu_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name, in parentheses, may hold anything.
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(CHILDREN_USER_FIELD);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    let nanoseconds = u128::from(ticks) * 1_000_000_000 / u128::from(rustix::param::clock_ticks_per_second());
    u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
}

/// Where `cutime` stands among the fields of `/proc/self/stat` after the name; `cstime` follows.
const CHILDREN_USER_FIELD: usize = 13;

/// Counters of `/proc/self/io`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessIo {
    /// Bytes handed to write calls.
    pub write_call_bytes: u64,
    /// Bytes of pages made dirty, which the disk will be asked to write.
    pub written_bytes: u64,
    /// Bytes that the disk was asked to read.
    pub read_bytes: u64,
}

impl ProcessIo {
    /// The present values. `None` if the kernel does not account for input and output.
    #[must_use]
    pub fn now() -> Option<Self> {
        // A system without this file does not account.
        let text = fs::read_to_string("/proc/self/io").ok()?;
        Some(Self {
            write_call_bytes: number_after(&text, "wchar:")?,
            written_bytes: number_after(&text, "write_bytes:")?,
            read_bytes: number_after(&text, "read_bytes:")?,
        })
    }

    /// What happened between `earlier` and this reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            write_call_bytes: self.write_call_bytes - earlier.write_call_bytes,
            written_bytes: self.written_bytes - earlier.written_bytes,
            read_bytes: self.read_bytes - earlier.read_bytes,
        }
    }
}

/// Resident memory of a process.
#[derive(Debug, Clone, Copy)]
pub struct ResidentMemory {
    /// Memory with no file behind it.
    pub anonymous_bytes: u64,
    /// Shared memory.
    pub shared_bytes: u64,
    /// Pages of mapped files, the program's own code among them.
    pub file_bytes: u64,
}

impl ResidentMemory {
    /// The present values.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn now() -> Result<Self> {
        Self::of(std::process::id())
    }

    /// The present values of the process `id`.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn of(id: u32) -> Result<Self> {
        let path = format!("/proc/{id}/status");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let field = |name| {
            let kibibytes = number_after(&text, name).with_context(|| format!("{path} has no {name}"))?;
            anyhow::Ok(kibibytes * 1024)
        };
        Ok(Self {
            anonymous_bytes: field("RssAnon:")?,
            shared_bytes: field("RssShmem:")?,
            file_bytes: field("RssFile:")?,
        })
    }

    /// What a process at rest is told of by, beside what it had when it began.
    #[must_use]
    pub fn figures_at_rest(&self, before: &Self) -> BTreeMap<String, f64> {
        [
            ("idle_anonymous_bytes", self.anonymous_bytes),
            ("idle_shared_bytes", self.shared_bytes),
            ("idle_private_bytes", self.anonymous_bytes + self.shared_bytes),
            ("idle_total_bytes", self.total_bytes()),
            ("program_private_bytes", before.anonymous_bytes + before.shared_bytes),
        ]
        .map(|(name, bytes)| (name.to_owned(), bytes as f64))
        .into()
    }

    /// All of it.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.anonymous_bytes + self.shared_bytes + self.file_bytes
    }
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Returns what the allocator of the C library holds in reserve to the system.
pub fn release_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call has no requirements; it only returns free memory of the allocator to the system.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// All files under a directory.
///
/// # Errors
/// If a directory cannot be read.
pub fn files_under(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                pending.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Space that the files under a directory take on the disk.
///
/// # Errors
/// If a directory cannot be read. A file that vanishes meanwhile counts as nothing.
pub fn space_under(dir: &Path) -> io::Result<u64> {
    files_under(dir)?.iter().try_fold(0, |sum, path| match fs::metadata(path) {
        Ok(metadata) => Ok(sum + metadata.blocks() * 512),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(sum),
        Err(error) => Err(error),
    })
}

/// Writes back all files under a directory and drops them from the page cache, so that the next read comes from the disk.
/// Pages that a process has mapped stay: close the database first.
///
/// # Errors
/// Any error of the disk.
pub fn drop_page_cache(dir: &Path) -> io::Result<()> {
    for path in files_under(dir)? {
        let file = File::open(path)?;
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn written_bytes_and_space_follow_a_write() {
        let dir = tempfile::tempdir_in(".").expect("a directory on a disk");
        let before = ProcessIo::now().expect("accounting");
        let mut file = File::create(dir.path().join("file")).expect("create");
        file.write_all(&vec![1; 1 << 20]).expect("write");
        file.sync_all().expect("sync");
        let done = ProcessIo::now().expect("accounting").since(before);
        assert!(done.write_call_bytes >= 1 << 20, "{done:?}");
        assert!(done.written_bytes >= 1 << 20, "{done:?}");
        assert!(space_under(dir.path()).expect("space") >= 1 << 20);
    }

    #[test]
    fn resident_memory_grows_with_what_is_touched() {
        let before = ResidentMemory::now().expect("status").anonymous_bytes;
        let kept = std::hint::black_box(vec![1_u8; 256 << 20]);
        let after = ResidentMemory::now().expect("status").anonymous_bytes;
        drop(kept);
        assert!(after >= before + (128 << 20), "{before} -> {after}");
    }
}
