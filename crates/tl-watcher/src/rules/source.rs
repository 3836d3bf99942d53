//! Reading one rule file that anybody may have written.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use crate::beneath;
use crate::path::{RelPath, join};

/// A rule file may have this many bytes. The largest known one has a tenth of it.
const SOURCE_LEN_MAX: u64 = 256 * 1024;

/// A rule file, or a line of one, that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleProblem {
    /// The file; below the root if it is relative.
    pub path: PathBuf,
    /// The line, from 1; 0 if the whole file is meant.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl RuleProblem {
    pub(super) fn unreadable(path: PathBuf, error: &io::Error) -> Self {
        Self { path, line: 0, message: format!("cannot be read: {error}") }
    }
}

/// A file of patterns for the whole tree.
#[derive(Debug)]
pub(super) struct Excludes {
    place: Place,
    rules: Option<Gitignore>,
    stamp: Option<Stamp>,
}

#[derive(Debug)]
enum Place {
    /// `.git/info/exclude` of the repository whose work tree the root is.
    Repository,
    At(PathBuf),
}

/// What differs when a file was written or replaced.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Excludes {
    pub(super) fn in_repository() -> Self {
        Self { place: Place::Repository, rules: None, stamp: None }
    }

    pub(super) fn at(path: PathBuf) -> Self {
        Self { place: Place::At(path), rules: None, stamp: None }
    }

    pub(super) fn rules(&self) -> Option<&Gitignore> {
        self.rules.as_ref()
    }

    #[cfg(target_os = "linux")]
    pub(super) fn outside_path(&self) -> Option<&Path> {
        match &self.place {
            Place::Repository => None,
            Place::At(path) => Some(path),
        }
    }

    /// Reads the file again if it is another one than before. True if so.
    pub(super) fn refresh(&mut self, root: &OwnedFd, problems: &mut Vec<RuleProblem>) -> bool {
        let path = match &self.place {
            Place::Repository => Path::new(".git/info/exclude"),
            Place::At(path) => path,
        };
        let opened = match &self.place {
            Place::Repository => beneath::open_directory(root.as_fd(), b".git/info")
                .and_then(|info| open(info.as_fd(), b"exclude", OFlags::NOFOLLOW)),
            Place::At(path) => openat(rustix::fs::CWD, path, open_flags(), Mode::empty()).map(File::from),
        };
        let found = match opened {
            Ok(file) => file.metadata().map(|metadata| Some((file, metadata))),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(error.into()),
        };
        let found = found.unwrap_or_else(|error| {
            problems.push(RuleProblem::unreadable(path.to_owned(), &error));
            None
        });
        let stamp = found.as_ref().map(|(_, metadata)| Stamp::of(metadata));
        if stamp == self.stamp {
            return false;
        }
        self.rules = found.and_then(|(file, metadata)| parse(file, &metadata, path, problems));
        self.stamp = stamp;
        true
    }
}

/// Reads the rule file `name` of a directory of the tree; none if there is none that holds.
pub(super) fn read_beneath(
    directory: BorrowedFd<'_>,
    path: &[u8],
    name: &[u8],
    problems: &mut Vec<RuleProblem>,
) -> Option<Gitignore> {
    let shown = || RelPath::trusted(join(path, name)).as_path().to_owned();
    let file = match open(directory, name, OFlags::NOFOLLOW) {
        Ok(file) => file,
        // As Git does, no symlink is followed to a rule file.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return None,
        Err(error) => {
            problems.push(RuleProblem::unreadable(shown(), &error.into()));
            return None;
        }
    };
    match file.metadata() {
        Ok(metadata) => parse(file, &metadata, &shown(), problems),
        Err(error) => {
            problems.push(RuleProblem::unreadable(shown(), &error));
            None
        }
    }
}

/// A FIFO must not block whoever opens it.
fn open_flags() -> OFlags {
    OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY
}

fn open(directory: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> rustix::io::Result<File> {
    openat(directory, name, open_flags() | flags, Mode::empty()).map(File::from)
}

fn parse(file: File, metadata: &Metadata, path: &Path, problems: &mut Vec<RuleProblem>) -> Option<Gitignore> {
    let mut problem = |line, message: String| problems.push(RuleProblem { path: path.to_owned(), line, message });
    if !metadata.is_file() {
        problem(0, "is not a regular file".to_owned());
        return None;
    }
    let mut content = Vec::new();
    // One more than allowed tells a file that is too long, even if it grows meanwhile.
    if let Err(error) = file.take(SOURCE_LEN_MAX + 1).read_to_end(&mut content) {
        problem(0, format!("cannot be read: {error}"));
        return None;
    }
    if content.len() as u64 > SOURCE_LEN_MAX {
        problem(0, format!("has more than {SOURCE_LEN_MAX} bytes"));
        return None;
    }
    let content = content.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&content);
    let mut builder = GitignoreBuilder::new("");
    for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
        match std::str::from_utf8(line) {
            Ok(line) => {
                if let Err(error) = builder.add_line(None, line) {
                    problem(index + 1, error.to_string());
                }
            }
            Err(_) => problem(index + 1, "is not UTF-8".to_owned()),
        }
    }
    match builder.build() {
        Ok(rules) => (!rules.is_empty()).then_some(rules),
        Err(error) => {
            problem(0, error.to_string());
            None
        }
    }
}
