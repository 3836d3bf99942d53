//! The anomalies of the Hermitage suite (Martin Kleppmann's tests of isolation levels), each by its name there. There is one writer at a time, so
//! a second one waits or is told; readers have snapshots. Each test would fail at a lower level than serializable.

use northstar::{Database, Error, Result, Tree, TxnId};
use vfs_sim::SimDisk;

use crate::basics::open;

/// Rows 1 and 2, with 10 and 20.
fn setting() -> Database {
    let db = open(&SimDisk::new());
    db.write(|txn| {
        txn.put(Tree::DEFAULT, b"1", b"10")?;
        txn.put(Tree::DEFAULT, b"2", b"20").map(drop)
    })
    .unwrap();
    db
}

fn row(db: &Database, key: &[u8]) -> Vec<u8> {
    db.get(Tree::DEFAULT, key).unwrap().unwrap().to_vec()
}

fn rows(db: &Database) -> Vec<Vec<u8>> {
    vec![row(db, b"1"), row(db, b"2")]
}

/// Write cycles (dirty writes): two transactions would overwrite each other's uncommitted rows.
#[test]
fn g0_write_cycles() {
    let db = setting();
    let mut first = db.begin().unwrap();
    first.put(Tree::DEFAULT, b"1", b"11").unwrap();
    assert!(matches!(db.try_begin(), Err(Error::WriteBusy)));
    first.put(Tree::DEFAULT, b"2", b"21").unwrap();
    first.commit().unwrap();
    assert_eq!(rows(&db), [b"11", b"21"]);
    let mut second = db.try_begin().unwrap();
    second.put(Tree::DEFAULT, b"1", b"12").unwrap();
    second.put(Tree::DEFAULT, b"2", b"22").unwrap();
    second.commit().unwrap();
    assert_eq!(rows(&db), [b"12", b"22"]);
}

/// Aborted reads: somebody would see what was taken back.
#[test]
fn g1a_aborted_reads() {
    let db = setting();
    let mut first = db.begin().unwrap();
    first.put(Tree::DEFAULT, b"1", b"101").unwrap();
    assert_eq!(rows(&db), [b"10", b"20"]);
    first.abort();
    assert_eq!(rows(&db), [b"10", b"20"]);
    assert_eq!(db.snapshot().txn(), TxnId(1));
}

/// Intermediate reads: somebody would see a value that a transaction wrote over before it committed.
#[test]
fn g1b_intermediate_reads() {
    let db = setting();
    let mut first = db.begin().unwrap();
    first.put(Tree::DEFAULT, b"1", b"101").unwrap();
    assert_eq!(row(&db, b"1"), b"10");
    first.put(Tree::DEFAULT, b"1", b"11").unwrap();
    first.commit().unwrap();
    assert_eq!(row(&db, b"1"), b"11");
}

/// Circular information flow: two transactions would each see what the other one writes.
#[test]
fn g1c_circular_information_flow() {
    let db = setting();
    let mut first = db.begin().unwrap();
    first.put(Tree::DEFAULT, b"1", b"11").unwrap();
    let second = db.snapshot();
    assert_eq!(first.get(Tree::DEFAULT, b"2").unwrap().unwrap(), b"20");
    assert_eq!(second.get(Tree::DEFAULT, b"1").unwrap().unwrap(), b"10");
    first.commit().unwrap();
    assert_eq!(second.get(Tree::DEFAULT, b"1").unwrap().unwrap(), b"10");
}

/// Observed transaction vanishes: a reader would see one row of a transaction and not the other, or see it and then not.
#[test]
fn otv_observed_transaction_vanishes() {
    let db = setting();
    db.write(|txn| txn.put(Tree::DEFAULT, b"1", b"11").and_then(|_| txn.put(Tree::DEFAULT, b"2", b"19"))).unwrap();
    let reader = db.snapshot();
    db.write(|txn| txn.put(Tree::DEFAULT, b"1", b"12").and_then(|_| txn.put(Tree::DEFAULT, b"2", b"18"))).unwrap();
    for _ in 0..2 {
        assert_eq!(reader.get(Tree::DEFAULT, b"1").unwrap().unwrap(), b"11");
        assert_eq!(reader.get(Tree::DEFAULT, b"2").unwrap().unwrap(), b"19");
    }
}

/// Predicate-many-preceders: a search repeated would find what was added meanwhile.
#[test]
fn pmp_predicate_many_preceders() {
    let db = setting();
    let reader = db.snapshot();
    let thirties = |db: &northstar::Snapshot| -> Result<usize> {
        let rows: Result<Vec<_>> = db.range::<&[u8]>(Tree::DEFAULT, ..)?.collect();
        Ok(rows?.iter().filter(|row| row.value == *b"30").count())
    };
    assert_eq!(thirties(&reader).unwrap(), 0);
    db.write(|txn| txn.put(Tree::DEFAULT, b"3", b"30")).unwrap();
    assert_eq!(thirties(&reader).unwrap(), 0);
    assert_eq!(thirties(&db.snapshot()).unwrap(), 1);
}

/// Lost update: two transactions would read the same value, and one would write over the other's.
#[test]
fn p4_lost_update() {
    let db = setting();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let mut txn = db.begin().unwrap();
                    let value = txn.get(Tree::DEFAULT, b"1").unwrap().unwrap();
                    let number: u64 = std::str::from_utf8(&value).unwrap().parse().unwrap();
                    txn.put(Tree::DEFAULT, b"1", (number + 1).to_string().as_bytes()).unwrap();
                    txn.commit().unwrap();
                }
            });
        }
    });
    assert_eq!(row(&db, b"1"), b"170");
}

/// Read skew: a reader would see one row from before a transaction and another from after it.
#[test]
fn g_single_read_skew() {
    let db = setting();
    let reader = db.snapshot();
    assert_eq!(reader.get(Tree::DEFAULT, b"1").unwrap().unwrap(), b"10");
    db.write(|txn| txn.put(Tree::DEFAULT, b"1", b"12").and_then(|_| txn.put(Tree::DEFAULT, b"2", b"18"))).unwrap();
    assert_eq!(reader.get(Tree::DEFAULT, b"2").unwrap().unwrap(), b"20");
}

/// Write skew: two transactions would each read what the other one changes, and both commit.
#[test]
fn g2_item_write_skew() {
    let db = setting();
    let mut first = db.begin().unwrap();
    assert_eq!(first.get(Tree::DEFAULT, b"2").unwrap().unwrap(), b"20");
    // The second cannot even read for its write before the first is done.
    assert!(matches!(db.try_begin(), Err(Error::WriteBusy)));
    first.put(Tree::DEFAULT, b"1", b"11").unwrap();
    first.commit().unwrap();
    let second = db.try_begin().unwrap();
    assert_eq!(second.get(Tree::DEFAULT, b"1").unwrap().unwrap(), b"11");
}

/// Anti-dependency cycles over a predicate: two transactions would each look for rows, find none, and each add one.
#[test]
fn g2_anti_dependency_cycles() {
    let db = setting();
    std::thread::scope(|scope| {
        for n in 0..4u8 {
            let db = &db;
            scope.spawn(move || {
                let mut txn = db.begin().unwrap();
                let found = txn.prefix(Tree::DEFAULT, b"guard").unwrap().count();
                if found == 0 {
                    txn.put(Tree::DEFAULT, &[b"guard".as_slice(), &[n]].concat(), b"").unwrap();
                }
                txn.commit().unwrap();
            });
        }
    });
    assert_eq!(db.snapshot().prefix(Tree::DEFAULT, b"guard").unwrap().count(), 1);
}
