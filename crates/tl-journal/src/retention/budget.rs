//! The rule of space: the oldest go until the rest fits.

use super::{EvictReason, Eviction, KeepReason};
use crate::checkpoint::CheckpointId;

/// A checkpoint that the rules of age keep, and what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) id: CheckpointId,
    pub(crate) reason: KeepReason,
    /// About how many bytes, as they are stored, no younger one needs.
    pub(crate) bytes: u64,
}

/// Takes the oldest out of `candidates` (newest first) until what is left of `used` bytes fits into `budget`. Returns how many bytes are over
/// it even so.
pub(crate) fn within_budget(candidates: &mut Vec<Candidate>, used: u64, budget: u64, out: &mut Vec<Eviction>) -> u64 {
    let mut left = used;
    let mut position = candidates.len();
    while left > budget && position > 0 {
        position -= 1;
        let Some(oldest) = candidates.get(position).copied() else { break };
        if oldest.reason.is_hard() {
            continue;
        }
        candidates.remove(position);
        left = left.saturating_sub(oldest.bytes);
        let reason = EvictReason::OverBudget { instead_of: oldest.reason, bytes: oldest.bytes };
        out.push(Eviction { id: oldest.id, reason });
    }
    left.saturating_sub(budget)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_oldest_go_first_and_what_is_held_stays(sizes in prop::collection::vec((0u64..100, any::<bool>()), 0..40), budget in 0u64..2000) {
            let mut left: Vec<Candidate> = (0..).zip(&sizes).map(|(number, (bytes, pinned))| Candidate {
                id: CheckpointId::from_bytes((1000u128 - number).to_be_bytes()),
                reason: if *pinned { KeepReason::Pinned } else { KeepReason::Recent },
                bytes: *bytes,
            }).collect();
            let all = left.clone();
            let used: u64 = all.iter().map(|one| one.bytes).sum();
            let mut evicted = Vec::new();
            let over = within_budget(&mut left, used, budget, &mut evicted);
            let used_after: u64 = left.iter().map(|one| one.bytes).sum();
            prop_assert_eq!(over, used_after.saturating_sub(budget));
            prop_assert!(over == 0 || left.iter().all(|one| one.reason.is_hard()));
            prop_assert!(all.iter().filter(|one| one.reason.is_hard()).all(|one| left.contains(one)));
            let oldest_left = left.iter().filter(|one| !one.reason.is_hard()).map(|one| one.id).min();
            prop_assert!(evicted.iter().all(|one| oldest_left.is_none_or(|oldest| one.id < oldest)));
            // Not one more than needed.
            let last = evicted.last().and_then(|last| all.iter().find(|one| one.id == last.id));
            prop_assert!(last.is_none_or(|last| used_after + last.bytes > budget));
        }
    }
}
