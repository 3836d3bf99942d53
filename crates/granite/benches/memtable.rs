//! The memtable beside `crossbeam-skiplist` and `BTreeMap`: `cargo bench -p granite --bench memtable`.
//!
//! A million entries with keys of 16 bytes and values of 100. An insert's time is that of filling an empty structure,
//! divided by the entries; freeing it is not counted. The peers hold boxed slices under the same internal key.

// The module is private to the crate: the benchmark compiles it from its source.
#![allow(dead_code, unused_imports, reason = "the benchmark uses a part of the modules that it includes")]
#![allow(missing_docs, reason = "criterion's macros generate undocumented items")]

#[path = "../src/coding.rs"]
mod coding;
#[path = "../src/cursor.rs"]
mod cursor;
#[path = "../src/error.rs"]
mod error;
#[path = "../src/key.rs"]
mod key;
#[path = "../src/memtable/mod.rs"]
mod memtable;
#[path = "../src/range_tombstone.rs"]
mod range_tombstone;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_skiplist::SkipMap;
use cursor::Cursor;
use key::{Kind, Seq, Trailer};
use memtable::{Memtable, SortedRun, SortedRunBuilder};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

const ENTRIES: u64 = 1_000_000;
const VALUE: [u8; 100] = [7; 100];

type Key = [u8; 16];
type Internal = (Box<[u8]>, Reverse<Trailer>);

fn trailer(number: usize) -> Trailer {
    Trailer::new(Seq::new(number as u64 + 1), Kind::Inline)
}

/// Keys as `db_bench` writes them: decimal digits, so that the first half is the same in all.
fn digits(number: u64) -> Key {
    let mut key = [b'0'; 16];
    key[..16].copy_from_slice(format!("{number:016}").as_bytes());
    key
}

fn sequential() -> Vec<Key> {
    (0..ENTRIES).map(digits).collect()
}

fn shuffled(mut keys: Vec<Key>) -> Vec<Key> {
    keys.shuffle(&mut StdRng::seed_from_u64(5));
    keys
}

fn hashes(seed: u64) -> Vec<Key> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..ENTRIES).map(|_| random.random()).collect()
}

trait Table {
    const NAME: &'static str;
    fn fill(keys: &[Key]) -> Self;
    fn get(&self, key: &[u8]) -> Option<u8>;
}

impl Table for Memtable {
    const NAME: &'static str = "memtable";

    fn fill(keys: &[Key]) -> Self {
        fill_memtable(Self::new(1), keys)
    }

    fn get(&self, key: &[u8]) -> Option<u8> {
        self.get(key, Seq::MAX).and_then(|(_, value)| value.first().copied())
    }
}

fn fill_memtable(memtable: Memtable, keys: &[Key]) -> Memtable {
    // A batch of 16 per writer, as a commit would.
    for (index, batch) in keys.chunks(16).enumerate() {
        let mut writer = memtable.writer();
        for (place, key) in batch.iter().enumerate() {
            writer.insert(key, trailer(index * 16 + place), &VALUE);
        }
    }
    memtable
}

/// A memtable that was told what its keys share, as the second and later ones of a keyspace are.
struct Told(Memtable);

impl Table for Told {
    const NAME: &'static str = "memtable, told the prefix";

    fn fill(keys: &[Key]) -> Self {
        Self(fill_memtable(Memtable::with_shared_prefix(1, b"0000000000"), keys))
    }

    fn get(&self, key: &[u8]) -> Option<u8> {
        Table::get(&self.0, key)
    }
}

impl Table for SortedRun {
    const NAME: &'static str = "sorted run";

    fn fill(keys: &[Key]) -> Self {
        let mut run = SortedRunBuilder::new();
        for (number, key) in keys.iter().enumerate() {
            run.push(key, trailer(number), &VALUE);
        }
        run.finish()
    }

    fn get(&self, key: &[u8]) -> Option<u8> {
        self.get(key, Seq::MAX).and_then(|(_, value)| value.first().copied())
    }
}

fn boxed(number: usize, key: &Key) -> (Internal, Box<[u8]>) {
    ((Box::from(key.as_slice()), Reverse(trailer(number))), Box::from(VALUE.as_slice()))
}

impl Table for SkipMap<Internal, Box<[u8]>> {
    const NAME: &'static str = "crossbeam-skiplist";

    fn fill(keys: &[Key]) -> Self {
        let map = Self::new();
        for (number, key) in keys.iter().enumerate() {
            let (key, value) = boxed(number, key);
            map.insert(key, value);
        }
        map
    }

    fn get(&self, key: &[u8]) -> Option<u8> {
        let from = (Box::from(key), Reverse(Trailer::at(Seq::MAX)));
        let entry = self.range(from..).next()?;
        (*entry.key().0 == *key).then(|| entry.value().first().copied()).flatten()
    }
}

impl Table for BTreeMap<Internal, Box<[u8]>> {
    const NAME: &'static str = "BTreeMap";

    fn fill(keys: &[Key]) -> Self {
        keys.iter().enumerate().map(|(number, key)| boxed(number, key)).fold(Self::new(), |mut map, (key, value)| {
            map.insert(key, value);
            map
        })
    }

    fn get(&self, key: &[u8]) -> Option<u8> {
        let from = (Box::from(key), Reverse(Trailer::at(Seq::MAX)));
        let ((found, _), value) = self.range(from..).next()?;
        (**found == *key).then(|| value.first().copied()).flatten()
    }
}

fn insert<T: Table>(criterion: &mut Criterion, order: &str, keys: &[Key]) {
    let mut group = criterion.benchmark_group(format!("insert/{order}"));
    group.sample_size(10).warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(keys.len() as u64));
    group.bench_function(BenchmarkId::from_parameter(T::NAME), |bencher| {
        bencher.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                let start = Instant::now();
                let table = black_box(T::fill(keys));
                spent += start.elapsed();
                drop(table);
            }
            spent
        });
    });
}

fn get<T: Table>(criterion: &mut Criterion, order: &str, filled: &[Key], probes: &[Key], hit: bool) {
    let table = T::fill(filled);
    let mut group = criterion.benchmark_group(format!("get {}/{order}", if hit { "hit" } else { "miss" }));
    group.sample_size(10).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(300));
    group.throughput(Throughput::Elements(1));
    group.bench_function(BenchmarkId::from_parameter(T::NAME), |bencher| {
        let mut probes = probes.iter().cycle();
        bencher.iter(|| {
            let found = probes.next().and_then(|key| table.get(key));
            assert_eq!(found.is_some(), hit);
            found
        });
    });
}

fn walk(criterion: &mut Criterion, keys: &[Key]) {
    let memtable = Arc::new(Memtable::fill(keys));
    let mut group = criterion.benchmark_group("walk");
    group.sample_size(10).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(300));
    group.throughput(Throughput::Elements(keys.len() as u64));
    group.bench_function(BenchmarkId::from_parameter("memtable"), |bencher| {
        bencher.iter(|| {
            let mut cursor = memtable.cursor();
            let mut bytes = 0;
            let mut step = cursor.seek_to_first();
            while step.is_ok() && cursor.valid() {
                bytes += cursor.key().len() + cursor.value().len();
                step = cursor.next();
            }
            bytes
        });
    });
}

fn all(criterion: &mut Criterion) {
    type Crossbeam = SkipMap<Internal, Box<[u8]>>;
    type Tree = BTreeMap<Internal, Box<[u8]>>;

    let keys = hashes(1);
    println!("bytes per entry of 116, random: memtable {}", Memtable::fill(&keys).allocated_bytes() / keys.len());
    println!("bytes per entry of 116, random: sorted run {}", SortedRun::fill(&keys).allocated_bytes() / keys.len());

    insert::<Memtable>(criterion, "random", &keys);
    insert::<SortedRun>(criterion, "random", &keys);
    insert::<Crossbeam>(criterion, "random", &keys);
    insert::<Tree>(criterion, "random", &keys);

    let (rising, decimal) = (sequential(), shuffled(sequential()));
    insert::<Memtable>(criterion, "sequential", &rising);
    insert::<SortedRun>(criterion, "sequential", &rising);
    insert::<Crossbeam>(criterion, "sequential", &rising);
    insert::<Tree>(criterion, "sequential", &rising);

    insert::<Memtable>(criterion, "random digits", &decimal);
    insert::<Told>(criterion, "random digits", &decimal);

    let (hits, misses) = (shuffled(keys.clone()), hashes(2));
    for (probes, hit) in [(&hits, true), (&misses, false)] {
        get::<Memtable>(criterion, "random", &keys, probes, hit);
        get::<SortedRun>(criterion, "random", &keys, probes, hit);
        get::<Crossbeam>(criterion, "random", &keys, probes, hit);
        get::<Tree>(criterion, "random", &keys, probes, hit);
    }
    get::<Memtable>(criterion, "random digits", &decimal, &shuffled(decimal.clone()), true);
    get::<Told>(criterion, "random digits", &decimal, &shuffled(decimal.clone()), true);
    walk(criterion, &keys);
}

criterion_group!(benches, all);
criterion_main!(benches);
