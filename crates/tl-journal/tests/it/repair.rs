//! Repair: what is lost is said, and what the working directory has comes back.

use std::fs;

use tl_core::ObjectId;
use tl_journal::{Error, Order, Repository, RepositoryConfig};

use crate::lab::Lab;

fn config(lab: &Lab) -> RepositoryConfig {
    lab.repository.config().clone()
}

/// Closes the repository, and lets `harm` at its database.
fn harm(lab: &mut Lab, harm: impl FnOnce(&granite::Db)) {
    harm(lab.repository.db());
    lab.repository.db().sync().unwrap();
    lab.close();
}

fn overwrite(db: &granite::Db, keyspace: &str, key: &[u8], value: &[u8]) {
    db.existing_keyspace(keyspace).unwrap().put(key, value).unwrap();
}

fn remove(db: &granite::Db, id: &ObjectId) {
    db.existing_keyspace("objects").unwrap().delete(id.as_bytes()).unwrap();
}

#[test]
fn an_intact_store_has_nothing_to_repair() {
    let mut lab = Lab::new();
    lab.write("d/f", "1");
    lab.reconcile();
    let config = config(&lab);
    harm(&mut lab, |_| {});
    let report = Repository::repair(&config, &|_, _| false).unwrap();
    assert!(report.nothing_is_lost() && report.engine.is_none() && !report.head_moved, "{report:?}");
    assert_eq!((report.checkpoints, report.lost_objects.len(), report.index_entries_replaced), (1, 0, 0));
}

#[test]
fn lost_contents_come_back_from_the_working_directory_or_are_named() {
    let mut lab = Lab::new();
    lab.write("kept", "still here");
    lab.write("d/edited", "old");
    lab.reconcile();
    let old = lab.entry("d/edited").unwrap().id;
    lab.write("d/edited", "new");
    lab.update(["d/edited"]);
    let kept = lab.entry("kept").unwrap().id;
    let config = config(&lab);
    harm(&mut lab, |db| {
        overwrite(db, "objects", kept.as_bytes(), b"garbage");
        remove(db, &old);
    });
    let report = Repository::repair(&config, &|_, _| false).unwrap();
    let found: Vec<_> =
        report.lost_objects.iter().map(|lost| (lost.path.to_string(), lost.id, lost.recovered)).collect();
    let mut expected = vec![("kept".to_owned(), kept, true), ("d/edited".to_owned(), old, false)];
    expected.sort_by_key(|(_, id, _)| *id);
    assert_eq!(found, expected);
    lab.open_again(config);
    assert_eq!(lab.content("kept").unwrap(), b"still here");
    assert_eq!(lab.content("d/edited").unwrap(), b"new");
}

/// Without HEAD's trees no update can be made.
#[test]
fn lost_directories_of_the_present_state_come_back() {
    let mut lab = Lab::new();
    lab.write("d/e/f", "1");
    lab.write("ignored/recorded.o", "2");
    lab.reconcile();
    lab.write("ignored/not.o", "3");
    let (root, dir) = (lab.head().root, lab.entry("d").unwrap().id);
    let config = config(&lab);
    harm(&mut lab, |db| {
        remove(db, &root);
        remove(db, &dir);
    });
    let report = Repository::repair(&config, &|path, _| path.as_bytes().ends_with(b".o")).unwrap();
    assert!(report.nothing_is_lost(), "{report:?}");
    lab.open_again(config);
    assert_eq!(lab.head().root, root);
    assert_eq!(lab.paths(), ["d", "d/e", "d/e/f", "ignored", "ignored/recorded.o"]);
    assert_eq!(lab.repository.verify_index().unwrap(), []);
    lab.write("d/e/f", "22");
    assert!(lab.update(["d/e/f"]).checkpoint.is_some());
}

#[test]
fn a_store_whose_directories_are_lost_for_good_goes_on_from_the_present_state() {
    let mut lab = Lab::new();
    lab.write("d/f", "1");
    lab.reconcile();
    let root = lab.head().root;
    let config = config(&lab);
    harm(&mut lab, |db| remove(db, &root));
    lab.write("d/g", "2");
    let report = Repository::repair(&config, &|_, _| false).unwrap();
    assert!(!report.nothing_is_lost());
    lab.open_again(config);
    assert_eq!(lab.paths(), ["d", "d/f", "d/g"]);
    assert_eq!(lab.repository.verify_index().unwrap(), []);
    assert!(lab.reconcile().checkpoint.is_none());
}

#[test]
fn a_journal_with_damaged_records_keeps_the_others() {
    let mut lab = Lab::new();
    let mut ids = Vec::new();
    for number in 0..4 {
        lab.write("f", format!("{number}"));
        ids.push(lab.reconcile().checkpoint.unwrap().id);
    }
    let journal = lab.repository.journal();
    journal.pin("lost", ids[3], std::time::Duration::ZERO).unwrap();
    journal.pin("kept", ids[0], std::time::Duration::ZERO).unwrap();
    let config = config(&lab);
    harm(&mut lab, |db| {
        for id in [ids[1], ids[3]] {
            overwrite(db, "journal", &[b"c", &id.to_bytes()[..]].concat(), &[1, 2, 3]);
        }
        overwrite(db, "refs", b"counters", b"");
    });
    assert!(matches!(Repository::open(config.clone()), Err(Error::Damaged { .. })));
    let report = Repository::repair(&config, &|_, _| false).unwrap();
    assert_eq!(report.lost_checkpoints.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [ids[1], ids[3]]);
    assert!(report.head_moved);
    assert_eq!(report.dangling_refs.len(), 1, "{:?}", report.dangling_refs);
    lab.open_again(config);
    let journal = lab.repository.journal();
    assert_eq!(journal.count(), 2);
    assert_eq!(journal.pins().unwrap().len(), 1);
    let left: Vec<_> = journal.ids(.., Order::OldestFirst).unwrap().map(Result::unwrap).collect();
    assert_eq!(left, [ids[0], ids[2]]);
    // The file is as the lost HEAD had it, so it is a change again.
    let next = lab.reconcile().checkpoint.unwrap();
    assert!(next.id > ids[3] && lab.content("f").unwrap() == b"3");
}

/// Files of the database that the engine itself has to mend.
#[test]
fn a_damaged_database_is_repaired_first() {
    let mut lab = Lab::new();
    for number in 0..200 {
        lab.write(&format!("d{}/f{number}", number % 10), format!("content {number} ").repeat(200));
    }
    lab.reconcile();
    lab.repository.db().flush().unwrap();
    let config = config(&lab);
    harm(&mut lab, |_| {});
    let files = fs::read_dir(lab.dir.path().join("store/db")).unwrap().map(|entry| entry.unwrap().path());
    let largest = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "sst"))
        .max_by_key(|path| fs::metadata(path).unwrap().len());
    let largest = largest.unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0x55);
    fs::write(&largest, bytes).unwrap();
    let report = Repository::repair(&config, &|_, _| false).unwrap();
    assert!(report.engine.is_some());
    assert!(report.nothing_is_lost(), "{report:?}");
    lab.open_again(config);
    assert!(lab.repository.store().verify(&tl_core::VerifyOptions::default()).unwrap().is_intact());
    assert_eq!(lab.paths().len(), 210);
}

/// An index of another tree than HEAD's, as a restored database or an older program may leave it.
#[test]
fn an_index_of_another_tree_is_brought_into_line_at_the_start() {
    let mut lab = Lab::new();
    for number in 0..20 {
        lab.write(&format!("d/f{number}"), "1");
    }
    lab.reconcile();
    let old = lab.head().root;
    lab.write("d/f3", "22");
    fs::remove_file(lab.at("d/f4")).unwrap();
    lab.update(["d/f3", "d/f4"]);
    let config = config(&lab);
    let settled = |root: &ObjectId| [&[0], &root.as_bytes()[..]].concat();
    // The state says the old tree; one entry even lies, which only a comparison of everything sees.
    harm(&mut lab, |db| overwrite(db, "refs", b"index", &settled(&old)));
    lab.open_again(config.clone());
    assert_eq!(lab.repository.start_report().index_entries_replaced, 2);
    assert_eq!(lab.repository.verify_index().unwrap(), []);
    assert_eq!(lab.reconcile().checkpoint, None);

    harm(&mut lab, |db| {
        overwrite(db, "index", b"d\0f5", b"garbage");
        overwrite(db, "index", b"d\0stray", b"garbage");
        overwrite(db, "refs", b"index", &settled(&ObjectId::from_bytes([7; 32])));
    });
    lab.open_again(config);
    assert_eq!(lab.repository.start_report().index_entries_replaced, 2);
    assert_eq!(lab.repository.verify_index().unwrap(), []);
    assert_eq!(lab.reconcile().checkpoint, None);
}
