//! A durable first-in, first-out queue whose consumer records results: taking an item and writing its result is one batch,
//! so that a crash between the two neither loses an item nor handles it twice.
//!
//! `cargo run -p granite --example queue`

use granite::{Db, Durability, Keyspace, KeyspaceOptions, Options, Result, WriteBatch};

struct Queue {
    db: Db,
    /// Number of the item, eight bytes, most significant first, to its content: the order of the keys is the order of arrival.
    items: Keyspace,
    /// Number of the item to the result.
    results: Keyspace,
    /// The number of the next item. One process has the database open, so it is counted here and found again at open.
    next: u64,
}

impl Queue {
    fn open(dir: &std::path::Path) -> Result<Self> {
        let db = Db::open(dir, &Options::new())?;
        let items = db.keyspace("items", KeyspaceOptions::new())?;
        let results = db.keyspace("results", KeyspaceOptions::new())?;
        let next = last_number(&items)?.max(last_number(&results)?).map_or(0, |number| number + 1);
        Ok(Self { db, items, results, next })
    }

    /// Adds several items with one sync.
    fn push(&mut self, contents: &[&str]) -> Result<()> {
        let mut batch = WriteBatch::new();
        for (number, content) in (self.next..).zip(contents) {
            batch.put(&self.items, &number.to_be_bytes(), content.as_bytes());
        }
        self.db.write(batch, Durability::Sync)?;
        self.next += contents.len() as u64;
        Ok(())
    }

    /// Handles the oldest item; false if there is none.
    fn handle_one(&self, handle: impl FnOnce(&[u8]) -> Vec<u8>) -> Result<bool> {
        let mut walk = self.items.scan::<&[u8], _>(..)?;
        walk.seek_to_first()?;
        if !walk.valid() {
            return Ok(false);
        }
        let result = handle(&walk.value()?);
        let mut batch = WriteBatch::new();
        batch.delete(&self.items, walk.key());
        batch.put(&self.results, walk.key(), &result);
        self.db.write(batch, Durability::Sync)?;
        Ok(true)
    }
}

fn last_number(keyspace: &Keyspace) -> Result<Option<u64>> {
    let mut walk = keyspace.scan::<&[u8], _>(..)?;
    walk.seek_to_last()?;
    Ok(walk.key().try_into().ok().map(u64::from_be_bytes))
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let louder = |content: &[u8]| content.to_ascii_uppercase();

    let mut queue = Queue::open(dir.path())?;
    queue.push(&["first", "second", "third"])?;
    assert!(queue.handle_one(louder)?);
    drop(queue);

    // Another process, another day.
    let mut queue = Queue::open(dir.path())?;
    queue.push(&["fourth"])?;
    while queue.handle_one(louder)? {}

    let results: Vec<String> = queue
        .results
        .scan::<&[u8], _>(..)?
        .map(|entry| entry.map(|(_, result)| String::from_utf8_lossy(&result).into_owned()))
        .collect::<Result<_>>()?;
    println!("{}", results.join(", "));
    assert_eq!(results, ["FIRST", "SECOND", "THIRD", "FOURTH"]);
    assert_eq!(queue.items.scan::<&[u8], _>(..)?.count(), 0);
    Ok(())
}

#[test]
fn the_example_holds() -> std::result::Result<(), Box<dyn std::error::Error>> {
    main()
}
