//! `tl restore STATE [PATHS]`: a recorded state, back in the working directory or written elsewhere.

use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use tl_core::Objects;
use tl_daemon::wire::{Checkpoint, LogQuery, PathBytes, Picked, Request, Restore};

use crate::choose::{Answer, Choice, Chooser, Question};
use crate::commands::diff;
use crate::commands::undo::agree;
use crate::context::{self, Context};
use crate::diff::renames::Status;
use crate::failure::Failure;
use crate::history;
use crate::output::Paint;
use crate::restored;
use crate::session::Session;

/// Checkpoints that removed files and were made within this time of each other belong to one deletion.
const ONE_DELETION: Duration = Duration::from_secs(10);

/// Bring back a recorded state. What is there now is recorded first, and `tl undo` brings that back
#[derive(Debug, Args)]
pub struct Arguments {
    /// The state. With `--store`, none is needed: the last one before everything was deleted is meant then
    state: Option<String>,
    /// Only what is at or below these paths
    paths: Vec<OsString>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Write to this directory instead; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Remove also what no recorded state says was there: untracked and ignored files. They are saved first
    #[arg(long)]
    exact: bool,
    /// Choose which parts of which files
    #[arg(short, long, conflicts_with_all = ["to", "exact", "yes"])]
    patch: bool,
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    // Not a rule of the command line's, as `--store` may stand before the command.
    if arguments.state.is_none() && context.settings.store.is_none() {
        let hint = "`tl log` lists them; `tl restore @-1` brings back the one before the newest";
        return Err(Failure::input("no state is named", hint));
    }
    // A project whose directory is gone has nothing to capture.
    let mut session = match &arguments.to {
        Some(_) => Session::open_to_write(context)?,
        None => Session::open_to_capture(context)?,
    };
    let paths = context.paths(session.located(), &arguments.paths)?;
    let to = match &arguments.to {
        Some(dir) => Some(PathBytes(context::here()?.join(dir).as_os_str().as_bytes().to_vec())),
        None => None,
    };
    let state = match &arguments.state {
        Some(state) => session.resolve(state)?,
        None => before_the_deletion(&mut session)?,
    };
    let mut restore = Restore {
        state: state.id,
        paths,
        picked: Vec::new(),
        to,
        exact: arguments.exact,
        dry_run: true,
        provenance: context.provenance(),
    };
    if arguments.patch {
        choose(context, &mut session, &state, &mut restore)?;
    }
    let asks = arguments.to.is_none() && !arguments.yes && !arguments.patch;
    if arguments.dry_run || asks {
        let (steps, planned) = restored::ask(context, &mut session, Request::Restore(restore.clone()))?;
        if arguments.dry_run {
            return restored::show(context, &steps, &planned);
        }
        if !agree(context, &steps, &planned)? {
            return Ok(());
        }
    }
    let (steps, done) = restored::ask(context, &mut session, Request::Restore(Restore { dry_run: false, ..restore }))?;
    restored::show(context, &steps, &done)
}

/// The newest state that is not part of a deletion that ended with the present: of states that only remove, each shortly after the one before.
fn before_the_deletion(session: &mut Session) -> Result<Checkpoint> {
    let mut states: Vec<Checkpoint> = Vec::new();
    history::log(session, LogQuery::default(), |state| {
        if !history::is_own_state(&state) {
            return Ok(true);
        }
        let since = |newer: &Checkpoint| Duration::from_micros(newer.time_us.saturating_sub(state.time_us));
        let follows = states.last().is_none_or(|newer| since(newer) <= ONE_DELETION);
        let goes_on = follows && state.stats.files_added == 0 && state.stats.files_changed == 0;
        states.push(state);
        Ok(goes_on)
    })?;
    let objects = session.objects()?;
    let mut states = states.into_iter().peekable();
    while let Some(state) = states.next() {
        match states.peek() {
            Some(older) if only_removes(&objects, older, &state)? => {}
            _ => return Ok(state),
        }
    }
    session.resolve("@")
}

/// True if something that `before` has is gone in `after`, and nothing came or changed.
fn only_removes(objects: &Objects, before: &Checkpoint, after: &Checkpoint) -> Result<bool> {
    let mut has_removed = false;
    for change in objects.diff(&history::object_id(before.root), &history::object_id(after.root))? {
        if change?.after.is_some() {
            return Ok(false);
        }
        has_removed = true;
    }
    Ok(has_removed)
}

/// Lets the user choose parts. That nothing is chosen is an error, as it would mean everything.
fn choose(context: &Context, session: &mut Session, state: &Checkpoint, restore: &mut Restore) -> Result<()> {
    let present = history::present(session, context)?;
    let paths = restore.paths.iter().map(history::repo_path).collect::<Result<Vec<_>>>()?;
    let objects = session.objects()?;
    let (before, after) = (history::object_id(present.root), history::object_id(state.root));
    let changes = history::files_between(&objects, &before, &after, &paths, None)?;
    let paint = context.out.error_paint();
    let mut chooser = Chooser::new(|question| ask(paint, question), paint);
    restore.paths.clear();
    for file in &changes.files {
        // To take a directory is to take what is in it, too.
        if file.before.iter().chain(&file.after).all(|side| side.entry.is_directory())
            && file.status() == Status::ModeChanged
        {
            continue;
        }
        let (file, before, after) = diff::load_one(&objects, file)?;
        let path = PathBytes(file.path().to_vec());
        match chooser.file(file, &before, &after)? {
            Choice::Nothing => {}
            Choice::Whole => restore.paths.push(path),
            Choice::Part(content) => {
                let len = content.len() as u64;
                restore.picked.push(Picked { path, content: session.put_blob(&content)?, len });
            }
        }
    }
    if restore.paths.is_empty() && restore.picked.is_empty() {
        return Err(Failure::Declined.into());
    }
    Ok(())
}

/// Shows a part and asks about it on standard error; standard input may be a file of answers. At its end nothing more is chosen.
fn ask(paint: Paint, question: &Question<'_>) -> Result<Answer> {
    let mut stderr = io::stderr();
    let write = |stderr: &mut io::Stderr, bytes: &[u8]| stderr.write_all(bytes).and_then(|()| stderr.flush());
    write(&mut stderr, question.shown).context("cannot show a part")?;
    loop {
        let split = if question.can_split { ",s" } else { "" };
        let prompt = format!("({}/{}) Restore this part [y,n,a,d,q{split},?]? ", question.number, question.count);
        write(&mut stderr, paint.strong(prompt).to_string().as_bytes()).context("cannot ask")?;
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line).context("cannot read the answer")? == 0 {
            return Ok(Answer::Quit);
        }
        match Answer::read(&line) {
            Some(Answer::Split) if !question.can_split => {}
            Some(answer) => return Ok(answer),
            None => {}
        }
        write(&mut stderr, Answer::HELP.as_bytes()).context("cannot show help")?;
    }
}
