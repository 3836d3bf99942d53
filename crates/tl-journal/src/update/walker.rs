//! The walk that finds out what differs between the working directory and the tree of HEAD, looking only where it has to.
//!
//! The tree says what is recorded; the index says which of it need not be read again. The walk keeps directories open as it goes down, so that a directory that is
//! renamed under it, or a link put in its place, leads nowhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tl_core::{Capture, Entry, EntryKind, EntryName, ObjectId, RepoPath, RepoPathBuf, Tree};

use super::dirty::Scope;
use super::findings::Findings;
use super::wave::{JOBS_MAX, Job, read_all};
use crate::checkpoint::GapCause;
use crate::error::{Error, Result};
use crate::index::{Index, IndexEntry};
use crate::workdir::{Dir, FileRead, Stat, StatKind, read_link};

/// Directories that are held open on the way down; those above are opened again on the way up.
const OPEN_MAX: usize = 64;

/// A name, and what to look at there.
type Place = (Box<[u8]>, Scope);

/// Tells whether a path that is not recorded, a directory or not, is to stay so.
pub type Ignored<'a> = dyn Fn(&RepoPath, bool) -> bool + Sync + 'a;

/// What a walk needs and does not change.
pub(super) struct Surroundings<'a> {
    pub(super) root: &'a Arc<Dir>,
    /// Where the root is, for messages.
    pub(super) root_path: &'a std::path::Path,
    pub(super) capture: &'a Capture,
    pub(super) index: &'a Index,
    pub(super) ignored: &'a Ignored<'a>,
    /// Read files even if the index knows them as they are.
    pub(super) rehash: bool,
    pub(super) threads: usize,
    /// Time since 1970.
    pub(super) now: &'a (dyn Fn() -> Duration + Sync),
}

/// A directory that is being looked at.
struct Frame {
    path: RepoPathBuf,
    /// `None` while it is closed because the walk is far below it.
    dir: Option<Arc<Dir>>,
    inode: u64,
    device: u64,
    recorded: Arc<Tree>,
    todo: std::vec::IntoIter<Place>,
}

struct Walker<'a, 'f> {
    around: &'a Surroundings<'a>,
    frames: Vec<Frame>,
    jobs: Vec<Job>,
    findings: Findings<'f>,
}

/// Looks at everything in `scope`; `recorded` is the root tree of HEAD.
pub(super) fn walk<'f>(
    around: &Surroundings<'_>,
    recorded: &ObjectId,
    scope: Scope,
    findings: Findings<'f>,
) -> Result<Findings<'f>> {
    let mut walker = Walker { around, frames: Vec::new(), jobs: Vec::new(), findings };
    walker.begin(recorded, scope)?;
    walker.run()?;
    Ok(walker.findings)
}

impl Walker<'_, '_> {
    fn begin(&mut self, recorded: &ObjectId, scope: Scope) -> Result<()> {
        let root = Arc::clone(self.around.root);
        let stat = root.stat().map_err(|errno| Error::io("look at", self.around.root_path, errno))?;
        if stat.links == 0 {
            return Err(Error::RootGone { path: self.around.root_path.to_owned() });
        }
        let recorded = self.around.capture.get_tree(recorded)?;
        if scope.whole {
            self.findings.forget_gaps_at_and_below(RepoPath::root());
        }
        match self.list(&root, &recorded, scope) {
            Ok(todo) => {
                self.frames.push(Frame {
                    path: RepoPathBuf::root(),
                    dir: Some(root),
                    inode: stat.inode,
                    device: stat.device,
                    recorded,
                    todo: todo.into_iter(),
                });
                Ok(())
            }
            // Not a gap like any other: nothing at all could be seen.
            Err(errno) => Err(Error::io("list", self.around.root_path, errno)),
        }
    }

    fn run(&mut self) -> Result<()> {
        while let Some(frame) = self.frames.last_mut() {
            match frame.todo.next() {
                Some((name, scope)) => self.visit(&name, scope)?,
                None => {
                    self.frames.pop();
                }
            }
            if self.jobs.len() >= JOBS_MAX {
                self.read_jobs()?;
            }
        }
        self.read_jobs()
    }

    /// The names to look at in `dir`, in their order, each with what to look at there.
    fn list(&self, dir: &Dir, recorded: &Tree, scope: Scope) -> Result<Vec<Place>, Errno> {
        let Scope { whole, itself, below } = scope;
        if !whole && !itself {
            return Ok(below.into_iter().collect());
        }
        let mut found = BTreeSet::new();
        dir.for_each_name(|name| {
            found.insert(Box::<[u8]>::from(name.to_bytes()));
        })?;
        let mut names: BTreeMap<Box<[u8]>, Scope> = below;
        let is_recorded = |name: &[u8]| EntryName::new(name).is_ok_and(|name| recorded.get(name).is_some());
        for entry in recorded.iter() {
            let name = entry.name.as_bytes();
            if whole || !found.contains(name) {
                names.entry(name.into()).or_default().itself = true;
            }
        }
        for name in found {
            if whole || !is_recorded(&name) {
                names.entry(name).or_default().itself = true;
            }
        }
        if whole {
            for scope in names.values_mut() {
                *scope = Scope::whole();
            }
        }
        Ok(names.into_iter().collect())
    }

    /// Looks at one name in the last directory.
    fn visit(&mut self, name: &[u8], scope: Scope) -> Result<()> {
        // `.git`, `.jj` and `.tl` are the only names on a disk that are no names of entries.
        let Ok(name) = EntryName::new(name) else { return Ok(()) };
        let Some(frame) = self.frames.last() else { return Ok(()) };
        let recorded = frame.recorded.get(name);
        let Ok(path) = frame.path.join(name) else {
            let parent = frame.path.clone();
            self.findings.add_gap(&parent, GapCause::Unrecordable);
            return Ok(());
        };
        let Some(dir) = self.open_last()? else {
            // The directory is not where it was: its own event is on the way, and until then nothing is known about it.
            self.findings.add_unstable(&path);
            return Ok(());
        };
        let stat = match dir.stat_of(name) {
            Ok(stat) => stat,
            Err(Errno::NOENT | Errno::NOTDIR) => {
                if !self.findings.links.is_empty()
                    && let Some(known) = self.around.index.get(&path)?
                {
                    self.findings.links.leave(&path, (known.inode, known.device));
                }
                return self.findings.set(&path, recorded, None);
            }
            Err(errno) => {
                self.findings.add_failure(&path, errno);
                return Ok(());
            }
        };
        self.findings.forget_gap(&path);
        if recorded.is_none() && (self.around.ignored)(&path, stat.kind == StatKind::Directory) {
            return Ok(());
        }
        match stat.kind {
            StatKind::Directory => self.visit_directory(&path, name, &dir, recorded, scope),
            StatKind::File => self.visit_file(path, dir, recorded, stat),
            StatKind::Symlink => self.visit_link(&path, name, &dir, recorded, &stat),
            StatKind::Special => {
                self.findings.set(&path, recorded, None)?;
                self.findings.add_gap(&path, GapCause::Special);
                Ok(())
            }
        }
    }

    fn visit_directory(
        &mut self,
        path: &RepoPath,
        name: &EntryName,
        parent: &Dir,
        recorded: Option<Entry>,
        scope: Scope,
    ) -> Result<()> {
        let known = self.around.index.get(path)?;
        let recorded_tree = recorded.filter(Entry::is_directory).map(|entry| entry.id);
        let opened = parent.open_dir(name).and_then(|dir| dir.stat().map(|stat| (dir, stat)));
        let (dir, stat) = match opened {
            Ok(opened) => opened,
            Err(Errno::NOENT) => return self.findings.set(path, recorded, None),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                self.findings.add_unstable(path);
                return Ok(());
            }
            Err(errno) => {
                self.findings.add_failure(path, errno);
                // What is in it stays as it was recorded; the directory's own mode can be seen.
                if let (Some(tree), Ok(stat)) = (recorded_tree, parent.stat_of(name)) {
                    self.findings.set(path, recorded, Some((Entry::directory(tree, stat.mode), stat, false, known)))?;
                }
                return Ok(());
            }
        };
        // Another directory of that name, however it came there, is looked at as a whole.
        let is_known = recorded_tree.is_some() && known.is_some_and(|known| known.inode == stat.inode);
        let scope = if scope.whole || !is_known { Scope::whole() } else { scope };
        if scope.whole {
            self.findings.forget_gaps_at_and_below(path);
        }
        let tree = match recorded_tree {
            Some(tree) => self.around.capture.get_tree(&tree)?,
            None => Arc::new(Tree::empty()),
        };
        let todo = match self.list(&dir, &tree, scope) {
            Ok(todo) => todo,
            Err(errno) => {
                self.findings.add_failure(path, errno);
                return Ok(());
            }
        };
        self.findings.set(path, recorded, Some((Entry::directory(tree.id(), stat.mode), stat, false, known)))?;
        if let Some(above) = self.frames.len().checked_sub(OPEN_MAX).and_then(|index| self.frames.get_mut(index)) {
            above.dir = None;
        }
        self.frames.push(Frame {
            path: path.to_owned(),
            dir: Some(Arc::new(dir)),
            inode: stat.inode,
            device: stat.device,
            recorded: tree,
            todo: todo.into_iter(),
        });
        Ok(())
    }

    fn visit_file(&mut self, path: RepoPathBuf, dir: Arc<Dir>, recorded: Option<Entry>, stat: Stat) -> Result<()> {
        if stat.links > 1 {
            self.findings.links.meet(&path, (stat.inode, stat.device), stat.links);
        }
        let known = self.around.index.get(&path)?;
        if let (Some(recorded), Some(known)) = (recorded, known)
            && !self.around.rehash
            && known.is_of(recorded)
            && known.matches(&stat)
        {
            return Ok(());
        }
        self.jobs.push(Job { path, dir, stat, recorded, known });
        Ok(())
    }

    fn visit_link(
        &mut self,
        path: &RepoPath,
        name: &EntryName,
        dir: &Dir,
        recorded: Option<Entry>,
        stat: &Stat,
    ) -> Result<()> {
        let known = self.around.index.get(path)?;
        if let (Some(recorded), Some(known)) = (recorded, known)
            && !self.around.rehash
            && known.is_of(recorded)
            && known.matches(stat)
        {
            return Ok(());
        }
        let read = read_link(dir, name, self.around.capture, (self.around.now)())?;
        self.take_in(path, recorded, known, &read, EntryKind::Symlink)
    }

    fn read_jobs(&mut self) -> Result<()> {
        let jobs = std::mem::take(&mut self.jobs);
        let results = read_all(&jobs, self.around.capture, self.around.threads, self.around.now);
        for (job, read) in jobs.iter().zip(results) {
            self.take_in(&job.path, job.recorded, job.known, &read?, EntryKind::File)?;
        }
        Ok(())
    }

    fn take_in(
        &mut self,
        path: &RepoPath,
        recorded: Option<Entry>,
        known: Option<IndexEntry>,
        read: &FileRead,
        kind: EntryKind,
    ) -> Result<()> {
        match *read {
            FileRead::Content { blob, stat, racy } => {
                self.findings.files_read += 1;
                self.findings.bytes_read += blob.len;
                let entry = Entry { kind, mode: stat.mode, id: blob.id, size: blob.len };
                self.findings.set(path, recorded, Some((entry, stat, racy, known)))
            }
            FileRead::Gone => self.findings.set(path, recorded, None),
            FileRead::Unstable => {
                self.findings.add_unstable(path);
                Ok(())
            }
            FileRead::Failed(cause) => {
                self.findings.add_gap(path, cause);
                Ok(())
            }
        }
    }

    /// The last directory, opened again if it was closed; `None` if another one is in its place.
    fn open_last(&mut self) -> Result<Option<Arc<Dir>>> {
        let Some(last) = self.frames.last() else { return Ok(None) };
        if let Some(dir) = &last.dir {
            return Ok(Some(Arc::clone(dir)));
        }
        let opened = self.around.root.open_beneath(&last.path).and_then(|dir| dir.stat().map(|stat| (dir, stat)));
        let dir = match opened {
            Ok((dir, stat)) if stat.inode == last.inode && stat.device == last.device => Arc::new(dir),
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => return Ok(None),
            Err(errno) => return Err(Error::io("open again a directory in", self.around.root_path, errno)),
        };
        if let Some(last) = self.frames.last_mut() {
            last.dir = Some(Arc::clone(&dir));
        }
        Ok(Some(dir))
    }
}
