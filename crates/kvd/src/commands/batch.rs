//! `batch`

use std::io::{self, BufRead, Read};
use std::num::NonZeroU64;

use anyhow::{Context, Result};
use clap::Args;
use granite::{Db, Durability, Keyspace, MAX_KEY_LEN, MAX_VALUE_LEN, WriteBatch};
use serde_json::json;

use crate::failure::Failure;
use crate::form::{Form, excerpt};
use crate::session::Session;

/// Longest line: a key and a value of four letters a byte, and what stands between them.
const LINE_LEN_MAX: u64 = 4 * (MAX_KEY_LEN as u64 + MAX_VALUE_LEN as u64) + 64;

/// Read `put KEY VALUE` and `del KEY` lines from standard input and commit them as one batch: all or nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
One space stands between the words; the value is the rest of the line and may be empty. Without --hex or --raw, lines hold
escapes: \\n, \\t, \\r, \\\\, \\xNN. Empty lines are passed over. A wrong line stops the command; batches before it stay committed.")]
pub struct Batch {
    /// Commit a batch after every COUNT lines instead of one at the end.
    #[arg(long, value_name = "COUNT")]
    every: Option<NonZeroU64>,
    /// Print one line per batch as soon as it is durable.
    #[arg(long)]
    ack: bool,
}

/// One line of the input.
enum Line {
    Put { key: Vec<u8>, value: Vec<u8> },
    Delete { key: Vec<u8> },
}

/// How far the command has come.
struct Progress {
    batches: u64,
    operations: u64,
}

impl Batch {
    pub fn run(&self, session: &mut Session) -> Result<()> {
        if self.ack && session.durability() == Durability::Buffered {
            return Err(Failure::input(
                "--ack acknowledges what is durable, --durability buffered makes nothing durable before the end",
                "leave one of them away",
            ));
        }
        let db = session.open_or_create()?;
        let keyspace = session.keyspace(&db)?;
        let mut progress = Progress { batches: 0, operations: 0 };
        let committed = self.commit_lines(session, &db, &keyspace, &mut progress);
        // What was committed before a failure is made durable whatever the failure was.
        let closed = db.close();
        committed.with_context(|| match progress.batches {
            0 => "nothing was committed".to_owned(),
            batches => format!("stopped after {batches} committed batches of {} operations", progress.operations),
        })?;
        closed?;
        if self.ack {
            return Ok(());
        }
        if session.settings.json {
            session.out.json(&json!({ "batches": progress.batches, "operations": progress.operations }))
        } else {
            session.out.line(format_args!("batches {}, operations {}", progress.batches, progress.operations))
        }
    }

    fn commit_lines(&self, session: &mut Session, db: &Db, keyspace: &Keyspace, progress: &mut Progress) -> Result<()> {
        let mut input = io::stdin().lock();
        let mut batch = WriteBatch::new();
        let mut line = Vec::new();
        let mut number: u64 = 0;
        while read_line(&mut input, &mut line)? {
            number += 1;
            match parse(&line, session.form).with_context(|| format!("line {number}"))? {
                Some(Line::Put { key, value }) => batch.put(keyspace, &key, &value),
                Some(Line::Delete { key }) => batch.delete(keyspace, &key),
                None => continue,
            }
            if self.every.is_some_and(|every| batch.len() as u64 == every.get()) {
                let full = std::mem::take(&mut batch);
                self.commit(session, db, full, progress)
                    .with_context(|| format!("the batch that ends in line {number}"))?;
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.commit(session, db, batch, progress).context("the last batch")
    }

    fn commit(&self, session: &mut Session, db: &Db, batch: WriteBatch, progress: &mut Progress) -> Result<()> {
        let operations = batch.len() as u64;
        let committed = db.write(batch, session.durability())?;
        progress.batches += 1;
        progress.operations += operations;
        if !self.ack {
            return Ok(());
        }
        let batch = progress.batches;
        let written = if session.settings.json {
            session.out.json(&json!({ "batch": batch, "operations": operations, "seq": committed.seq.get() }))
        } else {
            session
                .out
                .line(format_args!("durable: batch {batch}, {operations} operations, sequence {}", committed.seq))
        };
        written.and_then(|()| session.out.flush()).map_err(|error| match error.downcast_ref() {
            Some(Failure::OutputClosed) => Failure::AcknowledgementsClosed { batches: batch }.into(),
            _ => error,
        })
    }
}

/// Reads one line without its end; false at the end of the input.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool> {
    line.clear();
    let len = input.take(LINE_LEN_MAX).read_until(b'\n', line).context("cannot read standard input")?;
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if len as u64 == LINE_LEN_MAX {
        return Err(Failure::input(
            "a line is longer than any key and value can be",
            format!("a key has at most {MAX_KEY_LEN} bytes, a value {MAX_VALUE_LEN}"),
        ));
    }
    Ok(len > 0)
}

fn parse(line: &[u8], form: Form) -> Result<Option<Line>> {
    if line.is_empty() {
        return Ok(None);
    }
    let mut words = line.splitn(3, |&byte| byte == b' ');
    match (words.next(), words.next(), words.next()) {
        (Some(b"put"), Some(key), Some(value)) => {
            Ok(Some(Line::Put { key: form.field(key)?, value: form.field(value)? }))
        }
        (Some(b"del"), Some(key), None) => Ok(Some(Line::Delete { key: form.field(key)? })),
        _ => Err(Failure::input(
            format!("cannot understand {:?}", excerpt(line)),
            "a line is `put KEY VALUE` or `del KEY`; a space in a key is written \\x20",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_rest_of_its_line() {
        let Some(Line::Put { key, value }) = parse(b"put a\\x20b  c d", Form::Text).unwrap() else {
            panic!("no put");
        };
        assert_eq!((key.as_slice(), value.as_slice()), (&b"a b"[..], &b" c d"[..]));
        let Some(Line::Put { value, .. }) = parse(b"put a ", Form::Text).unwrap() else { panic!("no put") };
        assert_eq!(value, b"");
    }

    /// If it fails, a forgotten value or a slip of the hand changes the database.
    #[test]
    fn lines_that_are_not_complete_are_refused() {
        for bad in [&b"put a"[..], b"put", b"del", b"del a b", b"get a", b"PUT a b", b" put a b"] {
            assert!(parse(bad, Form::Text).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
    }
}
