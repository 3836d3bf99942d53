//! `compact`

use std::time::Instant;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::commands::stats::{counter, gauge};
use crate::output::human_bytes;
use crate::session::Session;

/// Move everything to the deepest level, and drop what is deleted or overwritten.
#[derive(Debug, Args)]
pub struct Compact {
    /// Compact every keyspace, not only the one of --keyspace.
    #[arg(long)]
    all: bool,
}

impl Compact {
    pub fn run(&self, session: &mut Session) -> Result<()> {
        let db = session.open_to_change()?;
        let before = db.stats();
        let start = Instant::now();
        if self.all {
            db.compact()?;
        } else {
            session.existing_keyspace(&db)?.compact()?;
        }
        let seconds = start.elapsed().as_secs_f64();
        let after = db.stats();
        db.close()?;
        let size = |stats| gauge(stats, "table_bytes") + gauge(stats, "segment_bytes");
        let (before, written, after) = (size(&before), counter(&after, "compaction_bytes_written"), size(&after));
        if session.settings.json {
            session.out.json(&json!({
                "seconds": seconds,
                "bytes_before": before,
                "bytes_after": after,
                "bytes_written": written,
            }))
        } else {
            session.out.line(format_args!(
                "compacted in {seconds:.2} s: tables and values {} -> {}, {} written",
                human_bytes(before),
                human_bytes(after),
                human_bytes(written)
            ))
        }
    }
}
