//! Which checkpoints stay: a decision over ids and times, made before anything is touched, with a reason for each.

mod budget;
mod thinning;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::checkpoint::CheckpointId;

pub(crate) use budget::{Candidate, within_budget};
pub(crate) use thinning::{Survey, thin};

/// Which checkpoints are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// This many of the newest are kept, whatever their age.
    pub newest: usize,
    /// All that are younger are kept, however many.
    pub dense_for: Duration,
    /// Of older ones the last of each hour (of UTC) is kept, up to this age.
    pub hourly_for: Duration,
    /// Of still older ones the last of each day (of UTC) is kept, up to this age; `None` for ever.
    pub daily_for: Option<Duration>,
    /// Imported ones are kept.
    pub keep_imported: bool,
    /// Bytes that the store may take on the disk. Beyond it the oldest go, whatever the rules above say of them.
    pub budget_bytes: Option<u64>,
}

impl Default for RetentionPolicy {
    /// 2,000, a day, thirty days, for ever, imported ones too, no budget.
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            newest: 2000,
            dense_for: DAY,
            hourly_for: 30 * DAY,
            daily_for: None,
            keep_imported: true,
            budget_bytes: None,
        }
    }
}

/// Why a checkpoint stays. The first one that holds is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeepReason {
    /// It is the newest state of the working directory.
    Head,
    /// A pin has it.
    Pinned,
    /// It was published.
    Published,
    /// It was imported.
    Imported,
    /// Somebody reads it now.
    Leased,
    /// Undo or redo leads to it.
    Undo,
    /// It is among the newest.
    Newest,
    /// It is young.
    Recent,
    /// It is the last one of its hour.
    Hourly,
    /// It is the last one of its day.
    Daily,
}

impl KeepReason {
    /// True if it stays even beyond the budget.
    #[must_use]
    pub const fn is_hard(self) -> bool {
        matches!(self, Self::Head | Self::Pinned | Self::Published | Self::Imported | Self::Leased)
    }
}

/// Why a checkpoint goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvictReason {
    /// A later one of the same hour stays.
    SameHour {
        /// Which one.
        kept: CheckpointId,
    },
    /// A later one of the same day stays.
    SameDay {
        /// Which one.
        kept: CheckpointId,
    },
    /// It is older than the daily ones that are kept.
    TooOld,
    /// The store is over its budget, and this was the oldest that could go.
    OverBudget {
        /// Why it would have stayed.
        instead_of: KeepReason,
        /// About how many bytes only it needs, as they are stored.
        bytes: u64,
    },
}

/// A checkpoint that goes, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eviction {
    /// Which one.
    pub id: CheckpointId,
    /// Why.
    pub reason: EvictReason,
}

/// What stays and what goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionPlan {
    /// How many stay, by reason.
    pub kept: BTreeMap<KeepReason, u64>,
    /// Those that go: by age and number, newest first, then those over the budget, oldest first.
    pub evictions: Vec<Eviction>,
    /// Bytes by which the store will be over its budget even so, as far as can be told: pins and the like hold them.
    pub over_budget_bytes: u64,
}

impl RetentionPlan {
    /// Adds what goes because of the budget, of what this plan keeps.
    pub(crate) fn add_over_budget(&mut self, over: Self) {
        self.evictions.extend(over.evictions);
        self.kept = over.kept;
        self.over_budget_bytes = over.over_budget_bytes;
    }
}
