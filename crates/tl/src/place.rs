//! A path in a state, as it is typed: `PATH@STATE`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use anyhow::Result;
use tl_daemon::wire::{Checkpoint, FailureKind, PathBytes};

use crate::failure::{Failure, refusal};
use crate::output;
use crate::session::Session;

/// A word of the command line, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The path, relative to where the command runs.
    pub path: OsString,
    /// The name of a state; nothing for the newest.
    pub state: Option<String>,
}

/// All ways to read a word, the likeliest first: split at the last `@`, then at those before it, then as a path alone. `@-3` after a path is the state `@-3`, `@` alone
/// the newest.
fn readings(word: &OsStr) -> Vec<Place> {
    let bytes = word.as_bytes();
    let mut readings = Vec::new();
    for (at, _) in bytes.iter().enumerate().rev().filter(|(_, byte)| **byte == b'@') {
        let (path, rest) = bytes.split_at(at);
        let Ok(rest) = std::str::from_utf8(rest) else { continue };
        // `f@@-1` is `f` at `@-1`, like `f@-1`.
        let path = path.strip_suffix(b"@").filter(|_| is_distance(rest)).unwrap_or(path);
        let state = if is_distance(rest) { rest } else { rest.get(1..).unwrap_or_default() };
        readings.push(Place { path: OsString::from_vec(path.to_vec()), state: Some(state.to_owned()) });
    }
    readings.push(Place { path: word.to_owned(), state: None });
    readings
}

/// True for `@`, `@-3` and `@~3`.
fn is_distance(state: &str) -> bool {
    let Some(rest) = state.strip_prefix('@') else { return false };
    let digits = rest.strip_prefix(['-', '~']);
    rest.is_empty()
        || digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What a word means.
#[derive(Debug)]
pub struct Found {
    /// The path, as it was typed.
    pub path: OsString,
    /// The state.
    pub state: Checkpoint,
    /// Why what stands behind an `@` was taken for a part of the path: it is no name of a state. If there is no such path, this says what is wrong.
    refusal: Option<anyhow::Error>,
}

impl Found {
    /// The error for a path that the state does not have.
    pub fn absent(self) -> anyhow::Error {
        self.refusal.unwrap_or_else(|| {
            let path = output::path(&PathBytes(self.path.into_vec())).into_owned();
            let state = output::short_id(self.state.id);
            Failure::absent(
                format!("there is no {path} in state {state}"),
                "`tl log --deleted PATH` shows when it was removed, `tl ls -R @STATE` what there is",
            )
        })
    }
}

/// The path and the state that a word means. With `state` from an option, all of the word is a path.
///
/// # Errors
/// That the state is not there, or those of the store.
pub fn find(session: &mut Session, word: &OsStr, state: Option<&str>) -> Result<Found> {
    if let Some(state) = state {
        return Ok(Found { path: word.to_owned(), state: session.resolve(state)?, refusal: None });
    }
    let mut refusal = None;
    for reading in readings(word) {
        match session.resolve(reading.state.as_deref().unwrap_or("@")) {
            Ok(state) => {
                // Only when no state was found has what was refused to do with it.
                let refusal = refusal.filter(|_| reading.state.is_none());
                return Ok(Found { path: reading.path, state, refusal });
            }
            Err(error) if is_no_name(&error) && reading.state.is_some() => {
                refusal.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(Failure::input("no path was given", "name it as PATH@STATE"))
}

/// True if the store answered that nothing is called so.
fn is_no_name(error: &anyhow::Error) -> bool {
    let kind = refusal(error).map(|failure| failure.kind);
    matches!(kind, Some(FailureKind::NotFound | FailureKind::Ambiguous | FailureKind::Invalid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_from_their_last_at() {
        let read = |word: &str| {
            let readings = readings(OsStr::new(word));
            readings.into_iter().map(|place| (place.path.into_string().unwrap(), place.state)).collect::<Vec<_>>()
        };
        let place = |path: &str, state: &str| (path.to_owned(), Some(state.to_owned()));
        let plain = |path: &str| (path.to_owned(), None);
        assert_eq!(read("a.rs"), [plain("a.rs")]);
        assert_eq!(read("a.rs@"), [place("a.rs", "@"), plain("a.rs@")]);
        assert_eq!(read("a.rs@-3"), [place("a.rs", "@-3"), plain("a.rs@-3")]);
        assert_eq!(read("a.rs@@-3")[0], place("a.rs", "@-3"));
        assert_eq!(read("a.rs@5m ago"), [place("a.rs", "5m ago"), plain("a.rs@5m ago")]);
        assert_eq!(read("@-1"), [place("", "@-1"), plain("@-1")]);
        assert_eq!(read("@types/x@v1"), [place("@types/x", "v1"), place("", "types/x@v1"), plain("@types/x@v1")]);
        assert_eq!(read("a@-x")[0], place("a", "-x"));
    }
}
