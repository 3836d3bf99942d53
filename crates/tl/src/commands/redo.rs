//! `tl redo`: takes an undo back.

use anyhow::Result;
use clap::Args;
use tl_daemon::wire::{Request, Step};

use crate::context::Context;
use crate::output::confirm;
use crate::restored;
use crate::session::Session;

/// Take the newest undo back
#[derive(Debug, Args)]
pub struct Arguments {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    let mut session = Session::open_to_capture(context)?;
    if !arguments.yes {
        confirm(&context.environment, "Take the newest undo back? What is there now is recorded first.")?;
    }
    let provenance = context.provenance();
    let (steps, done) = restored::ask(context, &mut session, Request::Redo(Step { dry_run: false, provenance }))?;
    restored::show(context, &steps, &done)
}
