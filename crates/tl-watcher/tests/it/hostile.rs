//! Random hostile operations beside a consumer that believes the watcher: in the end what it believes must be what is on the disk.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File, OpenOptions, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, linkat, mknodat, renameat_with};
use tl_watcher::{Backend, Fidelity};

use crate::mirror::{Mirror, odd_name};
use crate::tree::Tree;

/// How much is done: a short run by default, hours with `TL_WATCHER_LONG=1`.
fn rounds() -> u64 {
    if env::var_os("TL_WATCHER_LONG").is_some() { 2000 } else { 6 }
}

/// `TL_WATCHER_SEED` replays one seed.
fn seeds() -> Vec<u64> {
    match env::var("TL_WATCHER_SEED") {
        Ok(seed) => vec![seed.parse().expect("TL_WATCHER_SEED is a number")],
        Err(_) => {
            let first = RandomState::new().hash_one(0) >> 24;
            (first..first + rounds()).collect()
        }
    }
}

/// Somebody who does things to a tree, one of several.
struct Destroyer {
    random: StdRng,
    root: PathBuf,
    outside: PathBuf,
    /// Held open and written to now and then; dropped at the end of a sequence.
    open: Vec<File>,
    /// Inodes that ever had a second name: a write through a name that is gone at once cannot be seen at the other.
    linked: BTreeSet<u64>,
    number: u32,
}

impl Destroyer {
    fn new(seed: u64, tree: &Tree) -> Self {
        let outside = tree.outside(&format!("outside-{seed}"));
        fs::create_dir_all(&outside).unwrap();
        Self {
            random: StdRng::seed_from_u64(seed),
            root: tree.root(),
            outside,
            open: Vec::new(),
            linked: BTreeSet::new(),
            number: 0,
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.random_range(0..bound)
    }

    /// Something that exists below the root, or the root.
    fn existing(&mut self) -> PathBuf {
        let mut path = self.root.clone();
        for _ in 0..self.below(6) {
            let Ok(entries) = fs::read_dir(&path) else { break };
            let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            entries.sort();
            if entries.is_empty() {
                break;
            }
            path = entries.swap_remove(self.random.random_range(0..entries.len()));
            if !fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
                break;
            }
        }
        path
    }

    fn directory(&mut self) -> PathBuf {
        let path = self.existing();
        let is_directory = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
        if is_directory { path } else { path.parent().map_or_else(|| self.root.clone(), Path::to_owned) }
    }

    /// A name in some directory; often one that exists already.
    fn name(&mut self) -> PathBuf {
        self.number += 1;
        let directory = self.directory();
        match self.below(12) {
            0 => directory.join(odd_name(self.number)),
            1 => directory.join(format!("unique-{}", self.number)),
            _ => directory.join(format!("n{}", self.below(6))),
        }
    }

    /// One operation. Whether the filesystem lets it through does not matter: others work on the same tree.
    fn step(&mut self) {
        let done = self.try_step();
        drop(done);
    }

    fn try_step(&mut self) -> std::io::Result<()> {
        let fresh = vec![b'x'; self.below(200)];
        match self.below(22) {
            0..3 => put(&self.name(), &fresh),
            3..5 => open(&self.name(), |options| options.append(true))?.write_all(&fresh),
            5 => open(&self.name(), |options| options.write(true))?.set_len(self.random.random_range(0..50)),
            6 => {
                let mut file = open(&self.name(), |options| options.append(true).create(true))?;
                file.write_all(&fresh)?;
                self.open.push(file);
                Ok(())
            }
            7 => match self.open.last_mut() {
                Some(file) => file.write_all(&fresh),
                None => Ok(()),
            },
            8..10 => fs::rename(self.not_the_root()?, self.name()),
            10 => {
                let from = self.not_the_root()?;
                Ok(renameat_with(CWD, from, CWD, self.not_the_root()?, RenameFlags::EXCHANGE)?)
            }
            11 => fs::remove_file(self.existing()),
            12 => fs::remove_dir_all(self.not_the_root()?),
            13..15 => {
                let deep: PathBuf =
                    (0..self.below(6) + 1).map(|_| format!("d{}", self.random.random_range(0..4))).collect();
                let path = self.directory().join(deep);
                fs::create_dir_all(&path)?;
                put(&path.join("leaf"), &fresh)
            }
            15 => symlink(["n1", "d0", ".", "nowhere"][self.below(4)], self.name()),
            16 => {
                // Held open, so that it is this file that gets another name, whoever stands at its path by then.
                let file = open(&self.existing(), |options| options.read(true))?;
                let metadata = file.metadata()?;
                if metadata.is_file() {
                    self.linked.insert(metadata.ino());
                    let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
                    linkat(CWD, itself, CWD, self.name(), AtFlags::SYMLINK_FOLLOW)?;
                }
                Ok(())
            }
            17 => {
                let path = self.not_the_root()?;
                let is_directory = fs::symlink_metadata(&path)?.is_dir();
                let mode =
                    if is_directory { [0o700, 0o755][self.below(2)] } else { [0o600, 0o644, 0o755][self.below(3)] };
                fs::set_permissions(path, Permissions::from_mode(mode))
            }
            18 => self.swap_kinds(&fresh),
            19 => fs::rename(self.not_the_root()?, self.outside.join(format!("m{}", self.random.random_range(0..3)))),
            20 => {
                let stored = self.outside.join(format!("m{}", self.random.random_range(0..3)));
                if stored.is_dir() {
                    put(&stored.join("changed-outside"), &fresh)?;
                    fs::create_dir_all(stored.join("new-outside/deep"))?;
                }
                fs::rename(stored, self.name())
            }
            _ => Ok(mknodat(CWD, self.name(), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?),
        }
    }

    fn not_the_root(&mut self) -> std::io::Result<PathBuf> {
        let path = self.existing();
        if path == self.root { Err(std::io::ErrorKind::InvalidInput.into()) } else { Ok(path) }
    }

    fn swap_kinds(&mut self, content: &[u8]) -> std::io::Result<()> {
        let path = self.not_the_root()?;
        if fs::symlink_metadata(&path)?.is_dir() {
            fs::remove_dir_all(&path)?;
            put(&path, content)
        } else {
            fs::remove_file(&path)?;
            fs::create_dir(&path)?;
            put(&path.join("inside"), content)
        }
    }
}

/// Neither follows a link nor waits at a FIFO, whatever another destroyer has put there meanwhile.
fn open(path: &Path, how: impl FnOnce(&mut OpenOptions) -> &mut OpenOptions) -> std::io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    how(OpenOptions::new().custom_flags(flags.bits().cast_signed())).open(path)
}

/// A save.
fn put(path: &Path, content: &[u8]) -> std::io::Result<()> {
    open(path, |options| options.write(true).create(true).truncate(true))?.write_all(content)
}

fn run(backend: Backend, seed: u64) {
    let tree = Tree::new(backend);
    let mut mirror = Mirror::new(tree.root());
    let mut unseen = BTreeSet::new();
    for part in 0..4 {
        let mut destroyers: Vec<Destroyer> =
            (0..2).map(|one| Destroyer::new(seed.wrapping_mul(100) + part * 10 + one, &tree)).collect();
        thread::scope(|scope| {
            let running: Vec<_> = destroyers
                .iter_mut()
                .map(|destroyer| scope.spawn(move || (0..150).for_each(|_| destroyer.step())))
                .collect();
            // The consumer works while they do, so that batches meet the tree in every state.
            while running.iter().any(|thread| !thread.is_finished()) {
                let batch = tree.watcher.wait(Instant::now() + Duration::from_millis(5));
                if !batch.is_empty() {
                    mirror.apply(&batch);
                    tree.watcher.checkpointed();
                }
            }
        });
        // Files are still open here: a barrier covers them too.
        mirror.apply(&tree.drain());
        for destroyer in &destroyers {
            unseen.extend(&destroyer.linked);
        }
        let differences = mirror.differences(&Mirror::new(tree.root()), &unseen);
        assert!(
            differences.is_empty(),
            "{backend:?}, part {part}: believed / on the disk:\n{}\n{:#?}\nreplay: TL_WATCHER_SEED={seed} cargo test -p tl-watcher --test it hostile",
            differences.join("\n"),
            tree.watcher.stats()
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_the_consumer_of_the_native_backend_believes_is_what_is_on_the_disk() {
    seeds().into_iter().for_each(|seed| run(Backend::Native, seed));
}

#[test]
fn what_the_consumer_of_the_portable_backend_believes_is_what_is_on_the_disk() {
    seeds().into_iter().for_each(|seed| run(Backend::Portable(Fidelity::Full), seed));
}

#[test]
fn what_the_consumer_of_mere_directories_believes_is_what_is_on_the_disk() {
    seeds().into_iter().for_each(|seed| run(Backend::Portable(Fidelity::Directories), seed));
}
