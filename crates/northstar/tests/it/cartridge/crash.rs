//! Power fails while a cartridge is built.

use std::sync::Arc;

use northstar::cartridge::{Catalog, Entry, Error, Order, Result};
use vfs_sim::{SimDisk, Sweep};

use super::stream::*;

/// Sorted in many runs, so that these are crashed too.
fn catalog_of(disk: &SimDisk) -> Catalog {
    catalog_on(Arc::new(disk.clone())).with_build_memory(8 << 10)
}

fn build(disk: &SimDisk, stream: &[Vec<Change>]) -> Result<()> {
    let catalog = catalog_of(disk);
    let mut builder = catalog.build::<Copied>(STREAM)?;
    for (number, changes) in stream.iter().enumerate() {
        builder.push(position(number + 1), changes)?;
    }
    builder.finish()?;
    Ok(())
}

fn found(disk: &SimDisk) -> Result<Vec<Entry>> {
    let cartridge = catalog_of(disk).open("copied")?;
    cartridge.verify()?;
    cartridge.scan(EVERYTHING, Order::Forward).collect()
}

fn sweep(setup: impl Fn() -> SimDisk + Copy, old: Option<&[Entry]>, stream: &Stream) {
    let new = entries(&map_of(stream));
    let program = |disk: &SimDisk, is_acknowledged: &mut bool| {
        build(disk, stream)?;
        *is_acknowledged = true;
        Ok::<_, Error>(())
    };
    let check = |disk: &SimDisk, is_acknowledged: &bool| {
        match found(disk) {
            Ok(found) if found == new => {}
            Ok(found) => {
                assert!(!is_acknowledged && Some(found.as_slice()) == old, "neither the old one nor the new one");
            }
            Err(error) => {
                assert!(error.is_not_found() && old.is_none() && !is_acknowledged, "{error}");
            }
        }
        // And it goes on: whatever was left over is in nobody's way, and goes.
        build(disk, stream)?;
        assert_eq!(found(disk)?, new);
        assert_eq!(vfs::Vfs::read_dir(disk, "/".as_ref()).unwrap().len(), 2);
        Ok::<_, Error>(())
    };
    let sweep = Sweep::with_seeds(3);
    let report = sweep.run(setup, program, check).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(report.points > 10);
    // The file's and the directory's sync: a build without one of them would be found out.
    assert_eq!(sweep.unnoticed_syncs(setup, program, check).unwrap(), []);
}

/// If it fails, a crash leaves something else than nothing or the first cartridge.
#[test]
fn a_crash_leaves_none_or_the_first_cartridge() {
    sweep(SimDisk::new, None, &random_stream(20, 60));
}

/// If it fails, a crash takes the old cartridge away before the new one is there, or leaves a mixture.
#[test]
fn a_crash_leaves_the_old_or_the_new_cartridge() {
    let old = random_stream(21, 40);
    let disk = SimDisk::new();
    build(&disk, &old).unwrap();
    disk.settle();
    let setup = || disk.kill();
    sweep(setup, Some(&entries(&map_of(&old))), &random_stream(22, 60));
}

/// If it fails, a full disk or an error of it costs the old cartridge.
#[test]
fn an_error_of_the_disk_leaves_the_old_cartridge() {
    use vfs_sim::{DiskError, Fault, OpKind};
    let (old, new) = (random_stream(23, 40), random_stream(24, 60));
    for kind in [OpKind::Write, OpKind::Create, OpKind::SyncData, OpKind::SyncAll, OpKind::Rename] {
        for nth in 0..40 {
            let disk = SimDisk::new();
            build(&disk, &old).unwrap();
            let fault = disk.inject(Fault::fail(DiskError::NoSpace).on([kind]).nth(nth));
            let built = build(&disk, &new);
            if disk.fault_hits(fault) == 0 {
                built.unwrap();
                assert!(nth > 0 || kind == OpKind::SyncData, "{kind:?} never happens");
                break;
            }
            assert!(matches!(built, Err(Error::Io { .. })), "{built:?}");
            disk.clear_faults();
            assert_eq!(found(&disk).unwrap(), entries(&map_of(&old)));
            build(&disk, &new).unwrap();
            assert_eq!(found(&disk).unwrap(), entries(&map_of(&new)));
        }
    }
}
