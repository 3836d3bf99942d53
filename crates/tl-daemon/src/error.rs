//! Everything that can go wrong, and what the caller should do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::connection::ConnectionError;
use crate::wire::{Failure, FailureKind, StoreId};

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller should do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The same call can succeed later.
    Retry,
    /// The call itself is wrong, or something outside must be changed first.
    FixInput,
    /// The store is damaged: `verify` shows where, `repair` keeps what is intact.
    Repair,
    /// This handle is of no further use.
    Stop,
}

/// Everything that can go wrong around stores and daemons.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation on a file.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A directory was expected.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// What is there.
        path: PathBuf,
    },
    /// A directory or file is not what a store consists of.
    #[error("{} is no store of Timelapse: {reason}", path.display())]
    NotAStore {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A newer program made the store.
    #[error("{} has format version {found}, this program reads up to {supported}: use a newer program", path.display())]
    NewerStore {
        /// The store.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that this program reads.
        supported: u32,
    },
    /// Another user owns a file or directory.
    #[error("{} belongs to user {owner}, and this is user {user}: nothing of another user's is opened", path.display())]
    ForeignStore {
        /// Which one.
        path: PathBuf,
        /// The user id of its owner.
        owner: u32,
        /// The user id of this process.
        user: u32,
    },
    /// Other users can get at a directory.
    #[error("{} is open to other users (mode {mode:04o}): take their permissions away with `chmod go-rwx`", path.display())]
    OpenToOthers {
        /// Which one.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// No store of this user has that id.
    #[error("there is no store {id} of yours{}", marker.as_ref().map_or_else(String::new, |path| format!(": {} came from somewhere else and is not followed; remove it, then run `tl init`", path.display())))]
    UnknownStore {
        /// The id.
        id: StoreId,
        /// Where it stands, if it was read from a tree.
        marker: Option<PathBuf>,
    },
    /// A directory is marked with the id of a store that remembers another directory.
    #[error(
        "{} is not the directory that store {id} belongs to, which is {}{}: run `tl init --adopt` here to give this one a store of its own with the same history",
        here.display(),
        recorded.display(),
        if *in_place { "" } else { " (gone, or moved to where it was not seen yet)" }
    )]
    OtherRoot {
        /// The store.
        id: StoreId,
        /// The directory that is marked.
        here: PathBuf,
        /// The directory that the store remembers.
        recorded: PathBuf,
        /// True if that one is where it was seen last.
        in_place: bool,
    },
    /// A directory has a store already.
    #[error("{} is protected already, by store {id}", root.display())]
    AlreadyProtected {
        /// The directory.
        root: PathBuf,
        /// Its store.
        id: StoreId,
    },
    /// What stands at the marker's name is no marker.
    #[error("{} is no marker of Timelapse: move it away, then run `tl init`", path.display())]
    BadMarker {
        /// Which one.
        path: PathBuf,
    },
    /// A store in a tree is not registered with this user.
    #[error("{} is a store that you have not registered: run `tl doctor --adopt` to have it checked and registered", path.display())]
    Unregistered {
        /// Its id.
        id: StoreId,
        /// The store.
        path: PathBuf,
    },
    /// A store in a tree is not where it was seen last.
    #[error("store {id} is not at {}: is its disk plugged in?", path.display())]
    Unplugged {
        /// Its id.
        id: StoreId,
        /// Where it was.
        path: PathBuf,
    },
    /// A daemon runs on the store.
    #[error("store {id} is in use by a daemon: stop it with `tl stop` first")]
    InUse {
        /// The store.
        id: StoreId,
    },
    /// A socket's path is too long for the system.
    #[error("{} is too long for the path of a socket, which has at most {len_max} bytes: set XDG_RUNTIME_DIR to a shorter directory", path.display())]
    SocketPath {
        /// The path.
        path: PathBuf,
        /// The longest that is possible.
        len_max: usize,
    },
    /// Another daemon, or a program in its place, has the store.
    #[error("store {id} has a daemon already, or a program that takes its place")]
    AlreadyRunning {
        /// The store.
        id: StoreId,
    },
    /// No daemon listens.
    #[error("no daemon listens at {}: start it with `tl start`", socket.display())]
    NoDaemon {
        /// Where one would.
        socket: PathBuf,
    },
    /// The daemon could not be started.
    #[error("the daemon did not start: {reason}")]
    NotStarted {
        /// What it said.
        reason: String,
    },
    /// The daemon is of another version.
    #[error(
        "the daemon speaks version {daemon} of the protocol, this program version {ours}: end it with `tl stop`, and the next command starts one that fits"
    )]
    OtherVersion {
        /// The daemon's.
        daemon: u32,
        /// This program's.
        ours: u32,
    },
    /// The daemon has as many peers as it takes.
    #[error("the daemon has as many connections as it takes: try again")]
    DaemonBusy,
    /// The daemon is ending.
    #[error("the daemon is ending: try again")]
    DaemonEnding,
    /// What listens belongs to another user.
    #[error("at {} listens user {user}: nothing is sent there", socket.display())]
    ForeignDaemon {
        /// Where.
        socket: PathBuf,
        /// Who.
        user: u32,
    },
    /// A setting is not what it can be.
    #[error("setting {key}: {reason}")]
    Setting {
        /// Which one.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store of the repository failed.
    #[error(transparent)]
    Repository(#[from] tl_journal::Error),
    /// The watcher failed.
    #[error(transparent)]
    Watcher(#[from] tl_watcher::Error),
    /// A request was refused or failed.
    #[error(transparent)]
    Refused(#[from] Failure),
    /// The connection to the daemon ended.
    #[error("the connection to the daemon: {0}")]
    Connection(#[from] ConnectionError),
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory => {
                    ErrorKind::FixInput
                }
                _ => ErrorKind::Retry,
            },
            Self::InUse { .. }
            | Self::Unplugged { .. }
            | Self::AlreadyRunning { .. }
            | Self::NoDaemon { .. }
            | Self::NotStarted { .. }
            | Self::DaemonBusy
            | Self::DaemonEnding => ErrorKind::Retry,
            Self::NotADirectory { .. }
            | Self::NewerStore { .. }
            | Self::ForeignStore { .. }
            | Self::OpenToOthers { .. }
            | Self::UnknownStore { .. }
            | Self::OtherRoot { .. }
            | Self::AlreadyProtected { .. }
            | Self::BadMarker { .. }
            | Self::Unregistered { .. }
            | Self::SocketPath { .. }
            | Self::Setting { .. }
            | Self::OtherVersion { .. }
            | Self::ForeignDaemon { .. } => ErrorKind::FixInput,
            Self::NotAStore { .. } => ErrorKind::Repair,
            Self::Refused(failure) => match failure.kind {
                FailureKind::Busy | FailureKind::Retry | FailureKind::Full => ErrorKind::Retry,
                FailureKind::Damaged => ErrorKind::Repair,
                FailureKind::Stopping | FailureKind::RootGone | FailureKind::Internal => ErrorKind::Stop,
                _ => ErrorKind::FixInput,
            },
            Self::Connection(_) => ErrorKind::Stop,
            Self::Repository(error) => match error.kind() {
                tl_journal::ErrorKind::Retry => ErrorKind::Retry,
                tl_journal::ErrorKind::FixInput => ErrorKind::FixInput,
                tl_journal::ErrorKind::Repair => ErrorKind::Repair,
                _ => ErrorKind::Stop,
            },
            Self::Watcher(error) => match error.kind() {
                tl_watcher::ErrorKind::Retry => ErrorKind::Retry,
                tl_watcher::ErrorKind::FixInput => ErrorKind::FixInput,
                _ => ErrorKind::Stop,
            },
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { action, path: path.to_owned(), source: source.into() }
    }

    pub(crate) fn not_a_store(path: &Path, reason: &'static str) -> Self {
        Self::NotAStore { path: path.to_owned(), reason }
    }
}
