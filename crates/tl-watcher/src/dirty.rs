//! The dirty set: which paths changed and have not been handed out yet. Paths are kept by directory, so that a directory's name is held
//! once; each is held once however often it changes; and there is a bound on everything: past it a directory is dirty as a whole, and past
//! the bound on directories the whole tree is. Nothing is ever dropped, only described more coarsely.

use std::collections::HashMap;
use std::mem;
use std::time::Instant;

use crate::batch::{Batch, RescanReason};
use crate::path::{RelPath, ancestors, is_within, join, split};
use crate::settle::{Activity, Pace, SettleOptions, Waiting};

/// How much the dirty set may hold before it describes changes more coarsely.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirtyLimits {
    /// Names in one directory before its listing is dirty instead. 4,096.
    pub names_per_directory_max: usize,
    /// Names in all directories before each directory's listing is dirty instead. 32,768.
    pub names_max: usize,
    /// Directories before the whole tree is dirty instead. 32,768.
    pub directories_max: usize,
}

impl Default for DirtyLimits {
    fn default() -> Self {
        Self { names_per_directory_max: 4096, names_max: 32_768, directories_max: 32_768 }
    }
}

#[derive(Debug, Clone, Copy)]
struct Name {
    waiting: Waiting,
    /// Everything beneath is dirty too.
    subtree: bool,
}

#[derive(Debug, Default)]
struct Directory {
    /// The last moment at which something ended here.
    settled: Option<Instant>,
    names: HashMap<Box<[u8]>, Name>,
    /// Set if any entry may have changed.
    listing: Option<Waiting>,
}

impl Directory {
    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.listing.is_none()
    }

    /// One mark for all names; those with a subtree stay, as a listing says nothing about what is beneath.
    fn collapse(&mut self, now: Instant) -> usize {
        let before = self.names.len();
        self.names.retain(|_, name| name.subtree);
        let dropped = before - self.names.len();
        if dropped > 0 {
            self.touch_listing(Activity::Settled, now);
        }
        dropped
    }

    fn touch_listing(&mut self, activity: Activity, now: Instant) -> Waiting {
        let listing = self.listing.get_or_insert_with(|| Waiting::new(activity, now));
        listing.touch(activity, now);
        *listing
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct DirtySet {
    limits: DirtyLimits,
    settle: SettleOptions,
    directories: HashMap<Box<[u8]>, Directory>,
    /// The number of names in all directories.
    names: usize,
    rescan: Option<(RescanReason, Waiting)>,
}

impl DirtySet {
    pub(crate) fn new(limits: DirtyLimits, settle: SettleOptions) -> Self {
        Self { limits, settle, directories: HashMap::new(), names: 0, rescan: None }
    }

    /// Something happened to `name` in `directory`. Returns when it is due.
    pub(crate) fn mark(
        &mut self,
        directory: &[u8],
        name: &[u8],
        activity: Activity,
        pace: Pace,
        now: Instant,
    ) -> Instant {
        self.insert(directory, name, activity, false, pace, now)
    }

    /// Everything at and beneath `path` may have changed. For the root that is a rescan.
    pub(crate) fn mark_subtree(&mut self, path: &[u8], reason: RescanReason, pace: Pace, now: Instant) -> Instant {
        if path.is_empty() {
            return self.mark_rescan(reason, pace, now);
        }
        let (directory, name) = split(path);
        self.insert(directory, name, Activity::Settled, true, pace, now)
    }

    /// Any entry of `directory` may have changed.
    pub(crate) fn mark_listing(&mut self, directory: &[u8], activity: Activity, pace: Pace, now: Instant) -> Instant {
        let Some(entry) = self.directory(directory, now) else { return self.mark_rescan_full(pace, now) };
        let waiting = entry.touch_listing(activity, now);
        if activity == Activity::Settled {
            entry.settled = entry.settled.max(Some(now));
        }
        let settled = entry.settled;
        waiting.due(settled, pace, &self.settle)
    }

    /// Anything may have changed.
    pub(crate) fn mark_rescan(&mut self, reason: RescanReason, pace: Pace, now: Instant) -> Instant {
        let (kept, waiting) = self.rescan.get_or_insert_with(|| (reason, Waiting::new(Activity::Requeued, now)));
        if *kept == RescanReason::Periodic {
            *kept = reason;
        }
        waiting.touch(Activity::Requeued, now);
        waiting.due(None, pace, &self.settle)
    }

    /// Everything at and beneath `path` may have changed, and it is due at once.
    pub(crate) fn mark_now(&mut self, path: &[u8], reason: RescanReason, pace: Pace, now: Instant) {
        let long_ago = now.checked_sub(self.settle.wait_max).unwrap_or(now);
        self.mark_subtree(path, reason, pace, long_ago);
    }

    /// True if everything in `directory` is dirty already and will be handed out later than now.
    pub(crate) fn covers(&self, directory: &[u8]) -> bool {
        let is_subtree = |path: &[u8]| {
            let (parent, name) = split(path);
            self.directories.get(parent).and_then(|entry| entry.names.get(name)).is_some_and(|name| name.subtree)
        };
        self.rescan.is_some()
            || (!directory.is_empty() && is_subtree(directory))
            || ancestors(directory).filter(|above| !above.is_empty()).any(is_subtree)
    }

    pub(crate) fn clear(&mut self) {
        self.directories = HashMap::new();
        self.names = 0;
        self.rescan = None;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.directories.is_empty() && self.rescan.is_none()
    }

    /// Names and directories that are dirty.
    pub(crate) fn len(&self) -> usize {
        self.names
            + self.directories.values().filter(|entry| entry.listing.is_some()).count()
            + usize::from(self.rescan.is_some())
    }

    /// The earliest moment at which something is due.
    pub(crate) fn next_due(&self, pace: Pace) -> Option<Instant> {
        let entries = self.directories.values().flat_map(|entry| {
            let names = entry.names.values().map(|name| name.waiting);
            names.chain(entry.listing).map(|waiting| waiting.due(entry.settled, pace, &self.settle))
        });
        let rescan = self.rescan.map(|(_, waiting)| waiting.due(None, pace, &self.settle));
        entries.chain(rescan).min()
    }

    /// Takes out what is due at `now`.
    pub(crate) fn take_due(&mut self, pace: Pace, now: Instant) -> Batch {
        let settle = &self.settle;
        let mut found = Found::default();
        self.directories.retain(|path, entry| {
            let settled = entry.settled;
            entry.names.retain(|name, kept| {
                let due = kept.waiting.due(settled, pace, settle) <= now;
                if due {
                    found.add(join(path, name), kept.subtree);
                }
                !due
            });
            if entry.listing.is_some_and(|waiting| waiting.due(settled, pace, settle) <= now) {
                entry.listing = None;
                found.listings.push(RelPath::trusted(path.clone()));
            }
            !entry.is_empty()
        });
        self.names -= found.paths.len() + found.subtrees.len();
        let rescan_due = self.rescan.is_some_and(|(_, waiting)| waiting.due(None, pace, settle) <= now);
        found.into_batch(if rescan_due { self.rescan.take() } else { None })
    }

    /// Takes out everything.
    pub(crate) fn take_all(&mut self) -> Batch {
        let mut found = Found::default();
        for (path, entry) in mem::take(&mut self.directories) {
            for (name, kept) in entry.names {
                found.add(join(&path, &name), kept.subtree);
            }
            if entry.listing.is_some() {
                found.listings.push(RelPath::trusted(path));
            }
        }
        self.names = 0;
        found.into_batch(self.rescan.take())
    }

    fn insert(
        &mut self,
        directory: &[u8],
        name: &[u8],
        activity: Activity,
        subtree: bool,
        pace: Pace,
        now: Instant,
    ) -> Instant {
        let per_directory = self.limits.names_per_directory_max;
        let Some(entry) = self.directory(directory, now) else { return self.mark_rescan_full(pace, now) };
        if activity == Activity::Settled {
            entry.settled = entry.settled.max(Some(now));
        }
        let settled = entry.settled;
        let mut added = false;
        let waiting = match entry.names.get_mut(name) {
            Some(known) => {
                known.waiting.touch(activity, now);
                known.subtree |= subtree;
                known.waiting
            }
            // The listing that is dirty already will show it.
            None if entry.listing.is_some() && !subtree => entry.touch_listing(activity, now),
            None => {
                added = true;
                let waiting = Waiting::new(activity, now);
                entry.names.insert(name.into(), Name { waiting, subtree });
                waiting
            }
        };
        let crowded = added && entry.names.len() > per_directory;
        let dropped = if crowded { entry.collapse(now) } else { 0 };
        self.names = (self.names + usize::from(added)) - dropped;
        if added && self.names > self.limits.names_max {
            self.collapse_all(now);
        }
        if self.names > self.limits.names_max {
            return self.mark_rescan_full(pace, now);
        }
        waiting.due(settled, pace, &self.settle)
    }

    fn directory(&mut self, path: &[u8], now: Instant) -> Option<&mut Directory> {
        // Two look-ups where the directory is known, so that only a new one costs an allocation.
        if !self.directories.contains_key(path) {
            if self.directories.len() >= self.limits.directories_max {
                self.collapse_all(now);
                return None;
            }
            self.directories.insert(path.into(), Directory::default());
        }
        self.directories.get_mut(path)
    }

    fn collapse_all(&mut self, now: Instant) {
        for entry in self.directories.values_mut() {
            self.names -= entry.collapse(now);
        }
    }

    /// Too much for the set: the whole tree instead of everything in it.
    fn mark_rescan_full(&mut self, pace: Pace, now: Instant) -> Instant {
        self.directories = HashMap::new();
        self.names = 0;
        self.mark_rescan(RescanReason::DirtySetFull, pace, now)
    }
}

/// What was taken out, before what is said twice is left out.
#[derive(Default)]
struct Found {
    paths: Vec<RelPath>,
    listings: Vec<RelPath>,
    subtrees: Vec<RelPath>,
}

impl Found {
    fn add(&mut self, path: Vec<u8>, subtree: bool) {
        if subtree { &mut self.subtrees } else { &mut self.paths }.push(RelPath::trusted(path));
    }

    fn into_batch(mut self, rescan: Option<(RescanReason, Waiting)>) -> Batch {
        self.subtrees.sort_unstable_by(|a, b| hierarchical(a.as_bytes(), b.as_bytes()));
        let mut subtrees: Vec<RelPath> = Vec::with_capacity(self.subtrees.len());
        for path in self.subtrees {
            // In this order whatever lies beneath a directory follows it directly.
            if !subtrees.last().is_some_and(|above| is_within(path.as_bytes(), above.as_bytes())) {
                subtrees.push(path);
            }
        }
        subtrees.sort_unstable();
        let beneath = |path: &RelPath| {
            let is_subtree = |above: &[u8]| subtrees.binary_search_by(|known| known.as_bytes().cmp(above)).is_ok();
            !subtrees.is_empty() && (is_subtree(path.as_bytes()) || ancestors(path.as_bytes()).any(is_subtree))
        };
        self.listings.retain(|path| !beneath(path));
        self.listings.sort_unstable();
        let listings = self.listings;
        let listed = |path: &RelPath| {
            let directory = split(path.as_bytes()).0;
            listings.binary_search_by(|known| known.as_bytes().cmp(directory)).is_ok()
        };
        self.paths.retain(|path| !listed(path) && !beneath(path));
        self.paths.sort_unstable();
        Batch { paths: self.paths, listings, subtrees, rescan: rescan.map(|(reason, _)| reason), ..Batch::default() }
    }
}

/// Orders paths as a walk meets them: `/` before every other byte.
fn hierarchical(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    let rank = |byte: &u8| if *byte == b'/' { 0 } else { u16::from(*byte) + 1 };
    a.iter().map(rank).cmp(b.iter().map(rank))
}

#[cfg(test)]
mod tests;
