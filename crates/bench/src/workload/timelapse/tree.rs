//! Working directories: made from numbers alone, kept for the whole run, and given back as they were.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::text::text;
use crate::data::scramble;
use crate::workload::Site;

/// Files in each directory, and directories in each that has some: as wide as directories are in practice, whatever the size of the whole.
const WIDTH: u64 = 10;
const FILE_BYTES_MIN: f64 = 128.0;
const FILE_BYTES_MAX: f64 = 16384.0;
const POOL_BYTES: usize = 4 << 20;
const POOL_SEED: u64 = 7;
/// Where a run keeps its working directories, beside the directories of its measurements.
const FOLDER: &str = "trees";

/// A working directory of numbered files. While it is borrowed its mark is gone, so that one that a failure left changed is made anew.
pub(super) struct WorkTree {
    root: PathBuf,
    mark: PathBuf,
    files: u64,
    contents: Contents,
    touched: BTreeSet<u64>,
}

impl WorkTree {
    /// The one of the run with `files` files, made if there is none.
    pub(super) fn borrow(site: &Site<'_>, files: u64) -> Result<Self> {
        let folder = folder(site.dir.parent().context("the directory of a measurement has no parent")?);
        let (root, mark) = (folder.join(format!("{files}")), folder.join(format!("{files}.whole")));
        let tree = Self { root, mark, files, contents: Contents::new(), touched: BTreeSet::new() };
        if tree.mark.exists() {
            fs::remove_file(&tree.mark)?;
        } else {
            if tree.root.exists() {
                fs::remove_dir_all(&tree.root)?;
            }
            tree.fill().with_context(|| format!("cannot make a tree in {}", tree.root.display()))?;
        }
        Ok(tree)
    }

    fn fill(&self) -> Result<()> {
        let mut content = Vec::new();
        for index in 0..self.files {
            let path = self.root.join(path_of(index));
            if index % WIDTH == 0 {
                fs::create_dir_all(path.parent().context("a file has a directory")?)?;
            }
            self.contents.fill(index, 0, &mut content);
            fs::write(path, &content)?;
        }
        Ok(())
    }

    /// Where it is, for who only looks: nothing of it is left in memory.
    pub(super) fn at_rest(site: &Site<'_>, files: u64) -> Result<PathBuf> {
        let tree = Self::borrow(site, files)?;
        let root = tree.root.clone();
        tree.give_back()?;
        Ok(root)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn files(&self) -> u64 {
        self.files
    }

    /// Gives the file `index` its content of `version`, of which 0 is the first. Returns its length.
    pub(super) fn write(&mut self, index: u64, version: u64) -> Result<u64> {
        let mut content = Vec::new();
        self.contents.fill(index, version, &mut content);
        self.touched.insert(index);
        fs::write(self.root.join(path_of(index)), &content)?;
        Ok(content.len() as u64)
    }

    /// Bytes of all files as they were first.
    pub(super) fn bytes(&self) -> u64 {
        (0..self.files).map(|index| content_len(index, 0) as u64).sum()
    }

    /// Gives it back as it was.
    pub(super) fn give_back(mut self) -> Result<()> {
        for index in std::mem::take(&mut self.touched) {
            self.write(index, 0)?;
        }
        Ok(fs::write(&self.mark, b"")?)
    }
}

fn folder(dir: &Path) -> PathBuf {
    dir.join(FOLDER)
}

/// Removes the working directories that a run kept in `dir`.
///
/// # Errors
/// If there are some and they cannot be removed.
pub fn remove_trees(dir: &Path) -> Result<()> {
    let folder = folder(dir);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

/// Where the file `index` is: its directory is the path of its number's digits.
pub(super) fn path_of(index: u64) -> String {
    let mut directory = index / WIDTH;
    let mut names = Vec::new();
    while directory > 0 {
        names.push(format!("module_{}", directory % WIDTH));
        directory /= WIDTH;
    }
    names.reverse();
    names.push(format!("source_{index}.rs"));
    names.join("/")
}

/// The length of a file: each power of two is as likely as the next.
pub(super) fn content_len(index: u64, version: u64) -> usize {
    let mut rng = rng_of(index, version);
    rng.random_range(FILE_BYTES_MIN.ln()..=FILE_BYTES_MAX.ln()).exp() as usize
}

fn rng_of(index: u64, version: u64) -> StdRng {
    StdRng::seed_from_u64(scramble(index).wrapping_add(version))
}

/// What files hold: a line that is theirs alone, and text.
struct Contents {
    pool: Vec<u8>,
}

impl Contents {
    fn new() -> Self {
        Self { pool: text(&mut StdRng::seed_from_u64(POOL_SEED), POOL_BYTES) }
    }

    fn fill(&self, index: u64, version: u64, content: &mut Vec<u8>) {
        let len = content_len(index, version);
        content.clear();
        content.extend_from_slice(format!("// file {index}, version {version}\n").as_bytes());
        let rest = len.saturating_sub(content.len());
        // Of a generator of its own, so that lengths stay as they are.
        let start = scramble(index ^ version.rotate_left(32)) as usize % (POOL_BYTES - rest);
        content.extend_from_slice(&self.pool[start..start + rest]);
        content.truncate(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::tools;
    use crate::workload::tests::small;

    #[test]
    fn a_tree_is_made_once_and_given_back_as_it_was() {
        let dir = tempfile::tempdir().expect("a directory");
        let (engine, parameters) = (&tools()[0], small());
        let cell = dir.path().join("cell");
        let site = Site { engine, dir: &cell, parameters: &parameters, timed: true };
        let first = WorkTree::borrow(&site, 25).expect("made");
        let last = first.root().join("module_2/source_24.rs");
        let before = fs::read(&last).expect("there");
        assert_eq!(before.len(), content_len(24, 0));
        let lens = (0..25).map(|index| fs::metadata(first.root().join(path_of(index))).expect("there").len());
        assert_eq!(first.bytes(), lens.sum::<u64>());
        first.give_back().expect("whole");

        let mut second = WorkTree::borrow(&site, 25).expect("there");
        second.write(24, 3).expect("written");
        assert_ne!(fs::read(&last).expect("there"), before, "a new version is the same");
        second.give_back().expect("restored");
        assert_eq!(fs::read(&last).expect("there"), before);

        let mut abandoned = WorkTree::borrow(&site, 25).expect("there");
        abandoned.write(24, 4).expect("written");
        drop(abandoned);
        let again = WorkTree::borrow(&site, 25).expect("made anew");
        assert_eq!(fs::read(&last).expect("there"), before, "a tree that was left changed was taken as it was");
        again.give_back().expect("whole");
        remove_trees(dir.path()).expect("removed");
        assert!(!last.exists());
    }
}
