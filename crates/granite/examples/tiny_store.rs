//! The least that one does with a database: write, read, scan, write several things at once, come back later.
//!
//! `cargo run -p granite --example tiny_store`

use granite::{Db, Durability, KeyspaceOptions, Options, WriteBatch};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;

    let db = Db::open(dir.path(), &Options::new())?;
    let fruit = db.keyspace("fruit", KeyspaceOptions::new())?;

    // Each of these is on the disk when it returns.
    fruit.put(b"apple", b"green")?;
    fruit.put(b"banana", b"yellow")?;
    fruit.put(b"cherry", b"red")?;
    assert_eq!(fruit.get(b"banana")?.as_deref(), Some(&b"yellow"[..]));

    fruit.delete(b"banana")?;
    assert_eq!(fruit.get(b"banana")?, None);

    // Only if nobody was there before.
    assert!(!fruit.put_if_absent(b"apple", b"red")?);
    assert!(fruit.put_if_absent(b"damson", b"blue")?);

    // All or nothing, over any number of keyspaces, with one sync.
    let prices = db.keyspace("prices", KeyspaceOptions::new())?;
    let mut batch = WriteBatch::new();
    batch.put(&fruit, b"elder", b"black");
    batch.put(&prices, b"elder", b"2.40");
    batch.delete(&fruit, b"cherry");
    db.write(batch, Durability::Sync)?;

    // Keys come in the order of their bytes.
    for entry in fruit.scan(&b"a"[..]..b"e")? {
        let (name, colour) = entry?;
        println!("{} is {}", String::from_utf8_lossy(&name), String::from_utf8_lossy(&colour));
    }

    drop((fruit, prices));
    db.close()?;

    let db = Db::open(dir.path(), &Options::new())?;
    let fruit = db.existing_keyspace("fruit")?;
    let names: Vec<Vec<u8>> =
        fruit.scan::<&[u8], _>(..)?.map(|entry| entry.map(|(name, _)| name)).collect::<Result<_, _>>()?;
    assert_eq!(names, [&b"apple"[..], b"damson", b"elder"]);
    Ok(())
}

#[test]
fn the_example_holds() -> Result<(), Box<dyn std::error::Error>> {
    main()
}
