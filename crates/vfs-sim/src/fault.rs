//! Rules by which calls fail.

use std::fmt;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::operation::OpKind;
use crate::random::Random;

/// The error that a failing call returns: the one that the operating system gives for the same reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskError {
    /// EIO: the device could not do it.
    InputOutput,
    /// ENOSPC: no room ([`io::ErrorKind::StorageFull`]).
    NoSpace,
    /// EINTR: a signal came first ([`io::ErrorKind::Interrupted`]).
    Interrupted,
    /// Any other error number of the operating system.
    Os(i32),
}

impl DiskError {
    pub(crate) fn to_io(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            Self::InputOutput => Errno::IO.raw_os_error(),
            Self::NoSpace => Errno::NOSPC.raw_os_error(),
            Self::Interrupted => Errno::INTR.raw_os_error(),
            Self::Os(number) => number,
        })
    }
}

/// What becomes of the unsynced operations of a file whose sync [failed](Fault::lost_sync).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncLoss {
    /// None of them reaches the disk.
    All,
    /// The length does, the bytes do not: what was new reads as zeros.
    Data,
    /// A random part does, chosen as in a crash.
    Some {
        /// Which part.
        seed: u64,
    },
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Effect {
    Fail(DiskError),
    ShortRead { bytes_max: usize },
    ShortWrite { bytes: usize, error: DiskError },
    LostSync(SyncLoss),
}

#[derive(Debug)]
enum When {
    Always,
    Nth(u64),
    From(u64),
    Chance { probability: f64, random: Random },
}

type PathPredicate = Box<dyn Fn(&Path) -> bool + Send + Sync>;

/// A rule: which calls fail, and how. By default every call that it can apply to.
///
/// ```
/// use std::io;
/// use std::path::Path;
/// use vfs::{OpenMode, Vfs};
/// use vfs_sim::{DiskError, Fault, OpKind, SimDisk};
///
/// # fn main() -> io::Result<()> {
/// let disk = SimDisk::new();
/// let log = disk.open(Path::new("/log"), OpenMode::CreateNew)?;
///
/// // The second write to the log finds the disk full.
/// let fault = Fault::fail(DiskError::NoSpace).on([OpKind::Write]).at(|path| path.ends_with("log")).nth(1);
/// let fault = disk.inject(fault);
/// log.write_at(0, b"one")?;
/// assert_eq!(log.write_at(3, b"two").unwrap_err().kind(), io::ErrorKind::StorageFull);
/// log.write_at(3, b"two")?;
/// assert_eq!(disk.fault_hits(fault), 1);
/// # Ok(())
/// # }
/// ```
pub struct Fault {
    effect: Effect,
    kinds: Vec<OpKind>,
    path: Option<PathPredicate>,
    when: When,
    matched: u64,
    hits: u64,
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault")
            .field("effect", &self.effect)
            .field("kinds", &self.kinds)
            .field("when", &self.when)
            .field("matched", &self.matched)
            .field("hits", &self.hits)
            .finish_non_exhaustive()
    }
}

impl Fault {
    fn new(effect: Effect) -> Self {
        Self { effect, kinds: Vec::new(), path: None, when: When::Always, matched: 0, hits: 0 }
    }

    /// The call returns `error` and has no effect. A sync that fails this way leaves its operations unsynced, so a
    /// later sync can still save them; see [`Fault::lost_sync`] for the dangerous kind.
    #[must_use]
    pub fn fail(error: DiskError) -> Self {
        Self::new(Effect::Fail(error))
    }

    /// `read_at` returns at most `bytes_max` bytes (at least one: none would mean the end of the file).
    #[must_use]
    pub fn short_read(bytes_max: usize) -> Self {
        Self::new(Effect::ShortRead { bytes_max: bytes_max.max(1) })
    }

    /// `write_at` writes the first `bytes` bytes and then returns `error`.
    #[must_use]
    pub fn short_write(bytes: usize, error: DiskError) -> Self {
        Self::new(Effect::ShortWrite { bytes, error })
    }

    /// A sync returns EIO and marks the pages clean, as Linux does: reads still show the new data, later
    /// syncs succeed, and yet the disk never gets what `loss` takes away.
    /// [`drop_cache`](vfs::File::drop_cache), or a crash, shows the disk's truth.
    ///
    /// On a directory the unsynced names are lost that way, whatever `loss` says.
    #[must_use]
    pub fn lost_sync(loss: SyncLoss) -> Self {
        Self::new(Effect::LostSync(loss))
    }

    /// Only calls of these kinds.
    #[must_use]
    pub fn on(mut self, kinds: impl IntoIterator<Item = OpKind>) -> Self {
        self.kinds = kinds.into_iter().collect();
        self
    }

    /// Only calls on a path that `matches` accepts: for an open file, the path it was opened under; for a rename or a
    /// link, either path. `matches` runs inside the disk and must not call it.
    #[must_use]
    pub fn at(mut self, matches: impl Fn(&Path) -> bool + Send + Sync + 'static) -> Self {
        self.path = Some(Box::new(matches));
        self
    }

    /// Only the `n`-th matching call, counted from 0 when the rule is injected.
    #[must_use]
    pub fn nth(mut self, n: u64) -> Self {
        self.when = When::Nth(n);
        self
    }

    /// The `n`-th matching call, counted from 0, and all after it.
    #[must_use]
    pub fn from_nth(mut self, n: u64) -> Self {
        self.when = When::From(n);
        self
    }

    /// Each matching call with this probability, decided by `seed`.
    #[must_use]
    pub fn with_probability(mut self, probability: f64, seed: u64) -> Self {
        self.when = When::Chance { probability, random: Random::new(seed) };
        self
    }

    pub(crate) fn hits(&self) -> u64 {
        self.hits
    }

    /// Takes notice of a call, and says what happens to it.
    pub(crate) fn strike(&mut self, kind: OpKind, path: &Path, target: Option<&Path>) -> Option<Effect> {
        let fits = match self.effect {
            Effect::Fail(_) => true,
            Effect::ShortRead { .. } => kind == OpKind::Read,
            Effect::ShortWrite { .. } => kind == OpKind::Write,
            Effect::LostSync(_) => kind.is_sync(),
        };
        let kind_matches = self.kinds.is_empty() || self.kinds.contains(&kind);
        let path_matches = || self.path.as_ref().is_none_or(|matches| matches(path) || target.is_some_and(matches));
        if !fits || !kind_matches || !path_matches() {
            return None;
        }
        let nth = self.matched;
        self.matched += 1;
        let hit = match &mut self.when {
            When::Always => true,
            When::Nth(n) => nth == *n,
            When::From(n) => nth >= *n,
            When::Chance { probability, random } => random.chance(*probability),
        };
        self.hits += u64::from(hit);
        hit.then_some(self.effect)
    }
}

/// Names an injected [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaultId(pub(crate) u64);
