//! `granite::verify` and `granite::repair`.

use std::path::{Path, PathBuf};

use granite::{Db, Error, KeyspaceOptions, RepairReport, VerifyReport};
use vfs::Vfs;
use vfs_sim::{OpKind, SimDisk, Sweep};

use super::{Model, all, check, key, on, open, put, value};

const DB: &str = "/db";

/// Tables on several levels, moved and unmoved values, a second keyspace, a log tail.
fn filled() -> (SimDisk, Model) {
    let disk = SimDisk::new();
    let (db, keyspace) = open(&disk, DB).unwrap();
    let mut model = Model::new();
    put(&keyspace, &mut model, 0..300, 1);
    db.compact().unwrap();
    put(&keyspace, &mut model, 100..200, 2);
    db.flush().unwrap();
    let load: Vec<_> = (400..440).map(|number| (key(number), value(number, 3))).collect();
    keyspace.ingest(load.clone()).unwrap();
    model.extend(load);
    let other = db.keyspace("other", KeyspaceOptions::new()).unwrap();
    other.put(b"a", b"b").unwrap();
    put(&keyspace, &mut model, 190..220, 4);
    drop((db, keyspace, other));
    disk.settle();
    (disk.kill(), model)
}

fn files(disk: &SimDisk, extension: &str) -> Vec<PathBuf> {
    let mut paths = disk.read_dir(Path::new(DB)).unwrap();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    paths
}

fn len(disk: &SimDisk, path: &Path) -> u64 {
    disk.metadata(path).unwrap().len
}

fn verify(disk: &SimDisk) -> VerifyReport {
    granite::verify(DB, &on(disk)).unwrap()
}

/// Repairs, and checks that the result is whole: it verifies, opens, and a second repair finds nothing to do.
fn repair(disk: &SimDisk) -> RepairReport {
    let report = granite::repair(DB, &on(disk)).unwrap();
    let after = verify(disk);
    assert!(after.is_intact(), "after the repair {report:#?}: {:#?}", after.findings);
    let again = granite::repair(DB, &on(disk)).unwrap();
    assert!(!again.is_loss() && again.originals.is_empty(), "{again:?}");
    for path in &report.originals {
        assert!(path.starts_with("/db/lost") && disk.metadata(path).is_ok(), "{}", path.display());
    }
    report
}

/// If it fails, verification cries wolf, or repair changes what is whole.
#[test]
fn a_healthy_database_verifies_and_is_left_alone_by_repair() {
    let (disk, mut model) = filled();
    let report = verify(&disk);
    assert!(report.is_intact(), "{:#?}", report.findings);
    assert!(
        report.tables >= 2 && report.entries > 300 && report.value_bytes > 0 && report.log_records > 0,
        "{report:?}"
    );
    let before = disk.op_count();
    let repaired = granite::repair(DB, &on(&disk)).unwrap();
    assert!(!repaired.is_loss() && repaired.tables_kept == report.tables, "{repaired:?}");
    let changes = disk.trace().into_iter().skip(before as usize).filter(|op| op.kind != OpKind::SyncData).count();
    assert_eq!(changes, 0, "repair touched a healthy database");
    let (db, keyspace) = open(&disk, DB).unwrap();
    assert!(db.verify().unwrap().is_intact());
    put(&keyspace, &mut model, 0..50, 9);
    let live = db.verify().unwrap();
    assert!(live.is_intact(), "{:#?}", live.findings);
    assert!(matches!(granite::verify(DB, &on(&disk)), Err(Error::Locked { .. })));
    assert!(matches!(granite::repair(DB, &on(&disk)), Err(Error::Locked { .. })));
    assert!(matches!(granite::verify("/nothing", &on(&disk)), Err(Error::NotADatabase { .. })));
    assert!(matches!(granite::repair("/nothing", &on(&disk)), Err(Error::NotADatabase { .. })));
}

/// If it fails, what a crash left over is taken for damage, or is not told at all.
#[test]
fn a_leftover_file_is_named_and_is_no_damage() {
    let (disk, _) = filled();
    let leftover = Path::new(DB).join("0000099999.sst");
    disk.open(&leftover, vfs::OpenMode::CreateNew).unwrap();
    let report = granite::verify(DB, &on(&disk)).unwrap();
    assert!(report.is_intact(), "{:#?}", report.findings);
    assert_eq!(report.leftovers, [leftover]);
    drop(open(&disk, DB).unwrap());
    assert!(granite::verify(DB, &on(&disk)).unwrap().leftovers.is_empty());
}

/// If it fails, some byte of some file can rot without verification noticing, or repair cannot cope with it, or invents data.
#[test]
fn every_damaged_byte_that_matters_is_found_and_repaired_around() {
    let (whole, model) = filled();
    let mut noticed = 0;
    for path in files(&whole, "sst").into_iter().chain(files(&whole, "seg")).chain([PathBuf::from("/db/MANIFEST")]) {
        let len = len(&whole, &path);
        for offset in (0..len).step_by((len as usize / 24).max(1)).chain([len - 1]) {
            let disk = whole.kill();
            disk.flip_bit(&path, offset, (offset % 8) as u8).unwrap();
            let found = verify(&disk);
            let place = format!("{} at {offset}", path.display());
            if path.extension().is_some_and(|extension| extension == "sst") {
                assert!(!found.is_intact(), "nothing noticed in {place}");
            }
            if found.is_intact() {
                continue;
            }
            noticed += 1;
            let report = repair(&disk);
            let keyspace_name =
                if report.manifest_rebuilt { names(&disk).into_iter().next() } else { Some("k".to_owned()) };
            let Some(name) = keyspace_name else { continue };
            let db = Db::open(DB, &on(&disk)).unwrap();
            let Ok(keyspace) = db.existing_keyspace(&name) else { continue };
            account_for(&all(&keyspace).unwrap(), &model, &report, &place);
        }
    }
    assert!(noticed > 60, "{noticed} damages noticed");
}

fn names(disk: &SimDisk) -> Vec<String> {
    let mut names = Db::open_read_only(DB, &on(disk)).unwrap().keyspace_names();
    names.sort();
    names
}

/// What differs from the model is in the report, and what is there was once written.
fn account_for(found: &Model, model: &Model, report: &RepairReport, place: &str) {
    for number in 0..440 {
        let key = key(number);
        let (is, was) = (found.get(&key), model.get(&key));
        if is == was {
            continue;
        }
        let once = (1..5).any(|version| is == Some(&value(number, version)));
        assert!(is.is_none() || once, "{place}: {number} has a value that nobody wrote");
        let in_range = report.lost_ranges.iter().any(|lost| {
            lost.from.as_ref().is_none_or(|from| *from <= key) && lost.to.as_ref().is_none_or(|to| key <= *to)
        });
        let in_values = report.lost_values.iter().any(|lost| lost.key == key);
        assert!(
            in_range || in_values || !report.lost_log.is_empty(),
            "{place}: {number} differs and is not listed: {report:#?}"
        );
    }
}

/// If it fails, verification stops at the first damage, or takes no notice of files that do not belong.
#[test]
fn verification_lists_all_damage_and_stray_files() {
    let (disk, _) = filled();
    let tables = files(&disk, "sst");
    for path in &tables {
        disk.flip_bit(path, 20, 1).unwrap();
    }
    disk.open(Path::new("/db/stray.txt"), vfs::OpenMode::CreateNew).unwrap();
    let report = verify(&disk);
    assert_eq!(report.leftovers, [PathBuf::from("/db/stray.txt")]);
    for path in &tables {
        assert!(report.findings.iter().any(|finding| finding.path == *path), "{}", path.display());
    }
}

/// If it fails, one damaged block costs more than its own keys, or keys next to it are called lost.
#[test]
fn a_damaged_block_costs_its_own_keys_only() {
    let (disk, model) = filled();
    let (db, keyspace) = open(&disk, DB).unwrap();
    db.compact().unwrap();
    drop((db, keyspace));
    let largest = files(&disk, "sst").into_iter().max_by_key(|path| len(&disk, path)).unwrap();
    disk.corrupt(&largest, 3000..3010, 1).unwrap();
    let report = repair(&disk);
    assert_eq!((report.tables_rewritten, report.lost_ranges.len(), report.originals.len()), (1, 1, 1), "{report:#?}");
    let lost = &report.lost_ranges[0];
    let (from, to) = (lost.from.clone().unwrap(), lost.to.clone().unwrap());
    let found = all(&open(&disk, DB).unwrap().1).unwrap();
    let missing: Vec<_> = model.keys().filter(|key| !found.contains_key(*key)).collect();
    assert!(!missing.is_empty() && missing.len() < 40, "{} keys are missing", missing.len());
    assert!(missing.iter().all(|key| from <= **key && **key <= to), "{from:?} {to:?} {missing:?}");
    assert!(found.iter().all(|(key, value)| model[key] == *value));
}

/// If it fails, losing the small manifest loses the database.
#[test]
fn a_lost_manifest_is_rebuilt_from_tables_and_log() {
    let (disk, model) = filled();
    let whole = disk.kill();
    disk.remove_file(Path::new("/db/MANIFEST")).unwrap();
    assert!(!verify(&disk).is_intact());
    let report = repair(&disk);
    assert!(report.manifest_rebuilt && report.lost_values.is_empty() && report.lost_ranges.is_empty(), "{report:#?}");
    assert_eq!(names(&disk), ["keyspace-0", "keyspace-1"]);
    let db = Db::open(DB, &on(&disk)).unwrap();
    check(&db.existing_keyspace("keyspace-0").unwrap(), &model);
    assert_eq!(db.existing_keyspace("keyspace-1").unwrap().get(b"a").unwrap().unwrap(), b"b");
    // The names stand in the readable part of a damaged one.
    let disk = whole;
    let len = len(&disk, Path::new("/db/MANIFEST"));
    disk.corrupt("/db/MANIFEST", len / 2..len / 2 + 8, 1).unwrap();
    assert!(matches!(Db::open(DB, &on(&disk)), Err(Error::Corrupt { .. })));
    assert!(repair(&disk).manifest_rebuilt);
    check(&open(&disk, DB).unwrap().1, &model);
}

/// If it fails, repair does not tell which keys lost their value, or shows an older value in its place.
#[test]
fn keys_with_lost_values_are_listed_and_deleted() {
    let (disk, mut model) = filled();
    let values = files(&disk, "seg").into_iter().next().unwrap();
    let end = len(&disk, &values);
    disk.corrupt(&values, 64..end, 5).unwrap();
    let report = repair(&disk);
    assert!(!report.lost_values.is_empty(), "{report:#?}");
    for lost in &report.lost_values {
        assert_eq!(lost.keyspace, "k");
        model.remove(&lost.key);
    }
    let found = all(&open(&disk, DB).unwrap().1).unwrap();
    assert!(found.iter().all(|(key, value)| model.get(key).is_none_or(|wanted| wanted == value)));
    assert!(report.lost_values.iter().all(|lost| !found.contains_key(&lost.key) || report.lost_log.is_empty()));
}

/// If it fails, power that goes out during a repair makes things worse than they were.
#[test]
fn a_crash_during_a_repair_leaves_a_database_that_can_be_repaired() {
    for damage in ["table", "manifest", "log"] {
        let build = || {
            let (disk, _) = filled();
            match damage {
                "table" => disk.corrupt(&files(&disk, "sst")[0], 40..60, 1).unwrap(),
                "log" => disk.corrupt(files(&disk, "seg").last().unwrap(), 100..160, 1).unwrap(),
                _ => disk.remove_file(Path::new("/db/MANIFEST")).unwrap(),
            }
            disk.settle();
            disk.kill()
        };
        let repaired = |disk: &SimDisk| {
            granite::repair(DB, &on(disk)).unwrap();
            let name = names(disk).into_iter().next().unwrap();
            all(&Db::open(DB, &on(disk)).unwrap().existing_keyspace(&name).unwrap()).unwrap()
        };
        let wanted = repaired(&build());
        let program = |disk: &SimDisk, _: &mut ()| granite::repair(DB, &on(disk)).map(|_| ());
        let verdict = |disk: &SimDisk, (): &()| {
            if repaired(disk) == wanted { Ok(()) } else { Err("the second repair gives something else") }
        };
        vfs_sim::for_each_crash_point(&Sweep::with_seeds(1), build, program, verdict);
    }
}

/// If it fails, looking past the end of a log whose last record is cut off by the end of the file ends in a panic.
#[test]
fn a_record_that_the_end_of_the_file_cuts_off_is_no_more_than_a_torn_tail() {
    let (disk, model) = filled();
    let wanted = key(219);
    let place = |path: PathBuf| {
        let at = disk.contents(&path).unwrap().windows(wanted.len()).rposition(|bytes| bytes == wanted)?;
        Some((path, at as u64))
    };
    let (last, at) = files(&disk, "seg").into_iter().rev().find_map(place).unwrap();
    disk.open(&last, vfs::OpenMode::ReadWrite).unwrap().set_len(at + 4).unwrap();
    disk.remove_file(&Path::new(DB).join("MANIFEST")).unwrap();
    granite::repair(DB, &on(&disk)).unwrap();
    let name = names(&disk).remove(0);
    let db = Db::open(DB, &on(&disk)).unwrap();
    let found = all(&db.existing_keyspace(&name).unwrap()).unwrap();
    let kept = model.into_iter().filter(|(of, _)| (key(210)..key(219)).contains(of)).collect::<Model>();
    assert!(kept.iter().all(|(key, value)| found.get(key) == Some(value)), "what stands before the cut is lost");
}
