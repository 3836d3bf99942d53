//! Standard output: text for people, JSON for programs.
//!
//! Text goes through a pager once a command says that it can be long, if standard output is a terminal.

mod color;
mod pager;
mod progress;
mod question;
mod shown;

use std::fmt;
use std::io::{self, BufWriter, ErrorKind, Stdout, Write};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::cli::Settings;
use crate::environment::Environment;
use crate::failure::Failure;

pub use color::Paint;
pub use progress::Bar;
pub use question::confirm;
pub use shown::{
    CheckpointJson, Clock, PathJson, bytes, checkpoint_id, duration, file, gap_cause, object_id, path, reason, rfc3339,
    short_id,
};

use pager::Pager;

/// Buffered standard output. That its reader goes away is told apart from every other failure.
#[derive(Debug)]
pub struct Output {
    sink: Sink,
    json: bool,
    paint: Paint,
    error_paint: Paint,
    /// The command line of the pager that long output goes through.
    pager: Option<std::ffi::OsString>,
    is_terminal: bool,
}

#[derive(Debug)]
enum Sink {
    Stdout(BufWriter<Stdout>),
    Pager(BufWriter<Pager>),
}

impl Output {
    pub fn new(settings: &Settings, environment: &Environment) -> Self {
        let pages = environment.stdout_is_terminal && !settings.no_pager && !settings.json;
        Self {
            sink: Sink::Stdout(BufWriter::with_capacity(64 << 10, io::stdout())),
            json: settings.json,
            paint: Paint::choose(settings.color, environment, environment.stdout_is_terminal),
            error_paint: Paint::choose(settings.color, environment, environment.stderr_is_terminal),
            pager: pages.then(|| pager::command(environment.pager.as_deref())).flatten(),
            is_terminal: environment.stdout_is_terminal,
        }
    }

    /// JSON was asked for.
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// How text is coloured.
    pub const fn paint(&self) -> Paint {
        self.paint
    }

    /// How text on standard error is coloured.
    pub const fn error_paint(&self) -> Paint {
        self.error_paint
    }

    /// Standard output is a terminal.
    pub const fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// What follows can be long: on a terminal it goes through the pager. To be called before the first line, and after leases and locks are given up: a reader
    /// may look at a page for hours.
    pub fn page(&mut self) -> Result<()> {
        let Some(command) = self.pager.take() else { return Ok(()) };
        self.flush()?;
        // Without a pager the text still has to be seen.
        if let Ok(pager) = Pager::start(&command) {
            self.sink = Sink::Pager(BufWriter::with_capacity(64 << 10, pager));
        }
        Ok(())
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        checked(self.writer().write_all(bytes))
    }

    pub fn line(&mut self, line: impl fmt::Display) -> Result<()> {
        checked(writeln!(self.writer(), "{line}"))
    }

    /// One JSON value on a line of its own.
    pub fn json(&mut self, value: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(value).context("write JSON")?;
        line.push(b'\n');
        self.bytes(&line)
    }

    /// Shows what was written so far, as a command does that goes on for long.
    pub fn flush(&mut self) -> Result<()> {
        checked(self.writer().flush())
    }

    /// Shows everything, and waits until the reader of the pager has seen it.
    pub fn finish(&mut self) -> Result<()> {
        let flushed = self.flush();
        let stdout = Sink::Stdout(BufWriter::new(io::stdout()));
        if let Sink::Pager(pager) = std::mem::replace(&mut self.sink, stdout) {
            let (pager, _unwritten) = pager.into_parts();
            pager.wait().context("the pager failed")?;
        }
        flushed
    }

    fn writer(&mut self) -> &mut dyn Write {
        match &mut self.sink {
            Sink::Stdout(writer) => writer,
            Sink::Pager(writer) => writer,
        }
    }
}

fn checked(written: io::Result<()>) -> Result<()> {
    written.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::OutputClosed.into(),
        _ => anyhow::Error::new(error).context("cannot write to standard output"),
    })
}
