//! How soon a save is handed out, what becomes of a flood of events, and what a large tree costs.
//!
//! `cargo run --release -p tl-watcher --example flood -- [SECONDS] [EVENTS_PER_SECOND] [DIRECTORIES]`
//!
//! The writer is paced: it opens, writes and closes files in turn, two events each (modify, close), and sleeps when it is ahead. The consumer waits
//! for batches as a daemon would. A lost event would be an overflow, which the kernel reports.

use std::error::Error;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tl_watcher::{IgnoreRules, WatchConfig, Watcher};

/// Files written in turn: enough that no two equal events meet in the queue, where the kernel would make one of them.
const FILES: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| arguments.next().map_or(Ok(default), |text| text.parse());
    let (seconds, rate, directories) = (number(10)?, number(100_000)?, number(100_000)?);
    saves()?;
    flood(Duration::from_secs(seconds), rate)?;
    large_tree(directories)
}

fn start(root: &std::path::Path) -> Result<Watcher, Box<dyn Error>> {
    let rules = Arc::new(IgnoreRules::open(root, Vec::new())?);
    Ok(Watcher::start(WatchConfig::new(root, rules))?)
}

/// A hundred saves, 50 ms apart: how long after the file was closed its path is handed out, and whether each save is handed out for itself.
fn saves() -> Result<(), Box<dyn Error>> {
    const SAVES: usize = 100;
    let scratch = tempfile::tempdir()?;
    let watcher = start(scratch.path())?;
    watcher.drain()?;
    let path = scratch.path().join("saved");
    let (closed, closes) = std::sync::mpsc::channel();
    let mut latencies = thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..SAVES {
                thread::sleep(Duration::from_millis(50));
                let written = fs::write(&path, number.to_string()).map(|()| Instant::now());
                // Nobody listens any more once the other side has failed.
                if closed.send(written).is_err() {
                    return;
                }
            }
        });
        let mut latencies = Vec::new();
        for written in closes {
            let written = written?;
            if watcher.wait(Instant::now() + Duration::from_secs(10)).is_empty() {
                return Err("a save was not handed out for itself".into());
            }
            latencies.push(written.elapsed());
            watcher.checkpointed();
        }
        Ok::<_, Box<dyn Error>>(latencies)
    })?;
    latencies.sort_unstable();
    let at = |part: usize| latencies.get(latencies.len() * part / 100).map_or(0.0, |found| found.as_secs_f64() * 1e3);
    println!(
        "{} saves 50 ms apart: handed out after {:.1} ms (median), {:.1} ms (99 %)",
        latencies.len(),
        at(50),
        at(99)
    );
    Ok(())
}

fn flood(length: Duration, rate: u64) -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    let watcher = start(scratch.path())?;
    watcher.drain()?;
    let before = watcher.stats();
    let stop = AtomicBool::new(false);
    let (made, batches, elapsed) = thread::scope(|scope| {
        let writer = scope.spawn(|| write_at(scratch.path(), length, rate, &stop));
        let mut batches = 0u64;
        while !stop.load(Ordering::Acquire) {
            if !watcher.wait(Instant::now() + Duration::from_millis(20)).is_empty() {
                batches += 1;
                watcher.checkpointed();
            }
        }
        let (made, elapsed) = writer.join().map_err(|_| "the writer panicked")??;
        Ok::<_, Box<dyn Error>>((made, batches, elapsed))
    })?;
    let drain = Instant::now();
    watcher.drain()?;
    let drain = drain.elapsed();
    let stats = watcher.stats();
    println!(
        "{:.0} events/s made for {:.1} s, {} read, {} overflows, {batches} batches, drain {:.2} ms",
        made as f64 / elapsed.as_secs_f64(),
        elapsed.as_secs_f64(),
        stats.events - before.events,
        stats.overflows,
        drain.as_secs_f64() * 1e3
    );
    Ok(())
}

/// Returns the number of events made and the time that it took.
fn write_at(
    root: &std::path::Path,
    length: Duration,
    rate: u64,
    stop: &AtomicBool,
) -> Result<(u64, Duration), std::io::Error> {
    let paths: Vec<_> = (0..FILES).map(|number| root.join(format!("file-{number}"))).collect();
    let began = Instant::now();
    let mut made = 0u64;
    let result = loop {
        let elapsed = began.elapsed();
        if elapsed >= length {
            break Ok((made, elapsed));
        }
        let due = (elapsed.as_secs_f64() * rate as f64) as u64;
        if made >= due {
            thread::sleep(Duration::from_micros(200));
            continue;
        }
        for path in paths.iter().cycle().take(((due - made) / 2 + 1) as usize) {
            // An existing file, opened without truncation: a modify and a close.
            let written = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path);
            if let Err(error) = written.and_then(|mut file| std::io::Write::write_all(&mut file, b"x")) {
                stop.store(true, Ordering::Release);
                return Err(error);
            }
            made += 2;
        }
    };
    stop.store(true, Ordering::Release);
    result
}

fn large_tree(directories: u64) -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    for outer in 0..directories.div_ceil(100) {
        for inner in 0..99 {
            fs::create_dir_all(scratch.path().join(format!("package-{outer}/module-{inner}")))?;
        }
    }
    let before = anonymous_bytes()?;
    let began = Instant::now();
    let watcher = start(scratch.path())?;
    let elapsed = began.elapsed();
    watcher.drain()?;
    let after = anonymous_bytes()?;
    let stats = watcher.stats();
    println!(
        "{} directories watched in {:.2} s; table {:.1} MB, process grew by {:.1} MB, kernel about {:.0} MB; scanned: {}",
        stats.watches,
        elapsed.as_secs_f64(),
        stats.table_bytes as f64 / 1e6,
        after.saturating_sub(before) as f64 / 1e6,
        stats.kernel_bytes as f64 / 1e6,
        stats.scanned.len()
    );
    Ok(())
}

/// Anonymous memory of this process, from `/proc`.
fn anonymous_bytes() -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).ok_or("no RssAnon in /proc/self/status")?;
    let kilobytes: u64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
    Ok(kilobytes * 1024)
}
