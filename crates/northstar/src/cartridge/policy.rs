//! When a cartridge is to be built again.

use std::time::Duration;

/// What may stand behind a cartridge before it is built again. What is not set does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Positions (transactions, checkpoints) that are not covered.
    pub positions_max: Option<u64>,
    /// Time since the first change came that is not covered, on the clock of whoever asks.
    pub age_max: Option<Duration>,
    /// Edits below prefixes of keys.
    pub prefixes: Vec<PrefixRule>,
    /// Bytes of memory for the changes that are not covered. A view takes no more than this.
    pub tail_bytes_max: usize,
}

/// How many edits of the keys that begin with `prefix` may stand behind a cartridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixRule {
    /// Of which keys; none stands for all.
    pub prefix: Vec<u8>,
    /// How many.
    pub edits_max: u64,
}

impl Default for Policy {
    /// 4096 positions, ten minutes, 16 MiB.
    fn default() -> Self {
        Self {
            positions_max: Some(4096),
            age_max: Some(Duration::from_secs(600)),
            prefixes: Vec::new(),
            tail_bytes_max: 16 << 20,
        }
    }
}

/// Why a cartridge is to be built again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// There is none that can be used.
    Missing,
    /// More positions than the policy allows are not covered.
    Positions {
        /// How many.
        uncovered: u64,
    },
    /// The oldest change that is not covered came longer ago than the policy allows.
    Age {
        /// How long ago.
        age: Duration,
    },
    /// More edits below a prefix than the policy allows are not covered.
    Prefix {
        /// Below which.
        prefix: Vec<u8>,
        /// How many.
        edits: u64,
    },
    /// The changes that are not covered take most of the memory that they may take.
    Memory {
        /// How much, in bytes.
        bytes: usize,
    },
}

/// What stands behind a cartridge.
#[derive(Debug, Clone, Default)]
pub(crate) struct Uncovered {
    pub(crate) positions: u64,
    /// When the first of them came.
    pub(crate) since: Option<Duration>,
    pub(crate) bytes: usize,
    /// Edits for each of the policy's prefixes.
    pub(crate) edits: Vec<u64>,
}

impl Policy {
    /// The first reason to build a cartridge again, with this behind it.
    pub(crate) fn judge(&self, uncovered: &Uncovered, now: Duration) -> Option<Trigger> {
        let positions = uncovered.positions;
        if self.positions_max.is_some_and(|max| positions > max) {
            return Some(Trigger::Positions { uncovered: positions });
        }
        // A clock that was set back makes nothing older.
        let age = uncovered.since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        if self.age_max.is_some_and(|max| uncovered.since.is_some() && age > max) {
            return Some(Trigger::Age { age });
        }
        for (rule, &edits) in self.prefixes.iter().zip(&uncovered.edits) {
            if edits > rule.edits_max {
                return Some(Trigger::Prefix { prefix: rule.prefix.clone(), edits });
            }
        }
        // Before the view is full, so that there is time.
        (uncovered.bytes > self.tail_bytes_max / 4 * 3).then_some(Trigger::Memory { bytes: uncovered.bytes })
    }
}
