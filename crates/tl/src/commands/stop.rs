//! `tl stop`: the daemon records what is left, and ends.

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::context::Context;
use crate::output::{self, PathJson};
use crate::session::stop_daemon;

/// Stop the daemon. Changes are not captured until a command starts it again
#[derive(Debug, Args)]
pub struct Arguments {}

#[derive(Serialize)]
struct StoppedJson<'a> {
    stopped: Option<u32>,
    root: PathJson<'a>,
}

pub fn run(context: &mut Context, _arguments: &Arguments) -> Result<()> {
    let located = context.locate()?;
    let stopped = stop_daemon(context, &located)?;
    let root = &located.root.path;
    if context.out.is_json() {
        return context.out.json(&StoppedJson { stopped, root: PathJson::of(root) });
    }
    let root = output::file(root);
    context.out.line(match stopped {
        Some(pid) => format!("daemon {pid} ended: {root} is not captured until `tl start`"),
        None => format!("no daemon ran for {root}"),
    })
}
