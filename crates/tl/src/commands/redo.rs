//! `tl redo`: takes an undo back.

use anyhow::Result;
use clap::Args;
use tl_daemon::wire::Request;

use super::undo::step;
use crate::context::Context;

/// Take the newest undo back
#[derive(Debug, Args)]
pub struct Arguments {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    step(context, arguments.yes, arguments.dry_run, Request::Redo)
}
