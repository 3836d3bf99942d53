//! Would anybody notice a missing sync? Each kind of sync is left out in turn, and the crash test must fail.

mod at_open;

use std::collections::BTreeSet;

use granite::{Durability, Error};
use vfs_sim::{Crash, Op as DiskOp, OpKind, Points, SimDisk, Sweep};

use crate::oracle::{Notes, check_restart};
use crate::workload::{LONG, Mix, Step, is_long, run, steps, tiny};

/// What a sync is for, by what was done since the last sync of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    /// Records of the log.
    Log,
    /// The log's tail, when a database is opened.
    LogAtOpen,
    /// Values that a compaction moved.
    MovedValues,
    Table,
    ManifestAppend,
    /// The manifest, when a database is opened.
    ManifestAtOpen,
    /// A whole manifest before it gets its name.
    ManifestRewrite,
    /// Names of log segments.
    SegmentNames,
    /// Names of tables and of values segments.
    TableNames,
    /// The name of the manifest.
    ManifestName,
    /// All names, when a database is opened.
    NamesAtOpen,
    /// The database's own name in its parent.
    Parent,
}

/// The purpose of each sync of a trace.
fn purposes(trace: &[DiskOp]) -> Vec<(u64, Purpose)> {
    let mut found = Vec::new();
    let (mut segments, mut tables, mut manifest) = (false, false, false);
    let mut written: BTreeSet<&std::path::Path> = BTreeSet::new();
    let mut values: BTreeSet<&std::path::Path> = BTreeSet::new();
    for op in trace {
        let name = op.path.to_string_lossy();
        let is = |ending: &str| name.ends_with(ending);
        match op.kind {
            // A values segment is written from its header on in one piece; a log segment's header is a write of its own.
            OpKind::Write if is(".seg") && op.offset == 0 && op.len != 64 => {
                values.insert(&op.path);
                tables = true;
            }
            _ => {}
        }
        match op.kind {
            OpKind::Create | OpKind::Rename if is(".seg") => segments = true,
            OpKind::Create if is(".sst") => tables = true,
            OpKind::Rename if is("MANIFEST.tmp") => manifest = true,
            OpKind::Write | OpKind::SetLen | OpKind::Allocate => {
                written.insert(&op.path);
            }
            OpKind::SyncData | OpKind::SyncAll => {
                let was_written = written.remove(&*op.path);
                let purpose = if is(".seg") && values.contains(&*op.path) {
                    Purpose::MovedValues
                } else if is(".seg") {
                    if was_written { Purpose::Log } else { Purpose::LogAtOpen }
                } else if is(".sst") {
                    Purpose::Table
                } else if is("MANIFEST.tmp") && manifest {
                    Purpose::ManifestAppend
                } else if is("MANIFEST.tmp") {
                    Purpose::ManifestRewrite
                } else if was_written {
                    Purpose::ManifestAppend
                } else {
                    Purpose::ManifestAtOpen
                };
                found.push((op.number, purpose));
            }
            OpKind::SyncDir => {
                let purpose = if !is("db") {
                    Purpose::Parent
                } else if manifest {
                    Purpose::ManifestName
                } else if tables {
                    Purpose::TableNames
                } else if segments {
                    Purpose::SegmentNames
                } else {
                    Purpose::NamesAtOpen
                };
                (segments, tables, manifest) = (false, false, false);
                found.push((op.number, purpose));
            }
            _ => {}
        }
    }
    found
}

/// True if some crash of some run goes wrong when all syncs of this purpose report success and do nothing.
fn is_noticed(purpose: Purpose, seeds: std::ops::Range<u64>, points: usize) -> Option<String> {
    for seed in seeds {
        let mut steps = steps(seed, &Mix { steps: 90, maintenance: 5, ..LONG });
        steps.push(Step::Commit(Vec::new(), Durability::Sync));
        let program = |disk: &SimDisk, notes: &mut Notes| {
            // A process that dies leaves its writes in the page cache for the next one: so does this one, now and then.
            run(&tiny(), &steps, disk, notes)
        };
        let rehearsal = SimDisk::new();
        run(&tiny(), &steps, &rehearsal, &mut Notes::default()).unwrap();
        let ignored: BTreeSet<u64> =
            purposes(&rehearsal.trace()).into_iter().filter(|(_, of)| *of == purpose).map(|(op, _)| op).collect();
        if ignored.is_empty() {
            continue;
        }
        let build = || {
            let disk = SimDisk::new();
            let ignored = ignored.clone();
            disk.ignore_syncs(move |sync| ignored.contains(&sync.op));
            disk
        };
        let sweep = Sweep { points: Points::Sample { count: points, seed }, crashes: vec![Crash::Nothing], seeds: 2 };
        let check = |disk: &SimDisk, notes: &Notes| {
            check_restart(&tiny(), disk, notes, notes.synced);
            Ok::<_, Error>(())
        };
        if let Err(failure) = sweep.run(build, program, check) {
            return Some(format!("seed {seed}, op {:?}: {}", failure.point, failure.reason));
        }
    }
    None
}

fn assert_noticed(purposes: &[Purpose]) {
    let (lists, points) = if is_long() { (60, 200) } else { (12, 40) };
    let mut missed = Vec::new();
    for &purpose in purposes {
        match is_noticed(purpose, 8000..8000 + lists, points) {
            Some(how) => println!("{purpose:?}: {}", how.chars().take(160).collect::<String>()),
            None => missed.push(purpose),
        }
    }
    assert_eq!(missed, [], "nobody notices that these syncs are missing");
}

/// If it fails, the crash tests are too weak to notice that a sync of a file's content is missing.
#[test]
fn mutation_without_syncs_of_content_is_noticed() {
    use Purpose::{Log, ManifestAppend, ManifestRewrite, MovedValues, Table};
    assert_noticed(&[Log, Table, MovedValues, ManifestAppend, ManifestRewrite]);
}

/// If it fails, the crash tests are too weak to notice that a sync of names is missing.
#[test]
fn mutation_without_syncs_of_names_is_noticed() {
    use Purpose::{ManifestName, Parent, SegmentNames, TableNames};
    assert_noticed(&[SegmentNames, TableNames, ManifestName, Parent]);
}

/// If it fails, a comparison of a checksum can be left out and no test of damage notices.
///
/// `cargo test -p granite --features mutation --test it mutation_without_checksums`: the comparison is left out in the whole process, so
/// nothing else may run beside it.
#[cfg(feature = "mutation")]
#[test]
fn mutation_without_checksums_is_noticed() {
    let checks: [fn(); 6] = [
        crate::recovery::a_damaged_segment_header_is_not_taken_for_one_that_was_never_written,
        crate::recovery::a_damaged_synced_record_is_refused_and_salvage_loses_it_alone,
        crate::recovery::a_damaged_record_header_or_separated_value_is_refused_and_salvage_loses_it_alone,
        crate::recovery::a_value_that_looks_like_a_record_is_not_taken_for_one_in_a_torn_tail,
        crate::damage::a_flipped_bit_in_a_closed_database_is_reported_or_changes_nothing,
        crate::damage::a_flipped_bit_in_the_manifest_of_a_killed_database_is_reported,
    ];
    let missed = |site: u8| {
        granite::leave_out_checksum(site);
        let noticed = checks.iter().any(|check| std::panic::catch_unwind(check).is_err());
        granite::leave_out_checksum(0);
        !noticed
    };
    let missed: Vec<u8> = (1..=9).filter(|&site| missed(site)).collect();
    assert_eq!(missed, [], "nobody notices that these comparisons are missing");
}
