//! Losses of power during captures: a checkpoint is there with everything that it names, or not at all.

use granite::{Durability, KeyspaceOptions, WriteBatch};
use tl_core::{Entry, ObjectId, RepoPathBuf, Store, StoreOptions};
use vfs_sim::{Crash, CrashOptions, NameLoss, Points, Sector, SimDisk, Sweep, WriteLoss};

use crate::support::{MODE, open_db, path, random_bytes};

const HEAD: &[u8] = b"head";

/// What the program was promised.
#[derive(Debug, Default)]
struct Notes {
    /// The root of every checkpoint that was begun.
    begun: Vec<ObjectId>,
    /// How many of them were acknowledged.
    acknowledged: usize,
}

/// When the record that names a root is written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Record {
    /// In the last batch of the capture, as it should be.
    InLastBatch,
    /// Before it, in a durable batch of its own: a program that is wrong.
    Before,
    /// In the last batch, which is acknowledged and not synced: another one.
    Unsynced,
}

/// Makes checkpoints. The third is so large that most of it goes ahead.
fn make_checkpoints(disk: &SimDisk, notes: &mut Notes, record: Record) -> tl_core::Result<()> {
    let db = open_db(disk)?;
    let store = Store::open(&db, &StoreOptions::default())?;
    let refs = db.keyspace("refs", KeyspaceOptions::new())?;
    let mut root = ObjectId::EMPTY_TREE;
    for number in 0..4u64 {
        let capture = store.capture()?;
        let files = if number == 2 { 46 } else { 3 };
        let mut changes: Vec<(RepoPathBuf, Option<Entry>)> = Vec::new();
        for file in 0..files {
            let len = if number == 2 { 100_000 } else { 700 };
            let blob = capture.put_blob(&random_bytes(number * 100 + file, len))?;
            changes.push((path(&format!("f{file:03}")), Some(Entry::file(blob, MODE))));
        }
        root = capture.edit_tree(&root, changes)?;
        notes.begun.push(root);
        if record == Record::Before {
            let mut batch = WriteBatch::new();
            batch.put(&refs, HEAD, root.as_bytes());
            db.write(batch, Durability::Sync)?;
        }
        let durability = if record == Record::Unsynced { Durability::Buffered } else { Durability::Sync };
        capture.commit(|batch| batch.put(&refs, HEAD, root.as_bytes()), durability)?;
        notes.acknowledged = notes.begun.len();
    }
    Ok(())
}

fn read_everything(store: &Store, root: &ObjectId) -> tl_core::Result<()> {
    for change in store.diff(&ObjectId::EMPTY_TREE, root)? {
        if let Some(entry) = change?.after {
            store.get_blob(&entry.id, entry.size)?;
        }
    }
    Ok(())
}

/// What a restart finds, and that it can go on from there.
fn check(disk: &SimDisk, notes: &Notes) -> tl_core::Result<()> {
    let db = open_db(disk)?;
    let store = Store::open(&db, &StoreOptions::default())?;
    let refs = db.keyspace("refs", KeyspaceOptions::new())?;
    let head = refs.get(HEAD)?.map(|bytes| ObjectId::from_bytes(bytes.try_into().unwrap()));
    let position = head.map_or(0, |head| 1 + notes.begun.iter().position(|root| *root == head).unwrap());
    assert!(position >= notes.acknowledged, "{position} checkpoints left of {} acknowledged", notes.acknowledged);
    for root in notes.begun.iter().take(position) {
        read_everything(&store, root)?;
    }
    assert!(store.verify(&Default::default())?.is_intact(), "half an object was left");
    // What a crash has left of an unfinished checkpoint does not get into the way of the next one.
    let capture = store.capture()?;
    let mut again = ObjectId::EMPTY_TREE;
    for file in 0..46 {
        let blob = capture.put_blob(&random_bytes(200 + file, 100_000))?;
        again = capture.edit_tree(&again, [(path(&format!("f{file:03}")), Some(Entry::file(blob, MODE)))])?;
    }
    capture.commit(|_| {}, Durability::Sync)?;
    read_everything(&store, &again)
}

fn sweep(points: Points) -> Sweep {
    let torn = Crash::With(CrashOptions {
        seed: 7,
        writes: WriteLoss::Sectors,
        names: NameLoss::PerName,
        sector: Sector::B4096,
        survival: 0.7,
        tearing: 1.0,
    });
    Sweep { points, crashes: vec![Crash::Nothing, Crash::Everything, torn], seeds: 1 }
}

/// If it fails, some moment exists at which a loss of power leaves a checkpoint without a part of what it names, or loses one that was
/// acknowledged.
#[test]
fn crash_at_any_call_leaves_whole_checkpoints_and_every_acknowledged_one() {
    let program = |disk: &SimDisk, notes: &mut Notes| make_checkpoints(disk, notes, Record::InLastBatch);
    let report = sweep(Points::All).run(SimDisk::new, program, check).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(report.points > 20, "{report:?}");
}

/// If it fails, the test above proves nothing: it passes programs that are wrong.
#[test]
fn crash_tests_notice_a_record_that_is_not_in_the_last_batch_and_a_sync_that_is_missing() {
    for wrong in [Record::Before, Record::Unsynced] {
        let program = |disk: &SimDisk, notes: &mut Notes| make_checkpoints(disk, notes, wrong);
        let found = sweep(Points::All).run(SimDisk::new, program, check);
        assert!(found.is_err(), "{wrong:?} went unnoticed");
    }
}
