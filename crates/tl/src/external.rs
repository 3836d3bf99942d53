//! `tl NAME` runs `tl-NAME` from beside this program or from the search path, as Git and Cargo do.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::CommandFactory;
use rustix::fs::{Access, access};

use crate::cli::Cli;
use crate::context::Context;
use crate::environment::program_path;
use crate::failure::Failure;

/// Gives the process to the program; comes back only if there is none.
pub fn run(context: &mut Context, words: &[OsString]) -> Result<ExitCode> {
    let Some((name, arguments)) = words.split_first() else {
        return Err(Failure::input("no command was given", "`tl --help` lists the commands"));
    };
    let Some(program) = find(name) else {
        let message = format!("there is no command {name:?}, and no program `tl-{}`", name.display());
        return Err(Failure::input(message, suggestion(name)));
    };
    let mut command = Command::new(&program);
    command.args(arguments);
    if let Some(id) = context.settings.store {
        command.env("TL_STORE", id.to_string());
    }
    context.out.finish()?;
    Err(command.exec()).with_context(|| format!("cannot run {}", program.display()))
}

fn find(name: &OsStr) -> Option<PathBuf> {
    // A name with a slash would leave the directories that are searched.
    if name.is_empty() || name.as_bytes().contains(&b'/') {
        return None;
    }
    let mut file = OsString::from("tl-");
    file.push(name);
    // Where this program is may be unknown, as when it was removed; then the search path is what is left.
    let beside = env::current_exe().ok().and_then(|program| program.parent().map(Path::to_owned));
    let mut places = beside.into_iter().chain(program_path()).map(|dir| dir.join(&file));
    places.find(|path| path.is_file() && access(path, Access::EXEC_OK).is_ok())
}

fn suggestion(name: &OsStr) -> String {
    let typed = name.to_string_lossy();
    let known = Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect::<Vec<_>>();
    let nearest = known.iter().map(|known| (strsim::levenshtein(&typed, known), known)).min();
    match nearest {
        Some((0..=2, known)) => format!("did you mean `tl {known}`? `tl --help` lists the commands"),
        _ => "`tl --help` lists the commands".to_owned(),
    }
}
