//! `tl run -- CMD`: a checkpoint before and after a command, with what changed in between attributed to it.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::thread;

use anyhow::{Context as _, Result};
use clap::Args;
use jiff::Timestamp;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use tl_daemon::wire::{Answer, Checkpoint, Provenance, Request};

use super::flush::{FlushedJson, summary};
use crate::context::Context;
use crate::failure;
use crate::output::{self, Paint};
use crate::session::{Session, unexpected};

/// Exit codes of a command that was not run, as shells have them.
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
/// Added to the number of the signal that ended a command, as shells do.
const BY_SIGNAL: i32 = 128;

/// Run a command, with a checkpoint before and after it and its changes attributed to it
#[derive(Debug, Args)]
pub struct Arguments {
    /// The session to attribute the changes to; a new one by default
    #[arg(long)]
    session: Option<String>,
    /// The actor to attribute the changes to; the command's name by default
    #[arg(long)]
    actor: Option<String>,
    /// A label for the checkpoints
    #[arg(long)]
    label: Option<String>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

#[derive(Serialize)]
struct RanJson<'a> {
    session: Option<&'a str>,
    actor: Option<&'a str>,
    exit_code: Option<u8>,
    before: FlushedJson,
    after: Option<FlushedJson>,
}

/// Comes back with the exit code of the command.
pub fn run(context: &mut Context, arguments: Arguments) -> Result<ExitCode> {
    let Arguments { session, actor, label, command } = arguments;
    let Some((program, words)) = command.split_first() else { return Ok(ExitCode::SUCCESS) };
    let above = context.provenance();
    let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned();
    let provenance = Provenance {
        session: session.or(above.session).or_else(|| Some(new_session(&name))),
        actor: actor.or(above.actor).or(Some(name)),
        label,
        message: Some(shown(&command)),
    };
    let mut store = Session::open_to_capture(context)?;
    let (before, changed) = flushed(store.ask(Request::BeginRun { provenance: provenance.clone() })?)?;
    let before = FlushedJson::new(&before, changed);

    let mut child = Command::new(program);
    child.args(words);
    let variables = [("TL_SESSION", &provenance.session), ("TL_ACTOR", &provenance.actor)];
    child.envs(variables.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))));
    let (code, ended) = match child.spawn() {
        Ok(child) => {
            let code = code_of(wait(child)?);
            (code, Some(code))
        }
        Err(error) => {
            eprintln!("tl: cannot run {}: {error}", program.display());
            (if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE }, None)
        }
    };

    // The command has run, whatever happens to its checkpoint: its exit code is the answer, and the failure is told beside it.
    let after = store.ask(Request::EndRun { exit_code: ended.map(i32::from) }).and_then(flushed);
    let after = match after {
        Ok(after) => Some(after),
        Err(error) => {
            failure::report(
                &error.context("the changes of the command are not attributed to it"),
                context.out.is_json(),
            );
            None
        }
    };
    if context.out.is_json() {
        let after = after.map(|(checkpoint, changed)| FlushedJson::new(&checkpoint, changed));
        let (session, actor) = (provenance.session.as_deref(), provenance.actor.as_deref());
        let report = RanJson { session, actor, exit_code: ended, before, after };
        // Standard output is the command's.
        eprintln!("{}", serde_json::to_string(&report).context("write JSON")?);
    } else if let Some((checkpoint, true)) = after {
        tell(context.out.error_paint(), &checkpoint, provenance.session.as_deref());
    }
    Ok(ExitCode::from(code))
}

fn tell(paint: Paint, checkpoint: &Checkpoint, session: Option<&str>) {
    let id = paint.id(output::short_id(checkpoint.id));
    let session = session.map_or_else(String::new, |session| format!(" (session {})", paint.name(session)));
    eprintln!("tl: {id}  {}{session}", summary(checkpoint));
}

fn flushed(answer: Answer) -> Result<(Checkpoint, bool)> {
    match answer {
        Answer::Flushed { checkpoint, changed } => Ok((*checkpoint, changed)),
        other => Err(unexpected(&other)),
    }
}

/// A name that no other run has: the command's, the second, and the process.
fn new_session(name: &str) -> String {
    format!("{name}-{}-{}", Timestamp::now().strftime("%Y%m%dT%H%M%SZ"), std::process::id())
}

/// The command in one line, for its checkpoints' message.
fn shown(command: &[OsString]) -> String {
    const LEN_MAX: usize = 4000;
    let mut line = command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    line.truncate(line.floor_char_boundary(LEN_MAX));
    line
}

fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| BY_SIGNAL + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

/// Waits for the command. What a terminal sends goes to the command by itself, and does not end this program before the checkpoint after it; what is sent to
/// this program alone is passed on.
fn wait(mut child: Child) -> Result<ExitStatus> {
    let mut signals = Signals::new([SIGINT, SIGQUIT, SIGTERM, SIGHUP]).context("cannot catch signals")?;
    let handle = signals.handle();
    let pid = Pid::from_child(&child);
    let forwarder = thread::spawn(move || {
        for signal in signals.forever() {
            let passed_on = match signal {
                SIGTERM => Signal::TERM,
                SIGHUP => Signal::HUP,
                _ => continue,
            };
            // It has ended but is not forgotten as long as this thread runs, so that the id is still its own.
            if let Err(error) = kill_process(pid, passed_on) {
                eprintln!("tl: cannot pass a signal on to the command: {error}");
            }
        }
    });
    loop {
        match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for the command"),
        }
    }
    handle.close();
    // It neither panics nor holds anything that could be lost.
    drop(forwarder.join());
    child.wait().context("cannot wait for the command")
}
