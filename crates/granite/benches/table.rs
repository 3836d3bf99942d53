//! Speed of tables: building and reading, with everything in the cache.
//!
//! `cargo bench -p granite --bench table`. The modules are private to the crate and are compiled into the benchmark by path.
#![allow(missing_docs, reason = "a benchmark has no users")]
#![allow(dead_code, unused_imports, reason = "it measures a part of the modules that it compiles")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use vfs::{DiskVfs, OpenMode, Vfs};

#[path = "../src/cache/mod.rs"]
mod cache;
#[path = "../src/checksum.rs"]
mod checksum;
#[path = "../src/coding.rs"]
mod coding;
#[path = "../src/cursor.rs"]
mod cursor;
#[path = "../src/error.rs"]
mod error;
#[path = "../src/key.rs"]
mod key;
#[path = "../src/range_tombstone.rs"]
mod range_tombstone;
#[path = "../src/table/mod.rs"]
mod table;

use crate::cache::BlockCache;
use crate::cursor::Cursor;
use crate::key::{Kind, Seq, Trailer};
use crate::table::{Codec, KeyHash, KeyLayout, Table, TableOptions, TableWriter};

const KEYS: u64 = 1_000_000;

/// How keys are made from numbers: both kinds have 16 bytes and differ in the order of their numbers only.
#[derive(Clone, Copy)]
enum Keys {
    Decimal,
    Hashes,
}

impl Keys {
    fn key(self, number: u64) -> [u8; 16] {
        match self {
            Self::Decimal => {
                let mut key = *b"0000000000000000";
                let mut rest = number;
                for digit in key.iter_mut().rev() {
                    *digit = b'0' + (rest % 10) as u8;
                    rest /= 10;
                }
                key
            }
            Self::Hashes => xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes()).to_be_bytes(),
        }
    }

    /// The keys of the even numbers below `2 * count`, sorted; odd numbers are absent but lie between them.
    fn sorted(self, count: u64) -> Vec<[u8; 16]> {
        let mut keys: Vec<_> = (0..count).map(|number| self.key(2 * number)).collect();
        keys.sort_unstable();
        keys
    }

    fn options(self, codec: Codec) -> TableOptions {
        let key_layout = match self {
            Self::Decimal => KeyLayout::Plain,
            Self::Hashes => KeyLayout::Hash { width: 16 },
        };
        TableOptions { codec, key_layout, ..TableOptions::default() }
    }
}

/// A value that compresses to about half.
fn value(number: u64) -> [u8; 100] {
    let mut value = [b'v'; 100];
    for (at, byte) in value.iter_mut().enumerate().take(50) {
        *byte = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (at % 57)) as u8;
    }
    value
}

fn write(dir: &Path, keys: &[[u8; 16]], options: TableOptions) -> (Arc<dyn vfs::File>, u64) {
    let path = dir.join("table");
    if path.exists() {
        std::fs::remove_file(&path).expect("the directory is ours");
    }
    let file = DiskVfs::new().open(&path, OpenMode::CreateNew).expect("the directory is ours");
    let mut writer = TableWriter::new(Arc::clone(&file), &path, 1, options).expect("the options are valid");
    for (number, key) in keys.iter().enumerate() {
        let trailer = Trailer::new(Seq::new(number as u64), Kind::Inline);
        writer.add(key, trailer, &value(number as u64)).expect("the keys are sorted");
    }
    (file, writer.finish().expect("there is room on the disk").file_len)
}

/// Numbers below `KEYS`, in no order.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % KEYS
}

fn reads(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (name, keys) in [("decimal keys", Keys::Decimal), ("hash keys", Keys::Hashes)] {
        let (file, len) = write(dir.path(), &keys.sorted(KEYS), keys.options(Codec::Lz4));
        let cache = Arc::new(BlockCache::new(512 << 20));
        let table = Table::open(file, Path::new("table"), 1, len, Arc::clone(&cache)).expect("it was just written");
        let table = Arc::new(table);
        let mut cursor = table.cursor(true);
        let mut group = criterion.benchmark_group(name);
        let mut state = 1;
        let hashed = |key: [u8; 16]| (key, KeyHash::of(&key));
        for number in 0..KEYS {
            let (key, hash) = hashed(keys.key(2 * number));
            assert!(table.get(&key, hash, Seq::MAX).expect("it was just written").is_some());
        }
        group.bench_function("get hot", |bencher| {
            bencher.iter_batched(
                || hashed(keys.key(2 * random(&mut state))),
                |(key, hash)| {
                    let found = table.get(&key, hash, Seq::MAX).expect("it was just written").expect("it is there");
                    black_box(found.value().len())
                },
                BatchSize::SmallInput,
            );
        });
        group.bench_function("get miss", |bencher| {
            bencher.iter_batched(
                || hashed(keys.key(2 * random(&mut state) + 1)),
                |(key, hash)| black_box(table.get(&key, hash, Seq::MAX).expect("it was just written").is_none()),
                BatchSize::SmallInput,
            );
        });
        group.bench_function("seek", |bencher| {
            bencher.iter_batched(
                || keys.key(random(&mut state)),
                |key| cursor.seek(&key, Trailer::NEWEST).expect("it was just written"),
                BatchSize::SmallInput,
            );
        });
        group.throughput(Throughput::Elements(1));
        cursor.seek_to_first().expect("it was just written");
        group.bench_function("next", |bencher| {
            bencher.iter(|| {
                if !cursor.valid() {
                    cursor.seek_to_first().expect("it was just written");
                }
                black_box(cursor.value().len());
                cursor.next().expect("it was just written");
            });
        });
        cursor.seek_to_last().expect("it was just written");
        group.bench_function("prev", |bencher| {
            bencher.iter(|| {
                if !cursor.valid() {
                    cursor.seek_to_last().expect("it was just written");
                }
                black_box(cursor.value().len());
                cursor.prev().expect("it was just written");
            });
        });
        group.finish();
        println!("{name}: {len} bytes, open table {} bytes, {:?}", table.heap_bytes(), cache.stats());
    }
}

fn writes(criterion: &mut Criterion) {
    const COUNT: u64 = 20_000;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut group = criterion.benchmark_group("write and scan 20000 entries");
    group.throughput(Throughput::Elements(COUNT)).sample_size(20);
    for (name, codec) in [("none", Codec::None), ("lz4", Codec::Lz4), ("zstd 1", Codec::Zstd { level: 1 })] {
        let keys = Keys::Decimal.sorted(COUNT);
        group.bench_function(format!("write, {name}"), |bencher| {
            bencher.iter(|| write(dir.path(), &keys, Keys::Decimal.options(codec)).1);
        });
        let (file, len) = write(dir.path(), &keys, Keys::Decimal.options(codec));
        let cache = Arc::new(BlockCache::new(0));
        let table = Arc::new(Table::open(file, Path::new("table"), 1, len, cache).expect("it was just written"));
        group.bench_function(format!("scan past the cache, {name}"), |bencher| {
            bencher.iter(|| {
                let mut cursor = table.cursor(false);
                cursor.seek_to_first().expect("it was just written");
                while cursor.valid() {
                    black_box(cursor.value().len());
                    cursor.next().expect("it was just written");
                }
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = table;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(500))
        .measurement_time(std::time::Duration::from_secs(2));
    targets = reads, writes
}
criterion_main!(table);
