//! A tree from another by changing some paths.

use std::sync::Arc;

use crate::capture::Capture;
use crate::error::{Error, Result};
use crate::id::ObjectId;
use crate::path::{EntryName, RepoPath, RepoPathBuf};
use crate::tree::{Entry, Mode, Tree, TreeWriter};

impl Capture {
    /// The root that `root` becomes when each path of `changes` is made to stand for what is said with it, or for nothing. The paths must rise
    /// strictly in the order of [`RepoPath`]. Only the trees on the way to them are read and put.
    ///
    /// - A path is replaced whatever it stood for. A directory is replaced with all that is in it; changes beneath it that follow are made in
    ///   the tree that it is given, which may be put in the same capture.
    /// - What goes takes everything beneath it along. Nothing is said if it was not there.
    /// - A directory whose last entry goes stays, empty.
    ///
    /// # Errors
    /// [`Error::NoDirectory`] if the parent of a path is not there or no directory; [`Error::UnsortedEdits`]; [`Error::Tree`] if a directory becomes too
    /// large; trees that cannot be read, or an error of the database.
    pub fn edit_tree<P: AsRef<RepoPath>>(
        &self,
        root: &ObjectId,
        changes: impl IntoIterator<Item = (P, Option<Entry>)>,
    ) -> Result<ObjectId> {
        let mut editor = Editor::new(self, root);
        let mut before: Option<P> = None;
        for (path, entry) in changes {
            let out_of_order = before.as_ref().is_some_and(|before| before.as_ref() >= path.as_ref());
            let Some((parent, name)) = path.as_ref().split_last().filter(|_| !out_of_order) else {
                return Err(Error::UnsortedEdits { path: path.as_ref().to_owned() });
            };
            editor.go_to(parent)?;
            editor.set(name, entry)?;
            before = Some(path);
        }
        editor.finish()
    }
}

/// A walk over the directories that change, in the order of the changes.
struct Editor<'a> {
    capture: &'a Capture,
    /// Where the last change was made.
    current: Directory,
    /// Those above it, the root first. All of them are open.
    above: Vec<Directory>,
    /// The path of `current`.
    path: RepoPathBuf,
}

/// A directory that may change.
struct Directory {
    base: ObjectId,
    mode: Mode,
    /// Absent until something in it is looked at.
    open: Option<Open>,
}

/// A directory that is being written anew.
struct Open {
    base: Arc<Tree>,
    /// Entries of the base before this one are written or gone.
    at: usize,
    writer: TreeWriter,
}

impl Open {
    /// Takes over what stands before `name`, and takes out what has this name.
    fn advance(&mut self, name: &EntryName) -> Option<Entry> {
        let (end, found) = match self.base.find(name) {
            // What was taken out is not there any more.
            Ok(at) if at < self.at => return None,
            Ok(at) => (at, self.base.entry_at(at)),
            Err(at) => (at, None),
        };
        self.writer.copy(&self.base, self.at, end);
        self.at = end + usize::from(found.is_some());
        found.map(|found| found.entry)
    }
}

impl<'a> Editor<'a> {
    fn new(capture: &'a Capture, root: &ObjectId) -> Self {
        let current = Directory { base: *root, mode: Mode::new(0), open: None };
        Self { capture, current, above: Vec::new(), path: RepoPathBuf::root() }
    }

    /// The current directory, opened.
    fn open(&mut self) -> Result<&mut Open> {
        let open = match self.current.open.take() {
            Some(open) => open,
            None => {
                let base = self.capture.get_tree(&self.current.base)?;
                let writer = TreeWriter::sized_like(&base);
                Open { base, at: 0, writer }
            }
        };
        Ok(self.current.open.insert(open))
    }

    /// Leaves what is not on the way to the directory `path`, and goes down to it.
    fn go_to(&mut self, path: &RepoPath) -> Result<()> {
        let rest = loop {
            match path.strip_prefix(&self.path) {
                Some(rest) => break rest,
                None => self.leave()?,
            }
        };
        for name in rest.components() {
            match self.open()?.advance(name) {
                Some(entry) if entry.is_directory() => self.enter(name, &entry)?,
                _ => return Err(Error::NoDirectory { path: self.path.join(name)? }),
            }
        }
        Ok(())
    }

    fn set(&mut self, name: &EntryName, entry: Option<Entry>) -> Result<()> {
        let open = self.open()?;
        open.advance(name);
        match entry {
            // Changes beneath it may follow, so it is written when it is left.
            Some(entry) if entry.is_directory() => return self.enter(name, &entry),
            Some(entry) => open.writer.push(name, &entry),
            None => {}
        }
        Ok(())
    }

    /// Goes down into `name`, which was taken out of the current directory, and comes back when it is left.
    fn enter(&mut self, name: &EntryName, directory: &Entry) -> Result<()> {
        self.path.push(name)?;
        let below = Directory { base: directory.id, mode: directory.mode, open: None };
        self.above.push(std::mem::replace(&mut self.current, below));
        Ok(())
    }

    /// Writes the current directory and goes up.
    fn leave(&mut self) -> Result<()> {
        let Some(above) = self.above.pop() else { return Ok(()) };
        let directory = std::mem::replace(&mut self.current, above);
        let mode = directory.mode;
        let id = write(self.capture, directory)?;
        let path = std::mem::take(&mut self.path);
        if let Some((parent, name)) = path.split_last() {
            self.open()?.writer.push(name, &Entry::directory(id, mode));
            self.path = parent.to_owned();
        }
        Ok(())
    }

    fn finish(mut self) -> Result<ObjectId> {
        while !self.above.is_empty() {
            self.leave()?;
        }
        let root = self.current;
        write(self.capture, root)
    }
}

/// The id of a directory as it is now; its tree is put if it is another.
fn write(capture: &Capture, directory: Directory) -> Result<ObjectId> {
    let Some(Open { base, at, mut writer }) = directory.open else { return Ok(directory.base) };
    writer.copy(&base, at, base.len());
    let tree = writer.finish()?;
    if tree.id() == directory.base {
        return Ok(directory.base);
    }
    capture.put_shared_tree(&Arc::new(tree))
}
