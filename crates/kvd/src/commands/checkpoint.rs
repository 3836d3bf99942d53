//! `checkpoint DIR`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::output::human_bytes;
use crate::session::Session;

/// Make a directory a database of its own, with everything that is in this one now.
#[derive(Debug, Args)]
#[command(after_help = "\
Files are shared by hard links where both directories are on one filesystem, and copied elsewhere. Sealed files are never
changed, so neither database can harm the other.")]
pub struct Checkpoint {
    /// The directory, which must be empty or absent.
    #[arg(value_name = "DIR")]
    target: PathBuf,
}

impl Checkpoint {
    pub fn run(&self, session: &mut Session) -> Result<()> {
        let db = session.open_to_change()?;
        let report = db.checkpoint(&self.target)?;
        db.close()?;
        if session.settings.json {
            return session.out.json(&json!({
                "seq": report.seq.get(),
                "files_linked": report.files_linked,
                "files_copied": report.files_copied,
                "bytes_copied": report.bytes_copied,
            }));
        }
        session.out.line(format_args!(
            "everything up to sequence {}: {} files linked, {} files copied ({})",
            report.seq,
            report.files_linked,
            report.files_copied,
            human_bytes(report.bytes_copied)
        ))
    }
}
