//! Names for states: what people type for a checkpoint.
//!
//! A function of the journal, a text and the time: the clock and the time zone are the caller's.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp};

use crate::checkpoint::{Checkpoint, CheckpointId, Reason};
use crate::error::Error;
use crate::journal::{Journal, Order};

/// Ambiguous ids that an error lists.
const CANDIDATES_SHOWN: usize = 8;
/// Digits of an id below which a word is not taken for one.
const PREFIX_LEN_MIN: usize = 4;

/// Why a name leads to no checkpoint.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing is called that.
    #[error(
        "nothing is called {name:?}: a state is named by an id or its first digits, `@`, `@-3`, a pin, a session, `5m ago`, or a time such as `2026-11-20T12:30`"
    )]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// Several ids begin so.
    #[error("{prefix:?} is the beginning of several ids: {}{}; give more digits", list(candidates), if *more { ", ..." } else { "" })]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// The first of them, newest first.
        candidates: Vec<CheckpointId>,
        /// There are more.
        more: bool,
    },
    /// The history does not go back so far.
    #[error("{name:?} is before the oldest state that is kept{}", oldest.map_or_else(String::new, |oldest| format!(", which is {oldest}")))]
    TooOld {
        /// What was asked for.
        name: String,
        /// The oldest state, if there is any.
        oldest: Option<CheckpointId>,
    },
    /// Nothing was recorded yet.
    #[error("nothing is recorded yet")]
    Empty,
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] Error),
}

impl From<granite::Error> for NameError {
    fn from(error: granite::Error) -> Self {
        Self::Journal(error.into())
    }
}

fn list(candidates: &[CheckpointId]) -> String {
    candidates.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The moment that names with a time in them are relative to.
#[derive(Debug, Clone)]
pub struct Now {
    /// Time since 1970.
    pub time: Duration,
    /// In which times without an offset are understood.
    pub zone: TimeZone,
}

/// The checkpoint that `name` stands for. In this order: `@` and `@-N`, a whole id, a pin, `... ago`, a time in ISO form, a session, the beginning of an id.
///
/// # Errors
/// [`NameError`].
pub fn resolve(journal: &Journal, name: &str, now: &Now) -> Result<Checkpoint, NameError> {
    let name = name.trim();
    let unknown = || NameError::Unknown { name: name.to_owned() };
    if let Some(rest) = name.strip_prefix('@') {
        let distance = match rest.strip_prefix(['-', '~']) {
            None if rest.is_empty() => 0,
            None => return Err(unknown()),
            Some(digits) => digits.parse().map_err(|_| unknown())?,
        };
        return at_distance(journal, name, distance);
    }
    if let Ok(id) = name.parse::<CheckpointId>() {
        return journal.get(id)?.ok_or_else(unknown);
    }
    if let Some(pin) = journal.find_pin(name)? {
        return Ok(journal.require(pin.id)?);
    }
    if let Some(time) = parse_time(name, now) {
        return at_time(journal, name, time);
    }
    if let Some(found) = journal.newest_of_session(name)? {
        return Ok(found);
    }
    match CheckpointId::prefix_bounds(name) {
        Ok((first, last)) if name.len() >= PREFIX_LEN_MIN => by_prefix(journal, name, first, last),
        _ => Err(unknown()),
    }
}

/// The state `distance` checkpoints of the working directory before the newest.
fn at_distance(journal: &Journal, name: &str, distance: usize) -> Result<Checkpoint, NameError> {
    if distance == 0 {
        return journal.head().ok_or(NameError::Empty);
    }
    let mut oldest = None;
    let mut left = distance;
    for found in journal.walk(.., Order::NewestFirst)? {
        let found = found?;
        if found.reason == Reason::Import {
            continue;
        }
        if left == 0 {
            return Ok(found);
        }
        left -= 1;
        oldest = Some(found.id);
    }
    Err(if oldest.is_none() { NameError::Empty } else { NameError::TooOld { name: name.to_owned(), oldest } })
}

fn at_time(journal: &Journal, name: &str, time: Duration) -> Result<Checkpoint, NameError> {
    if let Some(found) = journal.at(time)? {
        return Ok(found);
    }
    let oldest = journal.ids(.., Order::OldestFirst)?.next().transpose()?;
    Err(if oldest.is_none() { NameError::Empty } else { NameError::TooOld { name: name.to_owned(), oldest } })
}

fn by_prefix(
    journal: &Journal,
    prefix: &str,
    first: CheckpointId,
    last: CheckpointId,
) -> Result<Checkpoint, NameError> {
    let found = journal.ids(first..=last, Order::NewestFirst)?.take(CANDIDATES_SHOWN + 1);
    let mut candidates = found.collect::<Result<Vec<_>, _>>()?;
    match candidates.as_slice() {
        [] => Err(NameError::Unknown { name: prefix.to_owned() }),
        [id] => Ok(journal.require(*id)?),
        _ => {
            let more = candidates.len() > CANDIDATES_SHOWN;
            candidates.truncate(CANDIDATES_SHOWN);
            Err(NameError::Ambiguous { prefix: prefix.to_owned(), candidates, more })
        }
    }
}

/// The time since 1970 that a text such as `5m ago`, `2 days ago`, `yesterday`, `2026-11-20`, `2026-11-20 12:30` or `2026-11-20T12:30:05.25+01:00` stands for;
/// `None` if it is no time. A date alone is the end of that day: the last state of it is what is meant.
#[must_use]
pub fn parse_time(text: &str, now: &Now) -> Option<Duration> {
    let text = text.trim();
    let present = Timestamp::from_nanosecond(i128::try_from(now.time.as_nanos()).ok()?).ok()?;
    let since_epoch = |time: Timestamp| Duration::try_from(time.duration_since(Timestamp::UNIX_EPOCH)).ok();
    let earlier = |span: Span| {
        let zoned = present.to_zoned(now.zone.clone());
        // A span that goes forward would name a state that is not there yet.
        let backward = span.to_duration(SpanRelativeTo::from(&zoned)).ok()?.is_negative();
        if backward { None } else { since_epoch(zoned.checked_sub(span).ok()?.timestamp()) }
    };
    match text {
        "now" => return since_epoch(present),
        "yesterday" => return earlier(Span::new().try_days(1).ok()?),
        _ => {}
    }
    if let Some(span) = text.strip_suffix("ago") {
        return earlier(span.trim().parse().ok()?);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return since_epoch(time);
    }
    // What has no colon has no time of day, and jiff would take its midnight.
    let civil = text.parse::<DateTime>().ok()?;
    let civil = if text.contains(':') { civil } else { civil.date().at(23, 59, 59, 999_000_000) };
    since_epoch(civil.to_zoned(now.zone.clone()).ok()?.timestamp())
}
