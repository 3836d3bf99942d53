//! Which state to try next.
//!
//! States are numbered from the oldest, 0. The last one is believed to be bad. If no good one is known, steps backwards double until one is met, so that what broke
//! lately is found quickly in a long history; between a good and a bad one the distance is then halved.

use std::collections::BTreeMap;

/// How a state did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The command succeeded.
    Good,
    /// The command failed.
    Bad,
    /// Nothing can be said about it.
    Skipped,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Try this state.
    Try(usize),
    /// This state is the first bad one; the one before it is good.
    Found(usize),
    /// The first bad state is one of these, and all but the last were skipped.
    Unclear(Vec<usize>),
    /// The newest state is good: there is nothing to find.
    NotBad,
    /// The state that is said to be good is bad.
    NotGood(usize),
    /// Even the oldest state is bad, or all down to it were skipped.
    NoGood,
    /// The newest state cannot be judged.
    Untestable,
}

/// A search under way.
#[derive(Debug)]
pub struct Search {
    states: usize,
    /// The state that is said to be good.
    claimed_good: Option<usize>,
    verdicts: BTreeMap<usize, Verdict>,
}

impl Search {
    /// A search among `states` states, of which there is at least one; `good` is said to be good.
    pub const fn new(states: usize, good: Option<usize>) -> Self {
        Self { states, claimed_good: good, verdicts: BTreeMap::new() }
    }

    /// Notes how a state did.
    pub fn note(&mut self, state: usize, verdict: Verdict) {
        self.verdicts.insert(state, verdict);
    }

    /// How a state did, if that is known.
    pub fn verdict(&self, state: usize) -> Option<Verdict> {
        self.verdicts.get(&state).copied()
    }

    /// What to do next.
    pub fn next(&self) -> Next {
        let newest = self.states.saturating_sub(1);
        match self.verdict(newest) {
            None => return Next::Try(newest),
            Some(Verdict::Good) => return Next::NotBad,
            Some(Verdict::Skipped) => return Next::Untestable,
            Some(Verdict::Bad) => {}
        }
        if let Some(good) = self.claimed_good {
            match self.verdict(good) {
                None => return Next::Try(good),
                Some(Verdict::Good) => {}
                Some(_) => return Next::NotGood(good),
            }
        }
        let good = self.newest(Verdict::Good);
        // Where verdicts contradict each other, the last change from good to bad is what is looked for.
        let bad = self.verdicts.iter().find(|(state, verdict)| **verdict == Verdict::Bad && Some(**state) > good);
        let bad = bad.map_or(newest, |(state, _)| *state);
        match good {
            Some(good) => self.between(good, bad),
            None => self.backwards(newest, bad),
        }
    }

    fn newest(&self, wanted: Verdict) -> Option<usize> {
        self.verdicts.iter().rev().find(|(_, verdict)| **verdict == wanted).map(|(state, _)| *state)
    }

    /// No good state is known, and `bad` is the oldest bad one.
    fn backwards(&self, newest: usize, bad: usize) -> Next {
        let oldest_tried = self.verdicts.keys().next().copied().unwrap_or(newest);
        if oldest_tried == 0 {
            // Perhaps what was stepped over has a good one: only what lies below the oldest bad state can.
            let untried = (0..bad).rev().find(|state| self.verdict(*state).is_none());
            return untried.map_or(Next::NoGood, Next::Try);
        }
        let distance = (newest - oldest_tried).max(1) * 2;
        Next::Try(newest.saturating_sub(distance).min(oldest_tried - 1))
    }

    /// `good` is good, `bad` is bad, and nothing in between is either.
    fn between(&self, good: usize, bad: usize) -> Next {
        if bad - good <= 1 {
            return Next::Found(bad);
        }
        let middle = good + (bad - good) / 2;
        let untried = (good + 1..bad).filter(|state| self.verdict(*state).is_none());
        match untried.min_by_key(|state| state.abs_diff(middle)) {
            Some(state) => Next::Try(state),
            None => Next::Unclear((good + 1..=bad).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs a search to its end; returns that, and what was tried.
    fn run(states: usize, good: Option<usize>, verdict: impl Fn(usize) -> Verdict) -> (Next, Vec<usize>) {
        let mut search = Search::new(states, good);
        let mut tried = Vec::new();
        loop {
            match search.next() {
                Next::Try(state) => {
                    assert!(!tried.contains(&state), "{state} twice");
                    tried.push(state);
                    search.note(state, verdict(state));
                }
                end => return (end, tried),
            }
        }
    }

    fn broken_at(first_bad: usize) -> impl Fn(usize) -> Verdict {
        move |state| if state < first_bad { Verdict::Good } else { Verdict::Bad }
    }

    proptest! {
        /// If it fails, another save is blamed than the one that broke the command.
        #[test]
        fn the_first_bad_state_is_found(states in 2usize..3000, at in 0.0..1.0f64, good_known: bool) {
            let first_bad = 1 + ((states - 2) as f64 * at) as usize;
            let (end, tried) = run(states, good_known.then_some(0), broken_at(first_bad));
            prop_assert_eq!(end, Next::Found(first_bad));
            prop_assert!(tried.len() <= 2 * (states.ilog2() as usize + 2), "{} tries", tried.len());
        }

        /// If it fails, states that cannot be judged hide the one that broke the command.
        #[test]
        fn skipped_states_leave_the_truth_among_the_candidates(states in 2usize..60, at in 0.0..1.0f64, skipped: u64) {
            let first_bad = 1 + ((states - 2) as f64 * at) as usize;
            let is_skipped = |state: usize| state != 0 && state != states - 1 && skipped & (1 << (state % 64)) != 0;
            let verdict = |state| if is_skipped(state) { Verdict::Skipped } else { broken_at(first_bad)(state) };
            for good in [Some(0), None] {
                match run(states, good, verdict).0 {
                    Next::Found(found) => prop_assert_eq!(found, first_bad),
                    Next::Unclear(candidates) => prop_assert!(candidates.contains(&first_bad), "{:?}", candidates),
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
    }

    #[test]
    fn what_broke_lately_is_found_in_a_few_steps() {
        let (end, tried) = run(1_000_000, None, broken_at(999_998));
        assert_eq!(end, Next::Found(999_998));
        assert!(tried.len() <= 5, "{tried:?}");
    }

    #[test]
    fn there_may_be_nothing_to_find() {
        assert_eq!(run(10, None, |_| Verdict::Good).0, Next::NotBad);
        assert_eq!(run(10, None, |_| Verdict::Bad).0, Next::NoGood);
        assert_eq!(run(10, Some(3), |_| Verdict::Bad).0, Next::NotGood(3));
        assert_eq!(run(1, None, |_| Verdict::Bad).0, Next::NoGood);
        assert_eq!(run(10, None, |_| Verdict::Skipped).0, Next::Untestable);
    }

    #[test]
    fn a_gap_of_skipped_states_is_told() {
        let verdict = |state| match state {
            0..4 => Verdict::Good,
            4..6 => Verdict::Skipped,
            _ => Verdict::Bad,
        };
        assert_eq!(run(10, Some(0), verdict).0, Next::Unclear(vec![4, 5, 6]));
    }
}
