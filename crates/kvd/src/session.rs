//! One run of kvd: its settings, its output, and how it opens databases.

use std::path::Path;

use anyhow::Result;
use granite::{Db, Durability, Error, Keyspace, KeyspaceOptions, Options, RecoveryMode};
use serde_json::json;

use crate::arguments::{DurabilityName, RecoveryName, Settings};
use crate::failure::Failure;
use crate::form::Form;
use crate::output::Output;

#[derive(Debug)]
pub struct Session {
    pub settings: Settings,
    pub form: Form,
    pub out: Output,
}

impl Session {
    pub fn new(settings: Settings) -> Result<Self> {
        let form = match (settings.hex, settings.raw) {
            (true, true) => {
                return Err(Failure::input(
                    "--hex and --raw exclude each other",
                    "choose the form of the output you need",
                ));
            }
            (true, false) => Form::Hex,
            (false, true) => Form::Raw,
            (false, false) => Form::Text,
        };
        Ok(Self { settings, form, out: Output::new() })
    }

    /// The directory of the database.
    pub fn directory(&self) -> Result<&Path> {
        self.settings
            .db
            .as_deref()
            .ok_or_else(|| Failure::input("no database is named", "say --db DIR, before or after the command"))
    }

    pub fn durability(&self) -> Durability {
        match self.settings.durability {
            DurabilityName::Sync => Durability::Sync,
            DurabilityName::Buffered => Durability::Buffered,
        }
    }

    pub fn options(&self) -> Options {
        Options::new().memory_budget(self.settings.memory).durability(self.durability()).recovery(
            match self.settings.recovery {
                RecoveryName::Strict => RecoveryMode::Strict,
                RecoveryName::Tail => RecoveryMode::Tail,
                RecoveryName::Salvage => RecoveryMode::Salvage,
            },
        )
    }

    /// Opens the database beside other readers; changes nothing on disk.
    pub fn open_to_read(&self) -> Result<Db> {
        told_of_losses(Db::open_read_only(self.directory()?, &self.options())?)
    }

    /// Opens an existing database for writing.
    pub fn open_to_change(&self) -> Result<Db> {
        told_of_losses(Db::open(self.directory()?, &self.options().create_if_missing(false))?)
    }

    /// Opens the database for writing, creating it where there is none.
    pub fn open_or_create(&self) -> Result<Db> {
        told_of_losses(Db::open(self.directory()?, &self.options())?)
    }

    /// Tells of a place in a file that cannot be read.
    pub fn damage(&mut self, offset: u64, what: &str) -> Result<()> {
        if self.settings.json {
            return self.out.json(&json!({ "damage": { "offset": offset, "what": what } }));
        }
        self.out.line(format_args!("byte {offset}: damaged: {what}"))
    }

    /// The keyspace of the settings, which must be there.
    pub fn existing_keyspace(&self, db: &Db) -> Result<Keyspace> {
        db.existing_keyspace(&self.settings.keyspace).map_err(|error| match error {
            Error::UnknownKeyspace { name } => {
                let hint = match db.keyspace_names() {
                    names if names.is_empty() => "the database has none yet: `kvd put` creates one".to_owned(),
                    names => format!("the database has: {}", names.join(", ")),
                };
                Failure::input(format!("there is no keyspace named {name:?}"), hint)
            }
            other => other.into(),
        })
    }

    /// The keyspace of the settings, created where there is none.
    pub fn keyspace(&self, db: &Db) -> Result<Keyspace> {
        Ok(db.keyspace(&self.settings.keyspace, KeyspaceOptions::new())?)
    }
}

/// Losses in salvage mode are told even if the command goes on: what it reads is not everything that was written.
fn told_of_losses(db: Db) -> Result<Db> {
    for lost in &db.recovery().lost {
        let last = lost.last.map_or_else(|| "an unknown one".to_owned(), |last| last.to_string());
        eprintln!(
            "kvd: lost: the operations {} to {last} of the log, from segment {} at byte {}",
            lost.first, lost.segment, lost.offset
        );
    }
    Ok(db)
}
