//! From the journal to the cartridge: checkpoint by checkpoint what it touched, behind what the last build had.

use std::iter::Peekable;
use std::sync::atomic::Ordering;

use northstar::cartridge::kinds::path_history::{PathHistory as Rules, TouchedPath, split_key};
use northstar::cartridge::{Entry, Order as Keys, Position, Scan};
use tl_core::{Change, ObjectId, RepoPathBuf};

use super::{STREAM, position_of};
use crate::checkpoint::{Checkpoint, CheckpointId};
use crate::error::{Error, Result};
use crate::journal::Journal;
use crate::repository::Repository;

/// Entries for each checkpoint that is left, above which the history is made from the beginning: much of it is about checkpoints that are gone.
const ENTRIES_PER_CHECKPOINT_MAX: u64 = 64;
/// Below this many entries it does not matter.
const ENTRIES_FEW: u64 = 1 << 16;

/// What a build did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PathHistoryReport {
    /// Checkpoints that were read.
    pub checkpoints: u64,
    /// Entries that there are now.
    pub entries: u64,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// It was made from the beginning and not from the one before.
    pub from_start: bool,
}

impl Repository {
    /// Brings the history of paths up to the journal's end: from the one that is there, or from the beginning where that cannot be used. Updates and reads go on meanwhile.
    ///
    /// # Errors
    /// [`Error::Cartridge`]: another build is under way, or the disk; a tree that cannot be read. What was there before stays.
    pub fn build_path_history(&self) -> Result<PathHistoryReport> {
        // A repository that is open for reading cannot.
        drop(self.lock_writer()?);
        let dir = self.path_history_dir();
        let vfs = self.clock();
        vfs.create_dir_all(&dir).map_err(|error| Error::io("create", &dir, error))?;
        let history = self.path_history();
        let is_damaged = self.path_history_damaged().swap(false, Ordering::Relaxed);
        let count = self.journal().count();
        let is_wanted = |entries: u64| entries <= ENTRIES_FEW.max(count.saturating_mul(ENTRIES_PER_CHECKPOINT_MAX));
        let base = history.cartridge.as_ref();
        let base = base.filter(|base| !is_damaged && is_wanted(base.header().entries));
        let Some(base) = base else { return self.build_onto(None) };
        match self.build_onto(Some(base)) {
            Err(Error::Cartridge(error)) if error.kind() == northstar::cartridge::ErrorKind::Rebuild => {
                tracing::warn!(%error, "the history of paths is made from the beginning");
                self.build_onto(None)
            }
            built => built,
        }
    }

    fn build_onto(&self, base: Option<&northstar::cartridge::Cartridge>) -> Result<PathHistoryReport> {
        let mut report = PathHistoryReport { from_start: base.is_none(), ..PathHistoryReport::default() };
        let mut builder = self.path_history_catalog().build::<Rules>(STREAM)?;
        let start = base.map_or(Position::START, |base| base.header().position);
        builder.push(start, [])?;
        let mut before: Option<(CheckpointId, ObjectId)> = None;
        for checkpoint in self.journal().since(start.sequence)? {
            let checkpoint = checkpoint?;
            let position = position_of(&checkpoint);
            self.for_each_touched(&checkpoint, before, |path| {
                Ok(builder.push(position, [TouchedPath(path.as_bytes())])?)
            })?;
            // Also if it touched nothing that is recorded.
            builder.push(position, [])?;
            before = Some((checkpoint.id, checkpoint.root));
            report.checkpoints += 1;
        }
        let built = match base {
            None => builder.finish()?,
            Some(base) => {
                let entries = base.scan((std::ops::Bound::Unbounded, std::ops::Bound::Unbounded), Keys::Forward);
                builder.finish_onto(Thinned { entries: entries.peekable(), left: Left::of(self.journal())? })?
            }
        };
        report.entries = built.header().entries;
        report.bytes = built.header().file_len;
        Ok(report)
    }

    /// Every path that the checkpoint touched, at least; of a directory that came or went the directory alone. `before` is one of which id and root are known already.
    fn for_each_touched(
        &self,
        checkpoint: &Checkpoint,
        before: Option<(CheckpointId, ObjectId)>,
        mut visit: impl FnMut(&RepoPathBuf) -> Result<()>,
    ) -> Result<()> {
        let parent = checkpoint.parents.first();
        let known = before.filter(|(id, _)| Some(id) == parent);
        let is_there = match parent {
            Some(parent) if known.is_none() => self.journal().contains(*parent)?,
            _ => true,
        };
        if is_there && checkpoint.lists_all() {
            return checkpoint.touched.listed.iter().try_for_each(visit);
        }
        let root = match known {
            Some((_, root)) => root,
            None => {
                let parents = self.journal().parents(checkpoint)?;
                parents.first().map_or(ObjectId::EMPTY_TREE, |parent| parent.root)
            }
        };
        let mut whole: Option<RepoPathBuf> = None;
        for change in self.store().diff(&root, &checkpoint.root)? {
            let change = change?;
            if whole.as_ref().is_some_and(|whole| change.path.starts_with(whole)) {
                continue;
            }
            visit(&change.path)?;
            if stands_for_what_is_in_it(&change) {
                whole = Some(change.path);
            }
        }
        Ok(())
    }
}

/// True for a directory that is new or gone, or is or was something else.
fn stands_for_what_is_in_it(change: &Change) -> bool {
    let is_directory = |entry: Option<tl_core::Entry>| entry.is_some_and(|entry| entry.is_directory());
    is_directory(change.before) != is_directory(change.after)
}

/// The numbers of the checkpoints that are left, a bit for each that was ever given out.
struct Left(Vec<u64>);

impl Left {
    fn of(journal: &Journal) -> Result<Self> {
        let last = journal.last_sequence();
        let words = usize::try_from(last / 64 + 1).unwrap_or(usize::MAX);
        let mut left = vec![0u64; words];
        for sequence in journal.sequences()? {
            let sequence = sequence?;
            // One that came meanwhile is behind all that is asked for.
            if let Some(word) = usize::try_from(sequence / 64).ok().and_then(|word| left.get_mut(word)) {
                *word |= 1 << (sequence % 64);
            }
        }
        Ok(Self(left))
    }

    /// The first one from `sequence` on.
    fn from(&self, sequence: u64) -> Option<u64> {
        let mut at = sequence / 64;
        let mut mask = u64::MAX << (sequence % 64);
        while let Some(word) = usize::try_from(at).ok().and_then(|at| self.0.get(at)) {
            if word & mask != 0 {
                return Some(at * 64 + u64::from((word & mask).trailing_zeros()));
            }
            (at, mask) = (at + 1, u64::MAX);
        }
        None
    }
}

/// The entries of the last build without those that say nothing more: of several touches of a path by checkpoints that are gone, with none left between them, the last stands for all, and none
/// is needed if the next one that is left touched it too. So the history grows with what is left.
struct Thinned<'a> {
    entries: Peekable<Scan<'a>>,
    left: Left,
}

impl Thinned<'_> {
    /// True if the entry after this one says what it says.
    fn is_said_by_next(&mut self, entry: &Entry) -> bool {
        let Some(Ok(next)) = self.entries.peek() else { return false };
        let (Some((list, sequence)), Some((next_list, next_sequence))) = (split_key(&entry.key), split_key(&next.key))
        else {
            return false;
        };
        // What stands for this one, itself if it is left, is not before the next.
        list == next_list && self.left.from(sequence).is_none_or(|left| left >= next_sequence)
    }
}

impl Iterator for Thinned<'_> {
    type Item = northstar::cartridge::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.entries.next()? {
                Ok(entry) if self.is_said_by_next(&entry) => {}
                found => return Some(found),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Left;

    #[test]
    fn the_first_that_is_left_is_found_from_every_number() {
        let numbers = [1u64, 63, 64, 127, 300];
        let mut left = Left(vec![0; 6]);
        for number in numbers {
            left.0[number as usize / 64] |= 1 << (number % 64);
        }
        for from in 0..400 {
            assert_eq!(left.from(from), numbers.into_iter().find(|number| *number >= from), "{from}");
        }
    }
}
