//! Commands that compare.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Args;
use jiff::tz::TimeZone;

use super::DEFAULT_OUT;
use crate::compare::{Change, Comparison, Judgement, Kinds, Scope, Times, compare};
use crate::gate::{Exceptions, judge};
use crate::results;

/// The gate's exit code for a regression; 1 is left for errors of the program.
const EXIT_REGRESSION: u8 = 2;
/// Where a baseline keeps what is accepted.
const EXCEPTIONS_FILE: &str = "exceptions.toml";

#[derive(Debug, Args)]
pub(super) struct CompareArguments {
    /// Results as they were: a directory, or one file.
    before: PathBuf,
    /// Results as they are.
    after: PathBuf,
}

impl CompareArguments {
    pub(super) fn execute(self) -> Result<()> {
        let (before, after) = (results::read(&self.before)?, results::read(&self.after)?);
        let comparison = compare(&before, &after, Scope::Everybody, Kinds::All)?;
        println!("| benchmark | engine | figure | before | after | ratio | |");
        println!("| --- | --- | --- | --- | --- | --- | --- |");
        for change in &comparison.changes {
            println!("{}", row(change));
        }
        println!();
        tell_times(&comparison);
        let count = |judgement| comparison.changes.iter().filter(|change| change.judgement == judgement).count();
        println!(
            "{} series compared: {} figures better, {} worse, {} the same or not to be told",
            comparison.series,
            count(Judgement::Better),
            count(Judgement::Worse),
            count(Judgement::Same)
        );
        ensure!(comparison.series > 0, "the two have nothing in common");
        Ok(())
    }
}

fn row(change: &Change) -> String {
    let ratio = match change.interval {
        Some(ratio) if ratio.high.is_finite() => format!("{:.2} [{:.2}, {:.2}]", ratio.value, ratio.low, ratio.high),
        Some(ratio) => format!("{:.2}", ratio.value),
        None if change.after.is_infinite() => "gone".to_owned(),
        None if change.before == 0.0 => "-".to_owned(),
        None => format!("{:.3}", change.after / change.before),
    };
    let judgement = match change.judgement {
        Judgement::Better => "better",
        Judgement::Same => "",
        Judgement::Worse => "worse",
    };
    let Change { benchmark, engine, figure, before, after, .. } = change;
    format!("| {benchmark} | {engine} | {} | {before:.3} | {after:.3} | {ratio} | {judgement} |", figure.name())
}

#[derive(Debug, Args)]
pub(super) struct GateArguments {
    /// Results of the baseline.
    baseline: PathBuf,
    /// Results to judge.
    #[arg(default_value = DEFAULT_OUT)]
    current: PathBuf,
    /// Judge nothing that depends on the machine.
    #[arg(long)]
    counters: bool,
    /// Accepted regressions, instead of the baseline's own `exceptions.toml`.
    #[arg(long)]
    exceptions: Option<PathBuf>,
}

impl GateArguments {
    pub(super) fn execute(self) -> Result<ExitCode> {
        let (baseline, current) = (results::read(&self.baseline)?, results::read(&self.current)?);
        let kinds = if self.counters { Kinds::Counters } else { Kinds::All };
        let comparison = compare(&baseline, &current, Scope::Subjects, kinds)?;
        let own = self.baseline.join(EXCEPTIONS_FILE);
        let exceptions = match self.exceptions {
            Some(file) => Exceptions::read(&file)?,
            None if own.exists() => Exceptions::read(&own)?,
            None => Exceptions::default(),
        };
        let today = jiff::Timestamp::now().to_zoned(TimeZone::UTC).date();
        let verdict = judge(&comparison, &exceptions, today)?;
        for (change, reason) in &verdict.allowed {
            println!("allowed: {change} ({reason})");
        }
        for change in &verdict.refused {
            println!("worse: {change}");
        }
        tell_times(&comparison);
        println!("{} series compared, {} regressions", comparison.series, verdict.refused.len());
        ensure!(comparison.series > 0, "the baseline holds nothing to compare");
        Ok(if verdict.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_REGRESSION) })
    }
}

fn tell_times(comparison: &Comparison) {
    if let Times::LeftOut(reason) = &comparison.times {
        println!("times are not compared: {reason}");
    }
}
