//! What was deleted is in no file any more.

use std::path::Path;

use granite::{Db, Durability, KeyspaceOptions, WriteBatch};
use vfs::Vfs;
use vfs_sim::SimDisk;

use super::{Model, all, key, on, open, separating};

/// Long enough to be separated, and short enough not to be; neither compresses away.
const LONG: &[u8] = b"the long secret: 5f0a81b2c7";
const SHORT: &[u8] = b"the short secret: 90aa1b3c";

fn files_with(disk: &SimDisk, needle: &[u8]) -> Vec<String> {
    let files = disk.read_dir(Path::new("/db")).unwrap();
    let holds = |path: &Path| disk.contents(path).unwrap().windows(needle.len()).any(|window| window == needle);
    files.iter().filter(|path| holds(path)).map(|path| path.display().to_string()).collect()
}

fn secret(of: &[u8]) -> Vec<u8> {
    if of == LONG { LONG.repeat(10) } else { of.to_vec() }
}

/// Two keyspaces whose values stand side by side in the same records, with secrets among them.
fn fill(db: &Db, from: u32) -> Model {
    let (one, two) = (db.keyspace("k", separating()).unwrap(), db.keyspace("other", separating()).unwrap());
    let mut model = Model::new();
    for number in from..from + 200 {
        let mut batch = WriteBatch::new();
        let value = format!("{number}-").repeat(if number % 2 == 0 { 60 } else { 3 }).into_bytes();
        batch.put(&one, &key(number), &value);
        batch.put(&two, &key(number), &value);
        if number % 50 == 7 {
            batch.put(&one, b"long", &secret(LONG));
            batch.put(&two, b"short", &secret(SHORT));
        }
        db.write(batch, Durability::Sync).unwrap();
        model.insert(key(number), value);
    }
    model
}

/// If it fails, a secret that was purged can be found in the files of the database.
#[test]
fn nothing_that_was_deleted_or_overwritten_is_left_in_any_file() {
    for flushes in [false, true] {
        let disk = SimDisk::new();
        let (db, one) = open(&disk, "/db").unwrap();
        let mut model = fill(&db, 0);
        if flushes {
            db.flush().unwrap();
        }
        model.extend(fill(&db, 200));
        let two = db.existing_keyspace("other").unwrap();
        one.delete(b"long").unwrap();
        two.put(b"short", b"something else").unwrap();
        assert!(!files_with(&disk, LONG).is_empty() && !files_with(&disk, SHORT).is_empty());
        let report = db.erase_dead().unwrap();
        assert!(report.moved_value_bytes > 0 && !report.kept_for_snapshots, "{report:?}");
        assert_eq!(files_with(&disk, LONG), [""; 0], "flushes: {flushes}");
        assert_eq!(files_with(&disk, SHORT), [""; 0], "flushes: {flushes}");
        let check = |db: &Db| {
            assert!(all(&db.existing_keyspace("k").unwrap()).unwrap() == model);
            let two = db.existing_keyspace("other").unwrap();
            assert_eq!(two.get(b"short").unwrap().unwrap(), b"something else");
            assert_eq!(two.get(&key(4)).unwrap().unwrap(), model[&key(4)]);
        };
        check(&db);
        assert_eq!(db.erase_dead().unwrap().moved_value_bytes, 0, "what is alone moves again");
        drop((one, two));
        db.close().unwrap();
        let db = Db::open("/db", &on(&disk)).unwrap();
        check(&db);
        assert!(db.verify().unwrap().is_intact());
    }
}

/// If it fails, an erasure pulls values from under a snapshot, or does not say that it left something.
#[test]
fn what_a_snapshot_sees_stays_and_the_report_says_so() {
    let disk = SimDisk::new();
    let (db, keyspace) = open(&disk, "/db").unwrap();
    keyspace.put(b"long", &secret(LONG)).unwrap();
    let snapshot = db.snapshot();
    keyspace.delete(b"long").unwrap();
    assert!(db.erase_dead().unwrap().kept_for_snapshots);
    assert_eq!(snapshot.get(&keyspace, b"long").unwrap().unwrap(), secret(LONG));
    drop(snapshot);
    assert!(!db.erase_dead().unwrap().kept_for_snapshots);
    assert_eq!(files_with(&disk, LONG), [""; 0]);
}

/// If it fails, the next log segment is written over a file that holds what was to go.
#[test]
fn no_file_is_recycled_with_its_old_bytes() {
    let disk = SimDisk::new();
    let db = Db::open("/db", &on(&disk)).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::new().separation_threshold(None)).unwrap();
    for number in 0..400 {
        keyspace.put(&key(number), SHORT).unwrap();
        keyspace.put(&key(number), b"-").unwrap();
        if number % 100 == 99 {
            db.flush().unwrap();
        }
    }
    db.erase_dead().unwrap();
    for number in 0..50 {
        keyspace.put(&key(number), b"+").unwrap();
    }
    assert_eq!(files_with(&disk, SHORT), [""; 0]);
}
