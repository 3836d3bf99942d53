//! `del KEY`

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::arguments::KeyArgument;
use crate::session::Session;

/// Remove a key. It need not be there.
#[derive(Debug, Args)]
pub struct Del {
    #[command(flatten)]
    key: KeyArgument,
}

impl Del {
    pub fn run(&self, session: &mut Session) -> Result<()> {
        let key = self.key.bytes(session.form)?;
        let db = session.open_to_change()?;
        session.existing_keyspace(&db)?.delete(&key)?;
        let seq = db.seq();
        db.close()?;
        if session.settings.json {
            session.out.json(&json!({ "seq": seq.get() }))?;
        }
        Ok(())
    }
}
