//! `repair`

use anyhow::Result;
use clap::Args;
use granite::RepairReport;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::form::Form;
use crate::output::insert_bytes;
use crate::session::Session;

/// Make a damaged database whole again from what is intact, and list exactly what was lost.
#[derive(Debug, Args)]
#[command(after_help = "\
A healthy database is left as it is. Damaged originals are kept in the folder `lost` of the database. Exit code 3 if something
was lost.")]
pub struct Repair {}

impl Repair {
    pub fn run(&self, session: &mut Session) -> Result<()> {
        let directory = session.directory()?.to_owned();
        let report = granite::repair(&directory, &session.options())?;
        if session.settings.json {
            session.out.json(&object(&report, session.form))?;
        } else {
            print(&report, session)?;
        }
        if report.is_loss() { Err(Failure::Lost.into()) } else { Ok(()) }
    }
}

fn print(report: &RepairReport, session: &mut Session) -> Result<()> {
    let form = session.form;
    let out = &mut session.out;
    if report.manifest_rebuilt {
        out.line("the manifest was lost, and was rebuilt from the tables and segments")?;
    }
    out.line(format_args!(
        "tables: {} kept, {} rewritten with {} entries, {} lost",
        report.tables_kept, report.tables_rewritten, report.entries_saved, report.tables_lost
    ))?;
    let key = |key: Option<&Vec<u8>>, unknown: &str| {
        let mut line = Vec::new();
        match key {
            Some(key) => form.push_key(key, &mut line),
            None => line.extend_from_slice(unknown.as_bytes()),
        }
        line
    };
    for range in &report.lost_ranges {
        let mut line = format!("lost: entries of keyspace {} from ", range.keyspace).into_bytes();
        line.extend(key(range.from.as_ref(), "the first key"));
        line.extend_from_slice(b" to ");
        line.extend(key(range.to.as_ref(), "the last key"));
        line.extend_from_slice(format!(" that stood in {}\n", range.table.display()).as_bytes());
        out.bytes(&line)?;
    }
    for value in &report.lost_values {
        let mut line = format!("lost: value @{} of keyspace {}, key ", value.seq, value.keyspace).into_bytes();
        form.push_key(&value.key, &mut line);
        line.push(b'\n');
        out.bytes(&line)?;
    }
    for lost in &report.lost_log {
        let last = lost.last.map_or_else(|| "an unknown one".to_owned(), |last| format!("@{last}"));
        out.line(format_args!(
            "lost: operations @{} to {last} of the log, from segment {} at byte {}",
            lost.first, lost.segment, lost.offset
        ))?;
    }
    for table in &report.lost_range_deletes {
        out.line(format_args!("lost: deletes of ranges that stood in {}", table.display()))?;
    }
    for original in &report.originals {
        out.line(format_args!("kept: the damaged original as {}", original.display()))?;
    }
    Ok(())
}

fn object(report: &RepairReport, form: Form) -> Value {
    let ranges = report.lost_ranges.iter().map(|range| {
        let mut fields = Map::new();
        fields.insert("keyspace".into(), range.keyspace.clone().into());
        for (name, key) in [("from", &range.from), ("to", &range.to)] {
            if let Some(key) = key {
                insert_bytes(&mut fields, name, key, form);
            }
        }
        fields.insert("table".into(), range.table.display().to_string().into());
        Value::Object(fields)
    });
    let values = report.lost_values.iter().map(|value| {
        let mut fields = Map::new();
        fields.insert("keyspace".into(), value.keyspace.clone().into());
        insert_bytes(&mut fields, "key", &value.key, form);
        fields.insert("seq".into(), value.seq.get().into());
        Value::Object(fields)
    });
    let log = report.lost_log.iter().map(|lost| {
        json!({
            "first_seq": lost.first.get(),
            "last_seq": lost.last.map(granite::Seq::get),
            "segment": lost.segment,
            "offset": lost.offset,
        })
    });
    let paths =
        |paths: &[std::path::PathBuf]| -> Value { paths.iter().map(|path| path.display().to_string()).collect() };
    json!({
        "manifest_rebuilt": report.manifest_rebuilt,
        "tables_kept": report.tables_kept,
        "tables_rewritten": report.tables_rewritten,
        "tables_lost": report.tables_lost,
        "entries_saved": report.entries_saved,
        "lost_ranges": ranges.collect::<Vec<_>>(),
        "lost_values": values.collect::<Vec<_>>(),
        "lost_log": log.collect::<Vec<_>>(),
        "lost_range_deletes": paths(&report.lost_range_deletes),
        "originals": paths(&report.originals),
    })
}
