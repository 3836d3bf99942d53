//! Runs one seed of a randomised test again.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

/// The variable that granite's randomised tests read their seed from.
const SEED_VARIABLE: &str = "GRANITE_SEED";

/// A randomised suite of granite's integration tests; its name filters the tests that run.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Suite {
    /// One list of operations under many options
    Metamorphic,
    /// Crashes of the simulated disk
    Crash,
}

impl Suite {
    const fn filter(self) -> &'static str {
        match self {
            Self::Metamorphic => "metamorphic",
            Self::Crash => "crash",
        }
    }
}

/// Reads a seed as the suites print it.
pub fn parse_seed(text: &str) -> Result<u64> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.with_context(|| format!("`{text}` is no 64-bit number"))
}

pub fn run(root: &Path, suite: Suite, seed: u64) -> Result<()> {
    let arguments = ["test", "--locked", "-p", "granite", "--test", "it", suite.filter(), "--", "--nocapture"];
    println!("{SEED_VARIABLE}={seed} cargo {}", arguments.join(" "));
    let status = Command::new("cargo")
        .args(arguments)
        .env(SEED_VARIABLE, seed.to_string())
        .current_dir(root)
        .status()
        .context("run cargo test")?;
    if !status.success() {
        bail!("seed {seed} of {} fails: {status}", suite.filter());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::parse_seed;

    /// A seed copied from a failure in either notation must replay that failure, not another.
    #[test]
    fn seeds_are_read_in_both_notations() {
        assert_eq!(parse_seed("255").unwrap(), 255);
        assert_eq!(parse_seed("0xff").unwrap(), 255);
        assert_eq!(parse_seed("18446744073709551615").unwrap(), u64::MAX);
        parse_seed("ff").unwrap_err();
        parse_seed("-1").unwrap_err();
    }
}
