//! `dump-manifest`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use granite::inspect::{self, KeyspaceDump, ManifestDump, ManifestTable};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::form::Form;
use crate::output::insert_bytes;
use crate::session::Session;

/// Print the manifest: its records, and the database that they add up to.
#[derive(Debug, Args)]
#[command(after_help = "\
Takes no lock. Exit code 3 if a record stands behind something that cannot be read; at the end that is a change that never happened.")]
pub struct DumpManifest {
    /// A manifest elsewhere than in the directory of --db.
    file: Option<PathBuf>,
    /// Leave the records out.
    #[arg(long)]
    summary: bool,
}

impl DumpManifest {
    pub fn run(&self, session: &mut Session) -> Result<()> {
        let path = match &self.file {
            Some(file) => file.clone(),
            None => session.directory()?.join("MANIFEST"),
        };
        let manifest = inspect::manifest(&path)?;
        if session.settings.json {
            session.out.json(&self.object(&manifest, session.form))?;
        } else {
            self.print(&manifest, session)?;
        }
        let last = manifest.records.last().map_or(0, |record| record.offset);
        let places =
            manifest.damage.iter().filter(|damage| damage.offset <= last || manifest.records.is_empty()).count();
        Failure::of_damage(&path, places)
    }

    fn print(&self, manifest: &ManifestDump, session: &mut Session) -> Result<()> {
        session.out.line(format_args!("file: {} bytes", manifest.file_len))?;
        if !self.summary {
            for record in &manifest.records {
                session.out.line(format_args!("byte {}: record of {} bytes", record.offset, record.len))?;
                for edit in &record.edits {
                    session.out.line(format_args!("  {edit}"))?;
                }
            }
        }
        for damage in &manifest.damage {
            session.damage(damage.offset, &damage.what)?;
        }
        session.out.line(format_args!(
            "log: begins in segment {} with @{}, durable up to @{}",
            manifest.log_start, manifest.log_first_seq, manifest.durable
        ))?;
        session.out.line(format_args!("next file: {}", manifest.next_file))?;
        for keyspace in &manifest.keyspaces {
            session.out.line(format_args!(
                "keyspace {} {:?}: in tables up to @{}; {}",
                keyspace.id, keyspace.name, keyspace.persisted, keyspace.options
            ))?;
            for table in &keyspace.tables {
                let mut line = format!(
                    "  table {} in level {}: {} entries, {} bytes, @{} to @{}, keys ",
                    table.number, table.level, table.entries, table.file_len, table.seq_min, table.seq_max
                )
                .into_bytes();
                session.form.push_key(&table.smallest, &mut line);
                line.extend_from_slice(b" to ");
                session.form.push_key(&table.largest, &mut line);
                line.push(b'\n');
                session.out.bytes(&line)?;
            }
        }
        for (number, bytes) in &manifest.segments {
            session.out.line(format_args!("segment {number}: sealed, {bytes} bytes"))?;
        }
        Ok(())
    }

    fn object(&self, manifest: &ManifestDump, form: Form) -> Value {
        let record = |record: &inspect::ManifestRecord| json!({ "offset": record.offset, "bytes": record.len, "edits": record.edits });
        let damage = |damage: &inspect::Damage| json!({ "offset": damage.offset, "what": damage.what });
        let segment = |&(number, bytes): &(u64, u64)| json!({ "number": number, "bytes": bytes });
        let mut object = json!({
            "file_bytes": manifest.file_len,
            "log_start": manifest.log_start,
            "log_first_seq": manifest.log_first_seq.get(),
            "next_file": manifest.next_file,
            "durable_seq": manifest.durable.get(),
            "keyspaces": manifest.keyspaces.iter().map(|one| keyspace_object(one, form)).collect::<Vec<_>>(),
            "segments": manifest.segments.iter().map(segment).collect::<Vec<_>>(),
            "damage": manifest.damage.iter().map(damage).collect::<Vec<_>>(),
        });
        if !self.summary {
            object["records"] = manifest.records.iter().map(record).collect();
        }
        object
    }
}

fn keyspace_object(keyspace: &KeyspaceDump, form: Form) -> Value {
    json!({
        "id": keyspace.id,
        "name": keyspace.name,
        "options": keyspace.options.to_string(),
        "persisted_seq": keyspace.persisted.get(),
        "tables": keyspace.tables.iter().map(|table| table_object(table, form)).collect::<Vec<_>>(),
    })
}

fn table_object(table: &ManifestTable, form: Form) -> Value {
    let mut object = Map::new();
    let figures = [
        ("number", table.number),
        ("level", table.level.into()),
        ("bytes", table.file_len),
        ("entries", table.entries),
        ("deletes", table.deletes),
        ("range_deletes", table.range_deletes),
        ("smallest_seq", table.seq_min.get()),
        ("largest_seq", table.seq_max.get()),
    ];
    for (name, value) in figures {
        object.insert(name.into(), value.into());
    }
    insert_bytes(&mut object, "smallest", &table.smallest, form);
    insert_bytes(&mut object, "largest", &table.largest, form);
    let segment = |&(number, bytes): &(u64, u64)| json!({ "number": number, "bytes": bytes });
    object.insert("segments".into(), table.segments.iter().map(segment).collect());
    object.into()
}
