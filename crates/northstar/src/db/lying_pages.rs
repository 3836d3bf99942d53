//! Pages, metas and records that say wrong things under a right checksum: what a bug elsewhere, or somebody who means harm, could leave.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use vfs::{OpenMode, Vfs};
use vfs_sim::SimDisk;

use crate::page::seal;
use crate::{Background, Database, Durability, Options, Reader, Retention, Tree};

const PAGE_SIZE: u64 = 4096;

fn options(disk: &SimDisk) -> Options {
    Options::new()
        .vfs(Arc::new(disk.clone()))
        .background(Background::Inline)
        .durability(Durability::Buffered)
        .retention(Retention { transactions: 20, ..Retention::default() })
}

/// Leaves, internal pages, overflow values, a free list, two directories, a catalog with a pin, and a tail of log.
fn base() -> SimDisk {
    let disk = SimDisk::new();
    let db = Database::open("/db", options(&disk)).unwrap();
    for round in 0..4u8 {
        db.write(|txn| {
            for n in 0..120u8 {
                let len = if n % 40 == 7 { 6000 } else { usize::from(n) + usize::from(round) * 40 };
                txn.put(Tree::DEFAULT, format!("some/prefix/{n:03}").as_bytes(), &vec![round; len])?;
            }
            txn.delete_range(Tree::DEFAULT, &b"some/prefix/03"[..]..&b"some/prefix/05"[..]).map(drop)
        })
        .unwrap();
        if round < 3 {
            db.pin(&format!("round {round}")).unwrap();
        }
    }
    disk.kill()
}

/// Whatever the answers are: no panic, no endless loop.
fn use_it(disk: &SimDisk) {
    if let Ok(reader) = Reader::open("/db", &options(disk)) {
        let snapshot = reader.snapshot();
        if let Ok(mut scan) = snapshot.range::<&[u8]>(Tree::DEFAULT, ..) {
            let _any = (&mut scan).take(5000).try_for_each(|entry| entry.map(drop));
        }
    }
    let Ok(db) = Database::open("/db", options(disk)) else { return };
    let snapshot = db.snapshot();
    if let Ok(mut cursor) = snapshot.cursor(Tree::DEFAULT) {
        let mut steps = 0;
        while steps < 5000 && cursor.prev().unwrap_or(false) {
            let _any = cursor.value().map(<[u8]>::len);
            steps += 1;
        }
    }
    let _any = db.verify();
    let written = db.write(|txn| {
        for n in (0..120u8).step_by(7) {
            txn.put(Tree::DEFAULT, format!("some/prefix/{n:03}").as_bytes(), &[9; 70])?;
            txn.delete(Tree::DEFAULT, format!("some/prefix/{:03}", n + 1).as_bytes())?;
        }
        Ok(())
    });
    let _any = written.and_then(|()| db.checkpoint());
    for pin in db.pins().into_iter().take(5) {
        if let Ok(past) = db.pinned(&pin.name) {
            let _any = snapshot.changes_since(&past, Tree::DEFAULT).take(1000).try_for_each(|change| change.map(drop));
        }
    }
    let _any = db.checkpoint();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// A page with a right checksum and wrong content could crash its reader, or hold it for ever.
    #[test]
    fn a_page_that_lies_does_no_harm(changes in prop::collection::vec((any::<u16>(), prop_oneof![0u64..4096, 0u64..80, 0u64..300], any::<u8>()), 1..5)) {
        thread_local!(static BASE: SimDisk = base());
        let disk = BASE.with(SimDisk::kill);
        let file = disk.open(Path::new("/db"), OpenMode::ReadWrite).unwrap();
        let pages = file.len().unwrap() / PAGE_SIZE;
        for (page, at, byte) in changes {
            let page = u64::from(page) % pages;
            let run = if page < 2 { 256 } else {
                let mut header = [0; 16];
                file.read_exact_at(page * PAGE_SIZE, &mut header).unwrap();
                (u64::from(u32::from_le_bytes([header[12], header[13], header[14], header[15]])).clamp(1, 3) * PAGE_SIZE).min(file.len().unwrap() - page * PAGE_SIZE)
            };
            let mut bytes = vec![0; run as usize];
            file.read_exact_at(page * PAGE_SIZE, &mut bytes).unwrap();
            bytes[(at % run) as usize] = byte;
            seal(&mut bytes);
            file.write_at(page * PAGE_SIZE, &bytes).unwrap();
        }
        use_it(&disk);
    }
}
