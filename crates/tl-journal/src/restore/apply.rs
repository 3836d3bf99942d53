//! Carrying a plan out: first what has to go, then directories, then files by several threads, last the modes of directories.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustix::io::Errno;
use tl_core::{Entry, Mode, RepoPath, RepoPathBuf};

use super::chunks::{Chunk, for_each_chunk};
use super::dir::{Root, WriteDir};
use super::place::{Failed, Placer, failed};
use super::plan::{Plan, Task};
use super::report::{Refusal, Refused, RestoreCounts, Step, is_file_like};
use crate::error::Result;
use crate::workdir::StatKind;

/// What the owner of a directory needs to change what is in it.
const OWNER_BITS: u32 = 0o700;

/// What was done to the disk.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub(super) counts: RestoreCounts,
    pub(super) refused: Vec<Refused>,
    pub(super) directories_kept: Vec<RepoPathBuf>,
}

/// A run over one plan.
pub(super) struct Run<'a> {
    pub(super) root: &'a Root,
    pub(super) plan: &'a Plan,
    pub(super) placer: Placer<'a>,
    /// The modes that directories have in the wanted state, of those in which something changes.
    pub(super) modes: BTreeMap<RepoPathBuf, Mode>,
    pub(super) threads: usize,
    refused: Mutex<Vec<Refused>>,
    kept: Vec<RepoPathBuf>,
    /// Directories that were opened to their owner for the time being, with the modes that they had.
    opened: Mutex<BTreeMap<RepoPathBuf, Mode>>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        root: &'a Root,
        plan: &'a Plan,
        placer: Placer<'a>,
        modes: BTreeMap<RepoPathBuf, Mode>,
        threads: usize,
    ) -> Self {
        let (refused, opened) = (Mutex::default(), Mutex::default());
        Self { root, plan, placer, modes, threads, refused, kept: Vec::new(), opened }
    }

    pub(super) fn finish(mut self) -> Result<Applied> {
        let done = self.work();
        // Whatever happened: no directory stays more open to its owner than it was.
        let closed = self.close_directories();
        done.and(closed)?;
        let mut refused = self.refused.into_inner();
        refused.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Applied { counts: self.placer.tally.counts(), refused, directories_kept: self.kept })
    }

    fn work(&mut self) -> Result<()> {
        let plan = self.plan;
        let clears = |task: &Task| match &task.after {
            None => !task.was_directory() || task.known.iter().any(is_file_like),
            // A file gives way to a directory.
            Some(after) => after.is_directory() && task.known.iter().any(is_file_like),
        };
        let cleared: Vec<_> = plan.tasks.iter().filter(|(_, task)| clears(task)).collect();
        self.in_parallel(&cleared, |run, dir, path, task| run.clear(dir, path, task))?;
        for (path, task) in plan.tasks.iter().rev().filter(|(_, task)| task.was_directory()) {
            if task.after.is_none_or(|after| !after.is_directory()) {
                self.remove_directory(path, task)?;
            }
        }
        for (path, task) in &plan.tasks {
            if task.after.is_some_and(|after| after.is_directory()) {
                self.make_directory(path)?;
            }
        }
        let placed: Vec<_> =
            plan.tasks.iter().filter(|(_, task)| task.after.as_ref().is_some_and(is_file_like)).collect();
        self.in_parallel(&placed, |run, dir, path, task| {
            let Some(name) = path.file_name() else { return Ok(()) };
            run.placer.change(dir, path, name, task)
        })?;
        self.set_modes()?;
        (self.placer.step)(Step::Written)
    }

    fn clear(&self, dir: &WriteDir, path: &RepoPathBuf, task: &Task) -> Result<(), Failed> {
        let Some(name) = path.file_name() else { return Ok(()) };
        let gone = Task { after: None, ..task.clone() };
        match dir.stat(name.as_bytes()).map_err(|errno| failed("look at", path, errno))? {
            // The directory that is wanted is there already, as after an attempt that was cut short.
            Some(stat) if stat.kind == StatKind::Directory && task.after.is_some() => Ok(()),
            _ => self.placer.change(dir, path, name, &gone),
        }
    }

    /// Runs `each` over paths. What is refused is noted; an error ends it.
    fn in_parallel(
        &self,
        paths: &[(&RepoPathBuf, &Task)],
        each: impl Fn(&Self, &WriteDir, &RepoPathBuf, &Task) -> Result<(), Failed> + Sync,
    ) -> Result<()> {
        for_each_chunk(paths, self.threads, |chunk, stop| self.chunk(chunk, &each, stop))
    }

    fn chunk(
        &self,
        chunk: &Chunk<'_>,
        each: &(impl Fn(&Self, &WriteDir, &RepoPathBuf, &Task) -> Result<(), Failed> + Sync),
        stop: &AtomicBool,
    ) -> Result<()> {
        let dir = match self.open(chunk.directory()) {
            Ok(dir) => dir,
            Err(Failed::Fatal(error)) => return Err(error),
            Err(Failed::Refused(why)) => {
                for (path, task) in chunk.paths() {
                    // What is to be gone is gone with its directory.
                    if task.after.is_some() || why != Refusal::Unreachable {
                        self.refuse(path, why.clone());
                    }
                }
                return Ok(());
            }
        };
        for (path, task) in chunk.paths() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            match each(self, &dir, path, task) {
                Ok(()) => {}
                Err(Failed::Refused(why)) => self.refuse(path, why),
                Err(Failed::Fatal(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn refuse(&self, path: &RepoPathBuf, why: Refusal) {
        self.refused.lock().push(Refused { path: path.clone(), why });
    }

    /// Opens a directory in which something is to change, and lets its owner in.
    fn open(&self, path: &RepoPath) -> Result<WriteDir, Failed> {
        let owned = || path.to_owned();
        let dir = self.root.dir(path).map_err(|errno| failed("open", &owned(), errno))?;
        let stat = dir.stat_self().map_err(|errno| failed("look at", &owned(), errno))?;
        if stat.mode.bits() & OWNER_BITS != OWNER_BITS && !path.is_root() {
            dir.set_mode(Mode::new(stat.mode.bits() | OWNER_BITS))
                .map_err(|errno| failed("change the mode of", &owned(), errno))?;
            self.opened.lock().entry(owned()).or_insert(stat.mode);
        }
        Ok(dir)
    }

    fn remove_directory(&mut self, path: &RepoPathBuf, task: &Task) -> Result<()> {
        let Some((parent, name)) = path.split_last() else { return Ok(()) };
        let removed = self.open(parent).and_then(|dir| {
            match dir.stat(name.as_bytes()) {
                Ok(Some(stat)) if stat.kind == StatKind::Directory => {}
                // It is gone, or what is to take its place is there already.
                Ok(_) => return Ok(false),
                Err(errno) => return Err(failed("look at", path, errno)),
            }
            match dir.remove_dir(name.as_bytes()) {
                Ok(()) => Ok(true),
                Err(Errno::NOENT) => Ok(false),
                Err(errno) => Err(failed("remove", path, errno)),
            }
        });
        match removed {
            Ok(true) => {
                self.placer.tally.add(|counts| counts.directories_removed += 1);
                self.opened.lock().remove(path);
                (self.placer.step)(Step::Done(path))
            }
            Ok(false) | Err(Failed::Refused(Refusal::Unreachable)) => Ok(()),
            // Something in it is not recorded: it stays, and so does the directory.
            Err(Failed::Refused(Refusal::InTheWay)) if task.after.is_none() => {
                self.kept.push(path.clone());
                Ok(())
            }
            // Whatever is to take its place will be refused.
            Err(Failed::Refused(_)) if task.after.is_some() => Ok(()),
            Err(Failed::Refused(why)) => {
                self.refuse(path, why);
                Ok(())
            }
            Err(Failed::Fatal(error)) => Err(error),
        }
    }

    fn make_directory(&self, path: &RepoPathBuf) -> Result<()> {
        let Some((parent, name)) = path.split_last() else { return Ok(()) };
        let made = self.open(parent).and_then(|dir| match dir.create_dir(name.as_bytes()) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => match dir.stat(name.as_bytes()) {
                Ok(Some(stat)) if stat.kind == StatKind::Directory => Ok(false),
                Ok(_) => Err(Refusal::InTheWay.into()),
                Err(errno) => Err(failed("look at", path, errno)),
            },
            Err(errno) => Err(failed("create", path, errno)),
        });
        match made {
            Ok(true) => {
                self.placer.tally.add(|counts| counts.directories_made += 1);
                (self.placer.step)(Step::Done(path))
            }
            Ok(false) => Ok(()),
            Err(Failed::Refused(why)) => {
                self.refuse(path, why);
                Ok(())
            }
            Err(Failed::Fatal(error)) => Err(error),
        }
    }

    /// Gives directories their own modes, those deep down first: the ones above may then be closed.
    fn set_modes(&self) -> Result<()> {
        for (path, task) in self.plan.tasks.iter().rev() {
            let Some(after) = task.after.filter(Entry::is_directory) else { continue };
            match self.set_mode(path, after.mode) {
                Ok(()) => {}
                // A directory that could not be made is told already.
                Err(Failed::Refused(Refusal::Unreachable)) => {}
                Err(Failed::Refused(why)) => self.refuse(path, why),
                Err(Failed::Fatal(error)) => return Err(error),
            }
            self.opened.lock().remove(path);
        }
        // An attempt before may have opened directories that are not to change themselves.
        for (path, mode) in self.modes.iter().rev().filter(|(path, _)| !self.plan.tasks.contains_key(*path)) {
            if mode.bits() & OWNER_BITS != OWNER_BITS {
                self.opened.lock().insert(path.clone(), *mode);
            }
        }
        Ok(())
    }

    fn set_mode(&self, path: &RepoPathBuf, mode: Mode) -> Result<(), Failed> {
        let dir = self.root.dir(path).map_err(|errno| failed("open", path, errno))?;
        let stat = dir.stat_self().map_err(|errno| failed("look at", path, errno))?;
        if stat.mode != mode {
            dir.set_mode(mode).map_err(|errno| failed("change the mode of", path, errno))?;
        }
        Ok(())
    }

    fn close_directories(&self) -> Result<()> {
        let opened = std::mem::take(&mut *self.opened.lock());
        for (path, mode) in opened.iter().rev() {
            match self.set_mode(path, *mode) {
                Ok(()) | Err(Failed::Refused(Refusal::Unreachable)) => {}
                Err(Failed::Refused(why)) => self.refuse(path, why),
                Err(Failed::Fatal(error)) => return Err(error),
            }
        }
        Ok(())
    }
}
