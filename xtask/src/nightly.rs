//! What takes too long for every change: the hardening tests in their long mode, the benchmarks at full size, a soak, a fresh baseline. One
//! summary says what of it failed; nothing that fails stops the rest.

mod steps;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use steps::Step;

/// Lines of a log that the summary shows of a step that failed.
const LINES_SHOWN_MAX: usize = 15;
/// Three days.
pub const SOAK_HOURS_MAX: f64 = 72.0;

/// What is asked for.
#[derive(Debug, Clone, clap::Args)]
pub struct Nightly {
    /// Try every step in minutes: default seeds, the trimmed suite, a soak of half a minute
    #[arg(long)]
    short: bool,
    /// Length of the soak, up to 72 hours
    #[arg(long, default_value_t = 1.0)]
    soak_hours: f64,
    /// Keep the results of the benchmarks as the baseline of this kind of machine, if all of them passed
    #[arg(long)]
    refresh_baseline: bool,
    /// Only steps whose name holds one of these words, separated by commas
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Where logs, results and the summary go, instead of `nightly` in the build directory
    #[arg(long)]
    out: Option<PathBuf>,
}

/// How a step ended.
struct Outcome {
    name: &'static str,
    command: String,
    took: Duration,
    /// The end of its log, if it failed.
    failure: Option<String>,
}

pub fn run(root: &Path, nightly: &Nightly) -> Result<()> {
    ensure!(
        nightly.soak_hours > 0.0 && nightly.soak_hours <= SOAK_HOURS_MAX,
        "--soak-hours is more than 0 and at most {SOAK_HOURS_MAX}"
    );
    let target: PathBuf = crate::workspace::metadata(root)?.target_directory.into();
    let out = nightly.out.clone().unwrap_or_else(|| target.join("nightly"));
    fs::create_dir_all(&out).with_context(|| format!("create {}", out.display()))?;
    let out = fs::canonicalize(&out).with_context(|| format!("resolve {}", out.display()))?;
    let steps = steps::of(nightly, root, &out);
    let chosen = |step: &&Step| nightly.only.is_empty() || nightly.only.iter().any(|word| step.name.contains(word));
    let chosen: Vec<&Step> = steps.iter().filter(chosen).collect();
    ensure!(!chosen.is_empty(), "no step has such a name: {}", steps::names(&steps).join(", "));
    let mut outcomes: Vec<Outcome> = Vec::new();
    for step in chosen {
        let failed = |name: &&&str| outcomes.iter().any(|outcome| outcome.name == **name && outcome.failure.is_some());
        let outcome = match step.needs.iter().find(failed) {
            Some(needed) => left_out(step, needed),
            None => take(step, root, &out)?,
        };
        println!("{}: {}", outcome.name, if outcome.failure.is_none() { "passed" } else { "FAILED" });
        outcomes.push(outcome);
    }
    let text = summary(&outcomes, nightly);
    let path = out.join("summary.md");
    fs::write(&path, &text).with_context(|| format!("write {}", path.display()))?;
    print!("\n{text}");
    println!("\nsummary: {}", path.display());
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    ensure!(failed == 0, "{failed} of {} steps failed", outcomes.len());
    Ok(())
}

fn left_out(step: &Step, needed: &str) -> Outcome {
    let failure = Some(format!("not begun: {needed} failed"));
    Outcome { name: step.name, command: step.command_line(), took: Duration::ZERO, failure }
}

/// Runs a step with its output in a log of its own.
fn take(step: &Step, root: &Path, out: &Path) -> Result<Outcome> {
    let command = step.command_line();
    println!("{}: {command}", step.name);
    let log = out.join(format!("{}.log", step.name));
    let file = File::create(&log).with_context(|| format!("create {}", log.display()))?;
    let began = Instant::now();
    let status = Command::new(&step.program)
        .args(&step.arguments)
        .envs(step.environment.iter().copied())
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(file.try_clone().context("share the log")?)
        .stderr(file)
        .status()
        .with_context(|| format!("start {}", step.program))?;
    let failure = if status.success() {
        None
    } else {
        let text = fs::read(&log).with_context(|| format!("read {}", log.display()))?;
        Some(format!("{status}; {}:\n{}", log.display(), end_of(&String::from_utf8_lossy(&text))))
    };
    Ok(Outcome { name: step.name, command, took: began.elapsed(), failure })
}

fn end_of(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN_MAX)..].join("\n")
}

fn summary(outcomes: &[Outcome], nightly: &Nightly) -> String {
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    // A clock before 1970 has no better name for the day.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let form = if nightly.short { "short form" } else { "long form" };
    let mut text = format!(
        "# Nightly\n\n{form}, ended {now} s after 1970: {} steps passed, {failed} failed.\n\n\
         | step | result | minutes | command |\n| --- | --- | --- | --- |\n",
        outcomes.len() - failed
    );
    for Outcome { name, command, took, failure } in outcomes {
        let result = if failure.is_none() { "passed" } else { "FAILED" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {name} | {result} | {:.1} | `{command}` |", took.as_secs_f64() / 60.0);
    }
    for outcome in outcomes {
        if let Some(failure) = &outcome.failure {
            // As above.
            let _ = writeln!(text, "\n## {}\n\n```text\n{failure}\n```", outcome.name);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nightly() -> Nightly {
        Nightly { short: true, soak_hours: 1.0, refresh_baseline: false, only: Vec::new(), out: None }
    }

    fn step(name: &'static str, script: &str) -> Step {
        let arguments = vec!["-c".to_owned(), script.to_owned()];
        Step { name, program: "sh".to_owned(), arguments, environment: Vec::new(), needs: Vec::new() }
    }

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("nightly-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        dir
    }

    #[test]
    fn a_step_that_fails_is_told_with_the_end_of_its_log() {
        let dir = scratch("fails");
        let good = take(&step("good", "echo fine"), &dir, &dir).expect("taken");
        let bad = take(&step("bad", "seq 1 100; echo it broke >&2; exit 3"), &dir, &dir).expect("taken");
        let text = summary(&[good, bad], &nightly());
        assert!(text.contains("1 steps passed, 1 failed") && text.contains("| good | passed |"), "{text}");
        assert!(
            text.contains("| bad | FAILED |") && text.contains("it broke") && text.contains("exit status: 3"),
            "{text}"
        );
        assert!(!text.contains("\n50\n"), "the whole log is in the summary");
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn what_needs_a_step_that_failed_is_not_begun() {
        let outcome = left_out(&step("soak", "exit 0"), "build");
        assert!(outcome.failure.is_some_and(|failure| failure.contains("build failed")));
    }

    #[test]
    fn the_soak_is_as_long_as_is_asked_for_and_no_longer_than_three_days() {
        let dir = scratch("soak");
        let long = Nightly { short: false, soak_hours: 72.0, ..nightly() };
        let steps = steps::of(&long, &dir, &dir);
        let soak = steps.iter().find(|step| step.name == "soak").expect("a step");
        assert!(soak.command_line().contains("--seconds 129600"), "half of it each: {}", soak.command_line());
        for hours in [0.0, -1.0, 72.5] {
            assert!(run(&dir, &Nightly { soak_hours: hours, ..nightly() }).is_err(), "{hours}");
        }
        fs::remove_dir_all(dir).expect("removed");
    }

    #[test]
    fn the_long_form_tests_in_long_mode_and_a_baseline_is_kept_only_where_it_is_asked_for() {
        let dir = PathBuf::from("/nowhere");
        let long = steps::of(&Nightly { short: false, refresh_baseline: true, ..nightly() }, &dir, &dir);
        let granite = long.iter().find(|step| step.name == "hardening-granite").expect("a step");
        assert!(granite.environment.contains(&("GRANITE_LONG", "1")), "{granite:?}");
        let refresh = long.iter().find(|step| step.name == "baseline").expect("a step");
        assert!(refresh.needs.contains(&"benchmarks"), "{refresh:?}");
        let short = steps::of(&nightly(), &dir, &dir);
        assert!(short.iter().all(|step| step.environment.is_empty() && step.name != "baseline"), "{short:?}");
    }
}
