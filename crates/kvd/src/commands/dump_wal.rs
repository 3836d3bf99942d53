//! `dump-wal FILE`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use granite::inspect::{self, LogRecord, SegmentDump, SegmentItem, SegmentKind};
use serde_json::{Value, json};

use crate::content;
use crate::failure::Failure;
use crate::form::Form;
use crate::session::Session;

/// Print what stands in a segment: its header, and its records with their operations.
#[derive(Debug, Args)]
#[command(after_help = "\
Needs no --db and takes no lock. Whether a record still counts depends on the manifest and the other segments. Goes on behind
damage; exit code 3 if a record stands behind something that cannot be read. At the end that may be a write that was cut off.")]
pub struct DumpWal {
    /// The segment, a file NNNNNNNNNN.seg.
    file: PathBuf,
    /// Leave the operations out.
    #[arg(long)]
    summary: bool,
}

impl DumpWal {
    pub fn run(&self, session: &mut Session) -> Result<()> {
        let segment = inspect::segment(&self.file)?;
        print_header(&segment, session)?;
        let mut places = 0;
        if let Some(damage) = &segment.damage {
            session.damage(damage.offset, &damage.what)?;
            places += 1;
        }
        // Bad records count as damage once a good one is found behind them.
        let mut bad = 0;
        for item in segment.into_records() {
            match item? {
                SegmentItem::Record(record) => {
                    if record.operations.is_some() {
                        places += std::mem::take(&mut bad);
                    } else {
                        bad += 1;
                    }
                    self.print_record(&record, session)?;
                }
                SegmentItem::Gap { offset, len, followed } => {
                    places += usize::from(followed);
                    if session.settings.json {
                        let gap = json!({ "offset": offset, "bytes": len, "followed": followed });
                        session.out.json(&json!({ "gap": gap }))?;
                    } else {
                        let meaning = if followed { "damage: a record follows" } else { "unused, or cut off" };
                        session.out.line(format_args!("byte {offset}: {len} bytes that are no record ({meaning})"))?;
                    }
                }
            }
        }
        Failure::of_damage(&self.file, places)
    }

    fn print_record(&self, record: &LogRecord, session: &mut Session) -> Result<()> {
        if session.settings.json {
            return session.out.json(&json!({ "record": self.object(record, session.form) }));
        }
        session.out.line(format_args!(
            "byte {}: record of {} bytes, {} operations from @{}, durable up to @{}, {} bytes of separated values",
            record.offset, record.len, record.operation_count, record.first_seq, record.durable, record.value_bytes
        ))?;
        let Some(operations) = &record.operations else {
            return session.out.line("  its checksum fails: damaged, or cut off while it was written");
        };
        if self.summary {
            return Ok(());
        }
        for operation in operations {
            let mut line = format!("  keyspace {}: ", operation.keyspace).into_bytes();
            content::push_words(&operation.key, operation.seq, &operation.content, session.form, &mut line);
            line.push(b'\n');
            session.out.bytes(&line)?;
        }
        Ok(())
    }

    fn object(&self, record: &LogRecord, form: Form) -> Value {
        let mut object = json!({
            "offset": record.offset,
            "bytes": record.len,
            "first_seq": record.first_seq.get(),
            "durable_seq": record.durable.get(),
            "operation_count": record.operation_count,
            "value_bytes": record.value_bytes,
            "intact": record.operations.is_some(),
        });
        if let Some(operations) = record.operations.as_ref().filter(|_| !self.summary) {
            let operations = operations.iter().map(|operation| {
                let mut fields = content::object(&operation.key, operation.seq, &operation.content, form);
                fields.insert("keyspace".into(), operation.keyspace.into());
                Value::Object(fields)
            });
            object["operations"] = operations.collect();
        }
        object
    }
}

fn print_header(segment: &SegmentDump, session: &mut Session) -> Result<()> {
    let kind = segment.kind.map(|kind| match kind {
        SegmentKind::Log => "log",
        SegmentKind::Values => "values",
    });
    let (first, durable) = (segment.first_seq.map(granite::Seq::get), segment.durable.map(granite::Seq::get));
    if session.settings.json {
        let header = json!({
            "file_bytes": segment.file_len,
            "kind": kind,
            "number": segment.number,
            "incarnation": segment.incarnation,
            "first_seq": first,
            "durable_seq": durable,
        });
        return session.out.json(&json!({ "segment": header }));
    }
    session.out.line(format_args!("file: {} bytes", segment.file_len))?;
    if let (Some(kind), Some(number), Some(incarnation), Some(first), Some(durable)) =
        (kind, segment.number, segment.incarnation, first, durable)
    {
        session.out.line(format_args!(
            "segment {number} of {kind}, incarnation {incarnation:016x}, begins with @{first}, durable up to @{durable}"
        ))?;
    }
    Ok(())
}
