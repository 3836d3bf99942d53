//! `get KEY`

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value};

use crate::arguments::KeyArgument;
use crate::failure::Failure;
use crate::form::Form;
use crate::output::insert_bytes;
use crate::session::Session;

/// Print the value of a key. Exit code 1 if there is none.
#[derive(Debug, Args)]
#[command(after_help = "--raw writes the exact bytes and nothing else.")]
pub struct Get {
    #[command(flatten)]
    key: KeyArgument,
}

impl Get {
    pub fn run(&self, session: &mut Session) -> Result<()> {
        let key = self.key.bytes(session.form)?;
        let db = session.open_to_read()?;
        let value = session.existing_keyspace(&db)?.get(&key)?;
        if session.settings.json {
            let mut object = Map::new();
            insert_bytes(&mut object, "key", &key, session.form);
            object.insert("found".into(), value.is_some().into());
            if let Some(value) = &value {
                insert_bytes(&mut object, "value", value, session.form);
            }
            session.out.json(&Value::Object(object))?;
        } else if let Some(value) = &value {
            let mut page = Vec::new();
            session.form.push_page(value, &mut page);
            if session.form != Form::Raw {
                page.push(b'\n');
            }
            session.out.bytes(&page)?;
        }
        match value {
            Some(_) => Ok(()),
            None => Err(Failure::KeyAbsent { keyspace: session.settings.keyspace.clone() }.into()),
        }
    }
}
