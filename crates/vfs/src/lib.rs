//! Disk, clock and randomness behind one small trait.
//!
//! A storage engine that takes its world as an [`Arc<dyn Vfs>`](Vfs) runs unchanged on the real disk
//! ([`DiskVfs`]) and on a simulated one that drops, tears and reorders whatever was not synced (the crate
//! `vfs-sim`). This crate knows no engine.
//!
//! ```
//! use std::path::Path;
//! use vfs::{DiskVfs, OpenMode, Vfs};
//!
//! # fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! let disk = DiskVfs::new();
//! let path = dir.path().join("log");
//! let file = disk.open(&path, OpenMode::CreateNew)?;
//! file.write_at(0, b"hello")?;
//! file.sync_data()?;
//! disk.sync_dir(dir.path())?;
//!
//! let mut back = [0; 5];
//! file.read_exact_at(0, &mut back)?;
//! assert_eq!(&back, b"hello");
//! assert_eq!(disk.counters().file_syncs, 1);
//! # Ok(())
//! # }
//! ```
//!
//! What a caller may rely on, on every implementation:
//! - A write is durable once [`File::sync_data`] or [`File::sync_all`] on that file has returned `Ok`. Before that, a crash may
//!   keep any subset of it, in any order, torn at a sector.
//! - A created, renamed, linked or removed name is durable once [`Vfs::sync_dir`] of its directory has
//!   returned `Ok`.
//! - A rename survives a crash whole or not at all. Between directories it is durable once both are synced; after
//!   the target alone, the new name is durable and the old one may be there too.
//! - The name of a directory stands in its parent, which has to be synced for it.
//! - After a failed sync nothing is known about what was written since the last good one, and a second
//!   sync that succeeds proves nothing. Only [`File::drop_cache`] followed by a read shows what the disk holds.

mod byte_lock;
mod counters;
mod disk;
mod mapping;
mod writeback;

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use counters::{CounterSnapshot, Counters};
pub use disk::DiskVfs;
pub use mapping::Mapping;

/// How [`Vfs::open`] opens a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading only.
    Read,
    /// An existing file, for reading and writing.
    ReadWrite,
    /// A new file for reading and writing; fails with [`io::ErrorKind::AlreadyExists`] if the name is taken.
    CreateNew,
    /// A file for reading and writing, created if absent; its content is kept.
    OpenOrCreate,
}

/// Whether a lock excludes everybody or only writers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// Held by any number of readers at once.
    Shared,
    /// Held by one process alone.
    Exclusive,
}

/// What [`Vfs::metadata`] tells of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// Length in bytes (0 for a directory).
    pub len: u64,
    /// True for a directory.
    pub is_dir: bool,
    /// Number of names (hard links) that lead to the file.
    pub links: u64,
}

/// A held lock on a file; dropping it releases the lock.
pub trait Lock: Debug + Send + Sync {}

/// One open file. All methods take `&self`: positions are explicit, and concurrent calls are allowed.
pub trait File: Debug + Send + Sync {
    /// Reads up to `buf.len()` bytes at `offset`; returns 0 only at or past the end of the file.
    ///
    /// # Errors
    /// Any error of the disk. A short count is no error.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `data` at `offset`, extending the file where needed.
    ///
    /// # Errors
    /// Any error of the disk; a prefix of `data` may then have been written.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Makes the file's data, and the metadata needed to read it back, durable.
    ///
    /// # Errors
    /// After an error the unsynced data must be taken as lost: see the crate's contract.
    fn sync_data(&self) -> io::Result<()>;

    /// Like [`File::sync_data`], and all other metadata too.
    ///
    /// # Errors
    /// As for [`File::sync_data`].
    fn sync_all(&self) -> io::Result<()>;

    /// Cuts or extends (with zeros) the file to `len` bytes.
    ///
    /// # Errors
    /// Any error of the disk.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Reserves space for `offset..offset + len`, extending the file with zeros where it is shorter.
    /// Filesystems that cannot reserve extend the file sparsely.
    ///
    /// # Errors
    /// Any error of the disk; [`io::ErrorKind::StorageFull`] when there is no room.
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// Any error of the disk.
    fn len(&self) -> io::Result<u64>;

    /// Drops clean cached pages, so that the next read comes from the disk itself.
    ///
    /// # Errors
    /// Any error of the disk.
    fn drop_cache(&self) -> io::Result<()>;

    /// As [`File::drop_cache`], for a part of the file at least.
    ///
    /// # Errors
    /// Any error of the disk.
    fn drop_cache_range(&self, _offset: u64, _len: u64) -> io::Result<()> {
        self.drop_cache()
    }

    /// Hints that `offset..offset + len` will be read soon. Never fails: it is only a hint.
    fn prefetch(&self, offset: u64, len: u64);

    /// Hints that `offset..offset + len` will be synced soon, so that writing it out can begin. Never fails, and makes nothing durable.
    fn start_writeback(&self, _offset: u64, _len: u64) {}

    /// True if the file holds no bytes.
    ///
    /// # Errors
    /// As for [`File::len`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The whole content as memory: mapped where the disk can, else read. A mapping reads nothing before it is looked at.
    ///
    /// # Errors
    /// Any error of the disk; [`io::ErrorKind::OutOfMemory`] if the content does not fit.
    ///
    /// # Safety
    /// As long as the mapping lives nobody may write to the file or cut it: what was promised to stay as it is would change, and a read
    /// beyond the new end ends the process. Files that are written under another name, synced, renamed and never touched again are safe.
    unsafe fn map(&self) -> io::Result<Mapping> {
        self.read_whole()
    }

    /// The whole content, read into memory: what [`File::map`] is where nothing can be mapped, and without its condition.
    ///
    /// # Errors
    /// As for [`File::read_exact_at`]; [`io::ErrorKind::OutOfMemory`] if the content does not fit.
    fn read_whole(&self) -> io::Result<Mapping> {
        let len = usize::try_from(self.len()?).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        bytes.resize(len, 0);
        self.read_exact_at(0, &mut bytes)?;
        Ok(Mapping::of(bytes))
    }

    /// Reads exactly `buf.len()` bytes at `offset`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the file ends before that, or any error of the disk.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.read_at(offset + done as u64, rest) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A disk with its directories, a clock, and a source of randomness.
pub trait Vfs: Debug + Send + Sync {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], [`io::ErrorKind::AlreadyExists`] or any error of the disk.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;

    /// Creates the directory `path` and its missing parents. Existing ones are no error.
    ///
    /// # Errors
    /// Any error of the disk.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// The paths of a directory's entries, in no particular order.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] or any error of the disk.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<PathBuf>>;

    /// Atomically gives the file `from` the name `to`, replacing a file of that name.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] or any error of the disk.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives the file `original` a second name. Fails with [`io::ErrorKind::AlreadyExists`] if that is taken.
    ///
    /// # Errors
    /// As said, [`io::ErrorKind::CrossesDevices`], or any error of the disk.
    fn hard_link(&self, original: &Path, link: &Path) -> io::Result<()>;

    /// Removes a file's name. Open handles stay usable.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] or any error of the disk.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// As for [`File::sync_data`].
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// What stands at `path`.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] or any error of the disk.
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;

    /// Takes a lock on the file at `path` (created if absent) without waiting.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if somebody else holds it, or any error of the disk.
    fn lock(&self, path: &Path, kind: LockKind) -> io::Result<Box<dyn Lock>>;

    /// Takes the lock of one byte of the file at `path` (which must exist), exclusively and without waiting. The byte need not be there,
    /// and the lock has nothing to do with those of [`Vfs::lock`].
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if somebody else holds it, [`io::ErrorKind::Unsupported`] where there are no such locks, or any error of
    /// the disk.
    fn lock_byte(&self, _path: &Path, _offset: u64) -> io::Result<Box<dyn Lock>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Whether somebody, in this process or another, holds the lock of a byte.
    ///
    /// # Errors
    /// As for [`Vfs::lock_byte`].
    fn is_byte_locked(&self, _path: &Path, _offset: u64) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Bytes that can still be written to the filesystem of `path`, where that is known.
    ///
    /// # Errors
    /// Any error of the disk.
    fn free_space(&self, path: &Path) -> io::Result<Option<u64>>;

    /// Time since the Unix epoch. May step back: never use it to measure.
    fn now(&self) -> Duration;

    /// Time on a clock that never steps back, from an arbitrary start.
    fn monotonic(&self) -> Duration;

    /// A random number, unpredictable on a real disk and seeded on a simulated one.
    fn random_u64(&self) -> u64;

    /// What was done so far on this instance.
    fn counters(&self) -> CounterSnapshot;
}

/// True if a name exists at `path`.
///
/// # Errors
/// Any error of the disk other than "not found".
pub fn exists(vfs: &dyn Vfs, path: &Path) -> io::Result<bool> {
    match vfs.metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
