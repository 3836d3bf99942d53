//! That the comparison of each checksum is needed: without it, damage is served as data, or reported by something that cannot tell what it is.
//! It is left out in the whole process, so this runs alone: `cargo test -p northstar --features mutation --test it mutation_without_checksums`.

use northstar::mutation::leave_out_checksum;
use northstar::{Database, Error, Tree};
use vfs_sim::SimDisk;

use crate::basics::{open, options};

/// A checkpoint, and three more transactions in the log.
fn base() -> SimDisk {
    let disk = SimDisk::new();
    let db = open(&disk);
    db.write(|txn| (0..200u8).try_for_each(|n| txn.put(Tree::DEFAULT, &[n], &[n; 30]).map(drop))).unwrap();
    db.checkpoint().unwrap();
    for n in 0..3u8 {
        db.write(|txn| txn.put(Tree::DEFAULT, &[n], &[77; 30])).unwrap();
    }
    drop(db);
    disk
}

/// Whether damage at this byte is found, or harms nothing.
fn is_found(disk: &SimDisk, path: &str, at: u64) -> bool {
    let damaged = disk.kill();
    damaged.flip_bit(path, at, 1).unwrap();
    let read = || -> Result<bool, Error> {
        let db = Database::open("/db", options(&damaged))?;
        let snapshot = db.snapshot();
        let newest = snapshot.txn().0 as u8;
        let mut right = newest == 4;
        for n in 0..200u8 {
            let expected = if n < 3 { 77 } else { n };
            right &= snapshot.get(Tree::DEFAULT, &[n])?.is_some_and(|value| value == [expected; 30]);
        }
        db.write(|txn| txn.put(Tree::DEFAULT, b"goes on", b""))?;
        db.checkpoint()?;
        Ok(right)
    };
    match read() {
        Ok(right) => right,
        // The checksum is what names the damage; without it something else may stumble over it later.
        Err(Error::Corrupt { what, .. }) => {
            what.contains("checksum") || what.contains("can be read") || what.contains("header")
        }
        Err(_) => true,
    }
}

/// A test of damage would pass although nothing compares the checksum.
#[test]
fn each_checksum_is_missed_when_it_is_left_out() {
    let disk = base();
    // Site, file, and bytes that it covers.
    // The first record is that of the checkpoint; those behind it are replayed.
    let log = disk.contents("/db.log").unwrap();
    let first_len = u32::from_le_bytes(log[64 + 32..64 + 36].try_into().unwrap());
    let tail = 64 + (48 + u64::from(first_len) + 8).next_multiple_of(8);
    // Not that of a record's header (4): what its fields say is checked against the record before, the trailer, and what is behind, so that
    // all but its time is protected twice.
    let sites = [
        (1, "/db", 2 * 4096 + 32..6 * 4096),
        (2, "/db", 16..96),
        (3, "/db.log", 16..56),
        (5, "/db.log", tail + 48..tail + 48 + 30),
    ];
    for (site, path, range) in sites {
        let len = disk.contents(path).unwrap().len() as u64;
        let places =
            || range.clone().filter(|at| *at < len).step_by(if range.end - range.start > 1000 { 13 } else { 1 });
        leave_out_checksum(0);
        let unfound: Vec<u64> = places().filter(|at| !is_found(&disk, path, *at)).collect();
        leave_out_checksum(site);
        let missed = places().filter(|at| !is_found(&disk, path, *at)).count();
        leave_out_checksum(0);
        assert!(
            missed > unfound.len(),
            "of site {site}, {missed} places are missed without the checksum, {unfound:?} with it"
        );
    }
}
