//! tl: Timelapse from the shell.
//!
//! Here are the command line, what is asked of the store, and how answers are shown. What another program could want to do with a store belongs into the
//! crates below. Nothing here opens a database: a command asks through a session, which talks to the daemon or carries the request out itself.

mod bisect;
mod blame;
mod choose;
mod cli;
mod commands;
mod context;
mod diff;
mod environment;
mod external;
mod failure;
mod grep;
mod history;
mod output;
mod place;
mod restored;
mod session;
mod text;

use std::process::ExitCode;

use clap::Parser;

use cli::Cli;
use context::Context;

fn main() -> ExitCode {
    let Cli { settings, command } = Cli::parse();
    let json = settings.json;
    let ended = Context::new(settings).and_then(|mut context| {
        let ended = commands::run(&mut context, command);
        // What was printed before a failure is shown before it.
        let flushed = context.out.finish();
        ended.and_then(|code| flushed.map(|()| code))
    });
    ended.unwrap_or_else(|error| failure::report(&error, json))
}
