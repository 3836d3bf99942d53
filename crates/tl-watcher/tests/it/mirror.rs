//! A consumer as the watcher's contract describes it: it keeps what it believes is in the tree, and looks again only at what batches name.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tl_watcher::Batch;

/// What is believed about one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub mode: u32,
    pub inode: u64,
    pub content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Directory,
    File(Vec<u8>),
    Symlink(PathBuf),
    Special,
}

/// See the module. Paths are relative to the root.
pub struct Mirror {
    root: PathBuf,
    pub entries: BTreeMap<PathBuf, Entry>,
}

impl Mirror {
    pub fn new(root: PathBuf) -> Self {
        let mut mirror = Self { root, entries: BTreeMap::new() };
        mirror.walk(Path::new(""));
        mirror
    }

    pub fn apply(&mut self, batch: &Batch) {
        if batch.rescan.is_some() {
            self.entries.clear();
            self.walk(Path::new(""));
            return;
        }
        for path in &batch.subtrees {
            self.remove(path.as_path());
            self.walk(path.as_path());
        }
        for directory in &batch.listings {
            self.list(directory.as_path());
        }
        for path in &batch.paths {
            self.look(path.as_path(), false);
        }
        for skipped in &batch.skipped {
            self.look(skipped.path.as_path(), false);
        }
    }

    /// Compares one entry. A directory that is not known is taken as a whole if `whole` says so.
    fn look(&mut self, path: &Path, whole: bool) {
        let Some(entry) = self.read(path) else { return self.remove(path) };
        let known = self.entries.get(path).map(|known| known.content == Content::Directory);
        if entry.content == Content::Directory {
            if known == Some(false) {
                self.remove(path);
            }
            if known != Some(true) && whole {
                self.remove(path);
                return self.walk(path);
            }
        } else {
            // Nothing lies beneath it, whatever is believed: a batch may have named what lay there before it named the directory itself.
            self.remove(path);
        }
        self.entries.insert(path.to_owned(), entry);
    }

    fn list(&mut self, directory: &Path) {
        // An entry may be known by what lies beneath it alone: a batch may have named that before it named the entry.
        let entry_above =
            |path: &PathBuf| Some(directory.join(path.strip_prefix(directory).ok()?.components().next()?));
        let mut names: BTreeSet<PathBuf> = self.entries.keys().filter_map(entry_above).collect();
        if let Ok(entries) = fs::read_dir(self.root.join(directory)) {
            names.extend(entries.filter_map(|entry| Some(directory.join(entry.ok()?.file_name()))));
        }
        // A listing says nothing about a directory that is no directory any more: its own parent's batch does.
        if self.read(directory).is_none_or(|entry| entry.content != Content::Directory) {
            return;
        }
        for path in names {
            self.look(&path, true);
        }
    }

    fn walk(&mut self, path: &Path) {
        let Some(entry) = self.read(path) else { return };
        let is_directory = entry.content == Content::Directory;
        if !path.as_os_str().is_empty() {
            self.entries.insert(path.to_owned(), entry);
        }
        if is_directory && let Ok(entries) = fs::read_dir(self.root.join(path)) {
            for entry in entries.flatten() {
                self.walk(&path.join(entry.file_name()));
            }
        }
    }

    fn remove(&mut self, path: &Path) {
        self.entries.retain(|known, _| !known.starts_with(path));
    }

    /// What stands at a path now; none if nothing does, or if it lies behind a symlink.
    fn read(&self, path: &Path) -> Option<Entry> {
        let behind_link = path
            .ancestors()
            .skip(1)
            .any(|above| fs::symlink_metadata(self.root.join(above)).is_ok_and(|metadata| !metadata.is_dir()));
        let place = self.root.join(path);
        let metadata = fs::symlink_metadata(&place).ok().filter(|_| !behind_link)?;
        let content = if metadata.is_dir() {
            Content::Directory
        } else if metadata.is_symlink() {
            Content::Symlink(fs::read_link(&place).ok()?)
        } else if metadata.is_file() {
            Content::File(read_regular(&place)?)
        } else {
            Content::Special
        };
        Some(Entry { mode: metadata.mode() & 0o7777, inode: metadata.ino(), content })
    }

    /// What differs from `other`, in words. Contents of the files in `unseen` are not compared.
    pub fn differences(&self, other: &Self, unseen: &BTreeSet<u64>) -> Vec<String> {
        let paths: BTreeSet<&PathBuf> = self.entries.keys().chain(other.entries.keys()).collect();
        let differ = |path: &&PathBuf| match (self.entries.get(*path), other.entries.get(*path)) {
            (Some(a), Some(b)) => {
                let hidden = unseen.contains(&a.inode) && unseen.contains(&b.inode);
                !hidden && (a.mode, &a.content) != (b.mode, &b.content)
            }
            _ => true,
        };
        let shown = |path: &PathBuf| path.as_os_str().as_bytes().escape_ascii().to_string();
        let brief = |entry: Option<&Entry>| match entry {
            Some(Entry { content: Content::File(content), mode, .. }) => format!("{mode:o} file of {}", content.len()),
            Some(Entry { content, mode, .. }) => format!("{mode:o} {content:?}"),
            None => "nothing".to_owned(),
        };
        paths
            .into_iter()
            .filter(differ)
            .map(|path| {
                format!("{}: {} / {}", shown(path), brief(self.entries.get(path)), brief(other.entries.get(path)))
            })
            .collect()
    }
}

/// A FIFO may have come into the file's place: it must not be waited for.
fn read_regular(path: &Path) -> Option<Vec<u8>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path).ok()?;
    let mut content = Vec::new();
    file.read_to_end(&mut content).ok()?;
    Some(content)
}

/// A name that is no text.
pub fn odd_name(number: u32) -> PathBuf {
    let mut name = b"odd \n\xff\\".to_vec();
    name.extend_from_slice(number.to_string().as_bytes());
    PathBuf::from(OsStr::from_bytes(&name))
}
