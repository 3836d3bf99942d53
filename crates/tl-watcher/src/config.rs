//! What may be chosen.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::dirty::DirtyLimits;
use crate::error::{Error, Result};
use crate::path::RelPath;
use crate::rules::IgnoreRules;
use crate::settle::SettleOptions;

/// Says whether something at or beneath an ignored path is recorded, so that it must still be watched.
///
/// It is called from the watcher's threads, for ignored paths alone. It should answer from memory or an index, and must not call the watcher.
pub type Keeps = Arc<dyn Fn(&RelPath) -> bool + Send + Sync>;

/// Where events come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Backend {
    /// The system's own where there is one, else the portable one. Where events would be incomplete (network filesystems, overlays,
    /// exhausted limits) the tree is scanned from time to time instead, and [`Stats`](crate::Stats) says why.
    #[default]
    Auto,
    /// inotify, whatever the filesystem. Linux alone.
    Native,
    /// The crate `notify`: FSEvents, kqueue and others.
    Portable(Fidelity),
    /// No events: everything is looked at from time to time.
    Scan,
}

/// How much the events of the portable backend tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Fidelity {
    /// Whatever the system tells.
    #[default]
    Full,
    /// Only in which directory something changed: closes and the pairing of renames are not used. This is what FSEvents tells under
    /// load, and lets the rest be tested anywhere.
    Directories,
}

/// Everything a [`Watcher`](crate::Watcher) is started with.
#[derive(Clone)]
#[non_exhaustive]
pub struct WatchConfig {
    /// The directory to watch.
    pub root: PathBuf,
    /// Where events come from.
    pub backend: Backend,
    /// What is not reported.
    pub rules: Arc<IgnoreRules>,
    /// Which ignored paths are reported all the same. By default none.
    pub keeps: Keeps,
    /// When changes are handed out.
    pub settle: SettleOptions,
    /// How much is held in detail until then.
    pub limits: DirtyLimits,
    /// The most kernel watches to take, so that other programs of the user keep some: the kernel limits them for each user
    /// (`fs.inotify.max_user_watches`). What lies beyond is scanned. No limit of our own by default.
    pub watches_max: usize,
    /// How long to rest between two scans of what cannot be watched; longer if a scan takes more than a tenth of it. 10 s.
    pub scan_interval: Duration,
    /// How long the portable backend's barrier waits for its own event before it reports a rescan instead. 2 s.
    pub barrier_timeout: Duration,
}

impl WatchConfig {
    /// The defaults for the tree at `root`.
    pub fn new(root: impl Into<PathBuf>, rules: Arc<IgnoreRules>) -> Self {
        Self {
            root: root.into(),
            backend: Backend::Auto,
            rules,
            keeps: Arc::new(|_| false),
            settle: SettleOptions::default(),
            limits: DirtyLimits::default(),
            watches_max: usize::MAX,
            scan_interval: Duration::from_secs(10),
            barrier_timeout: Duration::from_secs(2),
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.settle.check()?;
        let limits = &self.limits;
        if limits.names_per_directory_max == 0 || limits.names_max == 0 || limits.directories_max == 0 {
            return Err(Error::InvalidOption { option: "limits", range: "at least 1 each" });
        }
        if self.scan_interval.is_zero() || self.barrier_timeout.is_zero() {
            return Err(Error::InvalidOption { option: "scan_interval and barrier_timeout", range: "more than zero" });
        }
        Ok(())
    }
}

impl fmt::Debug for WatchConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchConfig")
            .field("root", &self.root)
            .field("backend", &self.backend)
            .field("settle", &self.settle)
            .field("limits", &self.limits)
            .field("watches_max", &self.watches_max)
            .field("scan_interval", &self.scan_interval)
            .field("barrier_timeout", &self.barrier_timeout)
            .finish_non_exhaustive()
    }
}
