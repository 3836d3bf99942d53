//! Named sets of what is run and how much of it, so that results of different days can be compared.

use std::collections::BTreeMap;

use clap::ValueEnum;

use crate::workload::{Benchmark, Parameters};

/// How much a run or a baseline covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// A small part with fixed numbers of operations, in seconds: only counters are worth comparing.
    #[value(name = "ci")]
    Ci,
    /// Everything at full size, for a developer's machine with a fast disk.
    #[value(name = "dev_nvme")]
    DevNvme,
}

impl Profile {
    /// The name of the baseline's directory.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ci => "ci",
            Self::DevNvme => "dev_nvme",
        }
    }

    /// True if the profile runs a benchmark where no patterns choose.
    #[must_use]
    pub const fn takes(self, benchmark: &Benchmark) -> bool {
        match self {
            Self::Ci => benchmark.ci_operations.is_some(),
            Self::DevNvme => !benchmark.by_name_only,
        }
    }

    /// True if its times are worth comparing.
    #[must_use]
    pub const fn is_timed(self) -> bool {
        matches!(self, Self::DevNvme)
    }

    /// Operations per thread of a benchmark, if they do not follow from the time.
    #[must_use]
    pub const fn operations(self, benchmark: &Benchmark) -> Option<u64> {
        match self {
            Self::Ci => benchmark.ci_operations,
            Self::DevNvme => None,
        }
    }

    /// Repeats of each benchmark on each engine.
    #[must_use]
    pub const fn repeats(self) -> u32 {
        match self {
            Self::Ci => 1,
            Self::DevNvme => 7,
        }
    }

    /// The parameters that hold unless the command line says otherwise.
    #[must_use]
    pub fn parameters(self) -> Parameters {
        let common = Parameters {
            seconds: 2.0,
            operations: None,
            scale: 1.0,
            warmup_operations: None,
            warmup_ns: 500_000_000,
            memory_bytes: None,
            seed: 1,
            history: None,
            param: BTreeMap::new(),
        };
        match self {
            // Whatever is not counted in operations has to have the same effects on every machine, however slow.
            Self::Ci => {
                Parameters { seconds: 60.0, scale: 0.05, warmup_operations: Some(5), warmup_ns: u64::MAX, ..common }
            }
            Self::DevNvme => common,
        }
    }
}
