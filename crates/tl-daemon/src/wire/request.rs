//! What a program can ask for.

use serde::{Deserialize, Serialize};

use super::failure::{Failure, FailureKind};
use super::value::{CheckpointId, ObjectId, PathBytes, Provenance};

/// Most ids in one request.
pub const IDS_MAX: usize = 4096;
/// Most paths in one request.
pub const PATHS_MAX: usize = 16_384;
/// Most files of which single parts are chosen in one restore.
pub const PICKED_MAX: usize = 1024;
/// Longest text in bytes, other than a message.
pub const TEXT_LEN_MAX: usize = 4096;
const MESSAGE_LEN_MAX: usize = 16 << 10;
const NAME_LEN_MAX: usize = 256;
const PATH_LEN_MAX: usize = 64 << 10;

/// One request. What is answered stands with each: items in the order given, then one [`Answer`](super::Answer) or a [`Failure`].
///
/// The order of the variants is part of the protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// How things are: `Answer::Status`.
    Status,
    /// The metrics in the text form of Prometheus: `Answer::Text`.
    Metrics,
    /// A checkpoint that holds everything written before the call: items of progress, `Answer::Flushed`.
    Flush(Flush),
    /// What happens from now on: items of events, until either side closes the connection.
    Subscribe(Subscribe),
    /// The checkpoint that a name stands for: `Answer::Checkpoint`.
    Resolve {
        /// As a person types it: `@`, `@-3`, `5m ago`, a prefix of an id, a pin.
        name: String,
        /// The time zone, as a name of the IANA database or a POSIX string, in which times without an offset are understood. UTC if empty.
        zone: String,
    },
    /// One checkpoint by its id: `Answer::Checkpoint`.
    Checkpoint {
        /// The id.
        id: CheckpointId,
    },
    /// Checkpoints that fit a query: items of checkpoints, `Answer::Page`.
    Log(LogQuery),
    /// The parents of a checkpoint that are left: items of checkpoints, `Answer::Done`.
    Parents {
        /// The child.
        id: CheckpointId,
    },
    /// The newest checkpoint that both come from: `Answer::MaybeCheckpoint`.
    CommonAncestor {
        /// One.
        a: CheckpointId,
        /// The other.
        b: CheckpointId,
    },
    /// Objects as they are stored, for the receiver to decode and check: for each id in order an item with its length, followed by its bytes
    /// as data; `Answer::Done`.
    Objects {
        /// At most [`IDS_MAX`].
        ids: Vec<ObjectId>,
    },
    /// Stores a blob, which is kept as long as the connection lasts, for use in [`Restore::picked`]. Exactly `len` bytes follow as data: `Answer::Object`.
    PutBlob {
        /// Length of the content in bytes.
        len: u64,
    },
    /// Keeps the collector from removing what belongs to these checkpoints and trees, as long as the connection lasts: `Answer::Done`.
    Lease {
        /// Checkpoints, with both of their trees.
        checkpoints: Vec<CheckpointId>,
        /// Root trees.
        roots: Vec<ObjectId>,
    },
    /// Gives up every lease of this connection: `Answer::Done`.
    Release,
    /// All pins by name: `Answer::Pins`.
    Pins,
    /// Sets a pin, or moves it: `Answer::Done`.
    Pin {
        /// Its name.
        name: String,
        /// What it keeps.
        id: CheckpointId,
    },
    /// Removes a pin: `Answer::Done`.
    Unpin {
        /// Its name.
        name: String,
    },
    /// Labels a checkpoint; an empty label takes it away: `Answer::Done`.
    Label {
        /// Which one.
        id: CheckpointId,
        /// The label.
        label: String,
    },
    /// Writes a recorded state into the working directory or elsewhere: items of plan steps (all of them in a dry run, else those that were refused), `Answer::Restored`.
    Restore(Restore),
    /// Goes back to the state before the newest restore or undo: as for a restore.
    Undo(Step),
    /// Takes an undo back: as for a restore.
    Redo(Step),
    /// Thins history and removes what nothing needs: items of evictions and of progress, `Answer::Collected`.
    Gc {
        /// Only say what would be done.
        dry_run: bool,
    },
    /// Reads back what is stored: items of damage and of progress, `Answer::Verified`.
    Verify(Verify),
    /// Mends what can be mended: items of damage, `Answer::Repaired`.
    Repair(Repair),
    /// Removes the content of paths from all of history: items of progress, `Answer::Purged`.
    Purge(Purge),
    /// All settings: `Answer::Settings`.
    Settings,
    /// Changes a setting: `Answer::Settings`.
    Set {
        /// Its name.
        key: String,
        /// Its new value as it would stand in `config.toml`; none for the default.
        value: Option<String>,
    },
    /// From now on, changes are attributed to this session, until [`Request::EndRun`] or the end of the connection. A checkpoint separates them from what was
    /// before: `Answer::Flushed`.
    BeginRun {
        /// The session, actor, label and message of the checkpoints to come.
        provenance: Provenance,
    },
    /// Ends what [`Request::BeginRun`] of the same connection began, with a checkpoint: `Answer::Flushed`.
    EndRun {
        /// The exit code of the command, if it ended by itself.
        exit_code: Option<i32>,
    },
    /// Copies the store for another root, as hard links where possible: `Answer::Done`. The target is a directory of the same user's state in which no
    /// database is yet.
    Fork {
        /// Absolute path of the database to make.
        to: PathBytes,
    },
    /// Commits, syncs and ends the daemon: `Answer::Done`.
    Stop,
}

/// How [`Request::Flush`] is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flush {
    /// Compare every file with what is recorded, also where no event told of a change, reading what times cannot prove unchanged.
    pub scan: bool,
    /// Who wrote. A message makes it a checkpoint of its own with reason `manual`, even if nothing changed.
    pub provenance: Provenance,
}

/// What [`Request::Subscribe`] begins with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribe {
    /// Checkpoints with a sequence number above this one come first; none to begin with the next.
    pub after_sequence: Option<u64>,
}

/// In which order checkpoints are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// Newest first.
    #[default]
    NewestFirst,
    /// Oldest first.
    OldestFirst,
}

/// Which checkpoints [`Request::Log`] lists. Everything that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogQuery {
    /// Those that changed something at or below one of these paths; all if none is given.
    pub paths: Vec<PathBytes>,
    /// Those not before this moment, in microseconds since 1970.
    pub since_us: Option<u64>,
    /// Those not after this moment.
    pub until_us: Option<u64>,
    /// Those of this session.
    pub session: Option<String>,
    /// Those of this actor.
    pub actor: Option<String>,
    /// Those that removed a file, at or below `paths` if there are any.
    pub deleted: bool,
    /// The order.
    pub direction: Direction,
    /// Most checkpoints to list, at most 10,000; 0 for as many as that.
    pub limit: u32,
    /// Where an earlier page said to go on.
    pub from: Option<CheckpointId>,
}

/// A restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// The state to restore.
    pub state: CheckpointId,
    /// Only what is at or below these paths; everything if no path and no part is given.
    pub paths: Vec<PathBytes>,
    /// Files of which only parts are restored, with the whole content that they are to get. None is at or below one of `paths`.
    pub picked: Vec<Picked>,
    /// The directory to write to (absolute); the working directory if none is given.
    pub to: Option<PathBytes>,
    /// Remove also what no recorded tree says was there.
    pub exact: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Who asks.
    pub provenance: Provenance,
}

/// A file that gets a content which is that of no state: chosen parts of two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picked {
    /// The file.
    pub path: PathBytes,
    /// Its content, put with [`Request::PutBlob`].
    pub content: ObjectId,
    /// Length of the content in bytes.
    pub len: u64,
}

/// An undo or redo.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Only say what would be done.
    pub dry_run: bool,
    /// Who asks.
    pub provenance: Provenance,
}

/// What [`Request::Verify`] reads.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Verify {
    /// Share of the objects to read, above 0 and up to 1; all if none is given.
    pub sample: Option<f64>,
}

/// How [`Request::Repair`] is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What [`Request::Purge`] removes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purge {
    /// What was ever recorded at or below these paths.
    pub paths: Vec<PathBytes>,
    /// Only say what would be done.
    pub dry_run: bool,
}

impl Request {
    /// Refuses what is over a limit or cannot mean anything.
    ///
    /// # Errors
    /// A [`Failure`] of kind `Invalid`.
    pub fn check(&self) -> Result<(), Failure> {
        match self {
            Self::Flush(flush) => check_provenance(&flush.provenance),
            Self::Resolve { name, zone } => {
                check_text("name of a state", name, TEXT_LEN_MAX)?;
                check_text("time zone", zone, NAME_LEN_MAX)
            }
            Self::Log(query) => {
                check_paths(&query.paths)?;
                for name in [&query.session, &query.actor].into_iter().flatten() {
                    check_text("session or actor", name, NAME_LEN_MAX)?;
                }
                Ok(())
            }
            Self::Objects { ids } => check_count("ids", ids.len(), IDS_MAX),
            Self::Lease { checkpoints, roots } => check_count("ids", checkpoints.len() + roots.len(), IDS_MAX),
            Self::Pin { name, .. } | Self::Unpin { name } => check_text("name of a pin", name, NAME_LEN_MAX),
            Self::Label { label, .. } => check_text("label", label, NAME_LEN_MAX),
            Self::Restore(restore) => {
                check_paths(&restore.paths)?;
                check_count("chosen parts", restore.picked.len(), PICKED_MAX)?;
                restore.picked.iter().try_for_each(|picked| check_path(&picked.path))?;
                restore.to.as_ref().map_or(Ok(()), check_absolute)?;
                check_provenance(&restore.provenance)
            }
            Self::Undo(step) | Self::Redo(step) => check_provenance(&step.provenance),
            Self::Verify(Verify { sample: Some(share) }) if !(*share > 0.0 && *share <= 1.0) => {
                Err(invalid(format!("the share to verify is {share}: it is above 0 and at most 1")))
            }
            Self::Purge(purge) => {
                if purge.paths.is_empty() {
                    return Err(invalid("no path to purge was given"));
                }
                check_paths(&purge.paths)
            }
            Self::Set { key, value } => {
                check_text("name of a setting", key, NAME_LEN_MAX)?;
                value.as_ref().map_or(Ok(()), |value| check_text("value of a setting", value, TEXT_LEN_MAX))
            }
            Self::BeginRun { provenance } => check_provenance(provenance),
            Self::Fork { to } => check_absolute(to),
            Self::Status
            | Self::Metrics
            | Self::Subscribe(_)
            | Self::Checkpoint { .. }
            | Self::Parents { .. }
            | Self::CommonAncestor { .. }
            | Self::PutBlob { .. }
            | Self::Release
            | Self::Pins
            | Self::Gc { .. }
            | Self::Verify(_)
            | Self::Repair(_)
            | Self::Settings
            | Self::EndRun { .. }
            | Self::Stop => Ok(()),
        }
    }
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Invalid, message)
}

fn check_count(what: &str, count: usize, max: usize) -> Result<(), Failure> {
    if count > max { Err(invalid(format!("{count} {what} in one request, {max} are possible"))) } else { Ok(()) }
}

fn check_text(what: &str, text: &str, max: usize) -> Result<(), Failure> {
    if text.len() > max {
        return Err(invalid(format!("a {what} of {} bytes, {max} are possible", text.len())));
    }
    if text.contains('\0') {
        return Err(invalid(format!("a {what} with a zero byte")));
    }
    Ok(())
}

fn check_provenance(provenance: &Provenance) -> Result<(), Failure> {
    let Provenance { session, actor, label, message } = provenance;
    for (what, text) in [("session", session), ("actor", actor), ("label", label)] {
        text.as_ref().map_or(Ok(()), |text| check_text(what, text, NAME_LEN_MAX))?;
    }
    message.as_ref().map_or(Ok(()), |text| check_text("message", text, MESSAGE_LEN_MAX))
}

fn check_path(path: &PathBytes) -> Result<(), Failure> {
    if path.0.len() > PATH_LEN_MAX || path.0.contains(&0) {
        return Err(invalid("a path that is too long, or with a zero byte"));
    }
    Ok(())
}

fn check_paths(paths: &[PathBytes]) -> Result<(), Failure> {
    check_count("paths", paths.len(), PATHS_MAX)?;
    paths.iter().try_for_each(check_path)
}

fn check_absolute(path: &PathBytes) -> Result<(), Failure> {
    check_path(path)?;
    if path.0.starts_with(b"/") { Ok(()) } else { Err(invalid("a directory outside the root is given absolutely")) }
}
