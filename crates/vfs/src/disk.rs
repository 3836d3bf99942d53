//! The real disk, through the operating system.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{Advice, FallocateFlags};

use crate::{CounterSnapshot, Counters, File, Lock, LockKind, Metadata, OpenMode, Vfs};

/// Mode of created files: what is stored is nobody else's business.
const FILE_MODE: u32 = 0o600;

/// The machine's own filesystem, clock and random source, with [`Counters`] over all files opened through it.
#[derive(Debug)]
pub struct DiskVfs {
    counters: Arc<Counters>,
    start: Instant,
}

impl DiskVfs {
    /// A disk with counters at zero.
    #[must_use]
    pub fn new() -> Self {
        Self { counters: Arc::default(), start: Instant::now() }
    }
}

impl Default for DiskVfs {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug)]
struct DiskFile {
    file: fs::File,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct DiskLock {
    /// Closing the descriptor releases the lock, whatever way the process ends.
    _file: fs::File,
}

impl Lock for DiskLock {}

impl File for DiskFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buf, offset)?;
        self.counters.count_read(count);
        Ok(count)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.counters.count_write(data.len());
        self.file.write_all_at(data, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.counters.count_file_sync();
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.counters.count_file_sync();
        self.file.sync_all()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), offset, len) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                if self.len()? < offset + len {
                    self.file.set_len(offset + len)?;
                }
                Ok(())
            }
            Err(errno) => Err(errno.into()),
        }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn drop_cache(&self) -> io::Result<()> {
        Ok(rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed)?)
    }

    fn drop_cache_range(&self, offset: u64, len: u64) -> io::Result<()> {
        Ok(rustix::fs::fadvise(&self.file, offset, std::num::NonZeroU64::new(len), Advice::DontNeed)?)
    }

    unsafe fn map(&self) -> io::Result<crate::Mapping> {
        // SAFETY: the condition is the caller's, word for word.
        match unsafe { crate::Mapping::map(&self.file) } {
            Ok(mapping) => Ok(mapping),
            // Some filesystems read and cannot map.
            Err(error) if is_unmappable(&error) => self.read_whole(),
            Err(error) => Err(error),
        }
    }

    fn start_writeback(&self, offset: u64, len: u64) {
        crate::writeback::start(&self.file, offset, len);
    }

    fn prefetch(&self, offset: u64, len: u64) {
        // A hint that the kernel refuses costs nothing: the read that follows still happens.
        let _hint = rustix::fs::fadvise(&self.file, offset, std::num::NonZeroU64::new(len), Advice::WillNeed);
    }
}

fn is_unmappable(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    matches!(errno, Some(rustix::io::Errno::NODEV | rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS))
}

impl Vfs for DiskVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).mode(FILE_MODE);
        match mode {
            OpenMode::Read => {}
            OpenMode::ReadWrite => {
                options.write(true);
            }
            OpenMode::CreateNew => {
                options.write(true).create_new(true);
            }
            OpenMode::OpenOrCreate => {
                options.write(true).create(true);
            }
        }
        let file = options.open(path)?;
        Ok(Arc::new(DiskFile { file, counters: Arc::clone(&self.counters) }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn hard_link(&self, original: &Path, link: &Path) -> io::Result<()> {
        fs::hard_link(original, link)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.counters.count_dir_sync();
        fs::File::open(path)?.sync_all()
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let found = fs::metadata(path)?;
        let is_dir = found.is_dir();
        Ok(Metadata { len: if is_dir { 0 } else { found.len() }, is_dir, links: found.nlink() })
    }

    fn lock(&self, path: &Path, kind: LockKind) -> io::Result<Box<dyn Lock>> {
        // A shared lock must also work where the directory is read-only.
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path)?
            }
            Err(error) => return Err(error),
        };
        let taken = match kind {
            LockKind::Shared => file.try_lock_shared(),
            LockKind::Exclusive => file.try_lock(),
        };
        match taken {
            Ok(()) => Ok(Box::new(DiskLock { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn lock_byte(&self, path: &Path, offset: u64) -> io::Result<Box<dyn Lock>> {
        let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
        crate::byte_lock::take(&file, offset)?;
        Ok(Box::new(DiskLock { _file: file }))
    }

    fn is_byte_locked(&self, path: &Path, offset: u64) -> io::Result<bool> {
        crate::byte_lock::is_taken(&fs::OpenOptions::new().read(true).write(true).open(path)?, offset)
    }

    fn free_space(&self, path: &Path) -> io::Result<Option<u64>> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Some(stat.f_bavail.saturating_mul(stat.f_frsize)))
    }

    fn now(&self) -> Duration {
        // A clock before 1970 reads as 1970.
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn random_u64(&self) -> u64 {
        use std::hash::{BuildHasher, Hasher};
        // Each RandomState is keyed from the operating system's random source.
        std::hash::RandomState::new().build_hasher().finish()
    }

    fn counters(&self) -> CounterSnapshot {
        self.counters.snapshot()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exclusive_lock_keeps_a_second_holder_out_and_ends_when_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let disk = DiskVfs::new();
        let path = dir.path().join("LOCK");
        let held = disk.lock(&path, LockKind::Exclusive).unwrap();
        let refused = disk.lock(&path, LockKind::Shared).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        drop(held);
        let _one = disk.lock(&path, LockKind::Shared).unwrap();
        let _two = disk.lock(&path, LockKind::Shared).unwrap();
    }

    /// Readers of several processes would take one slot, or a dead one would keep its slot for ever.
    #[test]
    fn a_byte_is_locked_by_one_holder_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let disk = DiskVfs::new();
        let path = dir.path().join("slots");
        disk.open(&path, OpenMode::CreateNew).unwrap();
        let held = disk.lock_byte(&path, 1000).unwrap();
        assert_eq!(disk.lock_byte(&path, 1000).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let _other = disk.lock_byte(&path, 1001).unwrap();
        let _whole = disk.lock(&path, LockKind::Exclusive).unwrap();
        assert!(disk.is_byte_locked(&path, 1000).unwrap());
        assert!(!disk.is_byte_locked(&path, 999).unwrap());
        drop(held);
        assert!(!disk.is_byte_locked(&path, 1000).unwrap());
    }

    #[test]
    fn counters_count_calls_and_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let disk = DiskVfs::new();
        let before = disk.counters();
        let file = disk.open(&dir.path().join("f"), OpenMode::CreateNew).unwrap();
        file.write_at(3, b"abc").unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(dir.path()).unwrap();
        let mut buf = [9; 6];
        file.read_exact_at(0, &mut buf).unwrap();
        assert_eq!(&buf, b"\0\0\0abc");
        let done = disk.counters().since(&before);
        assert_eq!(
            (done.file_syncs, done.dir_syncs, done.writes, done.bytes_written, done.bytes_read),
            (1, 1, 1, 3, 6)
        );
    }

    #[test]
    fn what_is_mapped_is_what_is_read_and_stays_when_the_name_goes_to_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let disk = DiskVfs::new();
        let (path, next) = (dir.path().join("f"), dir.path().join("g"));
        let content: Vec<u8> = (0..100_000u32).map(|at| at as u8).collect();
        disk.open(&path, OpenMode::CreateNew).unwrap().write_at(0, &content).unwrap();
        let file = disk.open(&path, OpenMode::Read).unwrap();
        // SAFETY: nobody writes to the file once it has this content.
        let mapped = unsafe { file.map() }.unwrap();
        assert!(mapped.is_mapped());
        disk.open(&next, OpenMode::CreateNew).unwrap().write_at(0, b"other").unwrap();
        disk.rename(&next, &path).unwrap();
        drop(file);
        assert_eq!(&mapped[..], &content[..]);
        let other = disk.open(&path, OpenMode::Read).unwrap().read_whole().unwrap();
        assert_eq!((&other[..], other.is_mapped()), (&b"other"[..], false));
    }

    #[test]
    fn an_empty_file_is_mapped_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let disk = DiskVfs::new();
        let file = disk.open(&dir.path().join("f"), OpenMode::CreateNew).unwrap();
        // SAFETY: nobody writes to the file.
        assert!(unsafe { file.map() }.unwrap().is_empty());
        assert!(file.read_whole().unwrap().is_empty());
    }

    #[test]
    fn reading_past_the_end_is_an_error_and_not_zeros() {
        let dir = tempfile::tempdir().unwrap();
        let disk = DiskVfs::new();
        let file = disk.open(&dir.path().join("f"), OpenMode::CreateNew).unwrap();
        file.write_at(0, b"ab").unwrap();
        let error = file.read_exact_at(1, &mut [0; 2]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
