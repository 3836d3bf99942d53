//! The root: the directory that was opened, whatever its path leads to by now.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Stat, fstat};

use crate::batch::RootEvent;

/// See the module.
pub(crate) struct Root {
    directory: OwnedFd,
    /// Where it was when the watcher started.
    path: PathBuf,
    stat: Stat,
    /// What was told about it last, so that nothing is told twice.
    told: Option<RootEvent>,
}

impl Root {
    pub(crate) fn new(directory: OwnedFd, path: PathBuf) -> rustix::io::Result<Self> {
        let stat = fstat(&directory)?;
        Ok(Self { directory, path, stat, told: None })
    }

    pub(crate) fn directory(&self) -> &OwnedFd {
        &self.directory
    }

    /// Its path now, as the kernel gives it; none if it is gone or out of sight.
    pub(crate) fn found_at(&self) -> Option<PathBuf> {
        // A path from the kernel may be one of another namespace, or that of a directory that is gone.
        path_of(self.directory.as_fd()).filter(|path| self.is_at(path))
    }

    /// What is to be told about the root; none if all is well or it is told already.
    pub(crate) fn look(&mut self) -> Option<RootEvent> {
        let found = if fstat(&self.directory).is_ok_and(|stat| stat.st_nlink == 0) {
            Some(RootEvent::Removed)
        } else if self.is_at(&self.path) {
            None
        } else if self.path.symlink_metadata().is_ok() {
            Some(RootEvent::Replaced)
        } else {
            Some(RootEvent::Moved(self.found_at()))
        };
        if found == self.told {
            return None;
        }
        self.told.clone_from(&found);
        found
    }

    fn is_at(&self, path: &Path) -> bool {
        // Compared as the same call gives them, whatever the width of the fields is on this system.
        rustix::fs::stat(path).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (self.stat.st_dev, self.stat.st_ino))
    }
}

#[cfg(target_os = "linux")]
fn path_of(directory: std::os::fd::BorrowedFd<'_>) -> Option<PathBuf> {
    use std::os::fd::AsRawFd;
    std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd())).ok()
}

#[cfg(target_vendor = "apple")]
fn path_of(directory: std::os::fd::BorrowedFd<'_>) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let path = rustix::fs::getpath(directory).ok()?;
    Some(std::ffi::OsString::from_vec(path.into_bytes()).into())
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn path_of(_directory: std::os::fd::BorrowedFd<'_>) -> Option<PathBuf> {
    None
}
