//! `put KEY VALUE`

use std::ffi::OsString;
use std::io::{self, Read};

use anyhow::{Context, Result};
use clap::Args;
use granite::{Durability, MAX_VALUE_LEN};
use serde_json::json;

use crate::arguments::KeyArgument;
use crate::failure::Failure;
use crate::form::Form;
use crate::session::Session;

/// Write a value under a key. Creates the database and the keyspace where they are missing.
#[derive(Debug, Args)]
pub struct Put {
    #[command(flatten)]
    key: KeyArgument,
    /// The value; `-` reads it from standard input, every byte up to the end.
    #[arg(allow_negative_numbers = true)]
    value: OsString,
}

impl Put {
    pub fn run(&self, session: &mut Session) -> Result<()> {
        let key = self.key.bytes(session.form)?;
        let value = if self.value == "-" { read_value(session.form)? } else { session.form.argument(&self.value)? };
        let db = session.open_or_create()?;
        let keyspace = session.keyspace(&db)?;
        keyspace.put(&key, &value)?;
        let seq = db.seq();
        db.close()?;
        if session.settings.json {
            let durable_at_once = session.durability() == Durability::Sync;
            session
                .out
                .json(&json!({ "seq": seq.get(), "value_bytes": value.len(), "synced_by_write": durable_at_once }))?;
        }
        Ok(())
    }
}

fn read_value(form: Form) -> Result<Vec<u8>> {
    // Hexadecimal takes two digits a byte, and white space around it.
    let limit = 2 * MAX_VALUE_LEN as u64 + 1024;
    let mut value = Vec::new();
    io::stdin().lock().take(limit).read_to_end(&mut value).context("cannot read standard input")?;
    if value.len() as u64 == limit {
        return Err(Failure::input(
            "standard input holds more than a value can",
            format!("a value has at most {MAX_VALUE_LEN} bytes: split it"),
        ));
    }
    match form {
        Form::Hex => form.field(value.trim_ascii()),
        Form::Text | Form::Raw => Ok(value),
    }
}
