//! `dump-sstable FILE`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use granite::Error;
use granite::inspect::{self, TableDump, TableProperties};
use serde_json::{Map, Value, json};

use crate::content;
use crate::failure::Failure;
use crate::form::Form;
use crate::output::insert_bytes;
use crate::session::Session;

/// Print what stands in a table: what it says about itself, and its entries.
#[derive(Debug, Args)]
#[command(after_help = "Needs no --db and takes no lock. Goes on behind damage; exit code 3 if there was any.")]
pub struct DumpSstable {
    /// The table, a file NNNNNNNNNN.sst.
    file: PathBuf,
    /// Leave the entries out.
    #[arg(long)]
    summary: bool,
    /// List the blocks.
    #[arg(long)]
    blocks: bool,
}

impl DumpSstable {
    pub fn run(&self, session: &mut Session) -> Result<()> {
        let table = inspect::table(&self.file)?;
        let json = session.settings.json;
        if json {
            session.out.json(&json!({ "table": self.object(&table, session.form) }))?;
        } else {
            self.print(&table, session)?;
        }
        let mut places = table.damage.len();
        for damage in &table.damage {
            session.damage(damage.offset, &damage.what)?;
        }
        if !self.summary {
            places += print_entries(&table, session)?;
        }
        Failure::of_damage(&self.file, places)
    }

    fn object(&self, table: &TableDump, form: Form) -> Value {
        let mut object = Map::new();
        object.insert("file_bytes".into(), table.file_len.into());
        if let Some(properties) = &table.properties {
            let mut fields = Map::new();
            for (name, value) in figures(properties) {
                fields.insert(name.replace(' ', "_"), value.into());
            }
            insert_bytes(&mut fields, "smallest", &properties.smallest, form);
            insert_bytes(&mut fields, "largest", &properties.largest, form);
            fields.insert("bulk_loaded".into(), properties.bulk_loaded.into());
            object.insert("properties".into(), fields.into());
        }
        let deletes: Vec<Value> = table
            .range_deletes
            .iter()
            .map(|delete| {
                let mut fields = Map::new();
                insert_bytes(&mut fields, "start", &delete.start, form);
                insert_bytes(&mut fields, "end", &delete.end, form);
                fields.insert("seq".into(), delete.seq.get().into());
                fields.into()
            })
            .collect();
        object.insert("range_deletes".into(), deletes.into());
        if self.blocks {
            let block =
                |block: &inspect::BlockDump| json!({ "kind": block.kind, "offset": block.offset, "bytes": block.len });
            object.insert("blocks".into(), table.blocks.iter().map(block).collect());
        }
        object.into()
    }

    fn print(&self, table: &TableDump, session: &mut Session) -> Result<()> {
        let form = session.form;
        session.out.line(format_args!("file: {} bytes", table.file_len))?;
        if let Some(properties) = &table.properties {
            for (name, value) in figures(properties) {
                session.out.line(format_args!("{name}: {value}"))?;
            }
            for (name, key) in [("smallest: ", &properties.smallest), ("largest: ", &properties.largest)] {
                let mut line = name.as_bytes().to_vec();
                form.push_key(key, &mut line);
                line.push(b'\n');
                session.out.bytes(&line)?;
            }
            session.out.line(format_args!("bulk loaded: {}", properties.bulk_loaded))?;
        }
        if self.blocks {
            for block in &table.blocks {
                session
                    .out
                    .line(format_args!("block: {} at byte {}, {} bytes", block.kind, block.offset, block.len))?;
            }
        }
        for delete in &table.range_deletes {
            let content = inspect::Content::DeleteRange { end: delete.end.clone() };
            let mut line = Vec::new();
            content::push_words(&delete.start, delete.seq, &content, form, &mut line);
            line.push(b'\n');
            session.out.bytes(&line)?;
        }
        Ok(())
    }
}

fn figures(properties: &TableProperties) -> [(&'static str, u64); 9] {
    [
        ("keyspace", properties.keyspace.into()),
        ("file number", properties.file_number),
        ("entries", properties.entries),
        ("deletes", properties.deletes),
        ("range deletes", properties.range_deletes),
        ("key bytes", properties.key_bytes),
        ("value bytes", properties.value_bytes),
        ("smallest sequence", properties.seq_min.get()),
        ("largest sequence", properties.seq_max.get()),
    ]
}

/// Returns how many blocks could not be read.
fn print_entries(table: &TableDump, session: &mut Session) -> Result<usize> {
    let mut places = 0;
    let mut line = Vec::new();
    for entry in table.entries() {
        match entry {
            Ok(entry) if session.settings.json => {
                let object = content::object(&entry.key, entry.seq, &entry.content, session.form);
                session.out.json(&json!({ "entry": object }))?;
            }
            Ok(entry) => {
                line.clear();
                content::push_words(&entry.key, entry.seq, &entry.content, session.form, &mut line);
                line.push(b'\n');
                session.out.bytes(&line)?;
            }
            Err(Error::Corrupt { offset, what, .. }) => {
                places += 1;
                session.damage(offset, &what)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(places)
}
