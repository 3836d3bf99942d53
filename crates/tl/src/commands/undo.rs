//! `tl undo`: back to what was there before the newest restore.

use anyhow::Result;
use clap::Args;
use tl_daemon::wire::{PlanStep, Request, Restored, Step};

use crate::context::Context;
use crate::output::{self, confirm};
use crate::restored;
use crate::session::Session;

/// Go back to what was there before the newest restore, byte for byte
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
    step(context, arguments.yes, arguments.dry_run, Request::Undo)
}

/// An undo or a redo.
pub fn step(context: &mut Context, yes: bool, dry_run: bool, request: impl Fn(Step) -> Request) -> Result<()> {
    let mut session = Session::open_to_capture(context)?;
    let provenance = context.provenance();
    let of = |dry_run| request(Step { dry_run, provenance: provenance.clone() });
    if dry_run || !yes {
        let (steps, planned) = restored::ask(context, &mut session, of(true))?;
        if dry_run {
            return restored::show(context, &steps, &planned);
        }
        if !agree(context, &steps, &planned)? {
            return Ok(());
        }
    }
    let (steps, done) = restored::ask(context, &mut session, of(false))?;
    restored::show(context, &steps, &done)
}

/// Shows the plan and asks. False if there is nothing to do, which is said.
pub fn agree(context: &mut Context, steps: &[PlanStep], planned: &Restored) -> Result<bool> {
    if steps.is_empty() {
        restored::show(context, steps, planned)?;
        return Ok(false);
    }
    if !context.out.is_json() {
        restored::show_plan(context, steps)?;
        context.out.flush()?;
    }
    let state = output::short_id(planned.state);
    let question =
        format!("Change {} paths to what they were in {state}? What is there now is recorded first.", steps.len());
    confirm(&context.environment, &question)?;
    Ok(true)
}
