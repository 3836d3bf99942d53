//! What speaks against protecting a directory.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tl_watcher::{IgnoreRules, RelPath};

use crate::environment::Environment;
use crate::failure::Failure;
use crate::output;

/// Entries above which a directory is too large to be protected by accident.
const ENTRIES_MAX: u64 = 500_000;
/// Bytes above which it is.
const BYTES_MAX: u64 = 20 << 30;

/// What there is to record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    pub entries: u64,
    pub bytes: u64,
}

impl Size {
    const fn is_too_large(self) -> bool {
        self.entries > ENTRIES_MAX || self.bytes > BYTES_MAX
    }
}

/// Refuses a directory that nobody means to protect as a whole.
///
/// # Errors
/// The reason, and how to insist.
pub fn check_place(root: &Path, environment: &Environment) -> Result<()> {
    let refuse = |reason: String, hint: &str| Err(Failure::input(reason, hint));
    if root.parent().is_none() {
        return refuse(
            "`/` holds the whole system, whose files change all the time".to_owned(),
            "protect a directory of yours, or insist with `--force`",
        );
    }
    let home = environment.home.as_ref().and_then(|home| home.canonicalize().ok());
    if let Some(home) = home.filter(|home| home.starts_with(root)) {
        let what = if home == root { "is your home directory" } else { "holds your home directory" };
        return refuse(
            format!("{} {what}: caches, mail and keys would be recorded with your work", root.display()),
            "protect the directory of one project, or insist with `--force`",
        );
    }
    Ok(())
}

/// Measures what there is to record, and refuses what is too much for an accident or for the disk. Counting ends where the reason is found.
///
/// # Errors
/// The reason, and how to insist.
pub fn check_size(root: &Path, free_bytes: Option<u64>) -> Result<()> {
    let size = measure(root)?;
    let Size { entries, bytes } = size;
    if size.is_too_large() {
        return Err(Failure::input(
            format!(
                "{} is large: there are more than {} files and directories, or {}, that no ignore rule leaves out",
                root.display(),
                entries.min(ENTRIES_MAX),
                output::bytes(bytes.min(BYTES_MAX)),
            ),
            "leave out what need not be recorded by lines in `.tlignore`, or insist with `--force`",
        ));
    }
    if let Some(free) = free_bytes.filter(|&free| free < bytes) {
        return Err(Failure::input(
            format!(
                "the disk of the stores has {} free, and {} holds {}",
                output::bytes(free),
                root.display(),
                output::bytes(bytes)
            ),
            "free some space, or insist with `--force`: what is stored is compressed",
        ));
    }
    Ok(())
}

/// What no rule leaves out, up to the limits.
fn measure(root: &Path) -> Result<Size> {
    let rules = IgnoreRules::open(root, Vec::new()).context("cannot read the ignore rules")?;
    let mut size = Size::default();
    let mut left: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(dir) = left.pop() {
        // What cannot be read cannot be recorded either, and is reported by the daemon.
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(metadata) = entry.metadata() else { continue };
            let relative = path.strip_prefix(root).unwrap_or(&path).as_os_str().as_bytes();
            let Ok(relative) = RelPath::new(relative) else { continue };
            if rules.is_ignored(&relative, metadata.is_dir()) {
                continue;
            }
            size.entries += 1;
            size.bytes += metadata.len();
            if size.is_too_large() {
                return Ok(size);
            }
            if metadata.is_dir() {
                left.push(path);
            }
        }
    }
    Ok(size)
}
