//! Between the types of the store and those of the wire.

use tl_journal::names::NameError;

use crate::wire::{self, Failure, FailureKind};

pub(crate) fn id_of(id: wire::CheckpointId) -> tl_journal::CheckpointId {
    tl_journal::CheckpointId::from_bytes(id.0)
}

pub(crate) const fn to_id(id: tl_journal::CheckpointId) -> wire::CheckpointId {
    wire::CheckpointId(id.to_bytes())
}

pub(crate) const fn object_of(id: wire::ObjectId) -> tl_core::ObjectId {
    tl_core::ObjectId::from_bytes(id.0)
}

pub(crate) const fn to_object(id: tl_core::ObjectId) -> wire::ObjectId {
    wire::ObjectId(*id.as_bytes())
}

/// A path of a repository; the failure says what it must not be.
pub(crate) fn path_of(path: &wire::PathBytes) -> Result<tl_core::RepoPathBuf, Failure> {
    let wrong = |error: tl_core::PathError| {
        Failure::new(FailureKind::Invalid, format!("\"{}\" is no path below the root: {error}", path.0.escape_ascii()))
    };
    tl_core::RepoPath::new(&path.0).map(ToOwned::to_owned).map_err(wrong)
}

pub(crate) fn to_path(path: &tl_core::RepoPath) -> wire::PathBytes {
    wire::PathBytes(path.as_bytes().to_vec())
}

pub(crate) fn to_provenance(provenance: wire::Provenance) -> tl_journal::Provenance {
    let wire::Provenance { session, actor, label, message } = provenance;
    tl_journal::Provenance { session, actor, label, message }
}

pub(crate) fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

const fn to_reason(reason: tl_journal::Reason) -> wire::Reason {
    match reason {
        tl_journal::Reason::FsBatch => wire::Reason::FsBatch,
        tl_journal::Reason::Manual => wire::Reason::Manual,
        tl_journal::Reason::Restore => wire::Reason::Restore,
        tl_journal::Reason::BeforeRestore => wire::Reason::BeforeRestore,
        tl_journal::Reason::Startup => wire::Reason::Startup,
        tl_journal::Reason::Publish => wire::Reason::Publish,
        tl_journal::Reason::Import => wire::Reason::Import,
        tl_journal::Reason::GcCompact => wire::Reason::GcCompact,
    }
}

const fn to_cause(cause: tl_journal::GapCause) -> wire::GapCause {
    match cause {
        tl_journal::GapCause::PermissionDenied => wire::GapCause::PermissionDenied,
        tl_journal::GapCause::ReadError => wire::GapCause::ReadError,
        tl_journal::GapCause::Changing => wire::GapCause::Changing,
        tl_journal::GapCause::Unrecordable => wire::GapCause::Unrecordable,
        tl_journal::GapCause::Special => wire::GapCause::Special,
        tl_journal::GapCause::TooLarge => wire::GapCause::TooLarge,
    }
}

/// A checkpoint with the label of its record.
pub(crate) fn from_checkpoint(checkpoint: &tl_journal::Checkpoint) -> wire::Checkpoint {
    let stats = &checkpoint.stats;
    let completeness = &checkpoint.completeness;
    let gaps = completeness.listed.iter();
    let tl_journal::Provenance { session, actor, label, message } = checkpoint.provenance.clone();
    wire::Checkpoint {
        id: to_id(checkpoint.id),
        sequence: checkpoint.sequence,
        time_us: micros(checkpoint.time),
        reason: to_reason(checkpoint.reason),
        generation: checkpoint.generation,
        parents: checkpoint.parents.iter().copied().map(to_id).collect(),
        root: to_object(checkpoint.root),
        saved: checkpoint.saved.map(to_object),
        stats: wire::ChangeStats {
            files_added: stats.files_added,
            files_changed: stats.files_changed,
            files_removed: stats.files_removed,
            bytes_added: stats.bytes_added,
            bytes_removed: stats.bytes_removed,
        },
        touched: checkpoint.touched.listed.iter().map(|path| to_path(path)).collect(),
        touched_more: checkpoint.touched.more,
        completeness: wire::Completeness {
            missing: completeness.missing,
            skipped: completeness.skipped,
            listed: gaps.map(|gap| wire::Gap { path: to_path(&gap.path), cause: to_cause(gap.cause) }).collect(),
        },
        provenance: wire::Provenance { session, actor, label, message },
    }
}

impl From<tl_journal::Error> for Failure {
    fn from(error: tl_journal::Error) -> Self {
        failure(&error)
    }
}

impl From<tl_core::Error> for Failure {
    fn from(error: tl_core::Error) -> Self {
        let kind = match &error {
            tl_core::Error::Missing { .. } => FailureKind::NotFound,
            tl_core::Error::Purged { .. } => FailureKind::Purged,
            tl_core::Error::NewerFormat { .. } => FailureKind::Newer,
            tl_core::Error::CollectionBusy => FailureKind::Busy,
            tl_core::Error::Database(error) => of_engine(error),
            _ => match error.kind() {
                tl_core::ErrorKind::Retry => FailureKind::Retry,
                tl_core::ErrorKind::Repair => FailureKind::Damaged,
                tl_core::ErrorKind::FixInput => FailureKind::Invalid,
                _ => FailureKind::Stopping,
            },
        };
        with_hint(Self::new(kind, error.to_string()))
    }
}

/// A failure of the repository as others are told of it.
pub(crate) fn failure(error: &tl_journal::Error) -> Failure {
    let kind = match error {
        tl_journal::Error::Objects(error) => return error.clone().into(),
        tl_journal::Error::Engine(error) => of_engine(error),
        tl_journal::Error::RootGone { .. } => FailureKind::RootGone,
        tl_journal::Error::NoCheckpoint { .. } => FailureKind::NotFound,
        tl_journal::Error::Busy { .. } => FailureKind::Busy,
        tl_journal::Error::Newer { .. } => FailureKind::Newer,
        tl_journal::Error::NothingToUndo { .. } => FailureKind::NotFound,
        tl_journal::Error::NoRoom { .. } => FailureKind::Full,
        tl_journal::Error::Io { source, .. } => match source.kind() {
            std::io::ErrorKind::PermissionDenied => FailureKind::Denied,
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => FailureKind::Full,
            _ => FailureKind::Retry,
        },
        _ => match error.kind() {
            tl_journal::ErrorKind::Retry => FailureKind::Retry,
            tl_journal::ErrorKind::FixInput => FailureKind::Invalid,
            tl_journal::ErrorKind::Repair => FailureKind::Damaged,
            _ => FailureKind::Stopping,
        },
    };
    with_hint(Failure::new(kind, error.to_string()))
}

fn of_engine(error: &granite::Error) -> FailureKind {
    match error {
        granite::Error::StorageFull { .. } => FailureKind::Full,
        granite::Error::Locked { .. } => FailureKind::Busy,
        granite::Error::NewerFormat { .. } => FailureKind::Newer,
        granite::Error::ReadOnly => FailureKind::Unsupported,
        error => match error.kind() {
            granite::ErrorKind::Retry => FailureKind::Retry,
            granite::ErrorKind::Repair => FailureKind::Damaged,
            granite::ErrorKind::FixInput => FailureKind::Invalid,
            _ => FailureKind::Stopping,
        },
    }
}

fn with_hint(failure: Failure) -> Failure {
    match failure.kind {
        FailureKind::Full => failure.hint("free some space, or run `tl gc`"),
        FailureKind::Damaged => failure.hint("run `tl verify` to see the extent, then `tl repair`"),
        FailureKind::Busy => failure.hint("try again when it is done"),
        FailureKind::Stopping => failure.hint("run the command again: the daemon starts anew"),
        _ => failure,
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        let kind = match &error {
            NameError::Ambiguous { .. } => FailureKind::Ambiguous,
            NameError::Journal(error) => return failure(error),
            _ => FailureKind::NotFound,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        match error {
            crate::Error::Refused(failure) => failure,
            crate::Error::Repository(error) => failure(&error),
            error => {
                let kind = match error.kind() {
                    crate::ErrorKind::Retry => FailureKind::Retry,
                    crate::ErrorKind::FixInput => FailureKind::Invalid,
                    crate::ErrorKind::Repair => FailureKind::Damaged,
                    crate::ErrorKind::Stop => FailureKind::Stopping,
                };
                Self::new(kind, error.to_string())
            }
        }
    }
}
