//! Restore: the working directory becomes a recorded state, and the state it had before is recorded first.
//!
//! `plan` says what has to change, from trees alone; `obstacles` finds what is not recorded and stands in the way; `apply` carries the plan out, `place` one
//! path of it, over the descriptors of `dir`; `receipt` reads back. `intent` is what a start after a crash needs, `recover` that start. `stack` is what undo and
//! redo walk along. The order of it all, and why nothing is lost at any point, is told in docs/design/0006-restore.md.
//!
//! Nothing here decides what is recorded of a working directory, and nothing but this module writes to one.

mod apply;
mod begin;
mod chunks;
mod dir;
mod disk;
mod elsewhere;
mod finish;
mod fold;
mod intent;
mod late;
mod obstacles;
mod place;
mod plan;
mod receipt;
mod recover;
mod report;
mod repository;
mod reserved;
mod select;
mod stack;
mod undo;

use std::collections::BTreeSet;
use std::path::Path;

use granite::Db;
use tl_core::{ObjectId, Store};
use vfs::Vfs;

use self::dir::Root;
use self::intent::Intents;
use self::plan::Plan;
use crate::checkpoint::{CheckpointId, Provenance};
use crate::error::{Error, Result};
use crate::index::Index;
use crate::journal::Journal;
use crate::repository::WorkingDirectory;

pub(crate) use plan::entry_at;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use {intent::fuzz as fuzz_intent, stack::fuzz as fuzz_stack};

pub use dir::{Resolve, Swap};
pub use fold::Folding;
pub use recover::Recovery;
pub use report::{
    Action, PlannedChange, Receipt, Recovered, Refusal, Refused, RestoreCounts, RestorePlan, RestoreReport, Step,
};
pub use repository::Present;
pub use select::Selection;
pub use stack::UNDO_DEPTH_MAX;

/// How restores go about their work. The defaults are right everywhere; tests force what the system at hand would not choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Threads that write files.
    pub threads: usize,
    /// How directories are found.
    pub resolve: Resolve,
    /// How a new file takes the place of an old one.
    pub swap: Swap,
    /// Whether the filesystem tells the cases of names apart.
    pub folding: Folding,
}

/// They wait for the filesystem more than they compute: a disk that is told of each freed block, or whose files are found block by block, keeps
/// several of them waiting at once.
const THREADS: usize = 8;

impl Default for RestoreOptions {
    fn default() -> Self {
        Self { threads: THREADS, resolve: Resolve::Kernel, swap: Swap::Exchange, folding: Folding::Probe }
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreRequest {
    /// The state.
    pub target: CheckpointId,
    /// Which part of it.
    pub selection: Selection,
    /// Also remove what is not recorded and not in the state, ignored files included; it is kept in the tree `saved`. Only with all of a state.
    pub exact: bool,
    /// Also bring back what the state's tree `saved` holds.
    pub with_saved: bool,
    /// Who asks.
    pub provenance: Provenance,
}

impl RestoreRequest {
    /// All of a state.
    #[must_use]
    pub fn new(target: CheckpointId) -> Self {
        let provenance = Provenance::default();
        Self { target, selection: Selection::All, exact: false, with_saved: false, provenance }
    }
}

/// Told at each step where a restore is; returns false to stop right there. What was begun is then finished or taken back as after a crash.
pub type Watch<'a> = &'a (dyn Fn(Step<'_>) -> bool + Sync);

/// Goes on to the end.
pub fn unwatched(_: Step<'_>) -> bool {
    true
}

/// What a restore works on.
pub(crate) struct Ground<'a> {
    pub(crate) store: &'a Store,
    pub(crate) journal: &'a Journal,
    pub(crate) index: &'a Index,
    pub(crate) clock: &'a dyn Vfs,
    /// The working directory. A state can be written elsewhere without one.
    pub(crate) working: Result<&'a WorkingDirectory>,
    pub(crate) options: RestoreOptions,
}

impl Ground<'_> {
    fn open_root(&self) -> Result<Root> {
        let working = self.working.clone()?;
        let opened = Root::of(&*working.dir, self.options.resolve);
        opened.map_err(|errno| Error::io("open", &working.path, errno))
    }

    /// Where the working directory was opened, for messages.
    fn root_path(&self) -> &Path {
        self.working.as_ref().map_or(Path::new("."), |working| &working.path)
    }

    fn intents(&self) -> Result<Intents> {
        Intents::open(self.store.db())
    }

    fn now_us(&self) -> u64 {
        crate::checkpoint::micros(self.clock.now())
    }
}

/// Leaves out what this filesystem would take for another path of the same state.
fn refuse_collisions(
    store: &Store,
    root: &Root,
    plan: &mut Plan,
    to: &ObjectId,
    nonce: u64,
    folding: Folding,
) -> Result<()> {
    plan.refuse_collisions(store, to, || match folding {
        Folding::Exact => Ok(false),
        Folding::Folds => Ok(true),
        Folding::Probe => {
            let probed = root
                .dir(tl_core::RepoPath::root())
                .and_then(|dir| fold::folds(&dir, &format!(".tl-restore-{nonce:016x}-probe")));
            probed.map_err(|errno| Error::io("create a file in", Path::new("."), errno))
        }
    })
}

/// The trees that a restore under way or cut short needs: a collection must keep them.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Newer`], or [`Error::Engine`].
pub(crate) fn trees_in_use(db: &Db) -> Result<Vec<ObjectId>> {
    let intent = Intents::open(db)?.load()?;
    Ok(intent.iter().flat_map(intent::Intent::trees).collect())
}

/// The checkpoints that undo and redo can lead to: retention keeps them.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Newer`], or [`Error::Engine`].
pub(crate) fn on_stack(db: &Db) -> Result<BTreeSet<CheckpointId>> {
    Ok(stack::Stacks::open(db)?.load()?.checkpoints())
}
