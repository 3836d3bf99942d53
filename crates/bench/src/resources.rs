//! What a process holds on to, watched for as long as it runs: memory, descriptors and disk must come to rest, however long that is.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::process::{self, ResidentMemory};

/// Samples of a run, whatever its length.
const SAMPLES: u32 = 600;
const INTERVAL_MIN: Duration = Duration::from_millis(200);
/// Fewer tell nothing about growth.
const SAMPLES_MIN: usize = 6;
/// Caches fill and logs are not collected yet in a run that is shorter.
const JUDGED_MIN: Duration = Duration::from_secs(10);
/// What the last third may hold beyond the one before: a share, and a little for what comes and goes.
const GROWTH_RATIO_MAX: f64 = 1.25;

/// What a process holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resources {
    /// Memory of its own.
    pub memory_bytes: f64,
    /// Open descriptors.
    pub descriptors: f64,
    /// Space of its files.
    pub disk_bytes: f64,
}

type Reading = (&'static str, fn(&Resources) -> f64, f64);

/// Name, reading, and growth that is none.
const READINGS: [Reading; 3] = [
    ("memory_bytes", |held| held.memory_bytes, 24e6),
    ("descriptors", |held| held.descriptors, 16.0),
    ("disk_bytes", |held| held.disk_bytes, 64e6),
];

impl Resources {
    /// Those of the process `id`, whose files are below `dir`.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn of(id: u32, dir: &Path) -> Result<Self> {
        let memory = ResidentMemory::of(id)?;
        let descriptors = format!("/proc/{id}/fd");
        let descriptors = fs::read_dir(&descriptors).with_context(|| format!("cannot read {descriptors}"))?.count();
        Ok(Self {
            memory_bytes: (memory.anonymous_bytes + memory.shared_bytes) as f64,
            descriptors: descriptors as f64,
            disk_bytes: process::space_under(dir)? as f64,
        })
    }
}

/// The resources of a process over time.
#[derive(Debug)]
pub struct Watched {
    samples: Vec<Resources>,
    interval: Duration,
    length: Duration,
    last: Option<Instant>,
}

impl Watched {
    /// For a run of about this length.
    #[must_use]
    pub fn over(length: Duration) -> Self {
        Self { samples: Vec::new(), interval: (length / SAMPLES).max(INTERVAL_MIN), length, last: None }
    }

    /// Looks at the process, unless it did a moment ago.
    ///
    /// # Errors
    /// As for [`Resources::of`].
    pub fn look(&mut self, id: u32, dir: &Path) -> Result<()> {
        if self.last.is_none_or(|last| last.elapsed() >= self.interval) {
            self.samples.push(Resources::of(id, dir)?);
            self.last = Some(Instant::now());
        }
        Ok(())
    }

    /// The largest values, all in all and in the last third of the run. A run that is too short to come to rest is not judged.
    ///
    /// # Errors
    /// If something was larger in the last third than in the second, or too little was seen to say so.
    pub fn ensure_at_rest(&self) -> Result<BTreeMap<String, f64>> {
        let third = self.samples.len() / 3;
        let judged = self.length >= JUDGED_MIN;
        ensure!(
            !judged || self.samples.len() >= SAMPLES_MIN,
            "{} samples say nothing about growth",
            self.samples.len()
        );
        let mut figures = BTreeMap::new();
        for (name, reading, slack) in READINGS {
            let largest = |samples: &[Resources]| samples.iter().map(reading).fold(0.0, f64::max);
            let (before, after) = (largest(&self.samples[third..2 * third]), largest(&self.samples[2 * third..]));
            ensure!(
                !judged || after <= before * GROWTH_RATIO_MAX + slack,
                "{name} grew from {before} to {after} between the second and the last third"
            );
            figures.insert(format!("{name}_max"), largest(&self.samples));
            figures.insert(format!("{name}_last_third"), after);
        }
        Ok(figures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(held: impl Fn(f64) -> Resources) -> Watched {
        let samples = (0..30).map(|number| held(f64::from(number) / 30.0)).collect();
        Watched { samples, interval: Duration::ZERO, length: JUDGED_MIN, last: None }
    }

    const REST: Resources = Resources { memory_bytes: 1e8, descriptors: 40.0, disk_bytes: 1e9 };

    #[test]
    fn what_comes_to_rest_is_bounded_and_what_leaks_is_not() {
        let warm = watched(|time| Resources { memory_bytes: REST.memory_bytes * (time * 4.0).min(1.0), ..REST });
        assert_eq!(warm.ensure_at_rest().expect("at rest")["memory_bytes_max"], 1e8);
        type Held = fn(f64) -> Resources;
        let leaks: [(&str, Held); 3] = [
            ("memory_bytes", |time| Resources { memory_bytes: 1e8 * (1.0 + 3.0 * time), ..REST }),
            ("descriptors", |time| Resources { descriptors: 40.0 + 200.0 * time, ..REST }),
            ("disk_bytes", |time| Resources { disk_bytes: 1e9 * (1.0 + 3.0 * time), ..REST }),
        ];
        for (name, leak) in leaks {
            let error = watched(leak).ensure_at_rest().expect_err(name).to_string();
            assert!(error.starts_with(name), "{error}");
        }
        assert!(Watched::over(JUDGED_MIN).ensure_at_rest().is_err(), "nothing was seen");
    }

    #[test]
    fn this_process_holds_memory_descriptors_and_its_files() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("file"), vec![1; 100_000]).expect("written");
        let held = Resources::of(std::process::id(), dir.path()).expect("told");
        assert!(held.memory_bytes > 1e5 && held.descriptors > 2.0 && held.disk_bytes >= 1e5, "{held:?}");
    }
}
