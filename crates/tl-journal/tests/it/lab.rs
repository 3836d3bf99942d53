//! A working directory with a store beside it.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use granite::{Background, Durability};
use tempfile::TempDir;
use tl_core::{Entry, ObjectId, RepoPath, RepoPathBuf};
use tl_journal::{Checkpoint, Dirty, Outcome, Reason, Repository, RepositoryConfig, UpdateRequest};

pub struct Lab {
    pub dir: TempDir,
    pub repository: Repository,
}

pub fn path(text: impl AsRef<[u8]>) -> RepoPathBuf {
    RepoPath::new(text.as_ref()).unwrap().to_owned()
}

pub fn dirty<T: AsRef<[u8]>>(paths: impl IntoIterator<Item = T>) -> Dirty {
    let mut dirty = Dirty::new();
    for text in paths {
        dirty.add_path(path(text));
    }
    dirty
}

/// Nothing in these tests depends on a sync, and each takes a while.
pub fn request() -> UpdateRequest<'static> {
    UpdateRequest { durability: Durability::Buffered, ..UpdateRequest::new(Reason::FsBatch) }
}

/// Everything below a root.
pub fn tree_of(repository: &Repository, root: &ObjectId) -> Vec<(RepoPathBuf, Entry)> {
    let diff = repository.store().diff(&ObjectId::EMPTY_TREE, root).unwrap();
    diff.map(|change| change.unwrap()).map(|change| (change.path, change.after.unwrap())).collect()
}

impl Lab {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("work")).unwrap();
        let repository = Repository::open(Self::config(dir.path(), "store")).unwrap();
        Self { dir, repository }
    }

    fn config(dir: &Path, store: &str) -> RepositoryConfig {
        let config = RepositoryConfig::new(dir.join(store), Some(dir.join("work")));
        RepositoryConfig { background: Background::Inline, ..config }
    }

    /// The same working directory with the store of that name beside the first.
    pub fn with_store(&self, store: &str) -> Repository {
        Repository::open(Self::config(self.dir.path(), store)).unwrap()
    }

    /// The repository of a lab in `dir`.
    pub fn open_in(dir: &Path) -> Repository {
        Repository::open(Self::config(dir, "store")).unwrap()
    }

    /// Closes the repository and leaves the files.
    pub fn into_dir(self) -> TempDir {
        self.dir
    }

    pub fn reopen(&mut self) {
        let config = self.repository.config().clone();
        self.close();
        self.open_again(config);
    }

    /// Puts another repository in the place of this one: a database allows one handle at a time.
    pub fn close(&mut self) {
        let other = self.with_store("nothing");
        self.repository = other;
    }

    pub fn open_again(&mut self, config: RepositoryConfig) {
        self.repository = Repository::open(config).unwrap();
        fs::remove_dir_all(self.dir.path().join("nothing")).unwrap();
    }

    pub fn at(&self, text: impl AsRef<[u8]>) -> PathBuf {
        self.dir.path().join("work").join(std::ffi::OsStr::from_bytes(text.as_ref()))
    }

    pub fn write(&self, text: &str, content: impl AsRef<[u8]>) {
        let file = self.at(text);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    pub fn chmod(&self, text: &str, mode: u32) {
        fs::set_permissions(self.at(text), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub fn update<T: AsRef<[u8]>>(&self, paths: impl IntoIterator<Item = T>) -> Outcome {
        self.repository.update(&dirty(paths), &request()).unwrap()
    }

    pub fn reconcile(&self) -> Outcome {
        self.repository.reconcile(&request()).unwrap()
    }

    pub fn head(&self) -> Checkpoint {
        self.repository.journal().head().unwrap()
    }

    /// What HEAD's tree has at `text`.
    pub fn entry(&self, text: impl AsRef<[u8]>) -> Option<Entry> {
        let found = self.tree(&self.head().root);
        found.into_iter().find(|(path, _)| path.as_bytes() == text.as_ref()).map(|(_, entry)| entry)
    }

    pub fn content(&self, text: &str) -> Option<Vec<u8>> {
        self.entry(text).map(|entry| self.repository.store().get_blob(&entry.id, 1 << 30).unwrap())
    }

    pub fn tree(&self, root: &ObjectId) -> Vec<(RepoPathBuf, Entry)> {
        tree_of(&self.repository, root)
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    pub fn paths(&self) -> Vec<String> {
        self.tree(&self.head().root).into_iter().map(|(path, _)| path.to_string()).collect()
    }
}
