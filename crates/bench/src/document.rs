//! A document whose figures come from committed results: a template with placeholders, filled by one command.
//!
//! | placeholder | becomes |
//! | --- | --- |
//! | `{{set NAME = DIR DIR}}`, a line of its own | nothing; NAME stands for these directories of results, of which a later one replaces the series of an earlier |
//! | `{{table NAME}}`, a line of its own | the report of all of them, its headings two levels deeper |
//! | `{{commit NAME}}`, `{{command NAME}}` | the commits that were measured; the commands |
//! | `{{FIGURE NAME BENCHMARK ENGINE}}` | the median of a figure: a column of the CSV, or a further figure of the benchmark |
//! | `{{ratio FIGURE NAME BENCHMARK ENGINE OTHER}}` | the ratio of two engines' medians with its interval; `{{times ...}}` without |
//!
//! ENGINE may be a list (`floor-append,floor-append-allocated`), of which the one with the better median counts. FIGURE may end in a factor: `idle_private_bytes*1e-6`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::measure::Measurement;
use crate::report::{self, Series, figure_of, group, number};
use crate::results::{self, RunResult};

const OPEN: &str = "{{";
const CLOSE: &str = "}}";
/// Headings of a report stand below those of the document.
const DEEPER: &str = "##";

/// Fills `template` with figures from the directories below `results`.
///
/// # Errors
/// If a placeholder is not understood, or names what is not there; the error says in which line.
pub fn fill(template: &str, results: &Path) -> Result<String> {
    let mut sets = BTreeMap::new();
    let mut text = String::with_capacity(template.len());
    for (number, line) in (1..).zip(template.lines()) {
        fill_line(line, results, &mut sets, &mut text).with_context(|| format!("line {number} of the template"))?;
    }
    Ok(text)
}

type Sets = BTreeMap<String, Vec<RunResult>>;

fn fill_line(line: &str, results: &Path, sets: &mut Sets, text: &mut String) -> Result<()> {
    if let Some(definition) = alone(line).and_then(|inner| inner.strip_prefix("set ")) {
        let (name, dirs) = definition.split_once('=').context("a set without directories")?;
        sets.insert(name.trim().to_owned(), read_all(results, dirs)?);
        return Ok(());
    }
    if let Some(name) = alone(line).and_then(|inner| inner.strip_prefix("table ")) {
        table(set_of(sets, name.trim())?, text);
        return Ok(());
    }
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once(OPEN) {
        let (inner, after) = behind.split_once(CLOSE).context("a placeholder without an end")?;
        text.push_str(before);
        text.push_str(&value(inner, sets).with_context(|| format!("{OPEN}{inner}{CLOSE}"))?);
        rest = after;
    }
    text.push_str(rest);
    text.push('\n');
    Ok(())
}

/// What is in a placeholder that has the line for itself.
fn alone(line: &str) -> Option<&str> {
    line.strip_prefix(OPEN)?.strip_suffix(CLOSE)
}

fn set_of<'a>(sets: &'a Sets, name: &str) -> Result<&'a [RunResult]> {
    sets.get(name).map(Vec::as_slice).with_context(|| format!("no set is called {name}"))
}

/// All results of the directories; a series of a later one takes the place of the same in an earlier.
fn read_all(results: &Path, dirs: &str) -> Result<Vec<RunResult>> {
    let mut all: Vec<RunResult> = Vec::new();
    for dir in dirs.split_whitespace() {
        let more = results::read(&results.join(dir))?;
        let replaced: BTreeSet<(&str, &str)> = more.iter().map(series_name).collect();
        all.retain(|result| !replaced.contains(&series_name(result)));
        all.extend(more);
    }
    ensure!(!all.is_empty(), "a set without directories");
    Ok(all)
}

fn series_name(result: &RunResult) -> (&str, &str) {
    (&result.benchmark, &result.engine.name)
}

fn table(results: &[RunResult], text: &mut String) {
    // The title is the document's affair.
    for line in report::markdown(results).lines().skip_while(|line| line.starts_with("# ") || line.is_empty()) {
        if line.starts_with('#') {
            text.push_str(DEEPER);
        }
        text.push_str(line);
        text.push('\n');
    }
}

fn value(inner: &str, sets: &Sets) -> Result<String> {
    let words: Vec<&str> = inner.split_whitespace().collect();
    match words[..] {
        ["commit", set] => {
            let commit = |result: &RunResult| result.run.build.commit.chars().take(7).collect();
            Ok(joined(set_of(sets, set)?.iter().map(commit)))
        }
        ["command", set] => {
            Ok(joined(set_of(sets, set)?.iter().map(|result| format!("`bench {}`", result.run.arguments.join(" ")))))
        }
        [kind @ ("ratio" | "times"), figure, set, benchmark, engine, other] => {
            let all = group(set_of(sets, set)?);
            let figure = Figure::parse(figure);
            let (above, below) = (figure.series(&all, benchmark, engine)?, figure.series(&all, benchmark, other)?);
            let ratio = report::paired_ratio(above, below, &|result, done| figure.of(result, done));
            let ratio = ratio.context("the two have no repeat in common")?;
            ensure!(ratio.value.is_finite(), "the ratio is not finite");
            let interval = kind == "ratio" && ratio.high.is_finite();
            Ok(if interval { report::interval(&ratio) } else { number(ratio.value) })
        }
        [figure, set, benchmark, engine] => {
            let all = group(set_of(sets, set)?);
            let figure = Figure::parse(figure);
            let series = figure.series(&all, benchmark, engine)?;
            let median = series.median(|result, done| figure.of(result, done));
            Ok(number(median.context("the series lacks this figure")?))
        }
        _ => bail!("not understood"),
    }
}

fn joined(values: impl Iterator<Item = String>) -> String {
    values.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
}

/// A figure by its name, times a factor.
struct Figure<'a> {
    name: &'a str,
    factor: f64,
}

impl<'a> Figure<'a> {
    fn parse(text: &'a str) -> Self {
        let parsed = text.split_once('*').and_then(|(name, factor)| Some((name, factor.parse().ok()?)));
        // A factor that is no number makes a name that no figure has.
        let (name, factor) = parsed.unwrap_or((text, 1.0));
        Self { name, factor }
    }

    fn of(&self, result: &RunResult, done: &Measurement) -> Option<f64> {
        figure_of(self.name, result, done).map(|value| value * self.factor)
    }

    /// The series of the engine, or of the one among several whose figure is better.
    fn series<'s, 'r>(
        &self,
        all: &'s BTreeMap<&str, Vec<Series<'r>>>,
        benchmark: &str,
        engines: &str,
    ) -> Result<&'s Series<'r>> {
        let of_benchmark = all.get(benchmark).with_context(|| format!("{benchmark} is not among the results"))?;
        let sign = if self.name.ends_with("_per_s") { -1.0 } else { 1.0 };
        let candidates = of_benchmark.iter().filter(|series| engines.split(',').any(|name| name == series.engine()));
        candidates
            .filter_map(|series| Some((series.median(|result, done| self.of(result, done))? * sign, series)))
            .min_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, series)| series)
            .with_context(|| format!("no {} of {benchmark} on {engines}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Outcome;
    use crate::results::tests::sample;

    /// Two directories: the second has another granite.
    fn results() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        for (name, slower, engines) in [("first", 1, &["granite", "floor-append"][..]), ("second", 2, &["granite"])] {
            std::fs::create_dir(dir.path().join(name)).expect("created");
            for (engine, repeat) in engines.iter().flat_map(|engine| (0..3).map(move |repeat| (engine, repeat))) {
                let mut result = sample();
                (result.engine.name, result.repeat) = ((*engine).to_owned(), repeat);
                result.run.build.commit = format!("{name}-commit");
                if let Outcome::Measured(done) = &mut result.outcome {
                    let latency = &mut done.latency;
                    let factor = if *engine == "granite" { 3 * slower } else { 1 };
                    (latency.p50_ns, latency.p95_ns, latency.p99_ns, latency.p999_ns) =
                        (1000 * factor, 9000, 9000, 9000);
                    done.extra.insert("idle_bytes".to_owned(), 2_500_000.0);
                }
                result.write(&dir.path().join(name)).expect("written");
            }
        }
        dir
    }

    fn filled(template: &str) -> Result<String> {
        fill(template, results().path())
    }

    #[test]
    fn figures_ratios_and_tables_are_filled_in() {
        let text = filled(
            "{{set a = first}}\n{{set b = first second}}\np50 {{p50_us a client/b1/w1 granite}} and {{p50_us b client/b1/w1 granite}} us, \
             {{ratio p50_us a client/b1/w1 granite floor-append}}, {{times p50_us b client/b1/w1 granite floor-append}}x\n\
             {{idle_bytes*1e-6 a client/b1/w1 granite}} MB by {{commit b}} ({{command a}})\n{{table a}}\n",
        )
        .expect("filled");
        let head = "p50 3.00 and 6.00 us, 3.00 [3.00, 3.00], 6.00x\n2.50 MB by first-c, second- (`bench run`)\n- Machine: model, 2 cores";
        assert!(text.starts_with(head), "{text}");
        assert!(text.contains("\n#### Durable commits\n") && !text.contains("# Benchmarks"), "{text}");
    }

    #[test]
    fn of_several_engines_the_better_counts() {
        let text = filled("{{set a = first}}\n{{p50_us a client/b1/w1 granite,floor-append}}\n").expect("filled");
        assert_eq!(text, "1.00\n");
    }

    #[test]
    fn what_is_not_there_is_an_error_with_its_line() {
        for (placeholder, said) in [
            ("{{p50_us b client/b1/w1 granite}}", "no set is called b"),
            ("{{p50_us a client/b2 granite}}", "client/b2 is not among the results"),
            ("{{p50_us a client/b1/w1 redb}}", "no p50_us of client/b1/w1 on redb"),
            ("{{speed a client/b1/w1 granite}}", "no speed of"),
            ("{{p50_us*many a client/b1/w1 granite}}", "no p50_us*many of"),
            ("{{p50_us}}", "not understood"),
            ("{{p50_us a", "without an end"),
            ("{{set c = third}}", "cannot read"),
        ] {
            let error = filled(&format!("{{{{set a = first}}}}\nfine\n{placeholder}\n")).expect_err(placeholder);
            let error = format!("{error:#}");
            assert!(error.contains("line 3 of the template") && error.contains(said), "{placeholder}: {error}");
        }
    }
}
