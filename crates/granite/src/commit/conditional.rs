//! `put_if_absent`: which keys are present at the place that a batch gets in the order of commits.
//!
//! The look-ups happen before the batch queues up, in the writer's own thread. The leader of the group only looks at what came in between.
//! From the look-ups until the batch is applied the writer holds the database's sweep gate, so that no sweep begins in between.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Pending;
use crate::batch::{Conditional, Whole, WriteBatch};
use crate::db::DbCore;
use crate::error::Result;
use crate::key::{Kind, Seq, Trailer};
use crate::keyspace::KeyspaceCore;
use crate::log::format::{Action, Op, OpReader};
use crate::log::writer::RecordBody;
use crate::sweep::Sweep;
use crate::table::KeyHash;

/// What was found out before a batch queued up.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// The state that was looked at.
    at: Seq,
    /// For each `put_if_absent`.
    pub(crate) was_absent: Vec<bool>,
    /// The batch before operations were taken out of it because their keys were present.
    whole: Option<Whole>,
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

    fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.ranges.is_empty()
    }

    /// Notes what the operations of a batch leave behind for the batches after it.
    fn note(&mut self, meta: &'a [u8]) {
        for op in OpReader::new(meta) {
            self.note_op(&op);
        }
    }

    fn note_op(&mut self, op: &Op<'a>) {
        match op.action {
            Action::Put(_) | Action::PutSeparated { .. } => {
                self.keys.insert((op.keyspace, op.key), true);
            }
            Action::Delete => {
                self.keys.insert((op.keyspace, op.key), false);
            }
            Action::DeleteRange { end } => self.delete_range(op.keyspace, op.key, end),
        }
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
        // The sequence before the views: they hold everything up to it, and what is newer is looked at again by the leader.
        let at = self.visible();
        let views: Vec<_> = batch.keyspaces.iter().map(|keyspace| keyspace.view_full()).collect();
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
        let present = decide(&batch.body, &batch.conditionals, &present_in_db);
        let was_absent = absent_after(batch, &present);
        let whole = batch.take_out(&present);
        Ok(Checked { at, was_absent, whole })
    }

    /// Looks at what was committed since the batches of a group were checked, and at what the group itself does.
    pub(super) fn recheck_conditionals(&self, items: &mut [Pending]) -> Result<()> {
        if items.iter().all(|item| item.batch.calls == 0) {
            return Ok(());
        }
        // The group before may still be on its way into the memtables.
        drop(self.apply.lock());
        let now = self.visible();
        let several = items.len() > 1;
        let mut decided: Vec<Option<Decision>> = Vec::with_capacity(items.len());
        let mut effects = Effects::default();
        for item in &*items {
            let Pending { batch, checked, .. } = item;
            let unchanged = checked.at == now && effects.is_empty();
            let decision =
                (batch.calls > 0 && !unchanged).then(|| self.decide_again(batch, checked, &effects)).transpose()?;
            let decision = decision.flatten();
            if several {
                // A key that a conditional found present is present either way.
                let body = match (&decision, &checked.whole) {
                    (Some(Decision { from_whole: true, .. }), Some(whole)) => &whole.body,
                    _ => &batch.body,
                };
                effects.note(&body.meta);
            }
            decided.push(decision);
        }
        for (item, decision) in items.iter_mut().zip(decided) {
            let Some(Decision { from_whole, present }) = decision else { continue };
            let Pending { batch, checked, .. } = item;
            if from_whole && let Some(whole) = checked.whole.take() {
                batch.put_back(whole);
                checked.was_absent = vec![true; batch.calls];
            }
            for (absent, still) in checked.was_absent.iter_mut().zip(absent_after(batch, &present)) {
                *absent &= still;
            }
            batch.take_out(&present);
        }
        Ok(())
    }

    /// What has changed for a batch since it was checked, `None` if nothing has.
    fn decide_again(&self, batch: &WriteBatch, checked: &Checked, effects: &Effects<'_>) -> Result<Option<Decision>> {
        let sweeps = sweeps_of(batch);
        let views: Vec<_> = batch.keyspaces.iter().map(|keyspace| keyspace.view_full()).collect();
        // The leader has the log, and the groups before are applied: nothing becomes visible meanwhile.
        let now = self.visible();
        let presence_now = |conditional: &Conditional, key: &[u8]| -> Result<bool> {
            if let Some(present) = effects.presence(conditional.keyspace.id, key) {
                return Ok(present);
            }
            let place = place_of(batch, &conditional.keyspace);
            let sweep = sweeps.get(place).and_then(Option::as_deref);
            let Some(view) = views.get(place) else { return Ok(false) };
            let found = view.newest(key, now, |trailer, _, _| Ok(is_present(sweep, key, trailer)))?;
            Ok(found.unwrap_or(false))
        };
        // True if nothing was written to the key since the first look.
        let is_untouched = |conditional: &Conditional, key: &[u8]| {
            let Some(view) = views.get(place_of(batch, &conditional.keyspace)) else { return false };
            let hash = KeyHash::of(key);
            // Whatever is newer than the first look is still in memory, and the newest entry there shows it.
            effects.presence(conditional.keyspace.id, key).is_none()
                && view.floor <= checked.at
                && !view.memory().any(|memory| memory.buffer.has_range_tombstones())
                && view
                    .memory()
                    .find_map(|memory| memory.get(key, hash, now))
                    .is_none_or(|(trailer, _)| trailer.seq() <= checked.at)
        };
        if let Some(whole) = &checked.whole {
            let mut lost = false;
            // What was present must still be; the others are looked at below.
            for conditional in whole.taken_out() {
                let key = whole.body.meta.get(conditional.key.clone()).unwrap_or_default();
                lost |= !is_untouched(conditional, key) && !presence_now(conditional, key)?;
            }
            if lost {
                let mut now_present = Vec::with_capacity(whole.conditionals.len());
                for conditional in &whole.conditionals {
                    let key = whole.body.meta.get(conditional.key.clone()).unwrap_or_default();
                    now_present.push(presence_now(conditional, key)?);
                }
                let present = decide(&whole.body, &whole.conditionals, &now_present);
                return Ok(Some(Decision { from_whole: true, present }));
            }
        }
        let mut now_present = Vec::with_capacity(batch.conditionals.len());
        for conditional in &batch.conditionals {
            let key = batch.key_of(conditional);
            now_present.push(!is_untouched(conditional, key) && presence_now(conditional, key)?);
        }
        if !now_present.contains(&true) {
            return Ok(None);
        }
        let present = decide(&batch.body, &batch.conditionals, &now_present);
        Ok(Some(Decision { from_whole: false, present }))
    }
}

/// Which conditionals meet a present key after all.
struct Decision {
    /// Positions count in the whole batch, because a key that was present is not any more.
    from_whole: bool,
    present: Vec<usize>,
}

fn place_of(batch: &WriteBatch, keyspace: &Arc<KeyspaceCore>) -> usize {
    batch.keyspaces.iter().position(|known| Arc::ptr_eq(known, keyspace)).unwrap_or(usize::MAX)
}

fn sweeps_of(batch: &WriteBatch) -> Vec<Option<Arc<Sweep>>> {
    batch.keyspaces.iter().map(|keyspace| keyspace.sweep.load_full()).collect()
}

/// Goes through the operations in order and tells which conditionals meet a present key, given the presence before the batch.
fn decide(body: &RecordBody, conditionals: &[Conditional], present_before: &[bool]) -> Vec<usize> {
    let before = |index: usize| present_before.get(index).copied().unwrap_or(false);
    // A single operation has nothing before it in its batch.
    if body.op_count == 1 {
        return (0..conditionals.len()).filter(|&index| before(index)).collect();
    }
    let mut present = Vec::new();
    let mut effects = Effects::default();
    let mut conditionals = conditionals.iter().enumerate().peekable();
    for (position, op) in (0u32..).zip(OpReader::new(&body.meta)) {
        if let Some((index, _)) = conditionals.next_if(|(_, conditional)| conditional.op == position) {
            if effects.presence(op.keyspace, op.key).unwrap_or_else(|| before(index)) {
                present.push(index);
            }
            effects.keys.insert((op.keyspace, op.key), true);
            continue;
        }
        effects.note_op(&op);
    }
    present
}

/// For every `put_if_absent` of the batch: true unless it is among the conditionals with present keys.
fn absent_after(batch: &WriteBatch, present: &[usize]) -> Vec<bool> {
    let mut was_absent = vec![true; batch.calls];
    for conditional in present.iter().filter_map(|&index| batch.conditionals.get(index)) {
        if let Some(absent) = was_absent.get_mut(conditional.call) {
            *absent = false;
        }
    }
    was_absent
}
