//! `tl bisect run`: which save broke a command.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use tempfile::TempDir;
use tl_core::{ObjectId, Objects};
use tl_daemon::wire::{Checkpoint, Direction, LogQuery, PathBytes, Request};

use super::log::marks;
use crate::bisect::checkout::{Method, Pool};
use crate::bisect::search::{Next, Search, Verdict};
use crate::context::Context;
use crate::failure::Failure;
use crate::history;
use crate::output::{self, CheckpointJson, Clock, Output};
use crate::session::Session;
use crate::text::Quoted;

/// The exit code by which a command says that a state cannot be judged, as for `git bisect run`.
const SKIP: i32 = 125;
/// From this exit code on, a command was not found, or ended by a signal: that is no verdict about a state.
const NO_VERDICT: i32 = 126;

/// Find the save that broke something
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Run a command in one state after the other, until the save is found that broke it
    Run(Run),
}

/// Run a command in one state after the other, until the save is found that broke it
#[derive(Debug, Args)]
#[command(
    after_help = "The command runs in a directory of its own for each state. It says that the state is good by exit code 0, \
                        that it cannot be judged by 125, that it is bad by any other up to 124; all others end the search."
)]
struct Run {
    /// A state in which the command succeeds; searched for if none is given
    #[arg(long, value_name = "STATE")]
    good: Option<String>,
    /// A state in which it fails, the present if none is given
    #[arg(long, value_name = "STATE")]
    bad: Option<String>,
    /// Only the states that changed something at or below this path
    #[arg(long, value_name = "PATH")]
    path: Vec<OsString>,
    /// Where the directories of the states are made, and removed again
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// The command, and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// How the command did in one state, for programs.
#[derive(Debug, Serialize)]
struct TryJson {
    id: String,
    verdict: &'static str,
    exit_code: Option<i32>,
    duration_ms: u64,
}

/// What was found, for programs.
#[derive(Serialize)]
struct FoundJson<'a> {
    first_bad: Option<CheckpointJson<'a>>,
    last_good: Option<CheckpointJson<'a>>,
    /// The states of which one is the first bad one, if that could not be told.
    candidates: Vec<String>,
    tries: &'a [TryJson],
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let Action::Run(arguments) = &arguments.action;
    let mut session = Session::open_to_capture(context)?;
    let (states, good) = states(context, &mut session, arguments)?;
    lease(&mut session, &states)?;
    let here = here(context, &session)?;
    let objects = session.objects()?;
    let scratch = match &arguments.scratch {
        Some(dir) => TempDir::with_prefix_in("tl-bisect-", dir),
        None => TempDir::with_prefix("tl-bisect-"),
    };
    let scratch = scratch.context("cannot make a directory for the states")?;
    let mut runner = Runner::new(&objects, &scratch, here, &arguments.command, context.out.is_json())?;
    let mut search = Search::new(states.len(), good);
    let clock = Clock::new(context.environment.zone());
    let end = loop {
        match search.next() {
            Next::Try(index) => {
                let Some(state) = states.get(index) else { break Next::NoGood };
                eprintln!("tl: trying {} ({})", output::short_id(state.id), clock.local(state.time_us));
                let verdict = runner.verdict(state)?;
                eprintln!("tl: {} is {}", output::short_id(state.id), word(verdict));
                search.note(index, verdict);
            }
            end => break end,
        }
    };
    let tries = runner.tries;
    scratch.close().context("cannot remove the directory of the states")?;
    tell(&mut context.out, &clock, &states, &end, &tries)
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "good",
        Verdict::Bad => "bad",
        Verdict::Skipped => "skipped",
    }
}

/// The states to search, oldest first, and which of them is said to be good.
fn states(context: &Context, session: &mut Session, arguments: &Run) -> Result<(Vec<Checkpoint>, Option<usize>)> {
    let good = arguments.good.as_ref().map(|good| session.resolve(good)).transpose()?;
    let bad = match &arguments.bad {
        Some(bad) => session.resolve(bad)?,
        None => history::present(session, context)?,
    };
    if good.as_ref().is_some_and(|good| good.id >= bad.id) {
        return Err(Failure::input(
            "the good state is not older than the bad one",
            "`--good` is a state in which the command succeeds, `--bad` a newer one in which it fails",
        ));
    }
    let query = LogQuery {
        paths: context.paths(session.located(), &arguments.path)?,
        direction: Direction::OldestFirst,
        from: good.as_ref().map(|good| good.id),
        ..LogQuery::default()
    };
    let mut states: Vec<Checkpoint> = good.iter().cloned().collect();
    history::log(session, query, |checkpoint| {
        let known = states.last().map(|last| (last.id, last.root));
        let goes_on = checkpoint.id <= bad.id;
        // What did not change the tree cannot have broken anything.
        let is_next = known.is_none_or(|(id, root)| checkpoint.id > id && checkpoint.root != root);
        if goes_on && is_next && history::is_own_state(&checkpoint) {
            states.push(checkpoint);
        }
        Ok(goes_on)
    })?;
    if states.is_empty() {
        states.push(bad);
    }
    Ok((states, good.map(|_| 0)))
}

/// Sees to it that none of the states is thinned meanwhile.
fn lease(session: &mut Session, states: &[Checkpoint]) -> Result<()> {
    for part in states.chunks(tl_daemon::wire::IDS_MAX) {
        session.done(Request::Lease { checkpoints: part.iter().map(|state| state.id).collect(), roots: Vec::new() })?;
    }
    Ok(())
}

/// The directory in which the command runs, below the root.
fn here(context: &Context, session: &Session) -> Result<PathBytes> {
    match context.settings.store {
        Some(_) => Ok(PathBytes::default()),
        None => context.path(session.located(), Path::new(".")),
    }
}

/// Runs the command in states.
struct Runner<'a> {
    pool: Pool<'a>,
    scratch: PathBuf,
    /// Where below the root of a state it runs.
    here: PathBytes,
    command: &'a [OsString],
    /// Standard output is for the answer alone.
    quiet_stdout: bool,
    /// What is known about trees.
    known: HashMap<ObjectId, Verdict>,
    tries: Vec<TryJson>,
    stopped: Arc<AtomicBool>,
}

impl<'a> Runner<'a> {
    fn new(
        objects: &'a Objects,
        scratch: &TempDir,
        here: PathBytes,
        command: &'a [OsString],
        quiet_stdout: bool,
    ) -> Result<Self> {
        let pool = scratch.path().join("pool");
        std::fs::create_dir(&pool).context("cannot make a directory for the states")?;
        let stopped = Arc::new(AtomicBool::new(false));
        // The command gets these signals too; what is left for this program is to clean up.
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stopped)).context("cannot handle signals")?;
        }
        Ok(Self {
            pool: Pool::new(objects, pool, Method::Clone),
            scratch: scratch.path().to_owned(),
            here,
            command,
            quiet_stdout,
            known: HashMap::new(),
            tries: Vec::new(),
            stopped,
        })
    }

    fn verdict(&mut self, state: &Checkpoint) -> Result<Verdict> {
        let root = history::object_id(state.root);
        if let Some(known) = self.known.get(&root) {
            return Ok(*known);
        }
        let dir = self.scratch.join("state");
        self.pool.check_out(&root, &dir)?;
        let began = Instant::now();
        let status = self.run(state, &dir)?;
        let took = began.elapsed();
        remove(&dir)?;
        if self.stopped.load(Ordering::Acquire) {
            return Err(Failure::retry("the search was stopped", ""));
        }
        let verdict = judge(status, self.command)?;
        self.known.insert(root, verdict);
        self.note(state, status, verdict, took);
        Ok(verdict)
    }

    fn run(&self, state: &Checkpoint, dir: &Path) -> Result<ExitStatus> {
        let below = dir.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&self.here.0));
        // The directory in which the user stands may not have been there yet.
        let current = if below.is_dir() { below } else { dir.to_owned() };
        let (program, arguments) = self.command.split_first().context("there is no command")?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(current).stdin(Stdio::null());
        command.env("TL_BISECT_STATE", output::checkpoint_id(state.id)).env("TL_BISECT_DIR", dir);
        if self.quiet_stdout {
            command.stdout(std::io::stderr());
        }
        command.status().with_context(|| format!("cannot run {}", output::file(Path::new(program))))
    }

    fn note(&mut self, state: &Checkpoint, status: ExitStatus, verdict: Verdict, took: Duration) {
        self.tries.push(TryJson {
            id: output::checkpoint_id(state.id),
            verdict: word(verdict),
            exit_code: status.code(),
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        });
    }
}

/// What an exit code says about a state.
fn judge(status: ExitStatus, command: &[OsString]) -> Result<Verdict> {
    let program = command.first().map(|program| output::file(Path::new(program))).unwrap_or_default();
    match status.code() {
        Some(0) => Ok(Verdict::Good),
        Some(SKIP) => Ok(Verdict::Skipped),
        Some(code) if code < NO_VERDICT => Ok(Verdict::Bad),
        Some(code) => Err(Failure::input(
            format!("{program} ended with exit code {code}, which says nothing about a state"),
            "exit codes up to 124 mean bad, 125 means that the state cannot be judged",
        )),
        None => {
            let signal = status.signal().unwrap_or_default();
            Err(Failure::input(
                format!("{program} was ended by signal {signal}, which says nothing about a state"),
                "a shell around it turns that into an exit code: `sh -c '... || exit 1'`",
            ))
        }
    }
}

/// Removes what a command left behind, also where it took the right to do so away.
fn remove(dir: &Path) -> Result<()> {
    if std::fs::remove_dir_all(dir).is_ok() {
        return Ok(());
    }
    open_up(dir);
    std::fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", output::file(dir)))
}

/// Gives the owner all rights to the directories. What cannot be changed shows in the removal that follows.
fn open_up(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).is_err() {
        return;
    }
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

fn tell(out: &mut Output, clock: &Clock, states: &[Checkpoint], end: &Next, tries: &[TryJson]) -> Result<()> {
    let state = |index: usize| states.get(index);
    let (first_bad, last_good, candidates) = match end {
        Next::Found(index) => (state(*index), index.checked_sub(1).and_then(state), Vec::new()),
        Next::Unclear(candidates) => {
            let first = candidates.first().and_then(|index| index.checked_sub(1));
            (None, first.and_then(state), candidates.iter().filter_map(|index| state(*index)).collect())
        }
        Next::NotBad | Next::Untestable => {
            let word = if *end == Next::NotBad { "succeeds" } else { "cannot be judged" };
            let bad = states.last().map(|state| output::short_id(state.id)).unwrap_or_default();
            return Err(Failure::input(
                format!("the command {word} in {bad}, which should be bad"),
                "`--bad` is a state in which the command fails",
            ));
        }
        Next::NotGood(index) => {
            let good = state(*index).map(|state| output::short_id(state.id)).unwrap_or_default();
            return Err(Failure::input(
                format!("the command does not succeed in {good}, which should be good"),
                "`--good` is a state in which the command succeeds; without it one is searched for",
            ));
        }
        Next::NoGood | Next::Try(_) => {
            return Err(Failure::absent(
                "the command succeeds in none of the states, back to the oldest that is kept",
                "perhaps it needs something that is not recorded, such as ignored files: `tl cat` and `tl ls` show what a state has",
            ));
        }
    };
    if out.is_json() {
        return out.json(&FoundJson {
            first_bad: first_bad.map(CheckpointJson::from),
            last_good: last_good.map(CheckpointJson::from),
            candidates: candidates.iter().map(|state| output::checkpoint_id(state.id)).collect(),
            tries,
        });
    }
    let paint = out.paint();
    if let Some(bad) = first_bad {
        let id = paint.id(output::checkpoint_id(bad.id));
        out.line(format!("{id} broke it, {} ({})", clock.local(bad.time_us), clock.ago(bad.time_us)))?;
        let marks = marks(paint, bad, &[]);
        if !marks.is_empty() {
            out.line(marks)?;
        }
        for path in &bad.touched {
            out.line(format!("    {}", Quoted::plain(&path.0)))?;
        }
        if bad.touched_more {
            out.line("    ...")?;
        }
        out.line(format!("`tl show -p {}` shows what it changed", output::short_id(bad.id)))?;
    } else {
        out.line("it was one of these; all but the last could not be judged:")?;
        for state in candidates {
            out.line(format!("    {}  {}", paint.id(output::checkpoint_id(state.id)), clock.local(state.time_us)))?;
        }
    }
    if let Some(good) = last_good {
        out.line(format!("the last good state is {}", paint.id(output::short_id(good.id))))?;
    }
    Ok(())
}
