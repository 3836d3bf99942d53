//! `scan`

use std::ffi::OsString;
use std::ops::Bound;

use anyhow::Result;
use clap::Args;
use granite::Iter;
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::form::Form;
use crate::output::insert_bytes;
use crate::session::Session;

/// Print keys with their values, in order, one a line: `KEY VALUE`.
#[derive(Debug, Args)]
#[command(after_help = "\
In lines, what is not printable is escaped: \\n, \\t, \\r, \\\\, \\xNN, and a space in a key is \\x20. Such lines, each behind
`put `, are what `kvd batch` reads.")]
pub struct Scan {
    /// Begin at this key.
    #[arg(long, value_name = "KEY", allow_negative_numbers = true)]
    from: Option<OsString>,
    /// End before this key.
    #[arg(long, value_name = "KEY", allow_negative_numbers = true)]
    to: Option<OsString>,
    /// Only keys that begin with this.
    #[arg(long, value_name = "PREFIX", allow_negative_numbers = true)]
    prefix: Option<OsString>,
    /// From the last key to the first.
    #[arg(long)]
    reverse: bool,
    /// Stop after this many keys.
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
    /// Leave the values out; large ones are not even read.
    #[arg(long)]
    keys_only: bool,
}

impl Scan {
    pub fn run(&self, session: &mut Session) -> Result<()> {
        let form = session.form;
        let bytes = |argument: &Option<OsString>| argument.as_deref().map(|bytes| form.argument(bytes)).transpose();
        let (from, to, prefix) = (bytes(&self.from)?, bytes(&self.to)?, bytes(&self.prefix)?);
        if let (Some(from), Some(to)) = (&from, &to)
            && from > to
        {
            return Err(Failure::input("--from lies behind --to", "--reverse turns the order round, not the bounds"));
        }
        let db = session.open_to_read()?;
        let keyspace = session.existing_keyspace(&db)?;
        let lower = from.map_or(Bound::Unbounded, Bound::Included);
        let upper = to.map_or(Bound::Unbounded, Bound::Excluded);
        let mut walk = keyspace.scan((lower, upper))?;
        match &prefix {
            Some(prefix) => walk.seek_prefix(prefix)?,
            None => walk.seek_to_first()?,
        }
        if self.reverse {
            walk.seek_to_last()?;
        }
        self.print(session, &mut walk)
    }

    fn print(&self, session: &mut Session, walk: &mut Iter) -> Result<()> {
        let mut left = self.limit.unwrap_or(u64::MAX);
        let mut line = Vec::new();
        while walk.valid() && left > 0 {
            let value = if self.keys_only { None } else { Some(walk.value()?) };
            if session.settings.json {
                let mut object = Map::new();
                insert_bytes(&mut object, "key", walk.key(), session.form);
                if let Some(value) = &value {
                    insert_bytes(&mut object, "value", value, session.form);
                }
                session.out.json(&Value::Object(object))?;
            } else {
                line.clear();
                push_line(session.form, walk.key(), value.as_deref(), &mut line);
                session.out.bytes(&line)?;
            }
            drop(value);
            left -= 1;
            if self.reverse { walk.prev()? } else { walk.next()? }
        }
        Ok(())
    }
}

fn push_line(form: Form, key: &[u8], value: Option<&[u8]>, line: &mut Vec<u8>) {
    form.push_key(key, line);
    if let Some(value) = value {
        line.push(b' ');
        form.push_value(value, line);
    }
    line.push(b'\n');
}
