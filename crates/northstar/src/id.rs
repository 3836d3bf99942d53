//! Numbers that must not be mixed up.

use std::fmt;
use std::time::Duration;

/// A committed transaction. The first is 1; numbers rise by one without gaps. 0 is the state before anything was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TxnId(pub u64);

impl TxnId {
    /// The state before the first commit.
    pub const ZERO: Self = Self(0);

    /// The transaction after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// When a transaction was committed: microseconds since the Unix epoch, by the clock of the database. It never falls from
/// one commit to the next, also when the clock does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CommitTime(pub u64);

impl CommitTime {
    /// The time as it stands on a clock.
    #[must_use]
    pub fn from_clock(since_epoch: Duration) -> Self {
        Self(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
    }

    /// Time since the Unix epoch.
    #[must_use]
    pub const fn since_epoch(self) -> Duration {
        Duration::from_micros(self.0)
    }
}

/// A page: its place in the file in units of the page size. Numbers from [`PageId::VIRTUAL`] on are pages that live in memory only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct PageId(pub(crate) u32);

impl PageId {
    /// No page: page 0 is the first meta page, which nothing points to.
    pub(crate) const NONE: Self = Self(0);
    /// The first of the pages that no file holds.
    pub(crate) const VIRTUAL: u32 = 1 << 31;

    pub(crate) const fn is_none(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn is_virtual(self) -> bool {
        self.0 >= Self::VIRTUAL
    }
}

impl fmt::Display for PageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
