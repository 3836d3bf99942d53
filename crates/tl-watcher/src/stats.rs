//! What the watcher says about itself.

use std::fmt;

use crate::batch::RootEvent;
use crate::path::RelPath;

/// The state of a watcher, for `status`.
///
/// Whatever the mode, the operating system tells nobody about writes through a shared mapping before they are synced (`msync`), about
/// writes through a hard link that lies outside the root, and about writes that another machine makes on a network filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Where events come from now.
    pub mode: Mode,
    /// What is scanned from time to time, as no events come from there, with the reason. Sorted by path; the root stands for everything.
    pub scanned: Vec<(RelPath, ScanReason)>,
    /// Watched directories.
    pub watches: usize,
    /// What the kernel holds for the watches, in bytes: an estimate from what it charges for each.
    pub kernel_bytes: u64,
    /// The heap of the watch table, in bytes.
    pub table_bytes: usize,
    /// Events that were read from the system.
    pub events: u64,
    /// How often the kernel's queue overflowed.
    pub overflows: u64,
    /// Paths and directories that are dirty now.
    pub dirty: usize,
    /// Directories that could not be opened for lack of permission; their content is not reported until that changes.
    pub denied: u64,
}

/// Where events come from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// inotify.
    Native,
    /// The crate `notify`.
    Portable,
    /// Nowhere: the whole tree is scanned from time to time.
    Scan,
    /// The root is gone.
    Ended(RootEvent),
}

/// Why a directory is scanned instead of watched.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScanReason {
    /// It was asked for.
    Asked,
    /// Other machines write on this filesystem and no event tells of it.
    NetworkFilesystem(&'static str),
    /// An overlay replaces directories beneath a watch when something in them is first written.
    OverlayFilesystem,
    /// The kernel makes the entries up as they are read.
    PseudoFilesystem(&'static str),
    /// The kernel gives this user no more watches, or the configured number is used up.
    WatchLimit,
    /// The kernel gives this user no further instance of inotify.
    InstanceLimit,
    /// The same directory stands elsewhere in the tree too (a bind mount), and the kernel tells of one place alone.
    Alias,
    /// `/proc` is not mounted, and without it no watch can be set safely.
    NoProcfs,
    /// The system refused the watch.
    Refused(String),
}

impl fmt::Display for ScanReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("scanning was asked for"),
            Self::NetworkFilesystem(name) => {
                write!(f, "it is on a network filesystem ({name}), which does not tell of what other machines write")
            }
            Self::OverlayFilesystem => f.write_str("it is on an overlay filesystem, whose events are incomplete"),
            Self::PseudoFilesystem(name) => write!(f, "it is on {name}, which has no events"),
            Self::WatchLimit => {
                f.write_str("the limit of watches is reached: raise the sysctl fs.inotify.max_user_watches")
            }
            Self::InstanceLimit => {
                f.write_str("the limit of inotify instances is reached: raise the sysctl fs.inotify.max_user_instances")
            }
            Self::Alias => f.write_str("the same directory stands elsewhere in the tree, by a bind mount"),
            Self::NoProcfs => f.write_str("/proc is not mounted"),
            Self::Refused(error) => write!(f, "the system refused to watch it: {error}"),
        }
    }
}
