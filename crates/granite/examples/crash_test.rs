//! The crash test of a program that stands on granite, as the book shows it: on a simulated disk, the power fails at every call.
//!
//! `cargo run -p granite --example crash_test`

// ANCHOR: options
use std::sync::Arc;

use granite::{Background, Db, Durability, KeyspaceOptions, Options, WriteBatch};
use vfs_sim::{SimDisk, Sweep, for_each_crash_point};

fn options(disk: &SimDisk) -> Options {
    Options::new().vfs(Arc::new(disk.clone())).background(Background::Inline)
}
// ANCHOR_END: options

// ANCHOR: program
/// Places three orders; `confirmed` counts those that the customer was told of.
fn place_orders(disk: &SimDisk, durability: Durability, confirmed: &mut u32) -> granite::Result<()> {
    let db = Db::open("/shop", &options(disk))?;
    let orders = db.keyspace("orders", KeyspaceOptions::new())?;
    for number in 0..3_u32 {
        let mut batch = WriteBatch::new();
        batch.put(&orders, &number.to_be_bytes(), b"placed");
        db.write(batch, durability)?;
        *confirmed = number + 1;
    }
    Ok(())
}
// ANCHOR_END: program

// ANCHOR: check
/// Opens the shop again, looks for every confirmed order, and goes on.
fn check(disk: &SimDisk, confirmed: &u32) -> granite::Result<()> {
    let db = Db::open("/shop", &options(disk))?;
    let orders = db.keyspace("orders", KeyspaceOptions::new())?;
    for number in 0..*confirmed {
        assert!(orders.get(&number.to_be_bytes())?.is_some(), "order {number} was confirmed and is gone");
    }
    orders.put(b"next", b"placed")
}

fn main() {
    let program = |disk: &SimDisk, confirmed: &mut u32| place_orders(disk, Durability::Sync, confirmed);
    let report = for_each_crash_point(&Sweep::with_seeds(3), SimDisk::new, program, check);
    println!("{} crashes at {} points: every confirmed order was there", report.images, report.points);
}
// ANCHOR_END: check

// ANCHOR: canary
#[test]
fn confirmed_orders_survive_every_crash() {
    main();
}

/// If it fails, the test above proves nothing: it would not notice orders that were confirmed too early.
#[test]
fn orders_confirmed_before_they_are_durable_are_noticed() {
    let program = |disk: &SimDisk, confirmed: &mut u32| place_orders(disk, Durability::Buffered, confirmed);
    let failure = Sweep::with_seeds(3).run(SimDisk::new, program, check).unwrap_err();
    assert!(failure.to_string().contains("was confirmed and is gone"), "{failure}");
}
// ANCHOR_END: canary
