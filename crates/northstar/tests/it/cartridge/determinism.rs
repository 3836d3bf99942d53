//! The same stream gives the same bytes, whatever else differs.

use std::sync::Arc;
use std::time::Duration;

use northstar::cartridge::{Order, Policy, View};
use vfs_sim::SimDisk;

use super::stream::*;

fn bytes_on(disk: &SimDisk) -> Vec<u8> {
    disk.contents("/copied.cartridge").unwrap()
}

/// If it fails, a clock or a random number of the machine is in the bytes.
#[test]
fn two_machines_build_the_same_bytes() {
    let stream = random_stream(1, 3000);
    let expected = built(&stream);
    for (seed, now) in [(9, 1_000), (10, 2_000_000_000)] {
        let disk = SimDisk::with_seed(seed);
        disk.set_now(Duration::from_secs(now));
        let catalog = catalog_on(Arc::new(disk.clone()));
        let mut builder = catalog.build::<Copied>(STREAM).unwrap();
        feed(&mut builder, &stream, 0);
        disk.advance(Duration::from_secs(7));
        builder.finish().unwrap();
        assert!(bytes_on(&disk) == expected);
    }
}

/// If it fails, it shows in the bytes how the stream was handed over, or how much memory there was to sort it.
#[test]
fn pieces_of_any_size_and_any_memory_build_the_same_bytes() {
    let stream = random_stream(2, 600);
    let expected = built(&stream);
    // From so many runs that they are merged more than once to none at all.
    for memory in [1 << 10, 64 << 10, 64 << 20] {
        for piece in [1, 7, 1000] {
            let (disk, catalog) = catalog();
            let mut builder = catalog.with_build_memory(memory).build::<Copied>(STREAM).unwrap();
            for (number, changes) in stream.iter().enumerate() {
                builder.push(position(number + 1), []).unwrap();
                for changes in changes.chunks(piece) {
                    builder.push(position(number + 1), changes).unwrap();
                }
            }
            let runs = disk.trace().iter().filter(|op| op.path.ends_with("copied.cartridge.run-33")).count();
            assert_eq!(runs > 0, memory == 1 << 10, "merged more than once, or not");
            builder.finish().unwrap();
            assert!(bytes_on(&disk) == expected, "memory {memory}, pieces of {piece}");
            let left = vfs::Vfs::read_dir(&disk, "/".as_ref()).unwrap();
            assert_eq!(left.len(), 2, "the cartridge and its lock: {left:?}");
        }
    }
}

/// If it fails, a cartridge that was brought forward differs from one that was built from the beginning.
#[test]
fn a_base_with_a_tail_builds_the_bytes_of_the_whole_stream() {
    let stream = random_stream(3, 2000);
    let expected = built(&stream);
    for cut in [0, 1, 700, 1999, 2000] {
        let (disk, catalog) = catalog();
        let mut builder = catalog.build::<Copied>(STREAM).unwrap();
        feed(&mut builder, &stream[..cut], 0);
        let base = builder.finish().unwrap();
        let mut builder = catalog.build::<Copied>(STREAM).unwrap();
        feed(&mut builder, &stream, cut);
        if cut == stream.len() {
            builder.push(position(cut), []).unwrap();
        }
        builder.finish_onto(base.scan(EVERYTHING, Order::Forward)).unwrap();
        assert!(bytes_on(&disk) == expected, "cut at {cut}");
    }
}

/// If it fails, a view builds something else than what it says.
#[test]
fn a_view_rebuilds_the_bytes_of_the_whole_stream() {
    let stream = random_stream(4, 1500);
    let (disk, catalog) = catalog();
    let mut view = View::<Copied>::new(None, STREAM, Policy::default());
    for (number, changes) in stream.iter().enumerate() {
        view.push(position(number + 1), changes, Duration::from_secs(number as u64)).unwrap();
        if number % 311 == 17 {
            view.rebuild(&catalog).unwrap();
        }
    }
    view.rebuild(&catalog).unwrap();
    assert!(bytes_on(&disk) == built(&stream));
    assert_eq!(view.cartridge().unwrap().verify().unwrap().entries, map_of(&stream).len() as u64);
}
