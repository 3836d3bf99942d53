//! The rules of age and number.

use std::time::Duration;

use super::{EvictReason, Eviction, KeepReason, RetentionPolicy};
use crate::checkpoint::{CheckpointId, Reason};

const HOUR_SECONDS: u64 = 3600;
const DAY_SECONDS: u64 = 86_400;

/// One checkpoint, as far as the rules look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Survey {
    pub(crate) id: CheckpointId,
    pub(crate) reason: Reason,
    /// What holds it whatever its age.
    pub(crate) held: Option<KeepReason>,
}

/// Decides over checkpoints that come newest first. Returns those that stay, newest first, with the reason, and those that go.
pub(crate) fn thin(
    policy: &RetentionPolicy,
    now: Duration,
    checkpoints: impl IntoIterator<Item = Survey>,
) -> (Vec<(CheckpointId, KeepReason)>, Vec<Eviction>) {
    let mut kept: Vec<(CheckpointId, KeepReason)> = Vec::new();
    let mut evictions = Vec::new();
    // Imports are no states of the working directory and thin nothing out.
    let mut own_count = 0;
    let mut hour: Option<(u64, CheckpointId)> = None;
    let mut day: Option<(u64, CheckpointId)> = None;
    for Survey { id, reason, held } in checkpoints {
        let is_import = reason == Reason::Import;
        let time = id.time();
        let age = now.saturating_sub(time);
        let in_hour = hour.filter(|(number, _)| *number == time.as_secs() / HOUR_SECONDS && !is_import);
        let in_day = day.filter(|(number, _)| *number == time.as_secs() / DAY_SECONDS && !is_import);
        own_count += usize::from(!is_import);
        let verdict = if let Some(held) = held {
            Ok(held)
        } else if is_import && policy.keep_imported {
            Ok(KeepReason::Imported)
        } else if !is_import && own_count <= policy.newest {
            Ok(KeepReason::Newest)
        } else if age < policy.dense_for {
            Ok(KeepReason::Recent)
        } else if age < policy.hourly_for {
            in_hour.map_or(Ok(KeepReason::Hourly), |(_, kept)| Err(EvictReason::SameHour { kept }))
        } else if policy.daily_for.is_none_or(|daily_for| age < daily_for) {
            in_day.map_or(Ok(KeepReason::Daily), |(_, kept)| Err(EvictReason::SameDay { kept }))
        } else {
            Err(EvictReason::TooOld)
        };
        match verdict {
            Ok(reason) => {
                kept.push((id, reason));
                if !is_import {
                    // Whatever stays stands for its hour and its day.
                    let (this_hour, this_day) = (time.as_secs() / HOUR_SECONDS, time.as_secs() / DAY_SECONDS);
                    hour = hour.filter(|(number, _)| *number == this_hour).or(Some((this_hour, id)));
                    day = day.filter(|(number, _)| *number == this_day).or(Some((this_day, id)));
                }
            }
            Err(reason) => evictions.push(Eviction { id, reason }),
        }
    }
    (kept, evictions)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 2_000_000_000;

    fn id(age_seconds: u64, number: u64) -> CheckpointId {
        let (first, _) = CheckpointId::bounds_at(Duration::from_secs(NOW - age_seconds));
        CheckpointId::from_bytes((u128::from_be_bytes(first.to_bytes()) + u128::from(number)).to_be_bytes())
    }

    fn policy(newest: usize) -> RetentionPolicy {
        RetentionPolicy { newest, daily_for: Some(Duration::from_secs(90 * DAY_SECONDS)), ..RetentionPolicy::default() }
    }

    prop_compose! {
        fn surveys()(ages in prop::collection::vec((0u64..120 * DAY_SECONDS, 0u8..20), 0..300)) -> Vec<Survey> {
            let mut all: Vec<Survey> = (0..).zip(ages).map(|(number, (age, what))| Survey {
                id: id(age, number),
                reason: if what == 0 { Reason::Import } else { Reason::FsBatch },
                held: (what == 1).then_some(KeepReason::Pinned),
            }).collect();
            all.sort_by_key(|one| std::cmp::Reverse(one.id));
            all
        }
    }

    proptest! {
        /// Each line is a promise to the user.
        #[test]
        fn what_must_stay_stays_and_the_rest_is_thinned(all in surveys(), newest in 0usize..50) {
            let now = Duration::from_secs(NOW);
            let policy = policy(newest);
            let (kept, evicted) = thin(&policy, now, all.clone());
            let ids: BTreeSet<_> = kept.iter().map(|(id, _)| *id).collect();
            prop_assert_eq!(ids.len() + evicted.len(), all.len());
            let own: Vec<_> = all.iter().filter(|one| one.reason != Reason::Import).collect();
            for (position, one) in own.iter().enumerate() {
                let age = now.saturating_sub(one.id.time());
                let must = position < newest || age < policy.dense_for || one.held.is_some();
                prop_assert!(!must || ids.contains(&one.id));
                // Something of every hour, and of every day, that had something.
                let unit = if age < policy.hourly_for { HOUR_SECONDS } else { DAY_SECONDS };
                let same = |id: &CheckpointId| id.time().as_secs() / unit == one.id.time().as_secs() / unit;
                let too_old = policy.daily_for.is_some_and(|limit| age >= limit);
                prop_assert!(too_old || own.iter().any(|other| same(&other.id) && ids.contains(&other.id)));
            }
            prop_assert!(all.iter().filter(|one| one.reason == Reason::Import).all(|one| ids.contains(&one.id)));
            for one in &evicted {
                match one.reason {
                    EvictReason::SameHour { kept } | EvictReason::SameDay { kept } => {
                        prop_assert!(kept > one.id && ids.contains(&kept));
                    }
                    EvictReason::TooOld => {}
                    EvictReason::OverBudget { .. } => prop_assert!(false, "there is no budget"),
                }
            }
            // At most one an hour where nothing else holds them.
            let hourly: Vec<_> = kept.iter().filter(|(_, why)| *why == KeepReason::Hourly).collect();
            let hours: BTreeSet<_> = hourly.iter().map(|(id, _)| id.time().as_secs() / HOUR_SECONDS).collect();
            prop_assert_eq!(hours.len(), hourly.len());
        }

        /// Otherwise each run of the collector would lose a little more.
        #[test]
        fn thinning_what_was_thinned_changes_nothing(all in surveys(), newest in 0usize..50) {
            let now = Duration::from_secs(NOW);
            let (kept, _) = thin(&policy(newest), now, all.clone());
            let left = all.into_iter().filter(|one| kept.iter().any(|(id, _)| *id == one.id));
            let (again, evicted) = thin(&policy(newest), now, left);
            prop_assert_eq!(evicted, []);
            prop_assert_eq!(again.len(), kept.len());
        }
    }

    /// A clock that was set back makes everything look as if it came from the future.
    #[test]
    fn a_clock_that_steps_back_costs_nothing() {
        let all = (0..100).map(|number| Survey { id: id(100 - number, number), reason: Reason::FsBatch, held: None });
        let mut all: Vec<_> = all.collect();
        all.reverse();
        let (_, evicted) = thin(&policy(0), Duration::from_secs(NOW - 1000), all);
        assert_eq!(evicted, []);
    }
}
