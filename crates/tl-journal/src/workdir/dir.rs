//! A directory that is held open, and what can be asked of the names in it.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use tl_core::{EntryName, RepoPath};

use super::stat::Stat;

/// Longest target of a symbolic link that is read, in bytes.
const LINK_LEN_MAX: usize = 1 << 20;

/// An open directory. It stays the same one wherever it is moved to.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
}

const DIR_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Dir {
    /// Opens the directory at `path`, which may be a symbolic link to it: it is the user who names it.
    pub(crate) fn open_root(path: &Path) -> Result<Self, Errno> {
        let flags = DIR_FLAGS.difference(OFlags::NOFOLLOW);
        Ok(Self { fd: rustix::fs::openat(CWD, path, flags, Mode::empty())? })
    }

    /// Opens a directory in this one; a symbolic link is refused.
    pub(crate) fn open_dir(&self, name: &EntryName) -> Result<Self, Errno> {
        Ok(Self { fd: rustix::fs::openat(&self.fd, name.as_bytes(), DIR_FLAGS, Mode::empty())? })
    }

    /// Opens the directory at `path` below this one, name by name; a symbolic link anywhere is refused.
    pub(crate) fn open_beneath(&self, path: &RepoPath) -> Result<Self, Errno> {
        let mut found = Self { fd: rustix::fs::openat(&self.fd, c".", DIR_FLAGS, Mode::empty())? };
        for name in path.components() {
            found = found.open_dir(name)?;
        }
        Ok(found)
    }

    /// Opens a file in this directory for reading, as [`open_for_reading`] does.
    pub(crate) fn open_file(&self, name: &EntryName) -> Result<OwnedFd, Errno> {
        open_for_reading(&self.fd, name.as_bytes())
    }

    /// What the directory itself is.
    pub(crate) fn stat(&self) -> Result<Stat, Errno> {
        Ok(Stat::new(&rustix::fs::fstat(&self.fd)?))
    }

    /// What `name` is; of a symbolic link, the link.
    pub(crate) fn stat_of(&self, name: &EntryName) -> Result<Stat, Errno> {
        Ok(Stat::new(&rustix::fs::statat(&self.fd, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// The target of the symbolic link `name`.
    pub(crate) fn link_target(&self, name: &EntryName) -> Result<Vec<u8>, Errno> {
        let target = rustix::fs::readlinkat(&self.fd, name.as_bytes(), Vec::new())?.into_bytes();
        if target.len() > LINK_LEN_MAX { Err(Errno::NAMETOOLONG) } else { Ok(target) }
    }

    /// Calls `each` with every name but `.` and `..`, in no order.
    pub(crate) fn for_each_name(&self, mut each: impl FnMut(&CStr)) -> Result<(), Errno> {
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let entry = entry?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                each(name);
            }
        }
        Ok(())
    }
}

const FILE_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOCTTY);

/// Opens the file `name` in `dir` for reading. Never waits, not even for a FIFO that took its place, and leaves no trace: the time of the last access is
/// the users', and noting it would change every file that is read.
pub(crate) fn open_for_reading(dir: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    #[cfg(target_os = "linux")]
    match rustix::fs::openat(&dir, name, FILE_FLAGS | OFlags::NOATIME, Mode::empty()) {
        // Only the owner of a file may ask for that.
        Err(Errno::PERM) => {}
        opened => return opened,
    }
    rustix::fs::openat(dir, name, FILE_FLAGS, Mode::empty())
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
