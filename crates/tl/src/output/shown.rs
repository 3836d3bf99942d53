//! How ids, paths, times, sizes and checkpoints look, in text and in JSON.

use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};
use tl_daemon::wire::{self, Checkpoint, GapCause, PathBytes, Reason};
use tl_journal::CheckpointId;

/// Digits of a checkpoint's id that are shown where all of them would be in the way. The first ten are the time, to the millisecond.
const SHORT_ID_LEN: usize = 14;

/// An id of a checkpoint, in full.
pub fn checkpoint_id(id: wire::CheckpointId) -> String {
    CheckpointId::from_bytes(id.0).to_string()
}

/// An id of a checkpoint that people can tell from others.
pub fn short_id(id: wire::CheckpointId) -> String {
    let mut text = checkpoint_id(id);
    text.truncate(SHORT_ID_LEN);
    text
}

/// An id of an object: 64 hexadecimal digits.
pub fn object_id(id: wire::ObjectId) -> String {
    hex::encode(id.0)
}

/// A path for people: what is not text is escaped, so that no name can move the cursor or hide another.
pub fn path(path: &PathBytes) -> Cow<'_, str> {
    if path.0.is_empty() {
        return ".".into();
    }
    match std::str::from_utf8(&path.0) {
        Ok(text) if !text.chars().any(char::is_control) => text.into(),
        _ => path.0.escape_ascii().to_string().into(),
    }
}

/// A path of the filesystem for people, as [`path`] shows one of the store.
pub fn file(file: &Path) -> String {
    path(&PathBytes(file.as_os_str().as_bytes().to_vec())).into_owned()
}

/// A path for programs: a string, or `{"hex": "..."}` where its bytes are not UTF-8.
#[derive(Debug, Clone, Copy)]
pub struct PathJson<'a>(pub &'a [u8]);

impl<'a> PathJson<'a> {
    /// A path of the filesystem.
    pub fn of(path: &'a Path) -> Self {
        Self(path.as_os_str().as_bytes())
    }
}

impl Serialize for PathJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Raw {
            hex: String,
        }
        match std::str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Raw { hex: hex::encode(self.0) }.serialize(serializer),
        }
    }
}

/// A number of bytes for people.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut amount = count as f64;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{amount:.1} {}", UNITS[unit]) }
}

/// The present and the time zone, as moments are shown.
#[derive(Debug, Clone)]
pub struct Clock {
    now: Timestamp,
    zone: TimeZone,
}

impl Clock {
    pub fn new(zone: TimeZone) -> Self {
        Self { now: Timestamp::now(), zone }
    }

    /// A moment in local time, to the second.
    pub fn local(&self, time_us: u64) -> String {
        moment(time_us).to_zoned(self.zone.clone()).strftime("%F %T").to_string()
    }

    /// How long ago a moment was, in its greatest unit.
    pub fn ago(&self, time_us: u64) -> String {
        let seconds = self.now.as_second() - moment(time_us).as_second();
        match u64::try_from(seconds) {
            Err(_) => "in the future".to_owned(),
            Ok(0) => "now".to_owned(),
            Ok(seconds) => format!("{} ago", duration(Duration::from_secs(seconds))),
        }
    }
}

/// A length of time in its greatest unit.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A moment for programs: RFC 3339 in UTC, to the microsecond.
pub fn rfc3339(time_us: u64) -> String {
    format!("{:.6}", moment(time_us))
}

fn moment(time_us: u64) -> Timestamp {
    // A time after the year 9999 comes from a damaged clock; it is shown as the last one there is.
    i64::try_from(time_us).ok().and_then(|us| Timestamp::from_microsecond(us).ok()).unwrap_or(Timestamp::MAX)
}

/// Why a checkpoint was made, as one word.
pub const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::FsBatch => "fs-batch",
        Reason::Manual => "manual",
        Reason::Restore => "restore",
        Reason::BeforeRestore => "before-restore",
        Reason::Startup => "startup",
        Reason::Publish => "publish",
        Reason::Import => "import",
        Reason::GcCompact => "gc-compact",
    }
}

/// Why a path is not in a tree as it is on disk, as one word.
pub const fn gap_cause(cause: GapCause) -> &'static str {
    match cause {
        GapCause::PermissionDenied => "permission-denied",
        GapCause::ReadError => "read-error",
        GapCause::Changing => "changing",
        GapCause::Unrecordable => "unrecordable",
        GapCause::Special => "special",
        GapCause::TooLarge => "too-large",
    }
}

/// A checkpoint for programs. The fields are documented in the book's chapter on the commands.
#[derive(Debug, Serialize)]
pub struct CheckpointJson<'a> {
    id: String,
    sequence: u64,
    time: String,
    time_us: u64,
    reason: &'static str,
    parents: Vec<String>,
    root: String,
    saved: Option<String>,
    files_added: u64,
    files_changed: u64,
    files_removed: u64,
    bytes_added: u64,
    bytes_removed: u64,
    touched: Vec<PathJson<'a>>,
    touched_more: bool,
    complete: bool,
    missing: u64,
    skipped: u64,
    gaps: Vec<GapJson<'a>>,
    session: Option<&'a str>,
    actor: Option<&'a str>,
    label: Option<&'a str>,
    message: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct GapJson<'a> {
    path: PathJson<'a>,
    cause: &'static str,
}

impl<'a> From<&'a Checkpoint> for CheckpointJson<'a> {
    fn from(checkpoint: &'a Checkpoint) -> Self {
        let gap = |gap: &'a wire::Gap| GapJson { path: PathJson(&gap.path.0), cause: gap_cause(gap.cause) };
        let Checkpoint { stats, completeness, provenance, .. } = checkpoint;
        Self {
            id: checkpoint_id(checkpoint.id),
            sequence: checkpoint.sequence,
            time: rfc3339(checkpoint.time_us),
            time_us: checkpoint.time_us,
            reason: reason(checkpoint.reason),
            parents: checkpoint.parents.iter().copied().map(checkpoint_id).collect(),
            root: object_id(checkpoint.root),
            saved: checkpoint.saved.map(object_id),
            files_added: stats.files_added,
            files_changed: stats.files_changed,
            files_removed: stats.files_removed,
            bytes_added: stats.bytes_added,
            bytes_removed: stats.bytes_removed,
            touched: checkpoint.touched.iter().map(|path| PathJson(&path.0)).collect(),
            touched_more: checkpoint.touched_more,
            complete: completeness.missing == 0,
            missing: completeness.missing,
            skipped: completeness.skipped,
            gaps: completeness.listed.iter().map(gap).collect(),
            session: provenance.session.as_deref(),
            actor: provenance.actor.as_deref(),
            label: provenance.label.as_deref(),
            message: provenance.message.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_lengths_of_time() {
        for (count, expected) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (u64::MAX, "16777216.0 TiB")] {
            assert_eq!(bytes(count), expected);
        }
        for (seconds, expected) in [(0, "0 ms"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (90_000, "1 d")] {
            assert_eq!(duration(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn times_for_programs_do_not_depend_on_the_zone() {
        assert_eq!(rfc3339(1_000_001), "1970-01-01T00:00:01.000001Z");
        assert_eq!(rfc3339(u64::MAX), rfc3339(u64::MAX - 1));
    }

    /// If it fails, a file's name could drive the terminal.
    #[test]
    fn names_cannot_drive_the_terminal() {
        assert_eq!(path(&PathBytes(b"a/\xc3\xbc b".to_vec())), "a/\u{fc} b");
        assert_eq!(path(&PathBytes(b"a\x1b[2J".to_vec())), "a\\x1b[2J");
        assert_eq!(path(&PathBytes(b"\xff".to_vec())), "\\xff");
    }

    #[test]
    fn paths_for_programs_keep_every_byte() {
        let paths = [PathJson(b"a b"), PathJson(b"\xff\x00")];
        assert_eq!(serde_json::to_string(&paths).unwrap(), r#"["a b",{"hex":"ff00"}]"#);
    }
}
