//! What the process was started with: the only place that reads the environment.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use anyhow::Result;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::failure::Failure;

/// The folder of this product below the user's directories.
const NAME: &str = "timelapse";

/// Everything from the environment that `tl` heeds.
#[derive(Debug)]
pub struct Environment {
    /// `$HOME`, if it is an absolute path.
    pub home: Option<PathBuf>,
    state_home: Option<PathBuf>,
    runtime_dir: Option<PathBuf>,
    config_home: Option<PathBuf>,
    /// The command line of a pager, from `TL_PAGER` or `PAGER`. An empty one means none.
    pub pager: Option<OsString>,
    /// `NO_COLOR` is set to something.
    pub no_color: bool,
    /// `TERM=dumb`.
    pub dumb_terminal: bool,
    /// Standard output is a terminal.
    pub stdout_is_terminal: bool,
    /// Standard error is a terminal.
    pub stderr_is_terminal: bool,
    /// Questions can be asked: standard input and standard error are terminals.
    pub can_ask: bool,
    /// The session of the `tl run` that this runs under, from `TL_SESSION`.
    pub session: Option<String>,
    /// Who acts, from `TL_ACTOR`.
    pub actor: Option<String>,
}

impl Environment {
    pub fn read() -> Self {
        let stderr_is_terminal = io::stderr().is_terminal();
        Self {
            home: directory("HOME"),
            state_home: directory("XDG_STATE_HOME"),
            runtime_dir: directory("XDG_RUNTIME_DIR"),
            config_home: directory("XDG_CONFIG_HOME"),
            pager: env::var_os("TL_PAGER").or_else(|| env::var_os("PAGER")),
            no_color: env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            dumb_terminal: env::var_os("TERM").is_some_and(|value| value == "dumb"),
            stdout_is_terminal: io::stdout().is_terminal(),
            stderr_is_terminal,
            can_ask: stderr_is_terminal && io::stdin().is_terminal(),
            session: text("TL_SESSION"),
            actor: text("TL_ACTOR"),
        }
    }

    /// The directory of this user's stores: `$XDG_STATE_HOME/timelapse`, or `~/.local/state/timelapse`.
    pub fn state_dir(&self) -> Result<PathBuf> {
        let home = || self.home.as_ref().map(|home| home.join(".local/state"));
        match self.state_home.clone().or_else(home) {
            Some(dir) => Ok(dir.join(NAME)),
            None => Err(Failure::input(
                "neither XDG_STATE_HOME nor HOME names a directory, so there is no place for stores",
                "set XDG_STATE_HOME to a directory of yours that lasts",
            )),
        }
    }

    /// The directory of this user's sockets: `$XDG_RUNTIME_DIR/timelapse`, or one below `/tmp` that carries the user's number.
    pub fn runtime_dir(&self) -> PathBuf {
        match &self.runtime_dir {
            Some(dir) => dir.join(NAME),
            // The path of a socket has to be short. That the directory is the user's own is checked before it is used.
            None => PathBuf::from(format!("/tmp/{NAME}-{}", rustix::process::getuid().as_raw())),
        }
    }

    /// Where Git keeps the patterns of files that this user wants ignored everywhere, unless it was told otherwise.
    pub fn git_excludes(&self) -> Vec<PathBuf> {
        let config = self.config_home.clone().or_else(|| self.home.as_ref().map(|home| home.join(".config")));
        config.map(|config| config.join("git/ignore")).into_iter().collect()
    }

    /// The time zone in which times without an offset are understood and shown.
    pub fn zone(&self) -> TimeZone {
        TimeZone::system()
    }
}

/// The time zone of this user as a name of the IANA database, or as a POSIX string with the present offset where it has no such name.
pub fn zone_name() -> String {
    let zone = TimeZone::system();
    match zone.iana_name() {
        Some(name) => name.to_owned(),
        None => posix_name(zone.to_offset(Timestamp::now()).seconds()),
    }
}

/// A POSIX string for a fixed offset, which is written with the sign that leads back to UTC.
fn posix_name(offset_s: i32) -> String {
    let sign = if offset_s > 0 { "-" } else { "" };
    let seconds = offset_s.unsigned_abs();
    format!("<LOC>{sign}{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The directories of the search path for programs.
pub fn program_path() -> Vec<PathBuf> {
    env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default()
}

/// As the specification of these directories has it, a relative path counts as none.
fn directory(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

fn text(name: &str) -> Option<String> {
    env::var_os(name).as_deref().map(OsStr::to_string_lossy).filter(|text| !text.is_empty()).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If it fails, times without an offset are understood in another zone than that in which they are shown.
    #[test]
    fn an_offset_as_a_posix_string() {
        for (offset_s, expected) in [(7200, "<LOC>-2:00:00"), (-12_600, "<LOC>3:30:00"), (0, "<LOC>0:00:00")] {
            assert_eq!(posix_name(offset_s), expected);
            let zone = TimeZone::posix(expected).unwrap();
            assert_eq!(zone.to_offset(Timestamp::UNIX_EPOCH).seconds(), offset_s);
        }
    }
}
