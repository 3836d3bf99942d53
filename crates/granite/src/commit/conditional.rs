//! `put_if_absent`: which keys are present at the place that a batch gets in the order of commits.
//!
//! The look-ups happen before the batch queues up, in the writer's own thread. The leader of the group only looks at what came in between.
//! From the look-ups until the batch is applied the writer holds the database's sweep gate, so that no sweep begins in between.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Pending;
use crate::batch::WriteBatch;
use crate::db::DbCore;
use crate::error::Result;
use crate::key::{Kind, Seq, Trailer};
use crate::keyspace::KeyspaceCore;
use crate::log::format::{Action, OpReader};
use crate::sweep::Sweep;

/// What was found out before a batch queued up.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// The state that was looked at.
    at: Seq,
    /// For each `put_if_absent`.
    pub(crate) was_absent: Vec<bool>,
}

/// Hashes keys with XXH3, which is quick on short ones. Collisions only cost time: keys are compared.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }
}

/// Whether a key that a batch or group touched is present afterwards.
type Touched<'a> = HashMap<(u32, &'a [u8]), bool, BuildHasherDefault<KeyHasher>>;

/// Range deletes of a batch or group, newer ones last: keys in them are absent unless touched later.
#[derive(Default)]
struct Effects<'a> {
    keys: Touched<'a>,
    ranges: Vec<(u32, &'a [u8], &'a [u8])>,
}

impl<'a> Effects<'a> {
    fn presence(&self, keyspace: u32, key: &[u8]) -> Option<bool> {
        if let Some(&present) = self.keys.get(&(keyspace, key)) {
            return Some(present);
        }
        let deleted = self.ranges.iter().any(|&(of, start, end)| of == keyspace && start <= key && key < end);
        deleted.then_some(false)
    }

    fn delete_range(&mut self, keyspace: u32, start: &'a [u8], end: &'a [u8]) {
        for ((of, key), present) in &mut self.keys {
            *present &= *of != keyspace || *key < start || *key >= end;
        }
        self.ranges.push((keyspace, start, end));
    }
}

/// True if an entry makes its key count as present.
fn is_present(sweep: Option<&Sweep>, key: &[u8], trailer: Trailer) -> bool {
    trailer.kind() != Kind::Delete && !sweep.is_some_and(|sweep| sweep.rejects(key, trailer.seq()))
}

impl DbCore {
    /// Looks the batch's conditional keys up, and takes those out that are present.
    pub(crate) fn check_conditionals(&self, batch: &mut WriteBatch) -> Result<Checked> {
        if batch.calls == 0 {
            return Ok(Checked::default());
        }
        let sweeps = sweeps_of(batch);
        let views: Vec<_> = batch.keyspaces.iter().map(|keyspace| keyspace.view_full()).collect();
        let at = self.visible();
        let mut present_in_db = Vec::with_capacity(batch.conditionals.len());
        for conditional in &batch.conditionals {
            let place = place_of(batch, &conditional.keyspace);
            let key = batch.key_of(conditional);
            let sweep = sweeps.get(place).and_then(Option::as_deref);
            let found = match views.get(place) {
                Some(view) => view.newest(key, at, |trailer, _, _| Ok(is_present(sweep, key, trailer)))?,
                None => None,
            };
            present_in_db.push(found.unwrap_or(false));
        }
        let present = decide(batch, |index, _, _| present_in_db.get(index).copied().unwrap_or(false));
        let was_absent = absent_after(batch, &present, vec![true; batch.calls]);
        batch.remove_conditionals(&present);
        Ok(Checked { at, was_absent })
    }

    /// Looks at what was committed since the batches of a group were checked, and at what the group itself does.
    pub(super) fn recheck_conditionals(&self, items: &mut [Pending]) -> Result<()> {
        if items.iter().all(|item| item.batch.calls == 0) {
            return Ok(());
        }
        // The group before may still be on its way into the memtables.
        drop(self.apply.lock());
        let now = self.visible();
        let mut removals: Vec<Vec<usize>> = Vec::with_capacity(items.len());
        let mut effects = Effects::default();
        let group = items.len() > 1;
        for item in &*items {
            let mut present = Vec::new();
            if item.batch.calls > 0 {
                let sweeps = sweeps_of(&item.batch);
                if item.checked.at < now || !effects.keys.is_empty() || !effects.ranges.is_empty() {
                    let newer = self.present_since(&item.batch, item.checked.at, &sweeps)?;
                    present = decide(&item.batch, |index, keyspace, key| {
                        let in_group = effects.presence(keyspace, key);
                        in_group.unwrap_or_else(|| newer.get(index).copied().unwrap_or(false))
                    });
                }
            }
            if group {
                note_effects(&item.batch, &mut effects);
            }
            removals.push(present);
        }
        for (item, present) in items.iter_mut().zip(removals) {
            let was_absent = std::mem::take(&mut item.checked.was_absent);
            item.checked.was_absent = absent_after(&item.batch, &present, was_absent);
            item.batch.remove_conditionals(&present);
        }
        Ok(())
    }

    /// For each conditional: whether its key, absent at `at`, is present now.
    fn present_since(&self, batch: &WriteBatch, at: Seq, sweeps: &[Option<Arc<Sweep>>]) -> Result<Vec<bool>> {
        let views: Vec<_> = batch.keyspaces.iter().map(|keyspace| keyspace.view_full()).collect();
        let now = self.visible();
        let mut present = Vec::with_capacity(batch.conditionals.len());
        for conditional in &batch.conditionals {
            let place = place_of(batch, &conditional.keyspace);
            let key = batch.key_of(conditional);
            let sweep = sweeps.get(place).and_then(Option::as_deref);
            let Some(view) = views.get(place) else { continue };
            let found = if view.floor <= at {
                // Whatever is newer than the first look is still in memory, and the newest entry there decides.
                let newest = view.memory().find_map(|memory| memory.buffer.get(key, now));
                newest.filter(|(trailer, _)| trailer.seq() > at).map(|(trailer, _)| is_present(sweep, key, trailer))
            } else {
                view.newest(key, now, |trailer, _, _| Ok(is_present(sweep, key, trailer)))?
            };
            let covered = found == Some(true) && view.memory().any(|memory| memory.buffer.has_range_tombstones());
            let found = match covered {
                true => view.newest(key, now, |trailer, _, _| Ok(is_present(sweep, key, trailer)))?,
                false => found,
            };
            present.push(found.unwrap_or(false));
        }
        Ok(present)
    }
}

fn place_of(batch: &WriteBatch, keyspace: &Arc<KeyspaceCore>) -> usize {
    batch.keyspaces.iter().position(|known| Arc::ptr_eq(known, keyspace)).unwrap_or(usize::MAX)
}

fn sweeps_of(batch: &WriteBatch) -> Vec<Option<Arc<Sweep>>> {
    batch.keyspaces.iter().map(|keyspace| keyspace.sweep.load_full()).collect()
}

/// Goes through the batch in order and tells which conditionals meet a present key, given what `before` says of the state before the batch.
fn decide(batch: &WriteBatch, before: impl Fn(usize, u32, &[u8]) -> bool) -> Vec<usize> {
    let mut present = Vec::new();
    // A single operation has nothing before it in its batch.
    if batch.body.op_count == 1 {
        if let Some(only) = batch.conditionals.first()
            && before(0, only.keyspace.id, batch.key_of(only))
        {
            present.push(0);
        }
        return present;
    }
    let mut effects = Effects::default();
    let mut conditionals = batch.conditionals.iter().enumerate().peekable();
    for (position, op) in (0u32..).zip(OpReader::new(&batch.body.meta)) {
        if let Some((index, _)) = conditionals.next_if(|(_, conditional)| conditional.op == position) {
            let known = effects.presence(op.keyspace, op.key);
            if known.unwrap_or_else(|| before(index, op.keyspace, op.key)) {
                present.push(index);
            }
            effects.keys.insert((op.keyspace, op.key), true);
            continue;
        }
        note_op(op.keyspace, op.key, &op.action, &mut effects);
    }
    present
}

fn note_op<'a>(keyspace: u32, key: &'a [u8], action: &Action<'a>, effects: &mut Effects<'a>) {
    match action {
        Action::Put(_) | Action::PutSeparated { .. } => {
            effects.keys.insert((keyspace, key), true);
        }
        Action::Delete => {
            effects.keys.insert((keyspace, key), false);
        }
        Action::DeleteRange { end } => effects.delete_range(keyspace, key, end),
    }
}

/// Notes what a batch leaves behind for the batches after it. A key that a conditional found present is present either way.
fn note_effects<'a>(batch: &'a WriteBatch, effects: &mut Effects<'a>) {
    for op in OpReader::new(&batch.body.meta) {
        note_op(op.keyspace, op.key, &op.action, effects);
    }
}

fn absent_after(batch: &WriteBatch, present: &[usize], mut was_absent: Vec<bool>) -> Vec<bool> {
    for conditional in present.iter().filter_map(|&index| batch.conditionals.get(index)) {
        if let Some(absent) = was_absent.get_mut(conditional.call) {
            *absent = false;
        }
    }
    was_absent
}
