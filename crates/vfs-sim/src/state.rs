//! Everything that the disk holds, behind its one lock.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::content::{Content, PAGE_BYTES};
use crate::crash::{Crash, CrashOptions, Survival, Unsynced, survivors};
use crate::fault::{DiskError, Effect, Fault, FaultId, SyncLoss};
use crate::names::{Ino, Names, Node};
use crate::operation::{Op, OpKind, Outcome, SyncCall};
use crate::power::power_loss;
use crate::random::Random;

/// Locks held on one file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Locks {
    pub(crate) shared: u64,
    pub(crate) exclusive: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct FileNode {
    /// What the disk holds.
    pub(crate) durable: Content,
    /// What programs read: the page cache.
    pub(crate) cached: Content,
    pub(crate) unsynced: Vec<Unsynced>,
    /// The page cache holds more than `durable` with `unsynced` on top: a sync failed.
    pub(crate) cache_differs: bool,
    /// Names that programs see.
    pub(crate) links: u64,
    /// Open handles and held locks: they keep the file alive without a name.
    pub(crate) holders: u64,
    pub(crate) locks: Locks,
    /// Bytes that are locked on their own.
    pub(crate) locked_bytes: BTreeSet<u64>,
}

impl FileNode {
    /// The durable content with everything unsynced on top.
    fn on_disk_eventually(&self) -> Content {
        if !self.cache_differs {
            return self.cached.clone();
        }
        let mut content = self.durable.clone();
        for op in &self.unsynced {
            op.apply(&mut content);
        }
        content
    }

    pub(crate) fn record(&mut self, op: Unsynced) {
        op.apply(&mut self.cached);
        self.unsynced.push(op);
    }

    pub(crate) fn sync(&mut self) {
        self.durable = self.on_disk_eventually();
        self.unsynced.clear();
    }

    /// A sync that failed and yet marked the pages clean.
    pub(crate) fn lose_unsynced(&mut self, loss: SyncLoss) {
        match loss {
            SyncLoss::All => {}
            SyncLoss::Data => {
                for op in &self.unsynced {
                    match op {
                        Unsynced::Write { offset, data } => self.durable.grow(offset + data.len() as u64),
                        Unsynced::SetLen(_) | Unsynced::Allocate(_) => op.apply(&mut self.durable),
                    }
                }
            }
            SyncLoss::Some { seed } => {
                let options = CrashOptions::random(seed);
                self.durable = survivors(&self.durable, &self.unsynced, &options, &mut Random::new(seed));
            }
        }
        self.unsynced.clear();
        self.cache_differs = true;
    }

    pub(crate) fn drop_cache(&mut self) {
        if self.cache_differs {
            self.cached = self.on_disk_eventually();
            self.cache_differs = false;
        }
    }
}

pub(crate) type SyncPredicate = Box<dyn FnMut(&SyncCall) -> bool + Send>;

/// One call, before it is known whether it succeeds.
pub(crate) struct Call<'a> {
    pub(crate) kind: OpKind,
    pub(crate) path: &'a Path,
    pub(crate) target: Option<&'a Path>,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl<'a> Call<'a> {
    pub(crate) fn new(kind: OpKind, path: &'a Path) -> Self {
        Self { kind, path, target: None, offset: 0, len: 0 }
    }
}

/// How a call that was let through is to be carried out.
#[derive(Clone, Copy)]
pub(crate) enum Manner {
    Plain,
    Faulty(Effect),
    /// Report success and do nothing.
    Ignored,
}

pub(crate) struct State {
    pub(crate) names: Names,
    pub(crate) files: BTreeMap<Ino, FileNode>,
    next_ino: u64,
    /// Files without a name that programs see; they go once nothing can bring them back.
    orphans: BTreeSet<Ino>,
    pub(crate) trace: Vec<Op>,
    pub(crate) freeze_at: Option<u64>,
    pub(crate) frozen: bool,
    syncs: u64,
    pub(crate) ignore: Option<SyncPredicate>,
    faults: BTreeMap<FaultId, Fault>,
    next_fault: u64,
    pub(crate) capacity: Option<u64>,
    pub(crate) file_sync_commits_names: bool,
    pub(crate) now: Duration,
    pub(crate) monotonic: Duration,
    pub(crate) random: Random,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("files", &self.files.len())
            .field("ops", &self.trace.len())
            .field("frozen", &self.frozen)
            .finish_non_exhaustive()
    }
}

impl State {
    pub(crate) fn new(seed: u64, now: Duration) -> Self {
        Self {
            names: Names::new(),
            files: BTreeMap::new(),
            next_ino: 1,
            orphans: BTreeSet::new(),
            trace: Vec::new(),
            freeze_at: None,
            frozen: false,
            syncs: 0,
            ignore: None,
            faults: BTreeMap::new(),
            next_fault: 0,
            capacity: None,
            file_sync_commits_names: false,
            now,
            monotonic: Duration::ZERO,
            random: Random::new(seed),
        }
    }

    /// The machine after a restart: `names` and `files`, the clock and the size of the disk; no rules, no record.
    fn restarted(&self, names: Names, mut files: BTreeMap<Ino, FileNode>) -> Self {
        for file in files.values_mut() {
            (file.holders, file.links, file.locks) = (0, 0, Locks::default());
            file.locked_bytes.clear();
        }
        for ino in names.cached_files() {
            if let Some(file) = files.get_mut(&ino) {
                file.links += 1;
            }
        }
        let mut state = Self {
            names,
            files,
            next_ino: self.next_ino,
            capacity: self.capacity,
            file_sync_commits_names: self.file_sync_commits_names,
            monotonic: self.monotonic,
            random: self.random.clone(),
            ..Self::new(0, self.now)
        };
        let unnamed = state.files.iter().filter(|(_, file)| file.links == 0);
        state.orphans = unnamed.map(|(ino, _)| *ino).collect();
        state.collect();
        state
    }

    pub(crate) fn after_crash(&self, crash: Crash) -> Self {
        let survival = Survival::from(crash);
        let mut random = Random::new(match survival {
            Survival::Some(options) => options.seed,
            Survival::Nothing | Survival::Everything => 0,
        });
        let names = self.names.after_crash(survival, &mut random);
        let mut files = BTreeMap::new();
        for (ino, file) in &self.files {
            let content = match survival {
                Survival::Nothing => file.durable.clone(),
                Survival::Everything => file.on_disk_eventually(),
                Survival::Some(options) => survivors(&file.durable, &file.unsynced, &options, &mut random),
            };
            files.insert(*ino, FileNode { durable: content.clone(), cached: content, ..FileNode::default() });
        }
        self.restarted(names, files)
    }

    pub(crate) fn after_kill(&self) -> Self {
        self.restarted(self.names.clone(), self.files.clone())
    }

    /// True if the next mutating call fails for want of power.
    pub(crate) fn is_off(&self) -> bool {
        self.frozen || self.freeze_at.is_some_and(|limit| self.trace.len() as u64 >= limit)
    }

    /// Lets a call through, or says why not. `body` then does it.
    pub(crate) fn call<T>(
        &mut self,
        call: &Call<'_>,
        body: impl FnOnce(&mut Self, Manner) -> io::Result<T>,
    ) -> io::Result<T> {
        let number = self.trace.len() as u64;
        let mutating = call.kind.is_mutating();
        self.frozen |= mutating && self.is_off();
        if self.frozen {
            return Err(power_loss());
        }
        if mutating {
            self.trace.push(Op {
                number,
                kind: call.kind,
                path: Arc::from(call.path),
                target: call.target.map(Arc::from),
                offset: call.offset,
                len: call.len,
                outcome: Outcome::Done,
            });
        }
        let manner = self.manner(call, number);
        let result = match manner {
            Manner::Faulty(Effect::Fail(error)) => Err(error.to_io()),
            manner => body(self, manner),
        };
        if mutating {
            let outcome = match (&result, manner) {
                (Err(error), _) => Outcome::Failed(error.kind()),
                (Ok(_), Manner::Ignored) => Outcome::Ignored,
                (Ok(_), _) => Outcome::Done,
            };
            if let Some(op) = self.trace.last_mut() {
                op.outcome = outcome;
            }
        }
        result
    }

    fn manner(&mut self, call: &Call<'_>, number: u64) -> Manner {
        let mut effect = None;
        for fault in self.faults.values_mut() {
            // Each rule counts every call that it matches, also one that another rule has struck.
            let struck = fault.strike(call.kind, call.path, call.target);
            effect = effect.or(struck);
        }
        let mut ignored = false;
        if call.kind.is_sync() {
            let sync = SyncCall { kind: call.kind, path: Arc::from(call.path), nth: self.syncs, op: number };
            self.syncs += 1;
            ignored = self.ignore.as_mut().is_some_and(|ignore| ignore(&sync));
        }
        match effect {
            Some(effect) => Manner::Faulty(effect),
            None if ignored => Manner::Ignored,
            None => Manner::Plain,
        }
    }

    pub(crate) fn inject(&mut self, fault: Fault) -> FaultId {
        let id = FaultId(self.next_fault);
        self.next_fault += 1;
        self.faults.insert(id, fault);
        id
    }

    pub(crate) fn fault_hits(&self, id: FaultId) -> u64 {
        self.faults.get(&id).map_or(0, Fault::hits)
    }

    pub(crate) fn remove_fault(&mut self, id: FaultId) {
        self.faults.remove(&id);
    }

    pub(crate) fn clear_faults(&mut self) {
        self.faults.clear();
    }

    pub(crate) fn new_ino(&mut self) -> Ino {
        let ino = Ino(self.next_ino);
        self.next_ino += 1;
        ino
    }

    /// A handle cannot outlive its file: open handles keep it, so a missing one is a file of another machine's life.
    pub(crate) fn file(&mut self, ino: Ino) -> io::Result<&mut FileNode> {
        self.files.get_mut(&ino).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Lets go of a file that lost a name or a holder, if that was the last.
    pub(crate) fn let_go(&mut self, ino: Ino) {
        if self.files.get(&ino).is_some_and(|file| file.links == 0) {
            self.orphans.insert(ino);
            self.collect();
        }
    }

    /// Forgets files that no name, handle or crash can bring back.
    pub(crate) fn collect(&mut self) {
        if self.orphans.is_empty() {
            return;
        }
        let recoverable: BTreeSet<Ino> = self.names.recoverable_files().collect();
        let files = &mut self.files;
        self.orphans.retain(|ino| {
            let kept = recoverable.contains(ino) || files.get(ino).is_some_and(|file| file.holders > 0);
            if !kept {
                files.remove(ino);
            }
            kept
        });
    }

    /// Space that programs see as taken: files with a name or a holder.
    pub(crate) fn used(&self) -> u64 {
        let alive = self.files.values().filter(|file| file.links > 0 || file.holders > 0);
        alive.map(|file| file.cached.allocated()).sum()
    }

    pub(crate) fn free(&self) -> Option<u64> {
        self.capacity.map(|capacity| capacity.saturating_sub(self.used()))
    }

    /// The number of leading bytes of a write for which there is room.
    pub(crate) fn room_for(&self, ino: Ino, offset: u64, len: u64) -> u64 {
        let (Some(free), Some(file)) = (self.free(), self.files.get(&ino)) else { return len };
        let mut pages = free / PAGE_BYTES;
        for piece in crate::content::split_at_multiples(offset..offset + len, PAGE_BYTES) {
            if file.cached.is_hole(piece.start) {
                if pages == 0 {
                    return piece.start - offset;
                }
                pages -= 1;
            }
        }
        len
    }

    pub(crate) fn node(&self, path: &Path) -> io::Result<Node> {
        self.names.resolve(path)
    }

    pub(crate) fn file_at(&self, path: &Path) -> io::Result<Ino> {
        match self.node(path)? {
            Node::File(ino) => Ok(ino),
            Node::Dir(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(crate) fn dir_at(&self, path: &Path) -> io::Result<Ino> {
        match self.node(path)? {
            Node::Dir(ino) => Ok(ino),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(crate) fn no_space() -> io::Error {
        DiskError::NoSpace.to_io()
    }
}

#[cfg(test)]
mod tests {
    use vfs::{OpenMode, Vfs};

    use super::*;
    use crate::SimDisk;

    #[test]
    fn a_file_that_nothing_can_bring_back_is_forgotten() {
        let disk = SimDisk::new();
        let files = |disk: &SimDisk| disk.state().files.len();
        let path = Path::new("/f");
        for round in 0..3 {
            drop(disk.open(path, OpenMode::CreateNew).unwrap());
            assert_eq!(files(&disk.crash(Crash::Nothing)), 0, "the name was not synced");
            disk.sync_dir(Path::new("/")).unwrap();
            let held = (round == 1).then(|| disk.open(path, OpenMode::Read).unwrap());
            disk.remove_file(path).unwrap();
            assert_eq!(files(&disk), 1, "a crash can bring it back");
            if round == 2 {
                disk.settle();
            } else {
                disk.sync_dir(Path::new("/")).unwrap();
            }
            assert_eq!(files(&disk), usize::from(held.is_some()));
            drop(held);
            assert_eq!(files(&disk), 0);
        }
    }
}
