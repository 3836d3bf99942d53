//! The steps of a night, in their order.

use std::path::Path;

use super::Nightly;

const SHORT_SOAK_SECONDS: f64 = 30.0;
/// Two stores take turns in the time of the soak.
const SOAKS: [&str; 2] = ["soak/granite", "timelapse/program/soak"];

/// One command.
#[derive(Debug)]
pub struct Step {
    /// As logs and the summary call it.
    pub name: &'static str,
    /// The program.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What is added to its environment.
    pub environment: Vec<(&'static str, &'static str)>,
    /// Steps without which it makes no sense.
    pub needs: Vec<&'static str>,
}

impl Step {
    /// As one would type it.
    pub fn command_line(&self) -> String {
        let environment = self.environment.iter().map(|(name, value)| format!("{name}={value} "));
        let words = self.arguments.iter().map(|word| format!(" {word}"));
        environment.chain([self.program.clone()]).chain(words).collect()
    }

    fn cargo(name: &'static str, words: &str) -> Self {
        let arguments = words.split_whitespace().map(str::to_owned).collect();
        Self { name, program: "cargo".to_owned(), arguments, environment: Vec::new(), needs: Vec::new() }
    }
}

pub fn names(steps: &[Step]) -> Vec<&str> {
    steps.iter().map(|step| step.name).collect()
}

/// All steps. The short form runs the same programs, built as the tests are, on less.
pub fn of(nightly: &Nightly, root: &Path, out: &Path) -> Vec<Step> {
    let Nightly { short, soak_hours, refresh_baseline, .. } = *nightly;
    let build = if short { "--profile test" } else { "--release" };
    let mut steps: Vec<Step> = [
        ("hardening-granite", "-p granite --test it", "GRANITE_LONG"),
        ("hardening-tl-core", "-p tl-core --test it", "TL_LONG"),
        ("hardening-tl-journal", "-p tl-journal --test it", "TL_LONG"),
        ("hardening-tl-daemon", "-p tl-daemon --test it", "TL_LONG"),
        ("hardening-tl", "-p tl --test it", "TL_LONG"),
    ]
    .into_iter()
    .map(|(name, tests, variable)| {
        let step = Step::cargo(name, &format!("test --locked {build} {tests} -- --nocapture"));
        if short { step } else { Step { environment: vec![(variable, "1")], ..step } }
    })
    .collect();
    steps.push(Step::cargo("build", &format!("build --locked {build} -p bench -p tl")));
    let bench = |name, words: &str| {
        let run = Step::cargo(name, &format!("run --locked {build} -p bench -- {words}"));
        // Directories may have spaces in their names.
        let arguments = run.arguments.into_iter().map(|word| word.replace("OUT", &out.display().to_string())).collect();
        Step { arguments, needs: vec!["build"], ..run }
    };
    let profile = if short { "ci" } else { "dev_nvme" };
    let run = format!("run --profile {profile} --dir OUT/data --out OUT/benchmarks --replace");
    steps.push(bench("benchmarks", &run));
    let report = bench("report", "report OUT/benchmarks --out OUT/report");
    steps.push(Step { needs: vec!["build", "benchmarks"], ..report });
    let baseline = root.join("bench/baselines").join(profile);
    if baseline.exists() {
        let counters = if short { "--counters " } else { "" };
        let gate = bench("gate", &format!("gate {counters}bench/baselines/{profile} OUT/benchmarks"));
        steps.push(Step { needs: vec!["build", "benchmarks"], ..gate });
    }
    let seconds = if short { SHORT_SOAK_SECONDS } else { soak_hours * 3600.0 } / SOAKS.len() as f64;
    let soak = format!(
        "run {} --engines granite,timelapse --seconds {seconds} --repeats 1 --dir OUT/data --out OUT/soak --replace",
        SOAKS.join(" ")
    );
    steps.push(bench("soak", &soak));
    if refresh_baseline {
        let capture = bench("baseline", &format!("capture-baseline --profile {profile} --dir OUT/data"));
        steps.push(Step { needs: vec!["build", "benchmarks"], ..capture });
    }
    steps
}
