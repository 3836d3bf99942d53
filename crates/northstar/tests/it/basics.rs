//! What a user does first.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use northstar::{Background, Database, Durability, Error, Options, Retention, Tree, TxnId};
use vfs_sim::SimDisk;

pub fn options(disk: &SimDisk) -> Options {
    Options::new().vfs(Arc::new(disk.clone())).background(Background::Inline)
}

pub fn open(disk: &SimDisk) -> Database {
    Database::open("/db", options(disk)).unwrap()
}

pub fn assert_sound(db: &Database) {
    let found = db.verify().unwrap();
    assert_eq!(found.faults, [], "of {found:?}");
}

#[test]
fn a_first_database() {
    let disk = SimDisk::new();
    let db = open(&disk);
    assert_sound(&db);
    let people = db
        .write(|txn| {
            let people = txn.create_tree("people")?;
            for n in 0..1000u32 {
                assert!(!txn.put(people, &n.to_be_bytes(), format!("value {n}").as_bytes())?);
            }
            assert_eq!(txn.len(people)?, 1000);
            Ok(people)
        })
        .unwrap();
    assert_eq!(db.get(people, &7u32.to_be_bytes()).unwrap().unwrap(), b"value 7");
    assert_sound(&db);
    db.checkpoint().unwrap();
    assert_sound(&db);
    db.write(|txn| {
        for n in (0..1000u32).step_by(2) {
            assert!(txn.delete(people, &n.to_be_bytes())?);
        }
        Ok(())
    })
    .unwrap();
    assert_sound(&db);
    drop(db);
    let db = open(&disk);
    assert_sound(&db);
    let snapshot = db.snapshot();
    assert_eq!(snapshot.len(people).unwrap(), 500);
    let keys: Vec<u32> = snapshot
        .range::<[u8; 4]>(people, ..)
        .unwrap()
        .map(|entry| u32::from_be_bytes(entry.unwrap().key.try_into().unwrap()))
        .collect();
    assert_eq!(keys, (1..1000).step_by(2).collect::<Vec<_>>());
    db.close().unwrap();
    assert_sound(&open(&disk));
}

#[test]
fn large_values_and_limits() {
    let disk = SimDisk::new();
    let db = open(&disk);
    let large = vec![7u8; 100_000];
    db.write(|txn| txn.put(Tree::DEFAULT, b"large", &large)).unwrap();
    assert_eq!(*db.get(Tree::DEFAULT, b"large").unwrap().unwrap(), *large);
    let long_key = vec![1u8; 2000];
    let error = db.write(|txn| txn.put(Tree::DEFAULT, &long_key, b"")).unwrap_err();
    assert!(matches!(error, Error::KeyTooLarge { len: 2000, max: 992 }), "{error}");
    drop(db);
    let db = open(&disk);
    assert_eq!(*db.get(Tree::DEFAULT, b"large").unwrap().unwrap(), *large);
    db.write(|txn| txn.put(Tree::DEFAULT, b"large", b"small now")).unwrap();
    assert_eq!(db.get(Tree::DEFAULT, b"large").unwrap().unwrap(), b"small now");
    db.write(|txn| txn.put(Tree::DEFAULT, b"", b"empty key")).unwrap();
    assert_eq!(db.get(Tree::DEFAULT, b"").unwrap().unwrap(), b"empty key");
    assert_sound(&db);
    db.close().unwrap();
    assert_sound(&open(&disk));
}

#[test]
fn savepoints_take_steps_back() {
    let disk = SimDisk::new();
    let db = open(&disk);
    let mut txn = db.begin().unwrap();
    for n in 0..500u32 {
        txn.put(Tree::DEFAULT, &n.to_be_bytes(), b"first").unwrap();
    }
    let savepoint = txn.savepoint().unwrap();
    for n in 0..1000u32 {
        txn.put(Tree::DEFAULT, &n.to_be_bytes(), b"second").unwrap();
    }
    for n in 0..300u32 {
        txn.delete(Tree::DEFAULT, &n.to_be_bytes()).unwrap();
    }
    let inner = txn.savepoint().unwrap();
    txn.clear_tree(Tree::DEFAULT).unwrap();
    let temporary = txn.create_tree("temporary").unwrap();
    txn.put(temporary, b"k", b"v").unwrap();
    txn.roll_back_to(&inner).unwrap();
    assert_eq!(txn.len(Tree::DEFAULT).unwrap(), 700);
    txn.roll_back_to(&savepoint).unwrap();
    assert!(txn.roll_back_to(&inner).is_err());
    assert_eq!(txn.len(Tree::DEFAULT).unwrap(), 500);
    txn.put(Tree::DEFAULT, b"more", b"third").unwrap();
    txn.commit().unwrap();
    assert_eq!(db.snapshot().len(Tree::DEFAULT).unwrap(), 501);
    assert_eq!(db.get(Tree::DEFAULT, &9u32.to_be_bytes()).unwrap().unwrap(), b"first");
    assert_sound(&db);
    drop(db);
    let db = open(&disk);
    assert_eq!(db.snapshot().len(Tree::DEFAULT).unwrap(), 501);
    assert!(db.snapshot().tree("temporary").is_err());
    assert_sound(&db);
}

#[test]
fn a_second_writer_is_told_or_waits() {
    let disk = SimDisk::new();
    let db = open(&disk);
    let txn = db.begin().unwrap();
    assert!(matches!(db.try_begin(), Err(Error::WriteBusy)));
    drop(txn);
    db.try_begin().unwrap().abort();
    assert!(matches!(Database::open("/db", options(&disk)), Err(Error::Locked { .. })));
}

#[test]
fn the_past_can_be_opened_after_a_restart() {
    let disk = SimDisk::new();
    let keep = || options(&disk).retention(Retention { transactions: 1000, ..Retention::default() });
    let db = Database::open("/db", keep()).unwrap();
    let put = |db: &Database, n: u64| {
        db.write(|txn| {
            txn.put(Tree::DEFAULT, &(n % 50).to_be_bytes(), &n.to_be_bytes())?;
            txn.put(Tree::DEFAULT, b"newest", &n.to_be_bytes()).map(drop)
        })
        .unwrap();
    };
    for n in 1..=100 {
        put(&db, n);
        if n % 30 == 0 {
            db.checkpoint().unwrap();
        }
    }
    let pinned = db.pin("a hundred").unwrap();
    assert_eq!(pinned, TxnId(100));
    for n in 101..=200 {
        put(&db, n);
    }
    let check = |db: &Database| {
        for n in 1..=200u64 {
            let past = db.as_of(TxnId(n)).unwrap();
            assert_eq!(past.txn(), TxnId(n));
            assert_eq!(past.get(Tree::DEFAULT, b"newest").unwrap().unwrap(), n.to_be_bytes());
            assert_eq!(past.len(Tree::DEFAULT).unwrap(), n.min(50) + 1);
        }
    };
    check(&db);
    db.close().unwrap();
    let db = Database::open("/db", keep()).unwrap();
    check(&db);
    assert_eq!(db.pinned("a hundred").unwrap().get(Tree::DEFAULT, b"newest").unwrap().unwrap(), 100u64.to_be_bytes());
    let found = db
        .bisect(TxnId(1), TxnId(200), |state| {
            Ok(state.get(Tree::DEFAULT, b"newest")?.is_some_and(|value| *value >= 137u64.to_be_bytes()[..]))
        })
        .unwrap();
    assert_eq!(found, Some(TxnId(137)));
    assert_sound(&db);
    // Without a window only the pin is left.
    db.close().unwrap();
    let db = open(&disk);
    for n in 201..=300 {
        put(&db, n);
        if n % 20 == 0 {
            db.checkpoint().unwrap();
        }
    }
    assert_sound(&db);
    assert!(matches!(db.as_of(TxnId(50)), Err(Error::OutsideWindow { .. })));
    assert_eq!(db.pinned("a hundred").unwrap().get(Tree::DEFAULT, b"newest").unwrap().unwrap(), 100u64.to_be_bytes());
    db.unpin("a hundred").unwrap();
    db.write(|txn| txn.put(Tree::DEFAULT, b"k", b"v")).unwrap();
    db.checkpoint().unwrap();
    assert!(db.pinned("a hundred").is_err());
    assert_sound(&db);
}

#[test]
fn differences_are_those_between_two_states() {
    let disk = SimDisk::new();
    let db = open(&disk);
    db.write(|txn| (0..5000u32).try_for_each(|n| txn.put(Tree::DEFAULT, &n.to_be_bytes(), b"old").map(drop))).unwrap();
    let before = db.snapshot();
    db.write(|txn| {
        txn.put(Tree::DEFAULT, &17u32.to_be_bytes(), b"new")?;
        txn.delete(Tree::DEFAULT, &4000u32.to_be_bytes())?;
        txn.put(Tree::DEFAULT, &9999u32.to_be_bytes(), b"added").map(drop)
    })
    .unwrap();
    let after = db.snapshot();
    let keys: Vec<_> = after
        .changes_since(&before, Tree::DEFAULT)
        .map(|change| change.unwrap())
        .map(|change| {
            let key = u32::from_be_bytes(change.key.try_into().unwrap());
            (key, change.before.map(|v| v.to_vec()), change.after.map(|v| v.to_vec()))
        })
        .collect();
    assert_eq!(
        keys,
        [
            (17, Some(b"old".to_vec()), Some(b"new".to_vec())),
            (4000, Some(b"old".to_vec()), None),
            (9999, None, Some(b"added".to_vec())),
        ]
    );
}

#[test]
fn the_file_shrinks_and_a_backup_is_whole() {
    let disk = SimDisk::new();
    let db = open(&disk);
    let value = vec![5u8; 300];
    for part in 0..20u32 {
        db.write_with(Durability::Buffered, |txn| {
            (0..500u32).try_for_each(|n| txn.put(Tree::DEFAULT, &(part * 500 + n).to_be_bytes(), &value).map(drop))
        })
        .unwrap();
    }
    db.checkpoint().unwrap();
    db.write(|txn| txn.put(Tree::DEFAULT, b"large", &vec![1; 50_000])).unwrap();
    db.write(|txn| (0..9000u32).try_for_each(|n| txn.delete(Tree::DEFAULT, &n.to_be_bytes()).map(drop))).unwrap();
    assert_sound(&db);
    let done = db.compact().unwrap();
    assert!(done.after_len * 4 < done.before_len, "{done:?}");
    assert_sound(&db);
    let backup = db.backup("/copy").unwrap();
    assert_eq!(backup.entries, 1001);
    drop(db);
    for path in ["/db", "/copy"] {
        let db = Database::open(path, options(&disk)).unwrap();
        assert_eq!(db.snapshot().len(Tree::DEFAULT).unwrap(), 1001);
        assert_eq!(*db.get(Tree::DEFAULT, &9500u32.to_be_bytes()).unwrap().unwrap(), *value);
        assert_sound(&db);
        db.write(|txn| txn.put(Tree::DEFAULT, b"goes on", b"")).unwrap();
        drop(db);
        let db = Database::open(path, options(&disk)).unwrap();
        assert_eq!(db.snapshot().len(Tree::DEFAULT).unwrap(), 1002);
        assert_sound(&db);
    }
    assert!(!vfs::exists(&disk, Path::new("/copy.partial")).unwrap());
}

/// If it fails, the complete segments of a database whose name is no UTF-8 are not found: states of the past are gone, and files stay for ever.
#[test]
fn any_name_will_do() {
    let disk = SimDisk::new();
    let path = Path::new(OsStr::from_bytes(b"/d\xff"));
    let small = || {
        let retention = Retention { transactions: 1000, ..Retention::default() };
        options(&disk).checkpoint_log_len(6_000).segment_len(9_000).retention(retention)
    };
    let db = Database::open(path, small()).unwrap();
    let states: Vec<TxnId> = (0..60u8)
        .map(|n| {
            db.write(|txn| txn.put(Tree::DEFAULT, b"k", &[n; 600])).unwrap();
            db.snapshot().txn()
        })
        .collect();
    db.close().unwrap();
    let db = Database::open(path, small()).unwrap();
    for (n, state) in states.iter().enumerate() {
        assert_eq!(db.as_of(*state).unwrap().get(Tree::DEFAULT, b"k").unwrap().unwrap(), [n as u8; 600]);
    }
    assert_sound(&db);
}
