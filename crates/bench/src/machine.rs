//! Where a result comes from: the machine, the filesystem, the build.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The machine that measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// Processors that the process may use.
    pub cores: usize,
    /// Memory.
    pub memory_bytes: u64,
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

impl Machine {
    /// This machine, with the filesystem that holds `dir`.
    ///
    /// # Errors
    /// If `dir` does not exist.
    pub fn here(dir: &Path) -> Result<Self> {
        let dir = dir.canonicalize().with_context(|| format!("cannot resolve {}", dir.display()))?;
        let (filesystem, mount_options) = fs::read_to_string("/proc/self/mountinfo")
            .ok()
            .and_then(|mounts| mount_of(&mounts, &dir))
            .unwrap_or_else(|| ("unknown".to_owned(), String::new()));
        let field = |path: &str, name: &str| {
            let text = fs::read_to_string(path).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal");
        let kibibytes = memory.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Ok(Self {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| env::consts::ARCH.to_owned()),
            cores: thread::available_parallelism()?.get(),
            memory_bytes: kibibytes.unwrap_or(0) * 1024,
            filesystem,
            mount_options,
            kernel: format!("{} {}", env::consts::OS, release.trim()),
        })
    }
}

impl Build {
    /// This program.
    #[must_use]
    pub fn here() -> Self {
        // Cargo names the checkout when it starts a program; else the working directory is in it.
        let checkout = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| ".".into());
        let git = |arguments: &[&str]| {
            let output = Command::new("git").arg("-C").arg(&checkout).args(arguments).output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        Self {
            profile: env!("BENCH_PROFILE").to_owned(),
            rustc: env!("BENCH_RUSTC").to_owned(),
            rustflags: env!("BENCH_RUSTFLAGS").to_owned(),
            commit: git(&["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".to_owned()),
            modified: git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|changes| !changes.is_empty()),
        }
    }
}

/// Processes that ran or waited for the disk, on average over the last minute.
///
/// # Errors
/// If the kernel does not tell.
pub fn load_average() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg").context("cannot read /proc/loadavg")?;
    text.split(' ').next().and_then(|first| first.parse().ok()).context("/proc/loadavg holds no number")
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
    fn the_innermost_mount_names_the_filesystem() {
        let mounts = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n\
                      30 22 0:25 / /tmp rw - tmpfs tmpfs rw,size=1g\n";
        let find = |dir: &str| mount_of(mounts, Path::new(dir)).map(|(kind, _)| kind);
        assert_eq!(find("/tmp/x").as_deref(), Some("tmpfs"));
        assert_eq!(find("/tmpfiles").as_deref(), Some("ext4"));
        assert_eq!(mount_of(mounts, Path::new("/home")), Some(("ext4".to_owned(), "rw,discard".to_owned())));
    }
}
