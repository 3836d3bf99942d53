//! Databases that version 1 wrote, in `fixtures/northstar/v1`: later versions must open them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use northstar::{Background, Database, Durability, Options, Retention, Tree, TxnId};
use vfs_sim::SimDisk;

use crate::basics::assert_sound;

fn fixtures() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it for tests");
    Path::new(&package).join("../../fixtures/northstar/v1")
}

fn options(disk: &SimDisk) -> Options {
    Options::new()
        .vfs(Arc::new(disk.clone()))
        .background(Background::Inline)
        .segment_len(4000)
        .retention(Retention { transactions: 50, ..Retention::default() })
}

fn value(n: u32) -> Vec<u8> {
    if n % 50 == 7 { vec![n as u8; 10_000] } else { format!("value {n}").into_bytes() }
}

/// Writes `full.db`: several trees and levels, overflow values, a pin, retained roots, a free list, two segments of log, and a tail that no
/// checkpoint has.
fn write(disk: &SimDisk) {
    Database::open("/empty.db", options(disk)).unwrap().close().unwrap();
    let db = Database::open("/full.db", options(disk)).unwrap();
    let other = db.write(|txn| txn.create_tree("other")).unwrap();
    db.write_with(Durability::Buffered, |txn| {
        (0..600u32).try_for_each(|n| txn.put(Tree::DEFAULT, &n.to_be_bytes(), &value(n)).map(drop))
    })
    .unwrap();
    db.pin("early").unwrap();
    for n in 0..6u32 {
        db.write(|txn| {
            txn.delete_range(Tree::DEFAULT, (n * 40).to_be_bytes()..(n * 40 + 20).to_be_bytes())?;
            txn.put(other, &[n as u8; 300], b"other").map(drop)
        })
        .unwrap();
        if n < 4 {
            db.checkpoint().unwrap();
        }
    }
}

fn check(db: &Database) {
    assert_sound(db);
    let other = db.snapshot().tree("other").unwrap();
    assert_eq!(db.snapshot().len(Tree::DEFAULT).unwrap(), 480);
    assert_eq!(db.snapshot().len(other).unwrap(), 6);
    let early = db.pinned("early").unwrap();
    assert_eq!((early.txn(), early.len(Tree::DEFAULT).unwrap()), (TxnId(2), 600));
    for n in 0..600u32 {
        assert_eq!(*early.get(Tree::DEFAULT, &n.to_be_bytes()).unwrap().unwrap(), *value(n));
        let is_there = n >= 240 || n % 40 >= 20;
        assert_eq!(db.snapshot().contains(Tree::DEFAULT, &n.to_be_bytes()).unwrap(), is_there);
    }
    assert_eq!(db.as_of(TxnId(5)).unwrap().len(Tree::DEFAULT).unwrap(), 540);
}

/// What users have on their disks could not be opened any more.
#[test]
fn databases_of_version_1_open() {
    let disk = SimDisk::import(fixtures()).unwrap();
    let empty = Database::open("/empty.db", options(&disk)).unwrap();
    assert_eq!(empty.snapshot().len(Tree::DEFAULT).unwrap(), 0);
    assert_sound(&empty);
    let full = Database::open("/full.db", options(&disk)).unwrap();
    check(&full);
    full.write(|txn| txn.put(Tree::DEFAULT, b"goes on", b"")).unwrap();
    full.close().unwrap();
}

/// The fixture would not be what this version writes, and so would not stand for it.
#[test]
fn this_version_writes_what_the_fixture_holds() {
    let disk = SimDisk::new();
    write(&disk);
    if std::env::var_os("NORTHSTAR_WRITE_FIXTURE").is_some() {
        disk.export(fixtures()).unwrap();
    }
    check(&Database::open("/full.db", options(&disk)).unwrap());
    let written = SimDisk::new();
    write(&written);
    let kept = SimDisk::import(fixtures()).unwrap();
    for path in ["/empty.db", "/full.db", "/full.db.log"] {
        assert!(written.contents(path).unwrap() == kept.contents(path).unwrap(), "{path} differs: raise the version");
    }
}
