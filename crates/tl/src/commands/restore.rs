//! `tl restore STATE [PATHS]`: a recorded state, back in the working directory or written elsewhere.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use tl_daemon::wire::{PathBytes, Request, Restore};

use crate::commands::undo::agree;
use crate::context::{self, Context};
use crate::restored;
use crate::session::Session;

/// Bring back a recorded state. What is there now is recorded first, and `tl undo` brings that back
#[derive(Debug, Args)]
pub struct Arguments {
    /// The state
    state: String,
    /// Only what is at or below these paths
    paths: Vec<OsString>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Write to this directory instead; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Remove also what no recorded state says was there: untracked and ignored files. They are saved first
    #[arg(long)]
    exact: bool,
}

pub fn run(context: &mut Context, arguments: &Arguments) -> Result<()> {
    // A project whose directory is gone has nothing to capture.
    let mut session = match &arguments.to {
        Some(_) => Session::open(context)?,
        None => Session::open_to_capture(context)?,
    };
    let paths = context.paths(session.located(), &arguments.paths)?;
    let to = match &arguments.to {
        Some(dir) => Some(PathBytes(context::here()?.join(dir).as_os_str().as_bytes().to_vec())),
        None => None,
    };
    let restore = Restore {
        state: session.resolve(&arguments.state)?.id,
        paths,
        picked: Vec::new(),
        to,
        exact: arguments.exact,
        dry_run: true,
        provenance: context.provenance(),
    };
    let asks = arguments.to.is_none() && !arguments.yes;
    if arguments.dry_run || asks {
        let (steps, planned) = restored::ask(context, &mut session, Request::Restore(restore.clone()))?;
        if arguments.dry_run {
            return restored::show(context, &steps, &planned);
        }
        if !agree(context, &steps, &planned)? {
            return Ok(());
        }
    }
    let (steps, done) = restored::ask(context, &mut session, Request::Restore(Restore { dry_run: false, ..restore }))?;
    restored::show(context, &steps, &done)
}
