//! `metrics`

mod encode;
mod serve;

use std::net::SocketAddr;

use anyhow::Result;
use clap::Args;

use crate::commands::stats::Report;
use crate::failure::Failure;
use crate::session::Session;

/// Print the database's figures for Prometheus, or serve them.
#[derive(Debug, Args)]
#[command(after_help = "\
The database is opened read-only for each scrape and closed again, so that a program can open it for writing in between. While
one has it open, the scrape says `granite_up 0`.")]
pub struct Metrics {
    /// Serve GET /metrics at this address until SIGINT or SIGTERM; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Allow --listen on an address that other machines can reach.
    #[arg(long, requires = "listen")]
    allow_remote: bool,
}

impl Metrics {
    pub fn run(&self, session: &mut Session) -> Result<()> {
        let Some(address) = self.listen else {
            let db = session.open_to_read()?;
            if session.settings.json {
                return session.out.json(&Report::of(&db));
            }
            let text = encode::up(&db.stats())?;
            return session.out.bytes(text.as_bytes());
        };
        if !address.ip().is_loopback() && !self.allow_remote {
            return Err(Failure::input(
                format!("{address} can be reached from other machines, and whoever asks is answered"),
                "listen on 127.0.0.1, or say --allow-remote",
            ));
        }
        // A database that cannot be opened at all is told now, not at the first scrape.
        match session.open_to_read().map(drop) {
            Err(error) if !is_locked(&error) => return Err(error),
            _ => {}
        }
        serve::serve(session, address)
    }
}

fn is_locked(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(granite::Error::Locked { .. }))
}

/// What a scrape is answered.
fn scrape(session: &Session) -> Result<String> {
    match session.open_to_read() {
        Ok(db) => encode::up(&db.stats()),
        Err(error) => {
            if !is_locked(&error) {
                eprintln!("kvd: {error:#}");
            }
            encode::down()
        }
    }
}
