//! Directories on the disk, compared as strictly as the system allows.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What stands at a path.
#[derive(Clone, PartialEq, Eq)]
pub enum Node {
    /// A file, with the number of its names.
    File {
        mode: u32,
        names: u64,
        content: Vec<u8>,
    },
    Link {
        target: Vec<u8>,
    },
    Directory {
        mode: u32,
    },
    /// A FIFO, a socket, a device.
    Special,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { mode, names, content } => {
                let begin = content.get(..40).unwrap_or(content).escape_ascii();
                write!(f, "file {mode:o}, {names} names, {} bytes: {begin}", content.len())
            }
            Self::Link { target } => write!(f, "link to {}", target.escape_ascii()),
            Self::Directory { mode } => write!(f, "directory {mode:o}"),
            Self::Special => write!(f, "special"),
        }
    }
}

/// Everything below a directory, by path.
pub type Tree = BTreeMap<Vec<u8>, Node>;

/// What stands below `root`, but for what `tl` never records.
pub fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if [".tl", ".git", ".jj"].iter().any(|name| path.file_name().unwrap() == *name) {
                continue;
            }
            let found = fs::symlink_metadata(&path).unwrap();
            let mode = found.mode() & 0o7777;
            let node = if found.is_dir() {
                waiting.push(path.clone());
                Node::Directory { mode }
            } else if found.is_symlink() {
                Node::Link { target: fs::read_link(&path).unwrap().into_os_string().into_vec() }
            } else if found.is_file() {
                Node::File { mode, names: found.nlink(), content: fs::read(&path).unwrap() }
            } else {
                Node::Special
            };
            tree.insert(path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec(), node);
        }
    }
    tree
}

/// A tree in which every name is a file of its own, as recorded states have it.
pub fn without_shared_files(mut tree: Tree) -> Tree {
    for node in tree.values_mut() {
        if let Node::File { names, .. } = node {
            *names = 1;
        }
    }
    tree
}

/// Fails with the first paths that differ.
#[track_caller]
pub fn assert_same(found: &Tree, expected: &Tree, context: &str) {
    let paths = found.keys().chain(expected.keys()).collect::<std::collections::BTreeSet<_>>();
    let differing: Vec<String> = paths
        .into_iter()
        .filter(|path| found.get(*path) != expected.get(*path))
        .map(|path| format!("{}: {:?}, expected {:?}", path.escape_ascii(), found.get(path), expected.get(path)))
        .collect();
    let first = differing.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(differing.is_empty(), "{context}: {} paths differ:\n{first}", differing.len());
}

/// What `rsync` would change to make `found` as `expected` is, apart from times; nothing where `rsync` is not installed.
pub fn rsync_differences(found: &Path, expected: &Path) -> String {
    let with_slash = |path: &Path| {
        let mut path = PathBuf::from(path).into_os_string();
        path.push("/");
        path
    };
    let arguments = ["-rlpgoDHAXnci", "--delete", "--exclude=.git", "--exclude=/.tl"].map(OsString::from);
    let output = Command::new("rsync").args(arguments).arg(with_slash(expected)).arg(with_slash(found)).output();
    match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        output => {
            let output = output.unwrap();
            assert!(output.status.success(), "rsync: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
    }
}

/// The sum of the sizes of all files below `root`, in bytes.
pub fn size(root: &Path) -> u64 {
    let mut bytes = 0;
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            let found = entry.metadata().unwrap();
            if found.is_dir() {
                waiting.push(entry.path());
            } else {
                bytes += found.len();
            }
        }
    }
    bytes
}
