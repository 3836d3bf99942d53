//! `tl pin`: a name that keeps a state.

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use tl_daemon::wire::Request;

use crate::context::Context;
use crate::output;
use crate::session::Session;

/// Keep a state for ever, under a name
#[derive(Debug, Args)]
pub struct Arguments {
    /// The name; a pin of this name moves
    name: String,
    /// The state
    #[arg(default_value = "@")]
    state: String,
}

#[derive(Serialize)]
struct Pinned<'a> {
    name: &'a str,
    id: String,
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let mut session = Session::open_to_write(context)?;
    let id = session.resolve(&arguments.state)?.id;
    session.done(Request::Pin { name: arguments.name.clone(), id })?;
    if context.out.is_json() {
        return context.out.json(&Pinned { name: &arguments.name, id: output::checkpoint_id(id) });
    }
    let paint = context.out.paint();
    context.out.line(format!("{} is {}", paint.name(&arguments.name), paint.id(output::short_id(id))))
}
