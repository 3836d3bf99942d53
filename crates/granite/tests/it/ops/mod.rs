//! Operations on whole databases.

mod checkpoint;
mod erase;
mod fixture;
mod ingest;
mod inspect;
mod reopen;
mod repair;
mod unsynced;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use granite::{Background, Db, Durability, Error, Keyspace, KeyspaceOptions, Options};
use vfs_sim::SimDisk;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Small everything, no threads: each run does the same.
fn small() -> Options {
    Options::new()
        .memory_budget(1 << 20)
        .write_buffer(32 << 10)
        .segment_len(16 << 10)
        .table_len(16 << 10)
        .background(Background::Inline)
}

fn on(disk: &SimDisk) -> Options {
    small().vfs(Arc::new(disk.clone()))
}

fn separating() -> KeyspaceOptions {
    KeyspaceOptions::new().separation_threshold(Some(100)).block_len(512)
}

fn open(disk: &SimDisk, dir: &str) -> Result<(Db, Keyspace), Error> {
    let db = Db::open(Path::new(dir), &on(disk))?;
    let keyspace = db.keyspace("k", separating())?;
    Ok((db, keyspace))
}

fn key(number: u32) -> Vec<u8> {
    format!("key{number:06}").into_bytes()
}

/// Every third value is long enough to be separated.
fn value(number: u32, version: u32) -> Vec<u8> {
    let text = format!("{number}.{version}.");
    text.repeat(if number.is_multiple_of(3) { 40 } else { 1 }).into_bytes()
}

fn all(keyspace: &Keyspace) -> Result<Model, Error> {
    keyspace.scan::<&[u8], _>(..)?.collect()
}

/// The scan and single look-ups agree with the model.
fn check(keyspace: &Keyspace, model: &Model) {
    assert!(all(keyspace).unwrap() == *model, "a scan does not give what was written");
    for (key, value) in model.iter().step_by(7) {
        assert_eq!(keyspace.get(key).unwrap().as_ref(), Some(value));
    }
}

fn put(keyspace: &Keyspace, model: &mut Model, numbers: impl Iterator<Item = u32>, version: u32) {
    for number in numbers {
        keyspace.put(&key(number), &value(number, version)).unwrap();
        model.insert(key(number), value(number, version));
    }
}

fn buffered(options: Options) -> Options {
    options.durability(Durability::Buffered)
}
