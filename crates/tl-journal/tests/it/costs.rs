//! What a checkpoint costs does not depend on how much is recorded. Counted, not timed.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use granite::Background;
use tl_journal::{Reason, Repository, RepositoryConfig, UpdateRequest};
use vfs::{CounterSnapshot, DiskVfs, Vfs};

use crate::lab::dirty;

/// Directories of ten entries each, `depth` deep: as wide as directories are in practice, whatever the size of the whole.
fn fill(dir: &Path, depth: u32) {
    fs::create_dir(dir).unwrap();
    for number in 0..10 {
        let path = dir.join(format!("{number}"));
        if depth == 0 {
            fs::write(path, format!("{dir:?} {number}")).unwrap();
        } else {
            fill(&path, depth - 1);
        }
    }
}

/// Does what a save costs in a directory with 10^(depth + 1) files.
fn cost_of_a_save(depth: u32) -> (CounterSnapshot, u64) {
    // Enough that the space which the log zeroes ahead, a piece at a time, is spread evenly.
    const SAVES: u64 = 200;
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path().join("work");
    fill(&work, depth);
    let disk = Arc::new(DiskVfs::new());
    let config = RepositoryConfig::new(dir.path().join("store"), Some(work.clone()));
    let config = RepositoryConfig { vfs: disk.clone(), background: Background::Inline, ..config };
    let repository = Repository::open(config).unwrap();
    let request = UpdateRequest::new(Reason::FsBatch);
    let first = repository.reconcile(&request).unwrap();
    assert_eq!(first.stats.files_added, 10u64.pow(depth + 1));
    let name = vec!["3"; depth as usize + 1].join("/");
    let before = disk.counters();
    let mut read = 0;
    for save in 0..SAVES {
        // Some text that does not compress away.
        let content: String = (0..300).map(|line| format!("{}\n", mixed(save * 1000 + line))).collect();
        fs::write(work.join(&name), content).unwrap();
        let outcome = repository.update(&dirty([&name]), &request).unwrap();
        assert!(outcome.checkpoint.is_some());
        read += outcome.files_read;
    }
    assert_eq!(read, SAVES);
    (disk.counters().since(&before), SAVES)
}

/// A number that looks random.
fn mixed(number: u64) -> u64 {
    let first = (number ^ (number >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (first ^ (first >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// If it fails, large projects pay for their size with every save.
#[test]
fn a_save_costs_the_same_in_a_large_directory() {
    let depth = if std::env::var_os("TL_LONG").is_some() { 4 } else { 3 };
    let (small, saves) = cost_of_a_save(2);
    let (large, _) = cost_of_a_save(depth);
    println!("{saves} saves among 10^3 files: {small:?}; among 10^{}: {large:?}", depth + 1);
    // One for each, and those of the few segments that fill up.
    for cost in [&small, &large] {
        assert!((saves..=saves + saves / 20).contains(&cost.syncs()), "{cost:?}");
    }
    assert!(large.bytes_written * 2 <= small.bytes_written * 3, "{large:?} against {small:?}");
    assert!(large.writes * 2 <= small.writes * 3, "{large:?} against {small:?}");
}
