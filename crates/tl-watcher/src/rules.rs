//! Which paths are not recorded: `.tlignore` and `.gitignore` in every directory, `.git/info/exclude`, and further files of excludes that
//! the caller names. The patterns are those of Git, by the crate `ignore`.
//!
//! A rule file is read when a path below its directory is first asked about, and kept until [`IgnoreRules::reload`]. The files belong to
//! whoever can write into the tree, so that none is opened that is not a regular file, no symlink is followed to one, and sizes are bounded.

mod level;
mod source;

use std::collections::HashMap;
use std::fs::File;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::path::{RelPath, ancestors, is_within, split};
use level::Level;
use source::Excludes;
pub use source::RuleProblem;

/// Names that are never recorded, wherever they stand: what Git, Jujutsu and Timelapse keep for themselves.
const NEVER: [&[u8]; 3] = [b".git", b".jj", b".tl"];

/// The name of Timelapse's own rule files; they decide before those of Git.
pub(crate) const OWN_RULES: &[u8] = b".tlignore";
/// The name of Git's rule files.
pub(crate) const GIT_RULES: &[u8] = b".gitignore";

/// Directories whose rules are remembered. More are read again when they are needed.
const LEVELS_MAX: usize = 8192;
/// Compiled rule files that are remembered; each is some ten kilobytes.
const COMPILED_MAX: usize = 512;
/// Problems that are remembered.
const PROBLEMS_MAX: usize = 64;

/// The ignore rules of one tree. Shared between the watcher and whoever looks at the tree; every method may be called from any thread.
///
/// The order of decision: the nearest `.tlignore` with a matching pattern, then the nearest `.gitignore`, then `.git/info/exclude`, then the
/// excludes that the caller named, in their order. Within a file the last matching pattern decides. What lies in an ignored directory is
/// ignored, whatever the rules in it say.
///
/// ```
/// use tl_watcher::{IgnoreRules, RelPath};
///
/// let tree = tempfile::tempdir()?;
/// std::fs::write(tree.path().join(".gitignore"), "*.o\n!keep.o\ntarget/\n")?;
/// let rules = IgnoreRules::open(tree.path(), Vec::new())?;
/// assert!(rules.is_ignored(&RelPath::new(*b"src/main.o")?, false));
/// assert!(!rules.is_ignored(&RelPath::new(*b"src/keep.o")?, false));
/// assert!(rules.is_ignored(&RelPath::new(*b"target/debug/x")?, false));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct IgnoreRules {
    root: OwnedFd,
    state: Mutex<State>,
    /// Grows whenever a verdict may have changed, for those who remember verdicts.
    generation: AtomicU64,
}

#[derive(Debug)]
struct State {
    excludes: Vec<Excludes>,
    /// By directory. One without rule files of its own shares its parent's level.
    levels: HashMap<Box<[u8]>, Arc<Level>>,
    compiled: usize,
    /// Levels were given up to make room.
    evicted: bool,
    problems: Vec<RuleProblem>,
}

impl IgnoreRules {
    /// The rules of the tree at `root`. `excludes` are files with further patterns, relative to the root, as Git's `core.excludesFile`;
    /// those that do not exist count as empty.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the root cannot be opened. Rule files that cannot be read are no error: see [`IgnoreRules::problems`].
    pub fn open(root: &Path, excludes: Vec<PathBuf>) -> Result<Self> {
        let directory = File::open(root).map_err(|source| Error::Io {
            action: "open the directory",
            path: root.to_owned(),
            source,
        })?;
        let own = Excludes::in_repository();
        let mut state = State {
            excludes: std::iter::once(own).chain(excludes.into_iter().map(Excludes::at)).collect(),
            levels: HashMap::new(),
            compiled: 0,
            evicted: false,
            problems: Vec::new(),
        };
        let root = OwnedFd::from(directory);
        state.refresh(&root);
        Ok(Self { root, state: Mutex::new(state), generation: AtomicU64::new(0) })
    }

    /// True if the rules leave `path` out. `is_dir` says whether it is a directory: some patterns hold for those alone. The root is never
    /// ignored.
    pub fn is_ignored(&self, path: &RelPath, is_dir: bool) -> bool {
        self.hides(path.as_bytes(), is_dir)
    }

    pub(crate) fn hides(&self, path: &[u8], is_dir: bool) -> bool {
        if path.is_empty() {
            return false;
        }
        if path.split(|byte| *byte == b'/').any(is_never_recorded) {
            return true;
        }
        let mut state = self.state.lock();
        let level = state.level(&self.root, split(path).0);
        if mem::take(&mut state.evicted) {
            // A verdict that is remembered elsewhere would outlive the level that it came from, which nobody could forget any more.
            self.generation.fetch_add(1, Ordering::Release);
        }
        level.hides(path, is_dir, &state.excludes)
    }

    /// Forgets what was read, so that the next question reads the rule files again.
    pub fn reload(&self) {
        let mut state = self.state.lock();
        state.forget();
        state.problems.clear();
        state.refresh(&self.root);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Forgets what was read at and beneath the directory `path`: another one may stand there now. True if something was known.
    pub(crate) fn forget_beneath(&self, path: &[u8]) -> bool {
        let mut state = self.state.lock();
        // Whenever something beneath it is known, it is known itself.
        if !state.levels.contains_key(path) {
            return false;
        }
        state.levels.retain(|known, _| !is_within(known, path));
        self.generation.fetch_add(1, Ordering::Release);
        true
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Looks whether the files of excludes, which stand for the whole tree, changed on the disk, and reads them again if so. True if
    /// one changed.
    pub fn refresh_excludes(&self) -> bool {
        let mut state = self.state.lock();
        let changed = state.refresh(&self.root);
        if changed {
            state.forget();
            self.generation.fetch_add(1, Ordering::Release);
        }
        changed
    }

    /// What could not be read or understood since the last [`IgnoreRules::reload`], at most 64 of it. Such rules do not hold.
    pub fn problems(&self) -> Vec<RuleProblem> {
        self.state.lock().problems.clone()
    }

    /// The files of excludes outside the tree, so that they can be watched.
    #[cfg(target_os = "linux")]
    pub(crate) fn outside_files(&self) -> Vec<PathBuf> {
        self.state.lock().excludes.iter().filter_map(|excludes| excludes.outside_path().map(Path::to_owned)).collect()
    }
}

impl State {
    fn forget(&mut self) {
        self.levels.clear();
        self.compiled = 0;
    }

    fn refresh(&mut self, root: &OwnedFd) -> bool {
        let mut changed = false;
        for excludes in &mut self.excludes {
            changed |= excludes.refresh(root, &mut self.problems);
        }
        self.problems.truncate(PROBLEMS_MAX);
        changed
    }

    /// The rules that hold for the entries of `directory`.
    fn level(&mut self, root: &OwnedFd, directory: &[u8]) -> Arc<Level> {
        if let Some(level) = self.levels.get(directory) {
            return Arc::clone(level);
        }
        if self.levels.len() >= LEVELS_MAX || self.compiled >= COMPILED_MAX {
            self.forget();
            self.evicted = true;
        }
        // From the nearest directory above that is known, down; not recursively, as a path may have thousands of components.
        let mut missing = vec![directory];
        let mut known = None;
        for above in ancestors(directory) {
            if let Some(level) = self.levels.get(above) {
                known = Some(Arc::clone(level));
                break;
            }
            missing.push(above);
        }
        let mut level = known.unwrap_or_else(Level::outermost);
        for path in missing.into_iter().rev() {
            if !path.is_empty() && level.hides(path, true, &self.excludes) {
                level = Level::hidden();
            } else if !level.is_hidden() {
                let (next, compiled) = Level::read(root.as_fd(), path, &level, &mut self.problems);
                level = next;
                self.compiled += compiled;
            }
            self.levels.insert(path.into(), Arc::clone(&level));
        }
        self.problems.truncate(PROBLEMS_MAX);
        level
    }
}

/// The files by which the portable backend makes sure that it has seen everything begin with this.
pub(crate) const COOKIE_PREFIX: &[u8] = b".tl-cookie-";

/// True for `.git`, `.jj` and `.tl`, and for what the watcher itself puts into the tree for a moment.
pub(crate) fn is_never_recorded(name: &[u8]) -> bool {
    NEVER.contains(&name) || name.starts_with(COOKIE_PREFIX)
}

/// True if a file of this name holds rules for its directory.
pub(crate) fn is_rule_file(name: &[u8]) -> bool {
    name == OWN_RULES || name == GIT_RULES
}

#[cfg(test)]
mod tests;
