//! When a changed path has settled: a pure state machine. Every moment comes in as a parameter; nothing here reads a clock.
//!
//! While checkpoints are rare, a path is due shortly after the last event that ended something in its directory (a close after writing, a
//! rename). When they come too often, each path waits on its own until it has been quiet for a window. Either way none waits longer
//! than the limit, and a file that is written without ever being closed is due at the limit.

use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// When changed paths are handed out. The defaults are the product's promise; see each field.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SettleOptions {
    /// How long the directory of a path must have been free of closes and renames. 4 ms.
    pub quiet: Duration,
    /// How long a directory that never gets quiet can delay a path that is, and how long a created file may stay without a close before
    /// it is taken as it is (a link or a FIFO is never closed). 40 ms: with the work of a checkpoint, what stands for 50 ms is kept.
    pub neighbours_max: Duration,
    /// How long a path must have been quiet itself while checkpoints are too frequent. 300 ms; 200 to 500 ms.
    pub window: Duration,
    /// The longest that any path waits, counted from its first event. 2 s.
    pub wait_max: Duration,
    /// Checkpoints a second up to which paths are not held back. 32.
    pub rate_per_second: u32,
    /// Checkpoints that may come at once after a time of rest. 64.
    pub burst: u32,
}

impl Default for SettleOptions {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(4),
            neighbours_max: Duration::from_millis(40),
            window: Duration::from_millis(300),
            wait_max: Duration::from_secs(2),
            rate_per_second: 32,
            burst: 64,
        }
    }
}

impl SettleOptions {
    pub(crate) fn check(&self) -> Result<()> {
        let window = Duration::from_millis(200)..=Duration::from_millis(500);
        let refuse = |option, range| Err(Error::InvalidOption { option, range });
        if !window.contains(&self.window) {
            return refuse("window", "from 200 to 500 ms");
        }
        if self.rate_per_second == 0 || self.burst == 0 {
            return refuse("rate_per_second and burst", "at least 1");
        }
        if self.quiet > self.neighbours_max || self.neighbours_max > self.window || self.window > self.wait_max {
            return refuse("quiet, neighbours_max, window and wait_max", "in ascending order");
        }
        Ok(())
    }
}

/// What an event says about the state of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    /// Something ended: closed after writing, renamed, removed, its attributes changed.
    Settled,
    /// A name appeared. If it is a file that somebody writes, a close will follow; a link or a FIFO has none.
    Created,
    /// Written to, and not closed since.
    Modified,
    /// The consumer could not read it in a stable state.
    Requeued,
}

/// How eagerly paths are handed out at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    Quick,
    /// Too many checkpoints: nothing before the moment, and each path after its own window.
    Coalesced {
        not_before: Instant,
    },
}

/// The waiting time of one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    first: Instant,
    last: Instant,
    activity: Activity,
}

impl Waiting {
    pub(crate) fn new(activity: Activity, now: Instant) -> Self {
        Self { first: now, last: now, activity }
    }

    pub(crate) fn touch(&mut self, activity: Activity, now: Instant) {
        self.first = self.first.min(now);
        self.last = self.last.max(now);
        if activity != Activity::Requeued {
            self.activity = activity;
        }
    }

    /// From when on the path is due, if nothing more happens. `neighbours` is the last moment at which something ended in the path's
    /// directory.
    pub(crate) fn due(&self, neighbours: Option<Instant>, pace: Pace, options: &SettleOptions) -> Instant {
        let limit = self.first + options.wait_max;
        let settled = match (self.activity, pace) {
            (Activity::Modified, _) => limit,
            (Activity::Requeued, _) | (_, Pace::Coalesced { .. }) => self.last + options.window,
            (Activity::Created, Pace::Quick) => self.last + options.neighbours_max,
            (Activity::Settled, Pace::Quick) => {
                let quiet_since = neighbours.map_or(self.last, |moment| moment.max(self.last));
                (quiet_since + options.quiet).min(self.last + options.neighbours_max)
            }
        };
        let due = settled.min(limit);
        match pace {
            Pace::Quick => due,
            Pace::Coalesced { not_before } => due.max(not_before),
        }
    }
}

/// Counts checkpoints: a token bucket that, once empty, slows everything down until a second's worth (or half of the bucket, if that is
/// less) has come together again. Without that gap between the two levels the one token that drips in every 31 ms would be spent at once and
/// nothing would ever be coalesced.
#[derive(Debug)]
pub(crate) struct Throttle {
    /// A checkpoint costs [`TOKEN`] of these.
    level: u64,
    refilled: Instant,
    coalescing: bool,
    last_checkpoint: Option<Instant>,
    rate_per_second: u64,
    full: u64,
    resume: u64,
}

/// One token, in nanotokens: at a rate of `r` a second, `r` of them drip in every nanosecond.
const TOKEN: u64 = 1_000_000_000;

impl Throttle {
    pub(crate) fn new(options: &SettleOptions, now: Instant) -> Self {
        let (rate, burst) = (u64::from(options.rate_per_second), u64::from(options.burst));
        Self {
            level: burst * TOKEN,
            refilled: now,
            coalescing: false,
            last_checkpoint: None,
            rate_per_second: rate,
            full: burst * TOKEN,
            resume: rate.min(burst.div_ceil(2)) * TOKEN,
        }
    }

    pub(crate) fn checkpointed(&mut self, now: Instant) {
        self.refill(now);
        self.level = self.level.saturating_sub(TOKEN);
        self.coalescing |= self.level < TOKEN;
        self.last_checkpoint = Some(now);
    }

    pub(crate) fn pace(&mut self, now: Instant) -> Pace {
        self.refill(now);
        if !self.coalescing {
            return Pace::Quick;
        }
        let gap = Duration::from_nanos(TOKEN / self.rate_per_second);
        Pace::Coalesced { not_before: self.last_checkpoint.map_or(now, |last| last + gap) }
    }

    /// When the pace gets quick again if there is no further checkpoint.
    pub(crate) fn quick_from(&self) -> Option<Instant> {
        let missing = self.resume.saturating_sub(self.level);
        self.coalescing.then(|| self.refilled + Duration::from_nanos(missing.div_ceil(self.rate_per_second)))
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = u64::try_from(now.saturating_duration_since(self.refilled).as_nanos()).unwrap_or(u64::MAX);
        self.level = self.level.saturating_add(elapsed.saturating_mul(self.rate_per_second)).min(self.full);
        self.refilled = self.refilled.max(now);
        if self.level >= self.resume {
            self.coalescing = false;
        }
    }
}

#[cfg(test)]
mod tests;
