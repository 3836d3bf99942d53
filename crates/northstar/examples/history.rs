//! States of the past: opened again after a restart, compared, searched, and followed as a stream.

use northstar::{Change, Database, Options, Result, Retention, Tree, TxnId};

fn main() -> Result<()> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("settings");
    let options = || Options::new().retention(Retention { transactions: 10_000, ..Retention::default() });

    let db = Database::open(&path, options())?;
    for n in 1..=300u32 {
        db.write(|txn| {
            txn.put(Tree::DEFAULT, b"colour", if n < 123 { b"green" } else { b"red" })?;
            txn.put(Tree::DEFAULT, format!("visit {}", n % 10).as_bytes(), &n.to_be_bytes()).map(drop)
        })?;
        if n == 100 {
            db.pin("release 1")?;
        }
    }
    db.close()?;

    let db = Database::open(&path, options())?;
    // Which transaction made it red?
    let turned = db.bisect(TxnId(1), TxnId(300), |state| {
        Ok(state.get(Tree::DEFAULT, b"colour")?.is_some_and(|colour| colour == *b"red"))
    })?;
    assert_eq!(turned, Some(TxnId(123)));

    // What has changed since the release?
    let release = db.pinned("release 1")?;
    let newest = db.snapshot();
    let changed: Result<Vec<_>> = newest.changes_since(&release, Tree::DEFAULT).collect();
    let changed = changed?;
    assert_eq!(changed.len(), 11);
    assert_eq!(changed[0].key, b"colour");

    // What did each transaction from there on do?
    let mut watch = db.watch(TxnId(298));
    let commit = watch.try_next()?.expect("two more were committed");
    assert_eq!(commit.txn, TxnId(299));
    assert!(matches!(&commit.changes[1], Change::Put { key, .. } if key == b"visit 9"));
    println!("red since transaction {}, {} entries differ from release 1", TxnId(123), changed.len());
    db.close()
}

#[test]
fn the_example_runs() {
    main().unwrap();
}
