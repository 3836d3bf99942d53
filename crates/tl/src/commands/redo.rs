//! `tl redo`: takes an undo back.

use anyhow::Result;
use clap::Args;
use tl_daemon::wire::Request;

use crate::commands::undo;
use crate::context::Context;

/// Take the newest undo back
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    step: undo::Arguments,
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    undo::step(context, &arguments.step, Request::Redo)
}
