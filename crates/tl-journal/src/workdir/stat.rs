//! What the system says of a file without opening it.

use std::time::Duration;

use rustix::fs::{FileType, RawMode};
use tl_core::Mode;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatKind {
    File,
    Symlink,
    Directory,
    /// A FIFO, socket or device: never opened.
    Special,
}

/// A time of a file, as exact as the filesystem keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileTime {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds since then, below 10^9.
    pub nanos: u32,
}

/// What the system says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) kind: StatKind,
    pub(crate) mode: Mode,
    pub(crate) size: u64,
    pub(crate) mtime: FileTime,
    pub(crate) ctime: FileTime,
    pub(crate) inode: u64,
    pub(crate) device: u64,
    /// Number of names; 0 once the last one is gone.
    pub(crate) links: u64,
}

/// A filesystem's clock ticks at least this often where it keeps fractions of seconds.
const GRAIN_FINE: Duration = Duration::from_millis(20);
/// And this often where it does not.
const GRAIN_COARSE: Duration = Duration::from_secs(2);

impl Stat {
    #[cfg_attr(target_os = "linux", expect(clippy::unnecessary_cast, reason = "the types differ between systems"))]
    pub(crate) fn new(stat: &rustix::fs::Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode as RawMode) {
            FileType::RegularFile => StatKind::File,
            FileType::Symlink => StatKind::Symlink,
            FileType::Directory => StatKind::Directory,
            _ => StatKind::Special,
        };
        Self {
            kind,
            mode: Mode::new(stat.st_mode as u32),
            // A directory's own size says nothing of what is in it.
            size: if kind == StatKind::Directory { 0 } else { stat.st_size as u64 },
            mtime: FileTime { seconds: stat.st_mtime as i64, nanos: stat.st_mtime_nsec as u32 },
            ctime: FileTime { seconds: stat.st_ctime as i64, nanos: stat.st_ctime_nsec as u32 },
            inode: stat.st_ino as u64,
            device: stat.st_dev as u64,
            links: stat.st_nlink as u64,
        }
    }

    /// True if nothing that a write would change differs.
    pub(crate) fn is_same_state(&self, other: &Self) -> bool {
        self == &Self { links: self.links, ..*other }
    }

    /// True if a change after `now` (since 1970) could leave the same times: then they prove nothing later.
    pub(crate) fn is_racy_at(&self, now: Duration) -> bool {
        let coarse = self.mtime.nanos == 0 && self.ctime.nanos == 0;
        let settled = now.saturating_sub(if coarse { GRAIN_COARSE } else { GRAIN_FINE });
        let settled =
            FileTime { seconds: i64::try_from(settled.as_secs()).unwrap_or(i64::MAX), nanos: settled.subsec_nanos() };
        self.mtime >= settled || self.ctime >= settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mtime: (i64, u32), ctime: (i64, u32)) -> Stat {
        let time = |(seconds, nanos)| FileTime { seconds, nanos };
        let kind = StatKind::File;
        let (mtime, ctime) = (time(mtime), time(ctime));
        Stat { kind, mode: Mode::new(0o644), size: 1, mtime, ctime, inode: 1, device: 1, links: 1 }
    }

    /// If it fails, a save in the tick of the last look is never seen.
    #[test]
    fn times_near_the_look_prove_nothing() {
        let now = Duration::new(1000, 500_000_000);
        for (stat, racy) in [
            (at((1000, 480_000_001), (900, 1)), true),
            (at((900, 1), (1000, 480_000_001)), true),
            (at((900, 1), (1000, 479_999_999)), false),
            // From the future, as after a step of the clock.
            (at((2000, 1), (900, 1)), true),
            (at((-5, 0), (998, 0)), false),
            (at((999, 0), (999, 0)), true),
        ] {
            assert_eq!(stat.is_racy_at(now), racy, "{stat:?}");
        }
    }
}
