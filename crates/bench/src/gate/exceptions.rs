//! Regressions that are accepted for a while. Each says why and until when: one that has ended, or that nothing needs, is an error, so that the
//! list stays as short as the truth.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use jiff::civil::Date;
use serde::Deserialize;

use crate::compare::{Change, Figure};

/// One accepted regression.
#[derive(Debug, Clone, PartialEq)]
pub struct Exception {
    /// Name of the benchmark.
    pub benchmark: String,
    /// Name of the engine.
    pub engine: String,
    /// What may be worse.
    pub figure: Figure,
    /// How much worse: for throughput the least share of the baseline's, for everything else the largest multiple.
    pub limit_ratio: f64,
    /// Why.
    pub reason: String,
    /// The last day on which it holds.
    pub until: Date,
}

impl Exception {
    /// True if this is what it is about, and no worse than it says.
    #[must_use]
    pub fn allows(&self, change: &Change) -> bool {
        let within = match self.figure {
            Figure::Throughput => change.after >= change.before * self.limit_ratio,
            Figure::Failures => change.after.is_finite(),
            _ => change.after <= change.before * self.limit_ratio,
        };
        within && (&self.benchmark, &self.engine, self.figure) == (&change.benchmark, &change.engine, change.figure)
    }
}

/// The exceptions of one baseline.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exceptions {
    file: PathBuf,
    all: Vec<Exception>,
}

/// What the file holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    exception: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    benchmark: String,
    engine: String,
    figure: String,
    limit_ratio: f64,
    reason: String,
    until: String,
}

impl Entry {
    fn parse(self) -> Result<Exception> {
        let Self { benchmark, engine, figure, limit_ratio, reason, until } = self;
        ensure!(!reason.trim().is_empty(), "reason: it is empty");
        let known = Figure::ALL.map(Figure::name);
        let figure = Figure::ALL.into_iter().find(|known| known.name() == figure);
        let figure = figure.with_context(|| format!("figure: none of {}", known.join(", ")))?;
        ensure!(limit_ratio.is_finite() && limit_ratio > 0.0, "limit_ratio: {limit_ratio} is no ratio");
        let until = until.parse().with_context(|| format!("until: {until:?} is no date like 2030-12-31"))?;
        Ok(Exception { benchmark, engine, figure, limit_ratio, reason, until })
    }
}

impl Exceptions {
    /// Those of a file.
    ///
    /// # Errors
    /// If it cannot be read, or an entry lacks something.
    pub fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Self::parse(file, &text).with_context(|| format!("{} is no list of exceptions", file.display()))
    }

    /// Those of the text of `file`.
    pub(super) fn parse(file: &Path, text: &str) -> Result<Self> {
        let document: Document = toml::from_str(text)?;
        let parse = |(number, entry): (usize, Entry)| {
            let name = format!("exception {}, {} on {}", number + 1, entry.benchmark, entry.engine);
            entry.parse().context(name)
        };
        let all = document.exception.into_iter().enumerate().map(parse).collect::<Result<_>>()?;
        Ok(Self { file: file.to_owned(), all })
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Exception] {
        &self.all
    }

    pub(super) fn ensure_none_ended(&self, today: Date) -> Result<()> {
        if let Some(Exception { benchmark, engine, until, .. }) = self.all.iter().find(|one| one.until < today) {
            bail!("{}: the exception for {benchmark} on {engine} ended on {until}", self.file.display());
        }
        Ok(())
    }

    pub(super) fn ensure_all_used(&self, unused: &[&Exception]) -> Result<()> {
        if let Some(Exception { benchmark, engine, figure, .. }) = unused.first() {
            let figure = figure.name();
            bail!(
                "{}: the exception for {figure} of {benchmark} on {engine} allows nothing that happened",
                self.file.display()
            );
        }
        Ok(())
    }
}
