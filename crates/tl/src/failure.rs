//! What goes wrong, what the user is told to do about it, and the exit code.

use std::io;
use std::process::ExitCode;

use serde::Serialize;
use tl_daemon::wire::{self, FailureKind};
use tl_daemon::{Error as DaemonError, ErrorKind};

use crate::text::Escaped;

/// Failures of this program's own.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The user asked for something that cannot be.
    #[error("{message}")]
    Input { message: String, hint: String },
    /// What was named is not there.
    #[error("{message}")]
    Absent { message: String, hint: String },
    /// No directory from here upwards is protected.
    #[error("{} is not in a directory that Timelapse protects", here.display())]
    NotProtected { here: std::path::PathBuf },
    /// Something was looked at and is not as it should be. It was said what.
    #[error("{message}")]
    Damaged { message: String, hint: String },
    /// It can succeed later.
    #[error("{message}")]
    Retry { message: String, hint: String },
    /// The user was asked, and said no.
    #[error("nothing was done")]
    Declined,
    /// Whoever read the output has gone away, as `head` does.
    #[error("nobody reads the output any more")]
    OutputClosed,
}

impl Failure {
    pub fn input(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
        Self::Input { message: message.into(), hint: hint.into() }.into()
    }

    pub fn absent(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
        Self::Absent { message: message.into(), hint: hint.into() }.into()
    }

    pub fn damaged(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
        Self::Damaged { message: message.into(), hint: hint.into() }.into()
    }

    pub fn retry(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
        Self::Retry { message: message.into(), hint: hint.into() }.into()
    }
}

/// The exit codes. Scripts rely on them: do not change the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Code {
    /// It was done.
    Done = 0,
    /// What was named or looked for is not there, or the user said no.
    Absent = 1,
    /// The command line or the place where it runs has to be changed first.
    Input = 2,
    /// The store is damaged.
    Damage = 3,
    /// The same command can succeed later.
    Retry = 4,
    /// The system failed, or this program did.
    System = 5,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// What the store answered, if that is what went wrong.
pub fn refusal(error: &anyhow::Error) -> Option<&wire::Failure> {
    error.chain().find_map(|cause| match cause.downcast_ref::<DaemonError>() {
        Some(DaemonError::Refused(failure)) => Some(failure),
        _ => cause.downcast_ref::<wire::Failure>(),
    })
}

/// The exit code for an error.
pub fn code(error: &anyhow::Error) -> Code {
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return match failure {
                Failure::Input { .. } | Failure::NotProtected { .. } => Code::Input,
                Failure::Absent { .. } | Failure::Declined => Code::Absent,
                Failure::Damaged { .. } => Code::Damage,
                Failure::Retry { .. } => Code::Retry,
                Failure::OutputClosed => Code::Done,
            };
        }
        if let Some(failure) = cause.downcast_ref::<wire::Failure>() {
            return code_of_refusal(failure.kind);
        }
        match cause.downcast_ref::<DaemonError>() {
            Some(DaemonError::Refused(failure)) => return code_of_refusal(failure.kind),
            Some(DaemonError::UnknownStore { marker: None, .. }) => return Code::Absent,
            Some(error) => return code_of_kind(error.kind()),
            None => {}
        }
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return match error.kind() {
                io::ErrorKind::NotFound => Code::Absent,
                io::ErrorKind::PermissionDenied => Code::Input,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::Retry,
                _ => Code::System,
            };
        }
    }
    Code::System
}

fn code_of_kind(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Retry => Code::Retry,
        ErrorKind::FixInput => Code::Input,
        ErrorKind::Repair => Code::Damage,
        _ => Code::System,
    }
}

fn code_of_refusal(kind: FailureKind) -> Code {
    match kind {
        FailureKind::NotFound | FailureKind::Purged => Code::Absent,
        FailureKind::Ambiguous
        | FailureKind::Invalid
        | FailureKind::Denied
        | FailureKind::Newer
        | FailureKind::RootGone
        | FailureKind::Unsupported => Code::Input,
        FailureKind::Busy | FailureKind::Retry | FailureKind::Full | FailureKind::Stopping => Code::Retry,
        FailureKind::Damaged => Code::Damage,
        _ => Code::System,
    }
}

/// What to do next, where that is known.
fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return match failure {
                Failure::Input { hint, .. }
                | Failure::Absent { hint, .. }
                | Failure::Damaged { hint, .. }
                | Failure::Retry { hint, .. } => Some(hint.clone()).filter(|hint| !hint.is_empty()),
                Failure::NotProtected { .. } => Some(
                    "`tl init` protects the directory in which it runs; `tl stores` lists those that are protected"
                        .into(),
                ),
                Failure::Declined | Failure::OutputClosed => None,
            };
        }
        if let Some(failure) = cause.downcast_ref::<wire::Failure>() {
            return hint_of_refusal(failure);
        }
        if let Some(DaemonError::Refused(failure)) = cause.downcast_ref::<DaemonError>() {
            return hint_of_refusal(failure);
        }
        match cause.downcast_ref::<DaemonError>()? {
            DaemonError::NotAStore { .. } => {
                Some("its history may still be there: `tl stores` lists every store with its directory".into())
            }
            DaemonError::ForeignStore { .. } => {
                Some("run the command as that user, or protect a directory of your own".into())
            }
            DaemonError::Connection(_) => Some(
                "run the command again; if it goes on, `tl stop` ends the daemon and the next command starts it anew"
                    .into(),
            ),
            DaemonError::Io { source, .. } if is_full(source) => {
                Some("free some space on that disk, or let `tl gc` give back what history no longer needs".into())
            }
            DaemonError::UnknownStore { marker: None, .. } => Some("`tl stores` lists those that there are".into()),
            DaemonError::Repository(error) if error.kind() == tl_journal::ErrorKind::Repair => Some(DAMAGED.into()),
            // The others say themselves what to do.
            _ => None,
        }
    })
}

const DAMAGED: &str = "`tl verify` shows what is damaged, `tl repair` mends what the working directory still has";

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn hint_of_refusal(failure: &wire::Failure) -> Option<String> {
    failure.hint.clone().or_else(|| {
        let text = match failure.kind {
            FailureKind::Damaged => DAMAGED,
            FailureKind::Full => {
                "free some space on the disk of the store, or raise `retention.budget_mb` with `tl config set`"
            }
            FailureKind::Newer => "use the newer `tl` that wrote the store",
            FailureKind::Busy => "wait until it is done, then run the command again",
            FailureKind::Stopping => "run the command again",
            FailureKind::RootGone => "`tl restore --store ID --to DIR` brings the files back into a new directory",
            _ => return None,
        };
        Some(text.to_owned())
    })
}

#[derive(Serialize)]
struct Report<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    kind: Code,
    exit_code: u8,
}

/// A message for the terminal, with the names of files in it that could drive one.
fn harmless(message: &str) -> String {
    message.lines().map(|line| Escaped(line.as_bytes()).to_string()).collect::<Vec<_>>().join("\n")
}

/// The error with its causes, but for those that the error before names already.
fn message(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |message, cause| match message.as_str() {
        "" => cause,
        told if told.ends_with(&cause) => message,
        _ => format!("{message}: {cause}"),
    })
}

/// Tells standard error about it, and the caller of the program by the exit code.
pub fn report(error: &anyhow::Error, json: bool) -> ExitCode {
    let code = code(error);
    if code != Code::Done {
        let message = message(error);
        let report = Report { error: &message, hint: hint(error), kind: code, exit_code: code as u8 };
        match serde_json::to_string(&report) {
            Ok(line) if json => eprintln!("{line}"),
            _ => {
                eprintln!("tl: {}", harmless(&message));
                if let Some(hint) = report.hint {
                    eprintln!("hint: {}", harmless(&hint));
                }
            }
        }
    }
    code.into()
}
