//! Standard output: lines for people, objects for programs.

use std::fmt;
use std::io::{self, BufWriter, ErrorKind, Stdout, Write};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::form::Form;

/// Buffered standard output. That its reader goes away is told apart from every other failure.
#[derive(Debug)]
pub struct Output {
    writer: BufWriter<Stdout>,
}

impl Output {
    pub fn new() -> Self {
        Self { writer: BufWriter::with_capacity(64 << 10, io::stdout()) }
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        checked(self.writer.write_all(bytes))
    }

    pub fn line(&mut self, line: impl fmt::Display) -> Result<()> {
        checked(writeln!(self.writer, "{line}"))
    }

    /// One object on a line of its own.
    pub fn json(&mut self, object: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(object).context("write JSON")?;
        line.push(b'\n');
        self.bytes(&line)
    }

    pub fn flush(&mut self) -> Result<()> {
        checked(self.writer.flush())
    }
}

fn checked(written: io::Result<()>) -> Result<()> {
    written.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::OutputClosed.into(),
        _ => anyhow::Error::new(error).context("cannot write to standard output"),
    })
}

/// Adds bytes to an object: under `name` if they are text and were not asked for in hexadecimal, under `NAME_hex` otherwise.
pub fn insert_bytes(object: &mut Map<String, Value>, name: &str, bytes: &[u8], form: Form) {
    match std::str::from_utf8(bytes) {
        Ok(text) if form != Form::Hex => object.insert(name.to_owned(), text.into()),
        _ => object.insert(format!("{name}_hex"), hex::encode(bytes).into()),
    };
}

/// A number of bytes for people.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut amount = bytes as f64;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{amount:.1} {}", UNITS[unit]) }
}
