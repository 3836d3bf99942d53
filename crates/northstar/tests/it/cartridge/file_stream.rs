//! A cartridge over the commits of a northstar file: from the first on, and from a snapshot with the commits behind it.

use northstar::cartridge::{Builder, Catalog, Entry, Position};
use northstar::{Background, Commit, Database, Options, Retention, Tree, TxnId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use vfs_sim::SimDisk;

use super::stream::{Change, Copied, STREAM, catalog};

fn at(txn: TxnId) -> Position {
    Position { sequence: txn.0, anchor: [0; 32] }
}

fn feed(builder: &mut Builder<Copied>, db: &Database, from: TxnId) {
    let mut watch = db.watch(from);
    while let Some(Commit { txn, changes, .. }) = watch.try_next().unwrap() {
        let changes: Vec<Change> = changes
            .into_iter()
            .filter_map(|change| match change {
                northstar::Change::Put { tree: Tree::DEFAULT, key, value } => Some(Change { key, value: Some(value) }),
                northstar::Change::Delete { tree: Tree::DEFAULT, key } => Some(Change { key, value: None }),
                _ => None,
            })
            .collect();
        builder.push(at(txn), &changes).unwrap();
    }
}

fn bytes(build: impl FnOnce(&Catalog)) -> Vec<u8> {
    let (cartridges, catalog) = catalog();
    build(&catalog);
    cartridges.contents("/copied.cartridge").unwrap()
}

/// If it fails, the stream of a file of northstar cannot feed a cartridge, or a base and its tail are not the whole.
#[test]
fn commits_and_a_snapshot_with_the_commits_behind_it_build_the_same_bytes() {
    let retention = Retention { transactions: 10_000, ..Retention::default() };
    let options = Options::new().vfs(std::sync::Arc::new(SimDisk::new())).background(Background::Inline);
    let db = Database::open("/db", options.retention(retention)).unwrap();
    let mut random = StdRng::seed_from_u64(70);
    let mut middle = None;
    for number in 0..300u32 {
        db.write(|txn| {
            for _ in 0..random.random_range(1..6) {
                let key = random.random_range(0..500u32).to_be_bytes();
                if random.random_bool(0.7) {
                    txn.put(Tree::DEFAULT, &key, &number.to_be_bytes())?;
                } else {
                    txn.delete(Tree::DEFAULT, &key)?;
                }
            }
            Ok(())
        })
        .unwrap();
        if number == 150 {
            middle = Some(db.snapshot());
        }
    }
    let from_start = bytes(|catalog| {
        let mut builder = catalog.build::<Copied>(STREAM).unwrap();
        feed(&mut builder, &db, TxnId(0));
        let cartridge = builder.finish().unwrap();
        assert_eq!(cartridge.header().entries, db.snapshot().len(Tree::DEFAULT).unwrap());
        for entry in db.snapshot().range::<&[u8]>(Tree::DEFAULT, ..).unwrap().map(Result::unwrap) {
            assert_eq!(cartridge.get(&entry.key).unwrap(), Some(entry.value.as_ref()));
        }
    });
    let from_snapshot = bytes(|catalog| {
        let middle = middle.unwrap();
        let mut builder = catalog.build::<Copied>(STREAM).unwrap();
        feed(&mut builder, &db, middle.txn());
        let base = middle.range::<&[u8]>(Tree::DEFAULT, ..).unwrap().map(|entry| {
            let entry = entry.unwrap();
            Ok(Entry { key: entry.key, value: entry.value.to_vec() })
        });
        builder.finish_onto(base).unwrap();
    });
    assert!(from_start == from_snapshot);
}
