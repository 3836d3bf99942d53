//! Where a result comes from: the machine, the filesystem, the build.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sysinfo::{CpuRefreshKind, Disks, MemoryRefreshKind, RefreshKind, System};

/// The machine that measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// Processors that the process may use.
    pub cores: usize,
    /// Memory; null if the system does not tell.
    pub memory_bytes: Option<u64>,
    /// Type of the filesystem that held the databases.
    pub filesystem: String,
    /// Its mount options.
    pub mount_options: String,
    /// Operating system and kernel.
    pub kernel: String,
}

/// The program that measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// Cargo's profile.
    pub profile: String,
    /// The compiler.
    pub rustc: String,
    /// Flags that the build gave it.
    pub rustflags: String,
    /// Commit of the checkout that the program was started in, `unknown` outside of one.
    pub commit: String,
    /// True if the checkout differed from that commit.
    pub modified: bool,
}

const UNKNOWN: &str = "unknown";

impl Machine {
    /// This machine, with the filesystem that holds `dir`. What the system does not tell is unknown, and no error.
    ///
    /// # Errors
    /// If `dir` does not exist.
    pub fn here(dir: &Path) -> Result<Self> {
        let dir = dir.canonicalize().with_context(|| format!("cannot resolve {}", dir.display()))?;
        let (filesystem, mount_options) = filesystem_of(&dir).unwrap_or_else(|| (UNKNOWN.to_owned(), String::new()));
        let memory_only = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
        // Whoever cannot be asked has nothing to tell.
        let memory_bytes = System::new_with_specifics(memory_only).map_or(0, |system| system.total_memory());
        Ok(Self {
            cpu: processor(),
            // As many as are told; one there is.
            cores: thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_bytes: (memory_bytes > 0).then_some(memory_bytes),
            filesystem,
            mount_options,
            kernel: format!("{} {}", env::consts::OS, System::kernel_version().as_deref().unwrap_or(UNKNOWN)),
        })
    }
}

/// The model of the processor, else its architecture.
fn processor() -> String {
    let cpus_only = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing());
    // A system that does not tell has an architecture all the same.
    let system = System::new_with_specifics(cpus_only).ok();
    let brand = system.and_then(|system| Some(system.cpus().first()?.brand().trim().to_owned()));
    brand.filter(|brand| !brand.is_empty()).unwrap_or_else(|| env::consts::ARCH.to_owned())
}

/// Type and options of the mount that holds `dir`: on Linux as the kernel lists it, elsewhere the type alone.
fn filesystem_of(dir: &Path) -> Option<(String, String)> {
    // Where there is no such file, the disks are asked.
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok();
    if let Some(found) = mounts.and_then(|mounts| mount_of(&mounts, dir)) {
        return Some(found);
    }
    // Nor is there a list of them everywhere.
    let disks = Disks::new_with_refreshed_list().ok()?;
    let holding = disks.iter().filter(|disk| dir.starts_with(disk.mount_point()));
    let innermost = holding.max_by_key(|disk| disk.mount_point().as_os_str().len())?;
    Some((innermost.file_system().to_string_lossy().into_owned(), String::new()))
}

impl Build {
    /// This program.
    #[must_use]
    pub fn here() -> Self {
        // Cargo names the checkout when it starts a program; else the working directory is in it.
        let checkout = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| ".".into());
        let git = |arguments: &[&str]| {
            // Without Git, or outside of a checkout, the commit is unknown.
            let output = Command::new("git").arg("-C").arg(&checkout).args(arguments).output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        Self {
            profile: env!("BENCH_PROFILE").to_owned(),
            rustc: env!("BENCH_RUSTC").to_owned(),
            rustflags: env!("BENCH_RUSTFLAGS").to_owned(),
            commit: git(&["rev-parse", "HEAD"]).unwrap_or_else(|| UNKNOWN.to_owned()),
            modified: git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|changes| !changes.is_empty()),
        }
    }
}

/// Processes that ran or waited for the disk, on average over the last minute. `None` on a system that does not tell.
#[must_use]
pub fn load_average() -> Option<f64> {
    System::load_average().ok().map(|average| average.one).filter(|average| average.is_finite())
}

/// The type and options of the mount that holds `dir`: the one with the longest matching mount point, and the last of those.
fn mount_of(mountinfo: &str, dir: &Path) -> Option<(String, String)> {
    let mut best: Option<(usize, String, String)> = None;
    for line in mountinfo.lines() {
        let (mount, source) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?;
        let mut source = source.split(' ');
        let (kind, options) = (source.next()?, source.nth(1)?);
        if dir.starts_with(point) && best.as_ref().is_none_or(|(len, ..)| point.len() >= *len) {
            best = Some((point.len(), kind.to_owned(), options.to_owned()));
        }
    }
    best.map(|(_, kind, options)| (kind, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described_whatever_the_directory_is_on() {
        let machine = Machine::here(&env::temp_dir()).expect("there is one");
        assert!(machine.cores > 0 && !machine.cpu.is_empty() && !machine.filesystem.is_empty(), "{machine:?}");
        assert!(machine.kernel.starts_with(env::consts::OS), "{machine:?}");
        assert!(Machine::here(Path::new("/nowhere")).is_err());
    }

    #[test]
    fn the_innermost_mount_names_the_filesystem() {
        let mounts = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n\
                      30 22 0:25 / /tmp rw - tmpfs tmpfs rw,size=1g\n";
        let find = |dir: &str| mount_of(mounts, Path::new(dir)).map(|(kind, _)| kind);
        assert_eq!(find("/tmp/x").as_deref(), Some("tmpfs"));
        assert_eq!(find("/tmpfiles").as_deref(), Some("ext4"));
        assert_eq!(mount_of(mounts, Path::new("/home")), Some(("ext4".to_owned(), "rw,discard".to_owned())));
    }
}
