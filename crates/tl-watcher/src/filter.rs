//! Which names of a directory are reported: what the rules leave in, and what is recorded although they leave it out.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::Keeps;
use crate::path::{RelPath, join};
use crate::rules::{IgnoreRules, is_never_recorded};

/// Verdicts of the rules that are remembered. A busy file asks the same question with every event.
const REMEMBERED: usize = 1024;

pub(crate) struct Filter {
    rules: Arc<IgnoreRules>,
    keeps: Keeps,
    hasher: RandomState,
    recent: Mutex<Recent>,
}

/// By the low bits of a path's hash: the other bits, and the verdict in the lowest.
struct Recent {
    generation: u64,
    slots: Box<[u64]>,
}

impl Filter {
    pub(crate) fn new(rules: Arc<IgnoreRules>, keeps: Keeps) -> Self {
        let recent = Recent { generation: rules.generation(), slots: vec![0; REMEMBERED].into() };
        Self { rules, keeps, hasher: RandomState::new(), recent: Mutex::new(recent) }
    }

    pub(crate) fn rules(&self) -> &IgnoreRules {
        &self.rules
    }

    /// True if events of `name` in `directory` are reported.
    pub(crate) fn admits(&self, directory: &[u8], name: &[u8], is_dir: bool) -> bool {
        if is_never_recorded(name) {
            return false;
        }
        let hash = self.hasher.hash_one((directory, name, is_dir));
        let generation = self.rules.generation();
        let slot = usize::try_from(hash % REMEMBERED as u64).unwrap_or_default();
        // Both bits that are cut off are accounted for: the lowest holds the verdict, and zero marks an empty slot.
        let tag = (hash | 2) & !1;
        if let Some(hidden) = self.recent.lock().get(generation, slot, tag) {
            return !hidden || self.keeps(directory, name);
        }
        let hidden = self.rules.hides(&join(directory, name), is_dir);
        self.recent.lock().put(generation, slot, tag, hidden);
        !hidden || self.keeps(directory, name)
    }

    /// Not remembered: what is recorded changes without notice.
    fn keeps(&self, directory: &[u8], name: &[u8]) -> bool {
        (self.keeps)(&RelPath::trusted(join(directory, name)))
    }
}

impl Recent {
    fn get(&mut self, generation: u64, slot: usize, tag: u64) -> Option<bool> {
        if self.generation != generation {
            self.generation = generation;
            self.slots.fill(0);
        }
        let found = *self.slots.get(slot)?;
        (found & !1 == tag).then_some(found & 1 == 1)
    }

    fn put(&mut self, generation: u64, slot: usize, tag: u64, hidden: bool) {
        // The rules may have changed while they were asked.
        if self.generation == generation
            && let Some(found) = self.slots.get_mut(slot)
        {
            *found = tag | u64::from(hidden);
        }
    }
}
