//! A daemon at work for as long as a run lasts: files are saved, states flushed, history thinned, while nothing that it holds may grow.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::RngExt;

use super::program::Daemon;
use super::tree::WorkTree;
use crate::engines::NoDatabase;
use crate::measure::{Measurement, Meter, Recorder};
use crate::resources::Watched;
use crate::workload::Site;

const FILES: u64 = 1000;
const SAVED_MAX: u64 = 5;
/// Between the saves, so that there are states that stand.
const PACE: Duration = Duration::from_millis(100);
const FLUSH_EVERY: u64 = 10;
/// Checkpoints that stay, and flushes after which the others go: what the store takes depends on both.
const NEWEST: &str = "200";
const COLLECT_EVERY_FLUSHES: u64 = 20;
/// Nothing but the newest checkpoints stays.
const SETTINGS: [(&str, &str); 4] = [
    ("retention.newest", NEWEST),
    ("retention.dense_hours", "0"),
    ("retention.hourly_days", "0"),
    ("retention.daily_days", "1"),
];

pub(super) fn run(site: &Site<'_>) -> Result<Measurement> {
    let length = Duration::from_secs_f64(site.parameters.seconds);
    let mut tree = WorkTree::borrow(site, site.scaled(FILES))?;
    let daemon = Daemon::start(tree.root())?;
    for (key, value) in SETTINGS {
        daemon.tl(&["config", "set", key, value])?;
    }
    let status = || -> Result<serde_json::Value> {
        serde_json::from_slice(&daemon.tl(&["status", "--json"])?).context("`tl status --json`")
    };
    let id = status()?["daemon"].as_u64().context("no daemon runs")?;
    let id = u32::try_from(id).context("a process has no such number")?;
    let mut watched = Watched::over(length);
    let mut rng = site.rng(1);
    let mut recorder = Recorder::new(1)?;
    let meter = Meter::start(&NoDatabase)?;
    let began = Instant::now();
    let (mut version, mut collected) = (0, 0);
    while began.elapsed() < length {
        version += 1;
        let mut bytes = 0;
        for _ in 0..rng.random_range(1..=SAVED_MAX) {
            bytes += tree.write(rng.random_range(0..tree.files()), version)?;
        }
        if version % FLUSH_EVERY == 0 {
            recorder.call(|| daemon.tl(&["flush"]).map(|_| (1, bytes)))?;
            if version % (FLUSH_EVERY * COLLECT_EVERY_FLUSHES) == 0 {
                daemon.tl(&["gc"])?;
                collected += 1;
            }
        }
        watched.look(id, daemon.home())?;
        std::thread::sleep(PACE);
    }
    recorder.call(|| daemon.tl(&["flush"]).map(|_| (1, 0)))?;
    let mut done = meter.stop(&recorder)?;
    (done.cost.allocations, done.cost.allocated_bytes) = (None, None);
    let now = status()?;
    ensure!(now["daemon"].as_u64() == Some(u64::from(id)), "the daemon is another, or gone: {now}");
    ensure!(now["health"] == "healthy", "the daemon is not healthy: {now}");
    daemon.tl(&["verify"])?;
    daemon.end()?;
    done.extra = watched.ensure_at_rest()?;
    done.extra.insert("collections".to_owned(), f64::from(collected));
    tree.give_back()?;
    Ok(done)
}
