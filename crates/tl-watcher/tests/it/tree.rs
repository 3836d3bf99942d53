//! A watched directory for a test, and the backends that every test goes through.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tl_watcher::{Backend, Batch, Fidelity, IgnoreRules, RelPath, RescanReason, WatchConfig, Watcher};

/// The backends that have events.
#[cfg(target_os = "linux")]
pub const BACKENDS: [Backend; 3] =
    [Backend::Native, Backend::Portable(Fidelity::Full), Backend::Portable(Fidelity::Directories)];
#[cfg(not(target_os = "linux"))]
pub const BACKENDS: [Backend; 2] = [Backend::Portable(Fidelity::Full), Backend::Portable(Fidelity::Directories)];

/// A watched directory. Beside it, outside, is room for things that move in and out.
pub struct Tree {
    scratch: TempDir,
    pub watcher: Watcher,
}

impl Tree {
    /// A watched empty directory; the rescan that a start asks for is taken out.
    pub fn new(backend: Backend) -> Self {
        Self::with(backend, |_| {}, |_| {})
    }

    /// `prepare` fills the directory before it is watched, `change` the configuration.
    pub fn with(backend: Backend, prepare: impl FnOnce(&Path), change: impl FnOnce(&mut WatchConfig)) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("root");
        fs::create_dir(&root).unwrap();
        prepare(&root);
        let rules = Arc::new(IgnoreRules::open(&root, Vec::new()).unwrap());
        let mut config = WatchConfig::new(&root, rules);
        config.backend = backend;
        change(&mut config);
        let watcher = Watcher::start(config).unwrap();
        let tree = Self { scratch, watcher };
        assert_eq!(tree.drain().rescan, Some(RescanReason::Started));
        tree
    }

    pub fn root(&self) -> PathBuf {
        self.scratch.path().join("root")
    }

    /// A path beside the root, on the same filesystem.
    pub fn outside(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn drain(&self) -> Batch {
        self.watcher.drain().unwrap()
    }
}

/// True if a consumer of `batch` compares the entry at `path`, which was recorded before.
pub fn reaches(batch: &Batch, path: impl AsRef<Path>) -> bool {
    let path = RelPath::new(path.as_ref().as_os_str().as_bytes()).unwrap();
    batch.rescan.is_some()
        || batch.paths.contains(&path)
        || path.parent().is_some_and(|directory| batch.listings.contains(&directory))
        || batch.subtrees.iter().any(|above| path.starts_with(above))
        // An entry that is looked at and is gone takes along what was beneath it.
        || batch.paths.iter().any(|above| path.starts_with(above))
}

/// Runs a test on each backend.
pub fn on_each_backend(test: impl Fn(Backend)) {
    for backend in BACKENDS {
        // Shown if the test fails.
        println!("with {backend:?}");
        test(backend);
    }
}
