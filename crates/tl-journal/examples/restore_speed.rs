//! How long a restore of a thousand files takes, beside `git checkout` of the same change on the same disk.
//!
//! `cargo run --release -p tl-journal --example restore_speed [FILES [OTHERS]]`: so many files change, spread over as many times others as asked for.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tl_journal::{
    Dirty, Present, Reason, Repository, RepositoryConfig, RestoreOptions, RestoreRequest, UpdateRequest, unwatched,
};

const ROUNDS: usize = 7;

fn write_state(root: &Path, files: usize, others: usize, state: usize) {
    for number in 0..files * (1 + others) {
        let state = if number % (1 + others) == 0 { state } else { 0 };
        let dir = root.join(format!("part{}/dir{}", number / 1000, number / 20 % 50));
        fs::create_dir_all(&dir).expect("a directory can be made");
        let content = format!("state {state} of file {number}\n").repeat(60 + number % 80);
        fs::write(dir.join(format!("file{number}")), content).expect("a file can be written");
    }
}

fn git(root: &Path, arguments: &[&str]) {
    let command = Command::new("git").arg("-C").arg(root).args(arguments).output().expect("git runs");
    assert!(command.status.success(), "{}", String::from_utf8_lossy(&command.stderr));
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e3
}

fn main() {
    let files = std::env::args().nth(1).map_or(1000, |files| files.parse().expect("a number of files"));
    let others = std::env::args().nth(2).map_or(0, |others| others.parse().expect("a number of files"));
    let dir = tempfile::tempdir().expect("a directory for both");
    let (work, other) = (dir.path().join("work"), dir.path().join("git"));
    for root in [&work, &other] {
        fs::create_dir(root).expect("a directory can be made");
    }
    git(&other, &["init", "-q"]);
    git(&other, &["config", "user.email", "a@example.com"]);
    git(&other, &["config", "user.name", "a"]);
    let repository =
        Repository::open(RepositoryConfig::new(dir.path().join("store"), Some(work.clone()))).expect("it opens");
    let mut states = Vec::new();
    for state in 0..2 {
        write_state(&work, files, others, state);
        let outcome = repository.reconcile(&UpdateRequest::new(Reason::Manual)).expect("it is recorded");
        states.push(outcome.checkpoint.expect("something changed").id);
        write_state(&other, files, others, state);
        git(&other, &["add", "-A"]);
        git(&other, &["commit", "-qm", "state"]);
        git(&other, &["tag", &format!("state{state}")]);
    }
    let nothing = Dirty::new();
    let (mut restore, mut settle, mut checkout) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..2 * ROUNDS {
        let state = round % 2;
        let begun = Instant::now();
        let present = Present { dirty: &nothing, ignored: &|_, _| false };
        let request = RestoreRequest::new(states[state]);
        let report =
            repository.restore(&request, present, RestoreOptions::default(), &unwatched).expect("it is restored");
        restore.push(begun.elapsed());
        assert!(report.receipt.is_exact() && report.counts.written == files as u64);
        let begun = Instant::now();
        repository.settle_restore(&unwatched).expect("it is synced");
        settle.push(begun.elapsed());
        let begun = Instant::now();
        git(&other, &["checkout", "-q", &format!("state{state}")]);
        checkout.push(begun.elapsed());
    }
    let first = |times: &[Duration]| times.first().map_or(0.0, |first| first.as_secs_f64() * 1e3);
    // A filesystem such as ext4 does not use inodes again for minutes, and looks past all of them: later rounds measure that more and more.
    println!("{files} files, first round in ms: restore {:.1}, git checkout {:.1}", first(&restore), first(&checkout));
    println!("{files} files, medians of {} in ms", 2 * ROUNDS);
    println!("restore, read back and recorded {:8.1}", median(restore));
    println!("sync of the filesystem after it {:8.1}", median(settle));
    println!("git checkout                    {:8.1}", median(checkout));
}
