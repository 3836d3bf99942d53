//! The rules that hold for the entries of one directory: its own files, and those of the directories above.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::Gitignore;
use rustix::io::Errno;

use super::source::{self, Excludes, RuleProblem};
use super::{GIT_RULES, OWN_RULES};
use crate::beneath;
use crate::path::RelPath;

/// See the module. Shared by all directories below that have no rules of their own.
#[derive(Debug)]
pub(super) struct Level {
    parent: Option<Arc<Level>>,
    /// The directory, with a `/` at its end unless it is the root: what patterns are relative to.
    prefix: Box<[u8]>,
    own: Option<Gitignore>,
    git: Option<Gitignore>,
    hidden: bool,
}

impl Level {
    fn bare(hidden: bool) -> Arc<Self> {
        Arc::new(Self { parent: None, prefix: Box::default(), own: None, git: None, hidden })
    }

    /// No rules, above the root.
    pub(super) fn outermost() -> Arc<Self> {
        Self::bare(false)
    }

    /// A directory that is ignored itself: so is everything in it.
    pub(super) fn hidden() -> Arc<Self> {
        Self::bare(true)
    }

    pub(super) fn is_hidden(&self) -> bool {
        self.hidden
    }

    /// Reads the rule files of `directory`, which lies below `parent`'s. Returns the parent itself if there are none, and how many files
    /// were compiled.
    pub(super) fn read(
        root: BorrowedFd<'_>,
        directory: &[u8],
        parent: &Arc<Self>,
        problems: &mut Vec<RuleProblem>,
    ) -> (Arc<Self>, usize) {
        let opened = match beneath::open_directory(root, directory) {
            Ok(opened) => opened,
            // Gone, or another kind of thing by now: there is nothing to decide about.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return (Arc::clone(parent), 0),
            Err(error) => {
                let path = RelPath::trusted(directory).as_path().to_owned();
                problems.push(RuleProblem::unreadable(path, &error.into()));
                return (Arc::clone(parent), 0);
            }
        };
        let mut read = |name: &[u8]| source::read_beneath(opened.as_fd(), directory, name, problems);
        let (own, git) = (read(OWN_RULES), read(GIT_RULES));
        let compiled = usize::from(own.is_some()) + usize::from(git.is_some());
        if compiled == 0 {
            return (Arc::clone(parent), 0);
        }
        let mut prefix = directory.to_vec();
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        (Arc::new(Self { parent: Some(Arc::clone(parent)), prefix: prefix.into(), own, git, hidden: false }), compiled)
    }

    /// True if `path`, an entry of a directory of this level, is ignored.
    pub(super) fn hides(&self, path: &[u8], is_dir: bool, excludes: &[Excludes]) -> bool {
        self.hidden
            || self
                .decide(|level| level.own.as_ref(), path, is_dir)
                .or_else(|| self.decide(|level| level.git.as_ref(), path, is_dir))
                .or_else(|| excludes.iter().find_map(|file| verdict(file.rules()?, path, is_dir)))
                .unwrap_or(false)
    }

    /// The verdict of the nearest file of one kind that has one.
    fn decide(&self, of: impl Fn(&Self) -> Option<&Gitignore>, path: &[u8], is_dir: bool) -> Option<bool> {
        let mut level = Some(self);
        while let Some(current) = level {
            if let Some(rules) = of(current) {
                let relative = path.strip_prefix(&*current.prefix).unwrap_or(path);
                if let Some(verdict) = verdict(rules, relative, is_dir) {
                    return Some(verdict);
                }
            }
            level = current.parent.as_deref();
        }
        None
    }
}

/// True: ignored. False: kept by a pattern with `!`. None: nothing matches.
fn verdict(rules: &Gitignore, path: &[u8], is_dir: bool) -> Option<bool> {
    match rules.matched(Path::new(OsStr::from_bytes(path)), is_dir) {
        Match::Ignore(_) => Some(true),
        Match::Whitelist(_) => Some(false),
        Match::None => None,
    }
}
