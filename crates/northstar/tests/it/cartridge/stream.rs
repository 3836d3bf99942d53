//! A stream to build from, and its model: a map.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use northstar::cartridge::{Builder, Catalog, Edits, Entry, Kind, Position, Projection, Result, StreamId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use vfs::Vfs;
use vfs_sim::SimDisk;

pub const STREAM: StreamId = StreamId(*b"a stream of test");
pub const EVERYTHING: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Unbounded, Bound::Unbounded);

pub type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// A change that is an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// The rules that copy edits.
#[derive(Debug)]
pub struct Copied;

impl Projection for Copied {
    type Change<'a> = &'a Change;

    fn kind() -> Kind {
        Kind::new("copied", 3).unwrap()
    }

    fn project(_sequence: u64, change: &&Change, edits: &mut Edits<'_>) -> Result<()> {
        match &change.value {
            Some(value) => edits.put(&change.key, value),
            None => edits.remove(&change.key),
        }
    }
}

/// Changes by position, from 1.
pub type Stream = Vec<Vec<Change>>;

pub fn position(sequence: usize) -> Position {
    Position { sequence: sequence as u64, anchor: [sequence as u8; 32] }
}

pub fn map_of(stream: &[Vec<Change>]) -> Map {
    let mut map = Map::new();
    for Change { key, value } in stream.iter().flatten() {
        match value {
            Some(value) => map.insert(key.clone(), value.clone()),
            None => map.remove(key),
        };
    }
    map
}

/// `count` positions with few and many changes of keys that share beginnings, of all lengths, some of them removals.
pub fn random_stream(seed: u64, count: usize) -> Stream {
    let mut random = StdRng::seed_from_u64(seed);
    let key = |random: &mut StdRng| {
        let mut key = Vec::new();
        for _ in 0..random.random_range(1..4) {
            key.extend_from_slice([&b"src/"[..], b"a", b"\0", b"\xff", b"main.rs"][random.random_range(0..5)]);
        }
        if random.random_bool(0.02) {
            key.resize(random.random_range(1..3000), b'k');
        }
        key.push(random.random_range(0..40));
        key
    };
    let value = |random: &mut StdRng| match random.random_range(0..20) {
        0..8 => Vec::new(),
        19 => vec![7; random.random_range(0..5000)],
        _ => vec![1; random.random_range(0..20)],
    };
    (0..count)
        .map(|_| {
            let changes = if random.random_bool(0.05) { 60 } else { random.random_range(0..4) };
            (0..changes)
                .map(|_| {
                    let key = key(&mut random);
                    let value = random.random_bool(0.8).then(|| value(&mut random));
                    Change { key, value }
                })
                .collect()
        })
        .collect()
}

/// Feeds what stands at the positions after `from`.
pub fn feed(builder: &mut Builder<Copied>, stream: &[Vec<Change>], from: usize) {
    for (number, changes) in stream.iter().enumerate().skip(from) {
        builder.push(position(number + 1), changes).unwrap();
    }
}

pub fn catalog_on(vfs: Arc<dyn Vfs>) -> Catalog {
    Catalog::new(vfs, "/")
}

pub fn catalog() -> (SimDisk, Catalog) {
    let disk = SimDisk::new();
    (disk.clone(), catalog_on(Arc::new(disk)))
}

/// The bytes of the cartridge of `stream`.
pub fn built(stream: &[Vec<Change>]) -> Vec<u8> {
    let (disk, catalog) = catalog();
    let mut builder = catalog.build::<Copied>(STREAM).unwrap();
    feed(&mut builder, stream, 0);
    builder.finish().unwrap();
    disk.contents("/copied.cartridge").unwrap()
}

pub fn entries(map: &Map) -> Vec<Entry> {
    map.iter().map(|(key, value)| Entry { key: key.clone(), value: value.clone() }).collect()
}
