//! `tl start`: the daemon captures from now on.

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, PathJson};
use crate::session::Session;

/// Start the daemon, unless it runs
#[derive(Debug, Args)]
pub struct Arguments {}

#[derive(Serialize)]
struct StartedJson<'a> {
    daemon: u32,
    root: PathJson<'a>,
}

pub fn run(context: &mut Context, _arguments: &Arguments) -> Result<()> {
    let located = context.locate()?;
    if !located.root.is_in_place() {
        return Err(Failure::input(
            format!("{} is gone, so that there is nothing to watch", located.root.path.display()),
            format!("`tl restore --store {} --to DIR` brings it back", located.store.id()),
        ));
    }
    let root = located.root.path.clone();
    let session = Session::start(context, located)?;
    let Some(pid) = session.daemon() else {
        return Err(Failure::retry("the daemon did not start", "`tl doctor` looks for the reason"));
    };
    if context.out.is_json() {
        return context.out.json(&StartedJson { daemon: pid, root: PathJson::of(&root) });
    }
    context.out.line(format!("daemon {pid} captures {}", output::file(&root)))
}
