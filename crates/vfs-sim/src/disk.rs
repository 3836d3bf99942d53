//! The disk as programs see it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vfs::{CounterSnapshot, Counters, File, Lock, LockKind, Metadata, OpenMode, Vfs};

use crate::fault::Effect;
use crate::file::{SimByteLock, SimFile, SimLock};
use crate::names::{Ino, Node, Place};
use crate::operation::OpKind;
use crate::power::power_loss;
use crate::state::{Call, FileNode, Manner, State};

/// 2024-01-01T00:00:00Z: a time that every date format can show.
const START: Duration = Duration::from_secs(1_704_067_200);

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) counters: Counters,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Only a predicate of the test can panic in here, and those run before anything is changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call, unless the machine is off and nobody is there to count.
    pub(crate) fn count(&self, state: &State, count: impl FnOnce(&Counters)) {
        if !state.is_off() {
            count(&self.counters);
        }
    }
}

/// A disk in memory. Clones are handles to the same disk; [`crash`](Self::crash) and [`kill`](Self::kill) make new ones.
///
/// A new disk is empty but for its root directory. Paths are taken from that root, absolute or not.
/// All times and random numbers are the same in each run: the clock steps only when [told](Self::advance).
///
/// ```
/// use std::path::Path;
/// use vfs::{OpenMode, Vfs};
/// use vfs_sim::{Crash, SimDisk};
///
/// # fn main() -> std::io::Result<()> {
/// let disk = SimDisk::new();
/// let file = disk.open(Path::new("/log"), OpenMode::CreateNew)?;
/// file.write_at(0, b"hello")?;
/// file.sync_data()?;
///
/// // The bytes are safe and the name is not: nobody synced the directory.
/// assert!(disk.crash(Crash::Nothing).read_dir(Path::new("/"))?.is_empty());
/// disk.sync_dir(Path::new("/"))?;
/// assert_eq!(disk.crash(Crash::Nothing).contents("/log")?, b"hello");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SimDisk {
    pub(crate) shared: Arc<Shared>,
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// An empty disk whose random numbers come from seed 0.
    #[must_use]
    pub fn new() -> Self {
        Self::with_seed(0)
    }

    /// An empty disk whose [`random_u64`](Vfs::random_u64) comes from `seed`.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self::from_state(State::new(seed, START))
    }

    pub(crate) fn from_state(state: State) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::new(state), counters: Counters::default() }) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }

    fn handle(&self, file: &mut FileNode, ino: Ino, path: &Path, writable: bool) -> Arc<dyn File> {
        file.holders += 1;
        Arc::new(SimFile { shared: Arc::clone(&self.shared), ino, path: Arc::from(path), writable })
    }
}

fn create(state: &mut State, place: Place) -> Ino {
    let ino = state.new_ino();
    state.files.insert(ino, FileNode { links: 1, ..FileNode::default() });
    state.names.change(place, Some(Node::File(ino)));
    ino
}

fn unlink(state: &mut State, node: Option<Node>) {
    if let Some(Node::File(ino)) = node {
        if let Ok(file) = state.file(ino) {
            file.links = file.links.saturating_sub(1);
        }
        state.let_go(ino);
    }
}

/// Finds the file at `path`, or creates it; `Open` or `Create` (or `present`) says which call it is.
fn open_or_create(state: &mut State, path: &Path, present: OpKind, create_new: bool) -> io::Result<Ino> {
    match state.node(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            state.call(&Call::new(OpKind::Create, path), |state, _| {
                let place = state.names.locate(path)?;
                Ok(create(state, place))
            })
        }
        _ => state.call(&Call::new(present, path), |state, _| {
            if create_new {
                state.node(path)?;
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.file_at(path)
        }),
    }
}

fn check_replace(state: &State, node: Node, from: &Place, to: &Place) -> io::Result<()> {
    if let Node::Dir(moved) = node
        && state.names.is_within(to.dir, moved)
    {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if let Some(Node::Dir(replaced)) = state.names.at(to)
        && state.names.is_within(from.dir, replaced)
    {
        return Err(io::ErrorKind::DirectoryNotEmpty.into());
    }
    match (node, state.names.at(to)) {
        (_, None) | (Node::File(_), Some(Node::File(_))) => Ok(()),
        (Node::File(_), Some(Node::Dir(_))) => Err(io::ErrorKind::IsADirectory.into()),
        (Node::Dir(_), Some(Node::File(_))) => Err(io::ErrorKind::NotADirectory.into()),
        (Node::Dir(_), Some(Node::Dir(replaced))) => match state.names.entries(replaced).next() {
            None => Ok(()),
            Some(_) => Err(io::ErrorKind::DirectoryNotEmpty.into()),
        },
    }
}

impl Vfs for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut state = self.state();
        let ino = match mode {
            OpenMode::Read | OpenMode::ReadWrite => {
                state.call(&Call::new(OpKind::Open, path), |state, _| state.file_at(path))?
            }
            OpenMode::CreateNew => open_or_create(&mut state, path, OpKind::Open, true)?,
            OpenMode::OpenOrCreate => open_or_create(&mut state, path, OpKind::Open, false)?,
        };
        Ok(self.handle(state.file(ino)?, ino, path, mode != OpenMode::Read))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.frozen {
            return Err(power_loss());
        }
        let mut missing: Vec<&Path> = Vec::new();
        for ancestor in path.ancestors() {
            match state.node(ancestor) {
                Ok(Node::Dir(_)) => break,
                // Only at the whole path: below a file, nothing is merely missing.
                Ok(Node::File(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(ancestor),
                Err(error) => return Err(error),
            }
        }
        for path in missing.into_iter().rev() {
            state.call(&Call::new(OpKind::CreateDir, path), |state, _| {
                let place = state.names.locate(path)?;
                let ino = state.new_ino();
                state.names.add_dir(ino);
                state.names.change(place, Some(Node::Dir(ino)));
                Ok(())
            })?;
        }
        Ok(())
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        self.state().call(&Call::new(OpKind::ReadDir, path), |state, _| {
            let dir = state.dir_at(path)?;
            Ok(state.names.entries(dir).map(|(name, _)| path.join(name)).collect())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let call = Call { target: Some(to), ..Call::new(OpKind::Rename, from) };
        self.state().call(&call, |state, _| {
            let (old, new) = (state.names.locate(from)?, state.names.locate(to)?);
            let node = state.names.at(&old).ok_or(io::ErrorKind::NotFound)?;
            let replaced = state.names.at(&new);
            if replaced == Some(node) {
                // Two names of one file: POSIX says that both stay.
                return Ok(());
            }
            check_replace(state, node, &old, &new)?;
            state.names.rename(node, old, new);
            unlink(state, replaced);
            Ok(())
        })
    }

    fn hard_link(&self, original: &Path, link: &Path) -> io::Result<()> {
        let call = Call { target: Some(link), ..Call::new(OpKind::HardLink, original) };
        self.state().call(&call, |state, _| {
            let node = state.node(original)?;
            let place = state.names.locate(link)?;
            if state.names.at(&place).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let Node::File(ino) = node else { return Err(io::ErrorKind::PermissionDenied.into()) };
            state.file(ino)?.links += 1;
            state.names.change(place, Some(Node::File(ino)));
            Ok(())
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.state().call(&Call::new(OpKind::Remove, path), |state, _| {
            let ino = state.file_at(path)?;
            let place = state.names.locate(path)?;
            state.names.change(place, None);
            unlink(state, Some(Node::File(ino)));
            Ok(())
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        self.shared.count(&state, |counters| counters.count_dir_sync());
        state.call(&Call::new(OpKind::SyncDir, path), |state, manner| {
            let dir = state.dir_at(path)?;
            match manner {
                Manner::Ignored => return Ok(()),
                Manner::Faulty(Effect::LostSync(_)) => {
                    state.names.lose_unsynced(dir);
                    return Err(crate::DiskError::InputOutput.to_io());
                }
                Manner::Plain | Manner::Faulty(_) => state.names.sync_dir(dir),
            }
            state.collect();
            Ok(())
        })
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.state().call(&Call::new(OpKind::Metadata, path), |state, _| match state.node(path)? {
            Node::Dir(_) => Ok(Metadata { len: 0, is_dir: true, links: 1 }),
            Node::File(ino) => {
                let file = state.file(ino)?;
                Ok(Metadata { len: file.cached.len(), is_dir: false, links: file.links })
            }
        })
    }

    fn lock(&self, path: &Path, kind: LockKind) -> io::Result<Box<dyn Lock>> {
        let mut state = self.state();
        let ino = open_or_create(&mut state, path, OpKind::Lock, false)?;
        let file = state.file(ino)?;
        match kind {
            LockKind::Shared if !file.locks.exclusive => file.locks.shared += 1,
            LockKind::Exclusive if file.locks.shared == 0 && !file.locks.exclusive => file.locks.exclusive = true,
            LockKind::Shared | LockKind::Exclusive => return Err(io::ErrorKind::WouldBlock.into()),
        }
        file.holders += 1;
        Ok(Box::new(SimLock { shared: Arc::clone(&self.shared), ino, kind }))
    }

    fn lock_byte(&self, path: &Path, offset: u64) -> io::Result<Box<dyn Lock>> {
        let mut state = self.state();
        let ino = state.file_at(path)?;
        let file = state.file(ino)?;
        if !file.locked_bytes.insert(offset) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        file.holders += 1;
        Ok(Box::new(SimByteLock { shared: Arc::clone(&self.shared), ino, offset }))
    }

    fn is_byte_locked(&self, path: &Path, offset: u64) -> io::Result<bool> {
        let mut state = self.state();
        let ino = state.file_at(path)?;
        Ok(state.file(ino)?.locked_bytes.contains(&offset))
    }

    fn free_space(&self, path: &Path) -> io::Result<Option<u64>> {
        self.state().call(&Call::new(OpKind::FreeSpace, path), |state, _| {
            state.node(path)?;
            Ok(state.free())
        })
    }

    fn now(&self) -> Duration {
        self.state().now
    }

    fn monotonic(&self) -> Duration {
        self.state().monotonic
    }

    fn random_u64(&self) -> u64 {
        self.state().random.next_u64()
    }

    fn counters(&self) -> CounterSnapshot {
        self.shared.counters.snapshot()
    }
}
