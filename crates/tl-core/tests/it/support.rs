//! What the tests share: stores on a simulated disk, contents, entries.

use std::sync::Arc;

use granite::{Background, Db, Durability, Options};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tl_core::{Entry, EntryName, Mode, ObjectId, RepoPath, RepoPathBuf, Store, StoreOptions, Tree, TreeBuilder};
use vfs::Vfs;
use vfs_sim::SimDisk;

/// A database in memory that does everything in the calling thread.
pub fn open_db(disk: &SimDisk) -> granite::Result<Db> {
    let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
    Db::open("/db", &Options::new().vfs(vfs).background(Background::Inline).memory_budget(8 << 20))
}

pub fn new_store() -> (SimDisk, Store) {
    let disk = SimDisk::new();
    let db = open_db(&disk).unwrap();
    (disk, Store::open(&db, &StoreOptions::default()).unwrap())
}

/// Bytes that do not compress and differ from seed to seed.
pub fn random_bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

pub fn name(text: &str) -> &EntryName {
    EntryName::new(text.as_bytes()).unwrap()
}

pub fn path(text: &str) -> RepoPathBuf {
    RepoPath::new(text.as_bytes()).unwrap().to_owned()
}

pub const MODE: Mode = Mode::new(0o644);
pub const DIR_MODE: Mode = Mode::new(0o755);

/// A tree of files with the given contents.
pub fn put_files(store: &Store, files: &[(&str, &[u8])]) -> ObjectId {
    let capture = store.capture().unwrap();
    let mut builder = TreeBuilder::new();
    for (file, content) in files {
        builder.add(name(file), Entry::file(capture.put_blob(content).unwrap(), MODE));
    }
    let tree: Tree = builder.build().unwrap();
    let id = capture.put_tree(&tree).unwrap();
    capture.commit(|_| {}, Durability::Sync).unwrap();
    id
}
