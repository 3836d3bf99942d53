//! Flushes and compactions that a program asks for, beside the work in the background.
//!
//! While one of them holds a keyspace, whoever looks for work passes that keyspace over. These tests look for work at just that moment:
//! the flush or compaction by hand stands still in a sync, and a commit of another thread, which does all background work of its database,
//! puts more aside and finds nothing that it may do. Nobody looks again unless the one by hand says so.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use granite::{Db, Keyspace, KeyspaceOptions, Result};
use vfs_sim::SimDisk;

use crate::hooked::Hooked;
use crate::workload::tiny;

/// A disk whose next sync of a table, once `armed`, waits at `reached` and then at `go_on`.
struct Gate {
    armed: AtomicBool,
    reached: Barrier,
    go_on: Barrier,
}

fn gated() -> (Arc<Gate>, Hooked) {
    let gate = Arc::new(Gate { armed: AtomicBool::new(false), reached: Barrier::new(2), go_on: Barrier::new(2) });
    let at_sync = Arc::clone(&gate);
    let disk = Hooked::new(&SimDisk::new()).on_sync(move |path: &Path| {
        if path.extension().is_some_and(|extension| extension == "sst") && at_sync.armed.swap(false, Ordering::AcqRel) {
            at_sync.reached.wait();
            at_sync.go_on.wait();
        }
    });
    (gate, disk)
}

/// Runs `by_hand` on a thread of its own up to its first sync of a table, then `meanwhile`, then the rest of it.
fn beside(gate: &Gate, by_hand: impl FnOnce() -> Result<()> + Send, meanwhile: impl FnOnce()) {
    gate.armed.store(true, Ordering::Release);
    std::thread::scope(|scope| {
        let thread = scope.spawn(by_hand);
        gate.reached.wait();
        meanwhile();
        gate.go_on.wait();
        thread.join().unwrap().unwrap();
    });
}

fn counter(db: &Db, name: &str) -> u64 {
    db.stats().counters.iter().find(|(of, _)| *of == name).unwrap().1
}

/// Fills the memtable until it is put aside beside the one that is being flushed, and no more: commits that are slowed down look for work, too.
fn put_aside(db: &Db, keyspace: &Keyspace) {
    for number in 0..=u8::MAX {
        keyspace.put(&[number], &[number; 900]).unwrap();
        if db.stats().keyspaces[0].immutable_memtables == 2 {
            return;
        }
    }
    panic!("nothing was put aside");
}

fn open(disk: &Hooked) -> (Db, Keyspace) {
    let db = Db::open("/db", &tiny().write_buffer(256 << 10).vfs(Arc::new(disk.clone()))).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::new().separation_threshold(None)).unwrap();
    (db, keyspace)
}

/// If it fails, a memtable that fills up during a flush by hand waits for its own flush until another one fills up. With threads in the
/// background, a writer that is stopped by it would wait for ever.
#[test]
fn a_memtable_put_aside_during_a_flush_by_hand_is_flushed_after_it() {
    let (gate, disk) = gated();
    let (db, keyspace) = open(&disk);
    keyspace.put(b"before", b"the flush by hand").unwrap();
    beside(&gate, || db.flush(), || put_aside(&db, &keyspace));
    assert_eq!(counter(&db, "flushes"), 1, "the flush by hand alone");
    keyspace.put(b"after", b"it").unwrap();
    assert_eq!(counter(&db, "flushes"), 2, "nobody was told to look again");
}

/// Level 0 of a keyspace with as many tables as are merged by themselves.
fn pile_up(db: &Db, keyspace: &Keyspace) {
    for fill in 0..8u8 {
        keyspace.put(b"over and over", &[fill; 100]).unwrap();
        db.flush().unwrap();
    }
}

/// Level 0 fills up while `by_hand` has the right to compact: it is to be compacted afterwards.
fn piles_up_beside(by_hand: impl FnOnce(&Db, &Keyspace) -> Result<()> + Send) {
    let (gate, disk) = gated();
    let (db, keyspace) = open(&disk);
    for fill in 0..2u8 {
        keyspace.put(b"a", &[fill; 100]).unwrap();
        keyspace.put(&[b'b', fill], &[fill; 100]).unwrap();
        db.flush().unwrap();
    }
    let compactions_by_hand = {
        let before = counter(&db, "compactions");
        beside(
            &gate,
            || by_hand(&db, &keyspace),
            || {
                pile_up(&db, &keyspace);
                keyspace.put(b"look", b"for work").unwrap();
                assert_eq!(counter(&db, "compactions"), before, "nobody else compacts meanwhile");
            },
        );
        counter(&db, "compactions")
    };
    keyspace.put(b"after", b"it").unwrap();
    assert!(counter(&db, "compactions") > compactions_by_hand, "nobody was told to look again");
}

/// If it fails, tables that pile up during a compaction by hand stay until something else happens, and a writer that they stop waits on.
#[test]
fn tables_that_pile_up_during_a_compaction_by_hand_are_compacted_after_it() {
    piles_up_beside(|_, keyspace| keyspace.compact());
}

/// As above, during a sweep.
#[test]
fn tables_that_pile_up_during_a_sweep_are_compacted_after_it() {
    piles_up_beside(|db, keyspace| keyspace.sweep(db.seq(), |key| key != b"a").map(drop));
}
