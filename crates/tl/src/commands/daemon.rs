//! `tl daemon` (hidden): the daemon itself, in the foreground. `tl start` runs it.

use std::fs::OpenOptions;
use std::io::{self, Write};

use anyhow::{Context as _, Result};
use clap::Args;
use tl_daemon::daemon::{self, DaemonLog};
use tl_daemon::logs::{self, LogFiles};
use tl_daemon::settings::Settings;

use crate::context::Context;

/// Run the daemon in the foreground
#[derive(Debug, Args)]
pub struct Arguments {}

pub fn run(context: &mut Context, _arguments: &Arguments) -> Result<()> {
    let located = context.locate()?;
    let place = context.place(&located)?;
    context.runtime().prepare_socket(located.store.id())?;
    let files = LogFiles::open(&place.store.logs()).context("cannot open the log")?;
    let (subscriber, level) = logs::subscriber(&files, Settings::load(&place.store)?.log_level());
    tracing::subscriber::set_global_default(subscriber).context("cannot begin the log")?;
    daemon::run(&place, Some(&DaemonLog { files, level }), || {
        if let Err(error) = say_ready() {
            tracing::warn!(%error, "whoever started the daemon was not told that it is ready");
        }
    })?;
    Ok(())
}

/// Tells whoever started the daemon that it takes connections, and lets go of their output: they wait for its end.
fn say_ready() -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "ready")?;
    stdout.flush()?;
    let nowhere = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    rustix::stdio::dup2_stderr(&nowhere)?;
    Ok(())
}
