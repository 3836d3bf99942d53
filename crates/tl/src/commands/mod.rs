//! The commands, one file each: its arguments, what it asks of the store, and how the answer is shown.

pub mod bisect;
pub mod blame;
pub mod cat;
pub mod completions;
pub mod config;
pub mod daemon;
pub mod diff;
pub mod doctor;
pub mod du;
pub mod flush;
pub mod gc;
pub mod grep;
pub mod info;
pub mod init;
pub mod label;
pub mod log;
pub mod ls;
pub mod pin;
pub mod pins;
pub mod purge;
pub mod redo;
pub mod repair;
pub mod restore;
pub mod run;
pub mod show;
pub mod start;
pub mod status;
pub mod stop;
pub mod stores;
pub mod undo;
pub mod unpin;
pub mod verify;
pub mod watch;

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::Command;
use crate::context::Context;
use crate::external;

/// Runs a command; what comes back is the exit code, which only `run` and programs called `tl-NAME` choose themselves.
pub fn run(context: &mut Context, command: Command) -> Result<ExitCode> {
    match command {
        Command::Init(arguments) => init::run(context, &arguments),
        Command::Start(arguments) => start::run(context, &arguments),
        Command::Stop(arguments) => stop::run(context, &arguments),
        Command::Status(arguments) => status::run(context, &arguments),
        Command::Flush(arguments) => flush::run(context, arguments),
        Command::Watch(arguments) => watch::run(context, &arguments),
        Command::Run(arguments) => return run::run(context, arguments),
        Command::Stores(arguments) => stores::run(context, &arguments),
        Command::Du(arguments) => du::run(context, &arguments),
        Command::Info(arguments) => info::run(context, &arguments),
        Command::Restore(arguments) => restore::run(context, &arguments),
        Command::Undo(arguments) => undo::run(context, &arguments),
        Command::Redo(arguments) => redo::run(context, &arguments),
        Command::Pin(arguments) => pin::run(context, &arguments),
        Command::Unpin(arguments) => unpin::run(context, &arguments),
        Command::Pins(arguments) => pins::run(context, &arguments),
        Command::Label(arguments) => label::run(context, &arguments),
        Command::Log(arguments) => log::run(context, &arguments),
        Command::Show(arguments) => show::run(context, &arguments),
        Command::Diff(arguments) => diff::run(context, &arguments),
        Command::Cat(arguments) => cat::run(context, &arguments),
        Command::Ls(arguments) => ls::run(context, &arguments),
        Command::Blame(arguments) => blame::run(context, &arguments),
        Command::Grep(arguments) => grep::run(context, &arguments),
        Command::Bisect(arguments) => bisect::run(context, &arguments),
        Command::Gc(arguments) => gc::run(context, &arguments),
        Command::Verify(arguments) => verify::run(context, &arguments),
        Command::Repair(arguments) => repair::run(context, &arguments),
        Command::Purge(arguments) => purge::run(context, &arguments),
        Command::Doctor(arguments) => doctor::run(context, &arguments),
        Command::Config(arguments) => config::run(context, arguments),
        Command::Completions(arguments) => completions::run(context, &arguments),
        Command::Daemon(arguments) => daemon::run(context, &arguments),
        Command::External(words) => return external::run(context, &words),
    }
    .map(|()| ExitCode::SUCCESS)
}
