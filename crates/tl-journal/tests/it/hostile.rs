//! Random operations on a working directory: an update that is told exactly which paths were touched must come to the same root as a capture of everything into an
//! empty store. A failure names its seed: `TL_SEED=1 cargo test -p tl-journal --test it hostile` runs that one again, `TL_LONG=1` runs many.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use tl_core::{Entry, RepoPath, RepoPathBuf};
use tl_journal::{Dirty, GapCause, Outcome};

use crate::lab::{Lab, request, tree_of};

/// What a build leaves behind.
fn is_ignored(path: &RepoPath, is_dir: bool) -> bool {
    let name = path.file_name().map_or(&b""[..], |name| name.as_bytes());
    name.ends_with(b".o") || (is_dir && name == b"target")
}

const NAMES: [&[u8]; 20] = [
    b"a",
    b"b",
    b"c",
    b"a.b",
    b"a-b",
    b"src",
    b"lib.rs",
    b"x.o",
    b"target",
    b".git",
    b".tl",
    b".jj",
    b".GIT",
    b".gitignore",
    b"new\nline",
    b"\xff\xfe",
    b" ",
    b"-rf",
    b"*~",
    b"\xc3\xa9",
];

struct Chaos {
    random: StdRng,
    root: PathBuf,
    touched: BTreeSet<PathBuf>,
}

impl Chaos {
    /// All paths in the directory, the root first.
    fn existing(&self, want_dirs: bool) -> Vec<PathBuf> {
        let mut found = if want_dirs { vec![self.root.clone()] } else { Vec::new() };
        let mut waiting = vec![self.root.clone()];
        while let Some(dir) = waiting.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let entry = entry.unwrap();
                let is_dir = entry.file_type().unwrap().is_dir();
                if is_dir {
                    waiting.push(entry.path());
                }
                if is_dir == want_dirs {
                    found.push(entry.path());
                }
            }
        }
        found.sort();
        found
    }

    fn any(&mut self, dirs: bool) -> Option<PathBuf> {
        let found = self.existing(dirs);
        found.choose(&mut self.random).cloned()
    }

    fn any_dir_below_root(&mut self) -> Option<PathBuf> {
        self.any(true).filter(|dir| *dir != self.root)
    }

    fn new_path(&mut self) -> PathBuf {
        let mut parent = self.any(true).unwrap();
        while parent.components().count() > self.root.components().count() + 100 {
            parent = self.any(true).unwrap();
        }
        let name = if self.random.random_bool(0.9) {
            NAMES.choose(&mut self.random).unwrap().to_vec()
        } else {
            vec![b'l'; 255]
        };
        parent.join(std::ffi::OsStr::from_bytes(&name))
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = match self.random.random_range(0..10) {
            0 => 0,
            1 => 200_000,
            _ => self.random.random_range(1..200),
        };
        let byte = self.random.random();
        vec![byte; len]
    }

    /// Notes the path, and all others that are the same file.
    fn touch(&mut self, path: &Path) {
        self.touched.insert(path.to_owned());
        if let Ok(found) = fs::symlink_metadata(path)
            && !found.is_dir()
            && found.nlink() > 1
        {
            let same = |other: &PathBuf| fs::symlink_metadata(other).is_ok_and(|other| other.ino() == found.ino());
            let others: Vec<_> = self.existing(false).into_iter().filter(same).collect();
            self.touched.extend(others);
        }
    }

    fn remove(path: &Path) {
        let gone = match fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
            Err(_) => return,
        };
        gone.unwrap();
    }

    fn is_below(path: &Path, ancestor: &Path) -> bool {
        path.starts_with(ancestor)
    }

    fn step(&mut self) {
        match self.random.random_range(0..17) {
            0..=3 => {
                let path = self.new_path();
                if !path.is_dir() || path.is_symlink() {
                    Self::remove(&path);
                    let bytes = self.bytes();
                    fs::write(&path, bytes).unwrap();
                    self.touch(&path);
                }
            }
            // The same length and, often enough, the same tick of the clock.
            4 | 5 => {
                if let Some(path) = self.any(false)
                    && fs::symlink_metadata(&path).unwrap().is_file()
                {
                    let len = fs::metadata(&path).unwrap().len() as usize;
                    let byte = self.random.random();
                    fs::write(&path, vec![byte; len]).unwrap();
                    self.touch(&path);
                }
            }
            6 => {
                if let Some(path) = self.any(false)
                    && fs::symlink_metadata(&path).unwrap().is_file()
                {
                    let len = self.random.random_range(0..100);
                    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(len).unwrap();
                    self.touch(&path);
                }
            }
            7 => {
                let path = self.new_path();
                if !path.exists() && !path.is_symlink() {
                    fs::create_dir(&path).unwrap();
                    self.touch(&path);
                }
            }
            8 => {
                // Deeper than directories are held open.
                let mut path = self.new_path();
                for _ in 0..80 {
                    path.push("d");
                }
                let anchor = path.ancestors().find(|path| path.is_symlink() || path.exists()).unwrap().to_owned();
                if anchor.is_dir() && !anchor.is_symlink() {
                    fs::create_dir_all(&path).unwrap();
                    fs::write(path.join("f"), b"deep").unwrap();
                    let made: Vec<_> = path.ancestors().take_while(|one| **one != anchor).map(Path::to_owned).collect();
                    for path in made {
                        self.touch(&path);
                    }
                }
            }
            9 | 10 => {
                let dirs = self.random.random_bool(0.3);
                let found = if dirs { self.any_dir_below_root() } else { self.any(false) };
                if let Some(path) = found {
                    Self::remove(&path);
                    self.touch(&path);
                }
            }
            11 | 12 => {
                let dirs = self.random.random_bool(0.6);
                let from = if dirs { self.any_dir_below_root() } else { self.any(false) };
                let to = self.new_path();
                if let Some(from) = from
                    && !Self::is_below(&to, &from)
                    && !Self::is_below(&from, &to)
                {
                    Self::remove(&to);
                    fs::rename(&from, &to).unwrap();
                    self.touch(&from);
                    self.touch(&to);
                }
            }
            13 => {
                let dirs = self.random.random_bool(0.3);
                let path = if dirs { self.any_dir_below_root() } else { self.any(false) };
                if let Some(path) = path.filter(|path| !path.is_symlink()) {
                    let mode = *[0o644, 0o755, 0o600, 0o4755, 0o1777, 0o000].choose(&mut self.random).unwrap();
                    // A directory stays usable for whoever is not the superuser.
                    let mode = if path.is_dir() { mode | 0o700 } else { mode | 0o600 };
                    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                    self.touch(&path);
                }
            }
            14 => {
                let path = self.new_path();
                let target =
                    *[&b"a"[..], b"/etc", b"..", b"\xff dangling", b"src/lib.rs"].choose(&mut self.random).unwrap();
                Self::remove(&path);
                symlink(std::ffi::OsStr::from_bytes(target), &path).unwrap();
                self.touch(&path);
            }
            15 => {
                let path = self.new_path();
                if let Some(from) = self.any(false)
                    && !path.exists()
                    && !path.is_symlink()
                {
                    fs::hard_link(&from, &path).unwrap();
                    self.touch(&path);
                    self.touch(&from);
                }
            }
            _ => {
                let path = self.new_path();
                Self::remove(&path);
                let kind = rustix::fs::FileType::Fifo;
                rustix::fs::mknodat(rustix::fs::CWD, &path, kind, rustix::fs::Mode::from(0o644), 0).unwrap();
                self.touch(&path);
            }
        }
    }

    /// What a watcher would report. Nothing in a directory of a version control system is anybody's business.
    fn dirty(&mut self) -> Dirty {
        let mut dirty = Dirty::new();
        for touched in std::mem::take(&mut self.touched) {
            let relative = touched.strip_prefix(&self.root).unwrap();
            if let Ok(path) = RepoPath::new(relative.as_os_str().as_bytes()) {
                dirty.add_path(path.to_owned());
            }
        }
        dirty
    }
}

/// What a capture of everything into an empty store finds, and its tree.
fn fresh_capture(lab: &Lab, number: usize) -> (Outcome, Vec<(RepoPathBuf, Entry)>) {
    let store = format!("fresh{number}");
    let repository = lab.with_store(&store);
    let outcome = repository.reconcile(&request().ignoring(&is_ignored)).unwrap();
    let tree = tree_of(&repository, &outcome.checkpoint.as_ref().unwrap().root);
    drop(repository);
    fs::remove_dir_all(lab.dir.path().join(store)).unwrap();
    (outcome, tree)
}

fn run(seed: u64, rounds: usize) {
    let mut lab = Lab::new();
    let mut chaos = Chaos { random: StdRng::seed_from_u64(seed), root: lab.root(), touched: BTreeSet::new() };
    for round in 0..rounds {
        for _ in 0..chaos.random.random_range(1..25) {
            chaos.step();
        }
        let dirty = chaos.dirty();
        let outcome = lab.repository.update(&dirty, &request().ignoring(&is_ignored)).unwrap();
        let (fresh, expected) = fresh_capture(&lab, round);
        let root = lab.head().root;
        let found = lab.tree(&root);
        let wrong: Vec<_> = found.iter().filter(|one| !expected.contains(one)).take(3).collect();
        let missing: Vec<_> = expected.iter().filter(|one| !found.contains(one)).take(3).collect();
        assert_eq!((wrong, missing), (vec![], vec![]), "seed {seed}, round {round}");
        assert_eq!(root, fresh.checkpoint.unwrap().root, "seed {seed}, round {round}");
        assert_eq!(lab.repository.verify_index().unwrap(), [], "seed {seed}, round {round}");
        assert!(outcome.is_complete() && outcome.gaps.iter().all(|gap| gap.cause == GapCause::Special));
        assert_eq!(outcome.gaps, fresh.gaps, "seed {seed}, round {round}: special files");
        if chaos.random.random_bool(0.2) {
            lab.reopen();
            let again = lab.repository.reconcile(&request().ignoring(&is_ignored)).unwrap();
            assert_eq!(again.checkpoint, None, "seed {seed}, round {round}: a start finds what nobody changed");
            assert_eq!(again.gaps, fresh.gaps);
        }
    }
}

/// If it fails, a save is missed, or something is recorded that is not there.
#[test]
fn an_update_of_what_was_touched_is_a_capture_of_everything() {
    let (seeds, rounds) = if std::env::var_os("TL_LONG").is_some() { (500, 60) } else { (4, 12) };
    let first = std::env::var("TL_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in first.map_or(0..seeds, |seed| seed..seed + 1) {
        run(seed, rounds);
    }
}
