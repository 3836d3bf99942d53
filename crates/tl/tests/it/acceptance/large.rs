//! A large tree under the daemon: the first checkpoint, changes, restores, restarts.

use std::fs;
use std::time::{Duration, Instant};

use super::{disk, is_long};
use crate::place::Place;

const FILES_OF_A_DIRECTORY: usize = 100;
/// How often each quick command runs.
const ROUNDS: usize = 20;

/// If it fails, a project that is larger than others is recorded or restored with something missing.
#[test]
fn a_large_tree_is_recorded_and_restored() {
    let files = if is_long() { 100_000 } else { 2_000 };
    let place = Place::new();
    for number in 0..files {
        place.write(path(number), content(number, 0));
    }
    let mut report = Report::default();

    let init = report.time("tl init", || place.json(&["init"]));
    assert_eq!(init["files"], files, "{init}");
    let first = place.json(&["flush"]);
    assert_eq!(first["complete"], true);
    report.memory(&place, "after the first checkpoint");
    for _ in 0..ROUNDS {
        report.time("tl flush, nothing changed", || place.json(&["flush"]));
    }
    for round in 1..=ROUNDS {
        for file in 0..5 {
            place.write(path((round * 7919 + file * 104_729) % files), content(file, round));
        }
        let flushed = report.time("tl flush, 5 files changed", || place.json(&["flush"]));
        assert_eq!(flushed["complete"], true);
        let status = report.time("tl status", || place.json(&["status"]));
        assert_eq!(status["files"], files);
    }

    let second = place.json(&["flush"]);
    let before = disk::read(&place.project());
    for directory in 0..10 {
        fs::remove_dir_all(place.project().join(path(directory * FILES_OF_A_DIRECTORY)).parent().unwrap()).unwrap();
    }
    place.write("new", "file");
    report.time("tl flush, 1000 files removed", || place.json(&["flush"]));
    let state = second["id"].as_str().unwrap();
    let restored = report.time("tl restore, 1000 files", || place.json(&["restore", state, "-y"]));
    assert_eq!((&restored["verified"], &restored["written"]), (&true.into(), &1000.into()), "{restored}");
    disk::assert_same(&disk::read(&place.project()), &before, "restored");
    report.memory(&place, "after a restore");

    report.time("tl stop", || place.json(&["stop"]));
    place.write(path(17), "changed while nobody watched");
    fs::remove_file(place.project().join(path(18))).unwrap();
    report.time("tl start", || place.json(&["start"]));
    let after = report.time("tl flush after the start", || place.json(&["flush"]));
    assert_eq!(place.read(path(17)), place.run(&["cat", &path(17)]).ok().stdout);
    place.run(&["cat", &path(18)]).code(1);
    assert_ne!(after["root"], second["root"]);
    report.memory(&place, "after a start");

    let copy = place.beside("copy");
    let to = copy.to_str().unwrap();
    let restored = report.time("tl restore --to, everything", || place.json(&["restore", state, "--to", to]));
    assert_eq!(restored["verified"], true);
    disk::assert_same(&disk::read(&copy), &before, "written elsewhere");
    let checked = report.time("tl verify", || place.json(&["verify"]));
    assert_eq!(checked["damaged"], 0);
    report.print(files);
}

fn path(number: usize) -> String {
    let directory = number / FILES_OF_A_DIRECTORY;
    format!("d{}/e{}/file{number}", directory % 32, directory / 32)
}

fn content(number: usize, round: usize) -> String {
    format!("{number} in round {round}\n").repeat(number % 40)
}

/// What was done, how long it took, and the memory of the daemon.
#[derive(Default)]
struct Report {
    times: Vec<(&'static str, Vec<Duration>)>,
    lines: Vec<String>,
}

impl Report {
    fn time<T>(&mut self, what: &'static str, work: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let done = work();
        let time = begin.elapsed();
        match self.times.iter_mut().find(|(known, _)| *known == what) {
            Some((_, times)) => times.push(time),
            None => self.times.push((what, vec![time])),
        }
        done
    }

    /// What the system says of the daemon's memory.
    fn memory(&mut self, place: &Place, when: &str) {
        let pid = place.json(&["status"])["daemon"].as_u64().unwrap();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let fields =
            status.lines().filter(|line| ["VmHWM", "RssAnon", "RssShmem", "VmRSS"].iter().any(|f| line.starts_with(f)));
        let fields: Vec<String> = fields.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        self.lines.push(format!("memory {when}: {}", fields.join(", ")));
    }

    fn print(mut self, files: usize) {
        println!("{files} files");
        for (what, times) in &mut self.times {
            times.sort_unstable();
            println!("  {what}: {:.1?} (longest {:.1?})", times[times.len() / 2], times[times.len() - 1]);
        }
        for line in self.lines {
            println!("  {line}");
        }
    }
}
