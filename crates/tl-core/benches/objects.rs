//! What hashing, encoding and editing cost, beside the disk.
//!
//! `cargo bench -p tl-core`
#![allow(missing_docs, reason = "a benchmark has no users")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use granite::{Db, Durability, Options};
use tl_core::{Blob, Entry, EntryName, Mode, ObjectId, ObjectKind, RepoPath, Store, StoreOptions, Tree, TreeBuilder};

/// Text of about the entropy of source code.
fn text(seed: usize, len: usize) -> Vec<u8> {
    let words = ["fn ", "let ", "self.", "value", " = ", "();\n", "    ", "match ", "Some(", "error", "0x", "->"];
    let mut state = seed as u64 | 1;
    let mut text = Vec::with_capacity(len + 8);
    while text.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.extend_from_slice(words[(state >> 33) as usize % words.len()].as_bytes());
    }
    text.truncate(len);
    text
}

fn tree_of(entries: u64) -> Tree {
    let mut builder = TreeBuilder::new();
    for number in 0..entries {
        let id = ObjectId::of(ObjectKind::Blob, &number.to_le_bytes());
        let name = format!("some_module_{number}.rs");
        let name = EntryName::new(name.as_bytes()).expect("a name");
        builder.add(name, Entry::file(Blob { id, len: 4000 + number }, Mode::new(0o644)));
    }
    builder.build().expect("distinct names")
}

fn objects(criterion: &mut Criterion) {
    for len in [4 << 10, 1 << 20] {
        let content = text(1, len);
        let mut group = criterion.benchmark_group("blob");
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(format!("hash {len}"), |b| b.iter(|| ObjectId::of(ObjectKind::Blob, black_box(&content))));
    }
    for entries in [30, 10_000] {
        let tree = tree_of(entries);
        let mut group = criterion.benchmark_group("tree");
        group.throughput(Throughput::Elements(entries));
        group.bench_function(format!("decode {entries}"), |b| b.iter(|| Tree::decode(tree.content().to_vec())));
        let name = EntryName::new(b"some_module_17.rs").expect("a name");
        group.bench_function(format!("get of {entries}"), |b| b.iter(|| tree.get(black_box(name))));
    }
}

/// A checkpoint of one file without a sync: everything but the disk.
fn checkpoints(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let db = Db::open(dir.path(), &Options::new()).expect("a database");
    let store = Store::open(&db, &StoreOptions::default()).expect("a store");
    for entries in [30, 10_000] {
        let capture = store.capture().expect("a capture");
        let mut root = capture.put_tree(&tree_of(entries)).expect("put");
        capture.commit(|_| {}, Durability::Buffered).expect("committed");
        let path = RepoPath::new(b"some_module_17.rs").expect("a path");
        let mut round = 0;
        let mut group = criterion.benchmark_group("checkpoint of one file");
        group.bench_function(format!("in a directory of {entries}"), |b| {
            b.iter(|| {
                round += 1;
                let capture = store.capture().expect("a capture");
                let blob = capture.put_blob(&text(round, 4096)).expect("put");
                root = capture.edit_tree(&root, [(path, Some(Entry::file(blob, Mode::new(0o644))))]).expect("edited");
                capture.commit(|_| {}, Durability::Buffered).expect("committed")
            });
        });
    }
    let mut group = criterion.benchmark_group("capture");
    group.throughput(Throughput::Bytes(64 << 20));
    group.sample_size(10);
    let mut seed = 1_000_000;
    group.bench_function("64 MiB of new files of 8 KiB", |b| {
        b.iter_batched(
            || {
                seed += 10_000;
                (0..8192).map(|file| text(seed + file, 8192)).collect::<Vec<_>>()
            },
            |files| {
                let capture = store.capture().expect("a capture");
                for file in &files {
                    capture.put_blob(file).expect("put");
                }
                capture.commit(|_| {}, Durability::Buffered).expect("committed")
            },
            criterion::BatchSize::PerIteration,
        );
    });
}

criterion_group!(benches, objects, checkpoints);
criterion_main!(benches);
