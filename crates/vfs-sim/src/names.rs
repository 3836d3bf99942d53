//! Directories: what names they show, what names are durable, and the journal of the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path};

use crate::crash::{CrashOptions, NameLoss, Survival};
use crate::random::Random;

/// Identity of a file or directory, whatever its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ino(pub(crate) u64);

pub(crate) const ROOT: Ino = Ino(0);

/// What a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    File(Ino),
    Dir(Ino),
}

/// A name in a directory, whether or not anything stands there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) dir: Ino,
    pub(crate) name: OsString,
}

#[derive(Debug, Clone)]
struct Change {
    place: Place,
    node: Option<Node>,
}

/// One unsynced operation: it survives a crash whole or not at all.
#[derive(Debug, Clone)]
struct NameOp {
    change: Change,
    /// The old name that a rename gives up.
    gives_up: Option<Place>,
    /// The directory of the old name was synced since, so the old name goes as soon as the new one is durable.
    source_synced: bool,
}

impl NameOp {
    fn places(&self) -> impl Iterator<Item = &Place> {
        std::iter::once(&self.change.place).chain(&self.gives_up)
    }
}

#[derive(Debug, Clone, Default)]
struct Dir {
    cached: BTreeMap<OsString, Node>,
    durable: BTreeMap<OsString, Node>,
}

/// All directories. "Cached" is what programs see; "durable" is what the disk holds.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    dirs: BTreeMap<Ino, Dir>,
    journal: Vec<NameOp>,
}

/// How much of a journal entry a sync of one directory makes durable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Share {
    None,
    /// The new name of a rename from elsewhere, but not the loss of the old one.
    Gain,
    Whole,
}

fn set(names: &mut BTreeMap<OsString, Node>, name: &OsStr, node: Option<Node>) {
    match node {
        Some(node) => names.insert(name.to_owned(), node),
        None => names.remove(name),
    };
}

impl Names {
    pub(crate) fn new() -> Self {
        Self { dirs: BTreeMap::from([(ROOT, Dir::default())]), journal: Vec::new() }
    }

    /// What stands at `path`.
    pub(crate) fn resolve(&self, path: &Path) -> io::Result<Node> {
        let mut trail = vec![ROOT];
        let mut found = Node::Dir(ROOT);
        for component in path.components() {
            let Node::Dir(dir) = found else { return Err(io::ErrorKind::NotADirectory.into()) };
            found = match component {
                Component::RootDir | Component::CurDir | Component::Prefix(_) => found,
                Component::ParentDir => {
                    trail.pop();
                    Node::Dir(trail.last().copied().unwrap_or(ROOT))
                }
                Component::Normal(name) => self.look_up(dir, name).ok_or(io::ErrorKind::NotFound)?,
            };
            if let (Component::Normal(_), Node::Dir(dir)) = (component, found) {
                trail.push(dir);
            }
        }
        Ok(found)
    }

    /// The directory and last component of `path`; the directory must exist.
    pub(crate) fn locate(&self, path: &Path) -> io::Result<Place> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        match self.resolve(path.parent().unwrap_or(Path::new("")))? {
            Node::Dir(dir) => Ok(Place { dir, name: name.to_owned() }),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn look_up(&self, dir: Ino, name: &OsStr) -> Option<Node> {
        self.dirs.get(&dir)?.cached.get(name).copied()
    }

    pub(crate) fn at(&self, place: &Place) -> Option<Node> {
        self.look_up(place.dir, &place.name)
    }

    /// The names that programs see in `dir`.
    pub(crate) fn entries(&self, dir: Ino) -> impl Iterator<Item = (&OsString, Node)> {
        self.dirs.get(&dir).into_iter().flat_map(|dir| dir.cached.iter().map(|(name, node)| (name, *node)))
    }

    pub(crate) fn add_dir(&mut self, dir: Ino) {
        self.dirs.insert(dir, Dir::default());
    }

    /// Puts `node` at `place`, or takes away what stands there.
    pub(crate) fn change(&mut self, place: Place, node: Option<Node>) {
        self.record(NameOp { change: Change { place, node }, gives_up: None, source_synced: false });
    }

    /// Moves `node` from one place to another.
    pub(crate) fn rename(&mut self, node: Node, from: Place, to: Place) {
        self.record(NameOp {
            change: Change { place: to, node: Some(node) },
            gives_up: Some(from),
            source_synced: false,
        });
    }

    fn record(&mut self, op: NameOp) {
        if let Some(from) = &op.gives_up {
            self.set_cached(from, None);
        }
        self.set_cached(&op.change.place, op.change.node);
        self.journal.push(op);
    }

    fn set_cached(&mut self, place: &Place, node: Option<Node>) {
        if let Some(dir) = self.dirs.get_mut(&place.dir) {
            set(&mut dir.cached, &place.name, node);
        }
    }

    fn set_durable(&mut self, place: &Place, node: Option<Node>) {
        if let Some(dir) = self.dirs.get_mut(&place.dir) {
            set(&mut dir.durable, &place.name, node);
        }
    }

    fn harden(&mut self, op: &NameOp) {
        if let Some(from) = &op.gives_up {
            self.set_durable(from, None);
        }
        self.set_durable(&op.change.place, op.change.node);
    }

    /// Makes the names in `dir` durable. Of a rename between directories, this is the new name if `dir` is the target;
    /// if it is the source, the old name waits for that, because its loss alone would lose the file.
    pub(crate) fn sync_dir(&mut self, dir: Ino) {
        let shares = self.shares(dir);
        let journal = std::mem::take(&mut self.journal);
        for (mut op, share) in journal.into_iter().zip(shares) {
            match share {
                Share::None => {
                    op.source_synced |= op.gives_up.as_ref().is_some_and(|place| place.dir == dir);
                    self.journal.push(op);
                }
                Share::Whole => self.harden(&op),
                Share::Gain => {
                    self.set_durable(&op.change.place, op.change.node);
                    if let Some(place) = op.gives_up {
                        let change = Change { place, node: None };
                        self.journal.push(NameOp { change, gives_up: None, source_synced: false });
                    }
                }
            }
        }
    }

    /// What a sync of `dir` takes of each journal entry. Walks backwards, because what becomes durable takes with it
    /// what happened before to the same names: otherwise an older entry could undo a newer one in a crash, or a name
    /// could be taken again before the rename that freed it is durable.
    fn shares(&self, dir: Ino) -> Vec<Share> {
        let mut settled: BTreeSet<&Place> = BTreeSet::new();
        let mut shares: Vec<Share> = Vec::with_capacity(self.journal.len());
        for op in self.journal.iter().rev() {
            let gain = &op.change.place;
            let within = gain.dir == dir && op.gives_up.as_ref().is_none_or(|from| from.dir == dir || op.source_synced);
            let given_up_settled = op.gives_up.as_ref().is_some_and(|place| settled.contains(place));
            let share = if within || given_up_settled || (gain.dir != dir && settled.contains(gain)) {
                settled.extend(op.places());
                Share::Whole
            } else if gain.dir == dir {
                settled.insert(gain);
                Share::Gain
            } else {
                Share::None
            };
            shares.push(share);
        }
        shares.reverse();
        shares
    }

    /// Makes all names durable, as the commit of a filesystem's journal does.
    pub(crate) fn sync_all(&mut self) {
        for op in std::mem::take(&mut self.journal) {
            self.harden(&op);
        }
    }

    /// A sync of `dir` that failed: its unsynced names are shown, but never become durable.
    pub(crate) fn lose_unsynced(&mut self, dir: Ino) {
        self.journal.retain(|op| op.places().any(|place| place.dir != dir));
    }

    /// What a crash leaves: names that are all durable.
    pub(crate) fn after_crash(&self, survival: Survival, random: &mut Random) -> Self {
        let mut left = self.clone();
        let kept = match survival {
            Survival::Nothing => vec![false; self.journal.len()],
            Survival::Everything => vec![true; self.journal.len()],
            Survival::Some(options) => self.choose(&options, random),
        };
        for (op, _) in std::mem::take(&mut left.journal).iter().zip(kept).filter(|(_, kept)| *kept) {
            left.harden(op);
        }
        let reached = left.reached();
        left.dirs.retain(|dir, _| reached.contains(dir));
        for dir in left.dirs.values_mut() {
            dir.cached.clone_from(&dir.durable);
        }
        left
    }

    /// Says of each journal entry whether it survives.
    fn choose(&self, options: &CrashOptions, random: &mut Random) -> Vec<bool> {
        let mut moments: BTreeMap<Ino, u64> = BTreeMap::new();
        if options.names == NameLoss::PerDirectory {
            for dir in self.journal.iter().flat_map(NameOp::places).map(|place| place.dir) {
                *moments.entry(dir).or_default() += 1;
            }
            for ops in moments.values_mut() {
                *ops = random.below(*ops + 1);
            }
        }
        let journal_moment = random.below(self.journal.len() as u64 + 1);
        let mut lost_places: BTreeSet<&Place> = BTreeSet::new();
        let mut lost_dirs: BTreeSet<Ino> = BTreeSet::new();
        let mut kept = Vec::with_capacity(self.journal.len());
        for (index, op) in self.journal.iter().enumerate() {
            let keep = match options.names {
                NameLoss::Journal => (index as u64) < journal_moment,
                NameLoss::PerDirectory => {
                    let mut before_moment = true;
                    for place in op.places() {
                        let left = moments.entry(place.dir).or_default();
                        before_moment &= *left > 0 && !lost_dirs.contains(&place.dir);
                        *left = left.saturating_sub(1);
                    }
                    before_moment
                }
                NameLoss::PerName => {
                    random.chance(options.survival) && !op.places().any(|place| lost_places.contains(place))
                }
            };
            if !keep {
                lost_places.extend(op.places());
                lost_dirs.extend(op.places().map(|place| place.dir));
            }
            kept.push(keep);
        }
        kept
    }

    /// Directories that durable names lead to, from the root.
    fn reached(&self) -> BTreeSet<Ino> {
        let mut reached = BTreeSet::from([ROOT]);
        let mut open = vec![ROOT];
        while let Some(dir) = open.pop() {
            let names = self.dirs.get(&dir).map(|dir| &dir.durable);
            for node in names.into_iter().flat_map(BTreeMap::values) {
                if let Node::Dir(child) = node
                    && reached.insert(*child)
                {
                    open.push(*child);
                }
            }
        }
        reached
    }

    /// Each name of a file that programs see.
    pub(crate) fn cached_files(&self) -> impl Iterator<Item = Ino> {
        self.dirs.values().flat_map(|dir| dir.cached.values()).filter_map(Self::file)
    }

    /// Each file that a crash could still bring back.
    pub(crate) fn recoverable_files(&self) -> impl Iterator<Item = Ino> {
        let durable = self.dirs.values().flat_map(|dir| dir.durable.values());
        durable.chain(self.journal.iter().filter_map(|op| op.change.node.as_ref())).filter_map(Self::file)
    }

    fn file(node: &Node) -> Option<Ino> {
        match node {
            Node::File(ino) => Some(*ino),
            Node::Dir(_) => None,
        }
    }

    /// True if `dir` is `ancestor` or lies below it.
    pub(crate) fn is_within(&self, dir: Ino, ancestor: Ino) -> bool {
        let mut open = vec![ancestor];
        while let Some(next) = open.pop() {
            if next == dir {
                return true;
            }
            open.extend(self.entries(next).filter_map(|(_, node)| match node {
                Node::Dir(child) => Some(child),
                Node::File(_) => None,
            }));
        }
        false
    }
}
