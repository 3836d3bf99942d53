//! Directories that are held open while a restore writes into them. Nothing is ever reached through a symbolic link, and nothing outside the root.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode as RawMode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;
use tl_core::{EntryName, Mode, RepoPath};

use crate::workdir::{Stat, open_for_reading};

/// Longest path that the system resolves in one call, in bytes.
const PATH_LEN_MAX: usize = 4000;
const OPEN_DIR: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// What a directory and a file are created with, before their own mode is set: nobody else can look inside meanwhile.
pub(super) const DIR_MODE_FIRST: Mode = Mode::new(0o700);
const FILE_MODE_FIRST: u32 = 0o600;

/// How directories below the root are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolve {
    /// By one call that the kernel keeps beneath the root, where the kernel has it (`openat2` of Linux); else as [`Resolve::Walk`].
    Kernel,
    /// Name by name, each opened without following links.
    Walk,
}

/// How a new file takes the place of an old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// Both change places in one step, where the filesystem can do that; else as [`Swap::Aside`].
    Exchange,
    /// The old one is moved aside first.
    Aside,
}

/// The directory that a restore writes to.
#[derive(Debug)]
pub(super) struct Root {
    fd: OwnedFd,
    resolve: Resolve,
}

impl Root {
    /// Opens the directory at `path`, which may be a symbolic link to it: it is the user who names it.
    pub(super) fn open(path: &Path, resolve: Resolve) -> Result<Self, Errno> {
        let fd = rustix::fs::openat(CWD, path, OPEN_DIR.difference(OFlags::NOFOLLOW), RawMode::empty())?;
        Ok(Self { fd, resolve })
    }

    /// The directory that is open as `dir`.
    pub(super) fn of(dir: impl AsFd, resolve: Resolve) -> Result<Self, Errno> {
        Ok(Self { fd: rustix::fs::openat(dir, c".", OPEN_DIR, RawMode::empty())?, resolve })
    }

    /// Opens the directory at `path`.
    ///
    /// [`Errno::NOTDIR`] or [`Errno::LOOP`] if something on the way is no directory or a symbolic link.
    pub(super) fn dir(&self, path: &RepoPath) -> Result<WriteDir, Errno> {
        if path.is_root() {
            return Ok(WriteDir { fd: rustix::fs::openat(&self.fd, c".", OPEN_DIR, RawMode::empty())? });
        }
        if self.resolve == Resolve::Kernel && path.as_bytes().len() <= PATH_LEN_MAX {
            match self.dir_by_kernel(path) {
                // Not known, forbidden by a filter, or a rename elsewhere that the kernel could not rule out.
                Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN | Errno::INVAL) => {}
                found => return found,
            }
        }
        let mut found = WriteDir { fd: rustix::fs::openat(&self.fd, c".", OPEN_DIR, RawMode::empty())? };
        for name in path.components() {
            found = found.child(name)?;
        }
        Ok(found)
    }

    #[cfg(target_os = "linux")]
    fn dir_by_kernel(&self, path: &RepoPath) -> Result<WriteDir, Errno> {
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let fd = rustix::fs::openat2(&self.fd, path.as_bytes(), OPEN_DIR, RawMode::empty(), beneath)?;
        Ok(WriteDir { fd })
    }

    #[cfg(not(target_os = "linux"))]
    fn dir_by_kernel(&self, _: &RepoPath) -> Result<WriteDir, Errno> {
        Err(Errno::NOSYS)
    }

    /// Brings everything on the root's filesystem to the disk.
    pub(super) fn sync_filesystem(&self) -> Result<(), Errno> {
        let readable = rustix::fs::openat(&self.fd, c".", OFlags::RDONLY | OFlags::CLOEXEC, RawMode::empty())?;
        rustix::fs::syncfs(&readable)
    }

    /// Bytes that can still be written to the root's filesystem.
    pub(super) fn free_bytes(&self) -> Result<u64, Errno> {
        let stat = rustix::fs::fstatvfs(&self.fd)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// An open directory, and what can be done to the names in it. It stays the same one wherever it is moved to.
#[derive(Debug)]
pub(super) struct WriteDir {
    fd: OwnedFd,
}

impl AsFd for WriteDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl WriteDir {
    /// Opens a directory in this one; a symbolic link is refused.
    pub(super) fn child(&self, name: &EntryName) -> Result<Self, Errno> {
        Ok(Self { fd: rustix::fs::openat(&self.fd, name.as_bytes(), OPEN_DIR, RawMode::empty())? })
    }

    /// What `name` is, of a symbolic link the link; `None` if there is nothing.
    pub(super) fn stat(&self, name: &[u8]) -> Result<Option<Stat>, Errno> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Stat::new(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// What the directory itself is.
    pub(super) fn stat_self(&self) -> Result<Stat, Errno> {
        Ok(Stat::new(&rustix::fs::fstat(&self.fd)?))
    }

    /// Opens the file `name` for reading, as [`open_for_reading`] does.
    pub(super) fn open_file(&self, name: &[u8]) -> Result<File, Errno> {
        Ok(open_for_reading(&self.fd, name)?.into())
    }

    /// The target of the symbolic link `name`.
    pub(super) fn link_target(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        Ok(rustix::fs::readlinkat(&self.fd, name, Vec::new())?.into_bytes())
    }

    /// All names but `.` and `..`, sorted by bytes.
    pub(super) fn names(&self) -> Result<Vec<Vec<u8>>, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let readable = rustix::fs::openat(&self.fd, c".", flags, RawMode::empty())?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(readable)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                names.push(name.to_vec());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Creates the file `name`, which must not be there, readable by nobody else.
    pub(super) fn create_file(&self, name: &[u8]) -> Result<File, Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.fd, name, flags, RawMode::from_raw_mode(FILE_MODE_FIRST))?.into())
    }

    /// Creates the symbolic link `name`, which must not be there.
    pub(super) fn create_link(&self, name: &[u8], target: &[u8]) -> Result<(), Errno> {
        rustix::fs::symlinkat(target, &self.fd, name)
    }

    /// Creates the directory `name`, which must not be there, closed to everybody else.
    pub(super) fn create_dir(&self, name: &[u8]) -> Result<(), Errno> {
        rustix::fs::mkdirat(&self.fd, name, RawMode::from_raw_mode(DIR_MODE_FIRST.bits()))
    }

    /// Removes the file or link `name`.
    pub(super) fn unlink(&self, name: &[u8]) -> Result<(), Errno> {
        rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())
    }

    /// Removes the directory `name` if it is empty.
    pub(super) fn remove_dir(&self, name: &[u8]) -> Result<(), Errno> {
        rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)
    }

    /// Gives `from` the name `to`, which must be free: [`Errno::EXIST`] if not.
    pub(super) fn rename_to_free(&self, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        match rustix::fs::renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS) => {}
            renamed => return renamed,
        }
        // A filesystem without that call: a second name is refused where one is, too. Directories cannot have one, and are never replaced by a rename
        // unless they are empty.
        match rustix::fs::linkat(&self.fd, from, &self.fd, to, AtFlags::empty()) {
            Ok(()) => self.unlink(from),
            Err(Errno::EXIST) => Err(Errno::EXIST),
            Err(_) if self.stat(to)?.is_some() => Err(Errno::EXIST),
            Err(_) => rustix::fs::renameat(&self.fd, from, &self.fd, to),
        }
    }

    /// `a` and `b` change places. `None` if the filesystem cannot do that.
    pub(super) fn exchange(&self, a: &[u8], b: &[u8]) -> Result<Option<()>, Errno> {
        match rustix::fs::renameat_with(&self.fd, a, &self.fd, b, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(Some(())),
            Err(Errno::INVAL | Errno::NOSYS) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Sets the directory's own mode.
    pub(super) fn set_mode(&self, mode: Mode) -> Result<(), Errno> {
        let raw = RawMode::from_raw_mode(mode.bits());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.fd, c".", flags, RawMode::empty()) {
            Ok(readable) => rustix::fs::fchmod(&readable, raw),
            // It may not be read, and a descriptor that only names it takes no mode: its entry in /proc is the same directory.
            Err(Errno::ACCESS) => {
                let number = std::os::fd::AsRawFd::as_raw_fd(&self.fd);
                rustix::fs::chmod(format!("/proc/self/fd/{number}"), raw)
            }
            Err(errno) => Err(errno),
        }
    }
}
