//! A disk that runs a test's code at its syncs, and can be made to keep its cache.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use vfs::{CounterSnapshot, File, Lock, LockKind, Metadata, OpenMode, Vfs};
use vfs_sim::SimDisk;

type OnSync = Arc<dyn Fn(&Path) + Send + Sync>;
type KeepsCache = Arc<dyn Fn(&Path) -> bool + Send + Sync>;

/// A [`SimDisk`] with hooks.
#[derive(Clone)]
pub struct Hooked {
    disk: SimDisk,
    on_sync: OnSync,
    keeps_cache: KeepsCache,
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooked").field("disk", &self.disk).finish_non_exhaustive()
    }
}

impl Hooked {
    pub fn new(disk: &SimDisk) -> Self {
        Self { disk: disk.clone(), on_sync: Arc::new(|_| ()), keeps_cache: Arc::new(|_| false) }
    }

    /// Calls `hook` with the path before each sync of a file.
    pub fn on_sync(mut self, hook: impl Fn(&Path) + Send + Sync + 'static) -> Self {
        self.on_sync = Arc::new(hook);
        self
    }

    /// Where `keeps` accepts a path, dropping its cache reports success and does nothing.
    pub fn keeping_cache(mut self, keeps: impl Fn(&Path) -> bool + Send + Sync + 'static) -> Self {
        self.keeps_cache = Arc::new(keeps);
        self
    }
}

struct HookedFile {
    file: Arc<dyn File>,
    path: PathBuf,
    vfs: Hooked,
}

impl fmt::Debug for HookedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

impl File for HookedFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, data)
    }

    fn sync_data(&self) -> io::Result<()> {
        (self.vfs.on_sync)(&self.path);
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        (self.vfs.on_sync)(&self.path);
        self.file.sync_all()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file.allocate(offset, len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn drop_cache(&self) -> io::Result<()> {
        if (self.vfs.keeps_cache)(&self.path) { Ok(()) } else { self.file.drop_cache() }
    }

    fn prefetch(&self, offset: u64, len: u64) {
        self.file.prefetch(offset, len);
    }
}

impl Vfs for Hooked {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(path, mode)?;
        Ok(Arc::new(HookedFile { file, path: path.to_owned(), vfs: self.clone() }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        self.disk.read_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn hard_link(&self, original: &Path, link: &Path) -> io::Result<()> {
        self.disk.hard_link(original, link)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.disk.metadata(path)
    }

    fn lock(&self, path: &Path, kind: LockKind) -> io::Result<Box<dyn Lock>> {
        self.disk.lock(path, kind)
    }

    fn free_space(&self, path: &Path) -> io::Result<Option<u64>> {
        self.disk.free_space(path)
    }

    fn now(&self) -> Duration {
        self.disk.now()
    }

    fn monotonic(&self) -> Duration {
        self.disk.monotonic()
    }

    fn random_u64(&self) -> u64 {
        self.disk.random_u64()
    }

    fn counters(&self) -> CounterSnapshot {
        self.disk.counters()
    }
}
