//! `tl diff`: what differs between two states.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tl_core::{Objects, RepoPathBuf};
use tl_daemon::wire::{Checkpoint, PathBytes};

use crate::context::Context;
use crate::diff::content::Content;
use crate::diff::json::FileJson;
use crate::diff::patch::{self, PatchOptions};
use crate::diff::renames::{FileChange, RenameOptions};
use crate::diff::stat::{self, Amount};
use crate::failure::Failure;
use crate::history;
use crate::output::{self, Output};
use crate::session::Session;
use crate::text::{Canvas, Quoted};

/// Columns of a table where no terminal says how many there are.
const COLUMNS: usize = 80;

/// Show what differs between two states
#[derive(Debug, Args)]
#[command(after_help = "Without a state: what the last save changed. With one: what changed since then.")]
pub struct Arguments {
    /// The older state
    a: Option<String>,
    /// The newer state, the present if only one is given
    b: Option<String>,
    /// Only what is at or below these paths
    #[arg(last = true, value_name = "PATH")]
    paths: Vec<OsString>,
    #[command(flatten)]
    form: Form,
}

/// How differences are shown. `tl show` has the same options.
#[derive(Debug, Clone, Args)]
pub struct Form {
    /// How much changed in each file, as a table
    #[arg(long)]
    stat: bool,
    /// Only the names of the files
    #[arg(long, conflicts_with = "stat")]
    names: bool,
    /// Unchanged lines around each change
    #[arg(short = 'U', long = "unified", value_name = "LINES", default_value_t = 3)]
    context_lines: usize,
    /// Mark the words that differ instead of the lines
    #[arg(short, long)]
    words: bool,
    /// Show a renamed file as one that is gone and one that is new
    #[arg(long)]
    no_renames: bool,
    /// From this share of common content on, two files are one that was renamed
    #[arg(short = 'M', long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(1..=100))]
    similarity: u8,
}

impl Form {
    /// How renames are found.
    pub fn renames(&self) -> Option<RenameOptions> {
        let options = RenameOptions { similarity_percent_min: self.similarity, ..RenameOptions::default() };
        (!self.no_renames).then_some(options)
    }

    /// The same as a table, unless only names were asked for.
    #[must_use]
    pub fn without_patch(&self) -> Self {
        Self { stat: !self.names, ..self.clone() }
    }
}

/// What differs, for programs.
#[derive(Serialize)]
struct DiffJson<'a> {
    from: String,
    to: String,
    /// Not all pairs of files were compared to find renames.
    renames_limited: bool,
    files: Vec<FileJson<'a>>,
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    // What was just saved counts, so that somebody has to look.
    let mut session = if arguments.b.is_some() { Session::open(context)? } else { Session::open_to_capture(context)? };
    let paths = paths(context, &session, &arguments.paths)?;
    let (before, after) = sides(&mut session, context, arguments.a.as_deref(), arguments.b.as_deref())?;
    let objects = session.objects()?;
    let (from, to) = (history::object_id(before.root), history::object_id(after.root));
    let changes = history::files_between(&objects, &from, &to, &paths, arguments.form.renames().as_ref())?;
    if context.out.is_json() {
        let files = load(&objects, &changes.files)?;
        let json = DiffJson {
            from: output::checkpoint_id(before.id),
            to: output::checkpoint_id(after.id),
            renames_limited: changes.limited,
            files: files_json(&files, &arguments.form),
        };
        return context.out.json(&json);
    }
    let mut canvas = canvas(&context.out);
    write(&mut canvas, &objects, &changes.files, &arguments.form, columns())?;
    drop(objects);
    drop(session);
    context.out.page()?;
    context.out.bytes(&canvas.into_bytes())?;
    if changes.limited {
        eprintln!("tl: there were too many files to compare all of them for renames");
    }
    Ok(())
}

/// The two states that are compared.
fn sides(
    session: &mut Session,
    context: &Context,
    a: Option<&str>,
    b: Option<&str>,
) -> Result<(Checkpoint, Checkpoint)> {
    let before = a.map(|a| session.resolve(a)).transpose()?;
    let after = match b {
        Some(b) => session.resolve(b)?,
        None => history::present(session, context)?,
    };
    if let Some(before) = before {
        return Ok((before, after));
    }
    match history::parent(session, after.id)? {
        Some(before) => Ok((before, after)),
        None => Err(Failure::absent(
            format!("{} is the only state there is", output::short_id(after.id)),
            "`tl show @` shows what is in it",
        )),
    }
}

/// Paths of the command line as the trees have them.
pub fn paths(context: &Context, session: &Session, typed: &[OsString]) -> Result<Vec<RepoPathBuf>> {
    let paths: Vec<PathBytes> = context.paths(session.located(), typed)?;
    paths.iter().map(history::repo_path).collect()
}

/// A canvas for contents of files: escaped if a terminal reads them, every byte kept if not.
pub fn canvas(out: &Output) -> Canvas {
    Canvas::new(out.paint(), out.is_terminal())
}

/// Columns of the terminal.
pub fn columns() -> usize {
    rustix::termios::tcgetwinsize(std::io::stdout()).map_or(COLUMNS, |size| match size.ws_col {
        0 => COLUMNS,
        columns => usize::from(columns),
    })
}

/// A file that differs, and what it held.
pub type Loaded<'a> = (&'a FileChange, Content, Content);

/// Loads what one file held.
pub fn load_one<'a>(objects: &Objects, file: &'a FileChange) -> Result<Loaded<'a>> {
    let entry = |side: &Option<crate::diff::renames::Side>| side.as_ref().map(|side| side.entry);
    let (before, after) = (entry(&file.before), entry(&file.after));
    Ok((file, Content::load(objects, before.as_ref())?, Content::load(objects, after.as_ref())?))
}

/// Loads what files held.
pub fn load<'a>(objects: &Objects, files: &'a [FileChange]) -> Result<Vec<Loaded<'a>>> {
    files.iter().map(|file| load_one(objects, file)).collect()
}

/// Files for programs, in the form that was asked for.
pub fn files_json<'a>(files: &'a [Loaded<'a>], form: &Form) -> Vec<FileJson<'a>> {
    let json = |(file, before, after): &'a Loaded<'a>| {
        let json = FileJson::new(file);
        if form.names { json } else { json.with_contents(before, after, (!form.stat).then_some(form.context_lines)) }
    };
    files.iter().map(json).collect()
}

/// Writes what differs, in the form that was asked for.
pub fn write(canvas: &mut Canvas, objects: &Objects, files: &[FileChange], form: &Form, columns: usize) -> Result<()> {
    if form.names {
        files.iter().for_each(|file| write_name(canvas, file));
        return Ok(());
    }
    if form.stat {
        let mut amounts = Vec::with_capacity(files.len());
        for file in files {
            let (file, before, after) = load_one(objects, file)?;
            amounts.push((file.clone(), Amount::of(&before, &after)));
        }
        if !amounts.is_empty() {
            stat::write(canvas, &amounts, columns);
        }
        return Ok(());
    }
    let options = PatchOptions { context_lines: form.context_lines, words: form.words };
    for file in files {
        // One after the other, so that the contents of one file are in memory at a time.
        let (file, before, after) = load_one(objects, file)?;
        patch::write(canvas, file, &before, &after, options);
    }
    Ok(())
}

/// Writes what happened to a file as a letter, and its name.
fn write_name(canvas: &mut Canvas, file: &FileChange) {
    let paint = canvas.paint();
    let letter = file.status().letter();
    let path = Quoted::plain(file.path());
    let letter = match letter {
        'A' => paint.good(letter),
        'D' => paint.bad(letter),
        _ => paint.name(letter),
    };
    match file.old_path() {
        Some(old) => canvas.line(format_args!("{letter} {} -> {path}", Quoted::plain(old))),
        None => canvas.line(format_args!("{letter} {path}")),
    }
}
