//! kvd: granite from the shell.
//!
//! Here are the command line, the forms in which bytes are written and read, and what is printed. What another program could
//! want to do with a database belongs into granite.

mod arguments;
mod commands;
mod content;
mod failure;
mod form;
mod output;
mod session;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;
use session::Session;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let json = arguments.settings.json;
    let ended = Session::new(arguments.settings).and_then(|mut session| {
        let ended = commands::run(&mut session, arguments.command);
        // What was printed before a failure is shown before it.
        let flushed = session.out.flush();
        ended.and(flushed)
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error, json),
    }
}
