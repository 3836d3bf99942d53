//! `verify`

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::failure::Failure;
use crate::output::human_bytes;
use crate::session::Session;

/// Read everything that the database consists of and check it. Changes nothing.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code 3 if something is not as it should be; every finding is printed with file and offset."
)]
pub struct Verify {}

impl Verify {
    pub fn run(&self, session: &mut Session) -> Result<()> {
        let directory = session.directory()?.to_owned();
        let report = granite::verify(&directory, &session.options())?;
        if session.settings.json {
            let finding = |finding: &granite::Finding| json!({ "file": finding.path.display().to_string(), "offset": finding.offset, "what": finding.what });
            session.out.json(&json!({
                "intact": report.is_intact(),
                "tables": report.tables,
                "entries": report.entries,
                "value_bytes": report.value_bytes,
                "log_records": report.log_records,
                "torn": report.torn.map(|(segment, offset)| json!({ "segment": segment, "offset": offset })),
                "leftovers": report.leftovers.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
                "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
            }))?;
        } else {
            session.out.line(format_args!(
                "checked {} tables with {} entries, {} of separated values, {} records of the log",
                report.tables,
                report.entries,
                human_bytes(report.value_bytes),
                report.log_records
            ))?;
            if let Some((segment, offset)) = report.torn {
                session.out.line(format_args!(
                    "torn tail in segment {segment} at byte {offset}: no damage, it was not acknowledged as durable"
                ))?;
            }
            for path in &report.leftovers {
                session.out.line(format_args!(
                    "left over: {}: no damage, the next open for writing removes what is granite's",
                    path.display()
                ))?;
            }
            for finding in &report.findings {
                session.out.line(format_args!("wrong: {finding}"))?;
            }
            if report.is_intact() {
                session.out.line("intact")?;
            }
        }
        Failure::of_damage(&directory, report.findings.len())
    }
}
