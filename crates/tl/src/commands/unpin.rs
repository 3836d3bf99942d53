//! `tl unpin`: a pin ends, and the state that it kept ages like any other.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tl_daemon::wire::Request;

use crate::context::Context;
use crate::session::Session;

/// Remove a pin
#[derive(Debug, Args)]
pub struct Arguments {
    /// Its name
    name: String,
}

#[derive(Serialize)]
struct Unpinned<'a> {
    name: &'a str,
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    Session::open_to_write(context)?.done(Request::Unpin { name: arguments.name.clone() })?;
    if context.out.is_json() {
        return context.out.json(&Unpinned { name: &arguments.name });
    }
    let name = context.out.paint().name(&arguments.name);
    context.out.line(format!("{name} is no pin any more"))
}
