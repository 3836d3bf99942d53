//! From a save to a durable checkpoint, and floods of events.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use tl_core::{EntryName, ObjectId, ObjectKind};

use super::tree::WorkTree;
use super::watching::{Watching, watch};
use crate::measure::{Measurement, Meter, Recorder};
use crate::workload::Site;

/// The working directory in which saves are watched for.
const FILES: u64 = 10_000;
const SAVES: u64 = 100;
const SAVE_INTERVAL: Duration = Duration::from_millis(50);
const SAVED_NAME: &str = "saved.rs";
/// A save that is not recorded after this long is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// Saves of one file, 50 ms apart, each of which is to become a durable state of its own.
pub(super) fn run_saves(site: &Site<'_>) -> Result<Measurement> {
    let tree = WorkTree::borrow(site, site.scaled(FILES))?;
    let path = tree.root().join(SAVED_NAME);
    let watching = Watching::start(site, &site.dir.join("store"), tree.root())?;
    site.settle_disk();
    let saves = site.parameters.operations.unwrap_or(SAVES);
    let contents: Vec<String> = (0..saves).map(|number| format!("save {number}\n").repeat(100)).collect();
    let numbers: HashMap<ObjectId, usize> =
        contents.iter().enumerate().map(|(n, text)| (ObjectId::of(ObjectKind::Blob, text.as_bytes()), n)).collect();
    let mut durable: Vec<Option<Instant>> = vec![None; contents.len()];
    let name = EntryName::new(SAVED_NAME.as_bytes())?;
    let meter = Meter::start(&watching.subject.disk)?;
    let closed = thread::scope(|scope| -> Result<Vec<Instant>> {
        let saver = scope.spawn(|| save_all(&path, &contents));
        let mut idle_since = Instant::now();
        while durable.last().is_some_and(Option::is_none) && idle_since.elapsed() < PATIENCE {
            let Some(outcome) = watching.step(Instant::now() + SAVE_INTERVAL)? else { continue };
            let now = Instant::now();
            idle_since = now;
            let Some(checkpoint) = outcome.checkpoint else { continue };
            let root = watching.subject.repository.store().get_tree(&checkpoint.root)?;
            // The content of a moment in which the file was truncated and not yet written is no save.
            if let Some(&number) = root.get(name).and_then(|entry| numbers.get(&entry.id)) {
                durable[number].get_or_insert(now);
            }
        }
        saver.join().map_err(|_| anyhow!("the thread that saves panicked"))?
    })?;
    let mut recorder = Recorder::new(1)?;
    for ((closed, durable), content) in closed.iter().zip(&durable).zip(&contents) {
        if let Some(durable) = durable {
            recorder.note_run(1, content.len() as u64, durable.saturating_duration_since(*closed))?;
        }
    }
    let mut done = meter.stop(&recorder)?;
    // Threads of the watcher do half of the work, so the allocations of one would say little.
    (done.cost.allocations, done.cost.allocated_bytes) = (None, None);
    let distinct = durable.iter().flatten().count();
    done.extra.insert("saves".to_owned(), saves as f64);
    done.extra.insert("lost_states".to_owned(), (contents.len() - distinct) as f64);
    drop(watching);
    fs::remove_file(&path)?;
    tree.give_back()?;
    Ok(done)
}

/// Saves in turn, and returns when each file was closed.
fn save_all(path: &Path, contents: &[String]) -> Result<Vec<Instant>> {
    let mut closed = Vec::with_capacity(contents.len());
    let began = Instant::now();
    for (number, content) in contents.iter().enumerate() {
        let due = began + SAVE_INTERVAL * u32::try_from(number)?;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        fs::write(path, content)?;
        closed.push(Instant::now());
    }
    Ok(closed)
}

/// Events a second that the flood makes.
const FLOOD_PER_SECOND: f64 = 100_000.0;
/// Files written in turn: enough that no two equal events meet in the queue, where the kernel would make one of them.
const FLOOD_FILES: usize = 64;
/// A write makes two events: the file was modified, and closed.
const EVENTS_PER_WRITE: u64 = 2;
/// How far the flood may be behind before it rests.
const FLOOD_STEP: Duration = Duration::from_micros(200);

/// A flood of events, for as long as the run measures: none may be lost, no queue may overflow.
pub(super) fn run_flood(site: &Site<'_>) -> Result<Measurement> {
    let root = site.dir.join("flooded");
    fs::create_dir(&root)?;
    let paths: Vec<PathBuf> = (0..FLOOD_FILES).map(|number| root.join(format!("file_{number}"))).collect();
    let watcher = watch(&root)?;
    for path in &paths {
        File::create(path)?;
    }
    watcher.drain()?;
    let before = watcher.stats();
    let limit = site.measured();
    let (length, events_max) = (limit.time, limit.operations);
    let mut recorder = Recorder::new(1)?;
    let meter = Meter::start(&crate::engines::NoDatabase)?;
    let mut batches = 0_u64;
    let steps = thread::scope(|scope| -> Result<Vec<(u64, Duration)>> {
        let writer = scope.spawn(|| flood(&paths, length, events_max));
        while !writer.is_finished() {
            if !watcher.wait(Instant::now() + Duration::from_millis(20)).is_empty() {
                batches += 1;
                watcher.checkpointed();
            }
        }
        writer.join().map_err(|_| anyhow!("the thread that writes panicked"))?
    })?;
    for &(events, elapsed) in &steps {
        recorder.note_run(events, events / EVENTS_PER_WRITE, elapsed)?;
    }
    let mut done = meter.stop(&recorder)?;
    (done.cost.allocations, done.cost.allocated_bytes) = (None, None);
    let start = Instant::now();
    watcher.drain()?;
    let drained = start.elapsed();
    let stats = watcher.stats();
    // What comes after the flood is told of as ever.
    let late = root.join("late");
    fs::write(&late, b"late")?;
    let last = watcher.drain()?;
    let told = last.rescan.is_some() || last.paths.iter().any(|path| path.as_bytes() == b"late");
    ensure!(told, "a file that was written after the flood is not in {last:?}");
    let figures = [
        ("events_read", (stats.events - before.events) as f64),
        ("events_lost", done.operations.saturating_sub(stats.events - before.events) as f64),
        ("overflows", (stats.overflows - before.overflows) as f64),
        ("batches", batches as f64),
        ("drain_us", drained.as_secs_f64() * 1e6),
    ];
    done.extra = figures.map(|(name, value)| (name.to_owned(), value)).into();
    Ok(done)
}

/// Writes at the pace of the flood. Returns the events of each step and how long it took, rests included.
fn flood(paths: &[PathBuf], length: Duration, events_max: u64) -> Result<Vec<(u64, Duration)>> {
    let began = Instant::now();
    let mut steps = Vec::new();
    let (mut made, mut last) = (0_u64, Duration::ZERO);
    let mut turn = paths.iter().cycle();
    loop {
        let elapsed = began.elapsed();
        if elapsed >= length || made >= events_max {
            return Ok(steps);
        }
        let due = ((elapsed.as_secs_f64() * FLOOD_PER_SECOND) as u64).min(events_max.saturating_add(1));
        if due < made + EVENTS_PER_WRITE {
            thread::sleep(FLOOD_STEP);
            continue;
        }
        let writes = (due - made) / EVENTS_PER_WRITE;
        for path in turn.by_ref().take(usize::try_from(writes)?) {
            // An existing file, not truncated: that would be an event of its own.
            let mut file = File::options().write(true).open(path).context("a file of the flood is gone")?;
            file.write_all(b"x")?;
        }
        made += writes * EVENTS_PER_WRITE;
        let now = began.elapsed();
        steps.push((writes * EVENTS_PER_WRITE, now - last));
        last = now;
    }
}
