//! States as directories, side by side, which share what they have in common.
//!
//! Each content is written once, into a pool, and comes into a directory as a clone where the filesystem has such (Btrfs, XFS, APFS by way of copies), else as a
//! hard link. A link could be written through. So within one directory a content is linked once and copied after that, and what was linked is looked at again
//! before it is used for the next directory: all files of the pool carry one old time of modification, and one that was written has another.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use tl_core::{Entry, EntryKind, ObjectId, Objects};

/// Longest target of a symbolic link, in bytes. No system has longer ones.
const LINK_LEN_MAX: u64 = 64 << 10;
/// What the owner may always do, so that directories can be filled and removed, and files read and cloned.
const OWNER_DIRECTORY: u32 = 0o700;
const OWNER_FILE: u32 = 0o600;
const PERMISSIONS: u32 = 0o777;

/// How a content comes from the pool into a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// As a clone that shares its blocks until either is written.
    Clone,
    /// As another name of the same file.
    Link,
    /// As a copy.
    Copy,
}

/// How many files came into a directory in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Placed {
    /// As clones.
    pub cloned: u64,
    /// As links.
    pub linked: u64,
    /// As copies.
    pub copied: u64,
}

/// A content with its permissions.
type Key = (ObjectId, u32);

/// Contents that were written before, and the way from there into directories.
#[derive(Debug)]
pub struct Pool<'a> {
    objects: &'a Objects,
    dir: PathBuf,
    /// The best way that has not failed yet.
    method: Method,
    /// What is in the pool, with its length.
    files: HashMap<Key, u64>,
    /// What was linked into the last directory.
    linked: HashSet<Key>,
    /// The time of modification of everything in the pool.
    modified: SystemTime,
}

impl<'a> Pool<'a> {
    /// An empty pool in `dir`, which is empty too, on the filesystem of the directories to come.
    pub fn new(objects: &'a Objects, dir: PathBuf, method: Method) -> Self {
        // Whole seconds, for filesystems that know nothing finer; and old enough that no write can have the same.
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        Self { objects, dir, method, files: HashMap::new(), linked: HashSet::new(), modified }
    }

    /// Makes the directory `to` of the tree `root`. What a command did to the directory before it does not show in this one.
    ///
    /// # Errors
    /// A tree or content that cannot be read, or what the system refuses.
    pub fn check_out(&mut self, root: &ObjectId, to: &Path) -> Result<Placed> {
        self.drop_written()?;
        let mut placed = Placed::default();
        make_dir(to)?;
        let mut directories = vec![(*root, to.to_owned(), OWNER_DIRECTORY)];
        let mut modes = Vec::new();
        while let Some((tree, dir, mode)) = directories.pop() {
            for found in self.objects.get_tree(&tree)?.iter() {
                let path = dir.join(OsStr::from_bytes(found.name.as_bytes()));
                match found.entry.kind {
                    EntryKind::Directory => {
                        make_dir(&path)?;
                        directories.push((found.entry.id, path, found.entry.mode.bits() & PERMISSIONS));
                    }
                    EntryKind::Symlink => {
                        let target = self.objects.get_blob(&found.entry.id, LINK_LEN_MAX)?;
                        symlink(OsStr::from_bytes(&target), &path).with_context(|| refused("link", &path))?;
                    }
                    EntryKind::File => self.place(&found.entry, &path, &mut placed)?,
                }
            }
            modes.push((dir, mode));
        }
        for (dir, mode) in modes {
            let permissions = Permissions::from_mode(mode | OWNER_DIRECTORY);
            fs::set_permissions(&dir, permissions).with_context(|| refused("set the mode of", &dir))?;
        }
        Ok(placed)
    }

    fn place(&mut self, entry: &Entry, to: &Path, placed: &mut Placed) -> Result<()> {
        let key = (entry.id, (entry.mode.bits() & PERMISSIONS) | OWNER_FILE);
        self.fill(key)?;
        let from = self.file(key);
        if self.method == Method::Clone {
            if clone_file(&from, to, key.1).with_context(|| refused("clone", to))? {
                placed.cloned += 1;
                return Ok(());
            }
            self.method = Method::Link;
        }
        if self.method == Method::Link && !self.linked.contains(&key) {
            match fs::hard_link(&from, to) {
                Ok(()) => {
                    self.linked.insert(key);
                    placed.linked += 1;
                    return Ok(());
                }
                // Some filesystems have no links, and all have a limit of links to one file.
                Err(error) if error.kind() == io::ErrorKind::TooManyLinks => {}
                Err(_) => self.method = Method::Copy,
            }
        }
        placed.copied += 1;
        copy_file(&from, to, key.1).with_context(|| refused("write", to))
    }

    /// Sees to it that a content is in the pool.
    fn fill(&mut self, key: Key) -> Result<()> {
        if self.files.contains_key(&key) {
            return Ok(());
        }
        let path = self.file(key);
        let mut reader = self.objects.blob_reader(&key.0)?;
        let written = create(&path, key.1).and_then(|mut file| {
            let len = io::copy(&mut reader, &mut file)?;
            file.set_times(FileTimes::new().set_modified(self.modified))?;
            Ok(len)
        });
        self.files.insert(key, written.with_context(|| refused("write", &path))?);
        Ok(())
    }

    fn file(&self, (id, mode): Key) -> PathBuf {
        self.dir.join(format!("{id}-{mode:o}"))
    }

    /// Takes what was written through a link out of the pool.
    fn drop_written(&mut self) -> Result<()> {
        for key in std::mem::take(&mut self.linked) {
            let path = self.file(key);
            let intact = fs::symlink_metadata(&path).is_ok_and(|found| {
                let same_time = found.modified().is_ok_and(|time| time == self.modified);
                same_time && self.files.get(&key) == Some(&found.len()) && found.mode() & 0o7777 == key.1
            });
            if !intact {
                self.files.remove(&key);
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(error).with_context(|| refused("remove", &path));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn refused(action: &str, path: &Path) -> String {
    format!("cannot {action} {}", crate::output::file(path))
}

fn make_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new().mode(OWNER_DIRECTORY).create(path).with_context(|| refused("create", path))
}

/// A new file with exactly this mode, whatever the process takes away from new files.
fn create(path: &Path, mode: u32) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(OWNER_FILE).open(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    Ok(file)
}

fn copy_file(from: &Path, to: &Path, mode: u32) -> io::Result<()> {
    let mut source = File::open(from)?;
    io::copy(&mut source, &mut create(to, mode)?)?;
    Ok(())
}

/// Clones a file; false if the filesystem cannot, with nothing left behind.
#[cfg(target_os = "linux")]
fn clone_file(from: &Path, to: &Path, mode: u32) -> io::Result<bool> {
    let source = File::open(from)?;
    let target = create(to, mode)?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_ok() {
        return Ok(true);
    }
    // Whatever the reason, the next way says it if it is a reason that matters.
    fs::remove_file(to)?;
    Ok(false)
}

/// Clones a file; false, as there is no such call here.
#[cfg(not(target_os = "linux"))]
fn clone_file(_from: &Path, _to: &Path, _mode: u32) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use granite::{Background, Db, Durability, Options};
    use tl_core::{Mode, RepoPath, Store, StoreOptions};

    use super::*;

    struct Lab {
        dir: tempfile::TempDir,
        store: Store,
        roots: [ObjectId; 2],
    }

    /// Two states that share all but one file. `same/a` and `same/b` have equal contents.
    fn lab() -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(dir.path().join("db"), &Options::new().background(Background::Inline)).unwrap();
        let store = Store::open(&db, &StoreOptions::default()).unwrap();
        let capture = store.capture().unwrap();
        let roots = [&b"one"[..], b"two"].map(|changed| {
            let dir = Some(Entry::directory(ObjectId::EMPTY_TREE, Mode::new(0o555)));
            let file = |content: &[u8], mode| Some(Entry::file(capture.put_blob(content).unwrap(), Mode::new(mode)));
            let link = Some(Entry::symlink(capture.put_symlink(b"same/a").unwrap(), Mode::new(0o777)));
            let edits = [
                ("changed", file(changed, 0o644)),
                ("empty", dir),
                ("link", link),
                ("same", dir),
                ("same/a", file(b"content", 0o644)),
                ("same/b", file(b"content", 0o644)),
                ("same/run", file(b"#!/bin/sh\n", 0o755)),
            ];
            let edits = edits.map(|(path, entry)| (RepoPath::new(path.as_bytes()).unwrap().to_owned(), entry));
            capture.edit_tree(&ObjectId::EMPTY_TREE, edits).unwrap()
        });
        capture.commit(|_| {}, Durability::Buffered).unwrap();
        fs::create_dir(dir.path().join("pool")).unwrap();
        Lab { dir, store, roots }
    }

    fn read(dir: &Path, path: &str) -> String {
        fs::read_to_string(dir.join(path)).unwrap()
    }

    fn is_as_recorded(dir: &Path, changed: &str) {
        assert_eq!(read(dir, "changed"), changed);
        assert_eq!(
            (read(dir, "same/a"), read(dir, "same/b"), read(dir, "link")),
            ("content".into(), "content".into(), "content".into())
        );
        assert_eq!(fs::metadata(dir.join("same/run")).unwrap().mode() & 0o777, 0o755);
        assert!(fs::metadata(dir.join("empty")).unwrap().is_dir());
    }

    /// If it fails, a command that edits its files in place changes the states that are tried after it, and another save is blamed.
    #[test]
    fn what_a_command_writes_does_not_reach_the_next_state() {
        for method in [Method::Clone, Method::Link, Method::Copy] {
            let lab = lab();
            let mut pool = Pool::new(lab.store.objects(), lab.dir.path().join("pool"), method);
            let (one, two) = (lab.dir.path().join("1"), lab.dir.path().join("2"));
            pool.check_out(&lab.roots[0], &one).unwrap();
            is_as_recorded(&one, "one");
            // In place, without a change of length.
            OpenOptions::new().write(true).open(one.join("same/a")).unwrap().write_all(b"CONTENT").unwrap();
            assert_eq!(read(&one, "same/b"), "content", "{method:?}: files of one state share their bytes");
            fs::set_permissions(one.join("same/run"), Permissions::from_mode(0o644)).unwrap();
            pool.check_out(&lab.roots[1], &two).unwrap();
            is_as_recorded(&two, "two");
        }
    }

    /// If it fails, every state that is tried costs the space of the whole project.
    #[test]
    fn linked_states_share_what_they_have_in_common() {
        let lab = lab();
        let mut pool = Pool::new(lab.store.objects(), lab.dir.path().join("pool"), Method::Link);
        let placed = pool.check_out(&lab.roots[0], &lab.dir.path().join("1")).unwrap();
        assert_eq!(placed, Placed { cloned: 0, linked: 3, copied: 1 });
        let placed = pool.check_out(&lab.roots[1], &lab.dir.path().join("2")).unwrap();
        assert_eq!(placed, Placed { cloned: 0, linked: 3, copied: 1 });
        assert_eq!(fs::metadata(lab.dir.path().join("2/same/run")).unwrap().nlink(), 3);
    }
}
