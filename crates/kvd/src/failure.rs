//! What goes wrong, what the user is told to do about it, and the exit code.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use granite::{Error as GraniteError, ErrorKind};
use serde::Serialize;

/// Failures of kvd's own.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The user asked for something that cannot be.
    #[error("{message}")]
    Input { message: String, hint: String },
    /// The key that was asked for has no value.
    #[error("there is no such key in the keyspace {keyspace:?}")]
    KeyAbsent { keyspace: String },
    /// Something was looked at and is not as it should be.
    #[error("{} is damaged in {places} places", path.display())]
    Damaged { path: PathBuf, places: usize },
    /// A repair could not save everything.
    #[error("the database is whole again, but the above was lost")]
    Lost,
    /// Whoever read the output has gone away, as `head` does.
    #[error("nobody reads the output any more")]
    OutputClosed,
    /// As before, but of output that says how far the writing has come.
    #[error("nobody reads the acknowledgements any more: stopped after {batches} durable batches")]
    AcknowledgementsClosed { batches: u64 },
}

impl Failure {
    pub fn input(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
        Self::Input { message: message.into(), hint: hint.into() }.into()
    }

    /// A failure if there is damage.
    pub fn of_damage(path: &Path, places: usize) -> Result<(), anyhow::Error> {
        if places == 0 { Ok(()) } else { Err(Self::Damaged { path: path.to_owned(), places }.into()) }
    }
}

/// The exit codes. Scripts rely on them: do not change the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Code {
    Done = 0,
    Absent = 1,
    Input = 2,
    Damage = 3,
    Retry = 4,
    System = 5,
}

fn code(error: &anyhow::Error) -> Code {
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return match failure {
                Failure::Input { .. } => Code::Input,
                Failure::KeyAbsent { .. } => Code::Absent,
                Failure::Damaged { .. } | Failure::Lost => Code::Damage,
                Failure::OutputClosed => Code::Done,
                Failure::AcknowledgementsClosed { .. } => Code::System,
            };
        }
        if let Some(error) = cause.downcast_ref::<GraniteError>() {
            return match error.kind() {
                ErrorKind::Retry => Code::Retry,
                ErrorKind::FixInput => Code::Input,
                ErrorKind::Repair => Code::Damage,
                _ => Code::System,
            };
        }
    }
    Code::System
}

fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        if let Some(Failure::Input { hint, .. }) = cause.downcast_ref::<Failure>() {
            return Some(hint.clone());
        }
        match cause.downcast_ref::<GraniteError>()? {
            GraniteError::Locked { .. } => Some(
                "commands that read can run beside each other, not beside a program that writes: try again when it is closed".into(),
            ),
            GraniteError::NotADatabase { .. } => Some("`kvd --db DIR put KEY VALUE` creates a database".into()),
            _ => None,
        }
    })
}

#[derive(Serialize)]
struct Report<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    exit_code: u8,
}

/// Tells standard error about it, and the caller of the program by the exit code.
pub fn report(error: &anyhow::Error, json: bool) -> ExitCode {
    let code = code(error);
    if code != Code::Done {
        let message = format!("{error:#}");
        let report = Report { error: &message, hint: hint(error), exit_code: code as u8 };
        match serde_json::to_string(&report) {
            Ok(line) if json => eprintln!("{line}"),
            _ => {
                eprintln!("kvd: {message}");
                if let Some(hint) = report.hint {
                    eprintln!("hint: {hint}");
                }
            }
        }
    }
    ExitCode::from(code as u8)
}
