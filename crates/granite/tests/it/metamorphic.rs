//! One list of operations under many options: whatever is chosen, the answers are those of a map.
//!
//! A failure prints its seed and the options; `cargo xtask replay metamorphic SEED` runs it again.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use granite::{
    Background, Codec, CompactionPolicy, Db, Durability, FilterPolicy, KeyLayout, Keyspace, KeyspaceOptions, Options,
    Snapshot, WriteBatch,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use vfs_sim::SimDisk;

use crate::oracle::{Op, Rejects, Value, show};
use crate::workload::{is_long, seed_or, value};

/// Width of all keys, so that every layout can hold them.
const WIDTH: usize = 6;

fn key(number: u32) -> Vec<u8> {
    format!("{number:0WIDTH$}").into_bytes()
}

#[derive(Debug, Clone)]
enum Action {
    Batch(Vec<(usize, Op)>, Durability),
    Get(usize, Vec<u8>),
    Scan(usize, Bound<Vec<u8>>, Bound<Vec<u8>>),
    /// Seeks, and steps forward (true) and backward.
    Walk(usize, Vec<u8>, Vec<bool>),
    Prefix(usize, Vec<u8>),
    TakeSnapshot,
    DropSnapshot,
    ReadSnapshot(usize, Vec<u8>),
    Flush,
    Compact(Option<(Vec<u8>, Vec<u8>)>),
    Sweep(usize, Rejects),
    Trim,
    Reopen,
}

fn bound(rng: &mut StdRng, keys: u32) -> Bound<Vec<u8>> {
    let at = key(rng.random_range(0..keys));
    match rng.random_range(0..3) {
        0 => Bound::Included(at),
        1 => Bound::Excluded(at),
        _ => Bound::Unbounded,
    }
}

fn write(rng: &mut StdRng, keys: u32) -> Op {
    let at = rng.random_range(0..keys);
    match rng.random_range(0..24) {
        0..=13 => Op::Put(key(at), value(rng)),
        14..=17 => Op::PutIfAbsent(key(at), value(rng)),
        18..=22 => Op::Delete(key(at)),
        _ => Op::DeleteRange(key(at), key(at + rng.random_range(1..20))),
    }
}

fn actions(seed: u64, count: usize) -> Vec<Action> {
    let mut rng = StdRng::seed_from_u64(seed);
    let keys = [20, 120, 400][rng.random_range(0..3)];
    let action = |rng: &mut StdRng| {
        let slot = rng.random_range(0..2);
        let at = key(rng.random_range(0..keys));
        match rng.random_range(0..100) {
            0..=54 => {
                let count = [1, 1, 1, 3, 15][rng.random_range(0..5)];
                let durability = if rng.random_bool(0.2) { Durability::Sync } else { Durability::Buffered };
                Action::Batch((0..count).map(|_| (rng.random_range(0..2), write(rng, keys))).collect(), durability)
            }
            55..=69 => Action::Get(slot, at),
            70..=75 => Action::Scan(slot, bound(rng, keys), bound(rng, keys)),
            76..=82 => {
                let steps = (0..rng.random_range(1..12)).map(|_| rng.random_bool(0.6)).collect();
                Action::Walk(slot, at, steps)
            }
            83..=84 => Action::Prefix(slot, at[..rng.random_range(3..WIDTH)].to_vec()),
            85..=86 => Action::TakeSnapshot,
            87 => Action::DropSnapshot,
            88..=90 => Action::ReadSnapshot(slot, at),
            91..=93 => Action::Flush,
            94 => Action::Compact(None),
            95 => Action::Compact(Some((at, key(rng.random_range(0..keys))))),
            96 => {
                let modulus = rng.random_range(2..9);
                Action::Sweep(slot, Rejects { modulus, rest: rng.random_range(0..modulus) })
            }
            97 => Action::Trim,
            _ => Action::Reopen,
        }
    };
    (0..count).map(|_| action(&mut rng)).collect()
}

type Map = BTreeMap<Vec<u8>, Value>;

/// One choice of options.
struct Setting {
    name: &'static str,
    options: Options,
    keyspace: KeyspaceOptions,
}

fn settings() -> Vec<Setting> {
    let tiny = Options::new()
        .memory_budget(1 << 20)
        .write_buffer(8 << 10)
        .segment_len(4 << 10)
        .table_len(4 << 10)
        .log_len_max(32 << 10)
        .background(Background::Inline);
    let plain = KeyspaceOptions::new().block_len(256).separation_threshold(Some(100));
    let set = |name, options: &Options, keyspace: &KeyspaceOptions| Setting {
        name,
        options: options.clone(),
        keyspace: keyspace.clone(),
    };
    let hash = plain.clone().key_layout(KeyLayout::Hash { width: WIDTH as u8 });
    vec![
        set("defaults", &Options::new().background(Background::Inline), &KeyspaceOptions::new()),
        set("tiny", &tiny, &plain),
        set("tiered", &tiny, &plain.clone().compaction(CompactionPolicy::Tiered).codec(Codec::None)),
        set("nothing separated", &tiny, &plain.clone().separation_threshold(None).codec(Codec::Zstd { level: 1 })),
        set("all separated", &tiny.clone().value_gc_share(1.0), &plain.clone().separation_threshold(Some(16))),
        set("hashed", &tiny, &hash),
        set("hashed and tiered", &tiny, &hash.compaction(CompactionPolicy::Tiered).filter(FilterPolicy::None)),
        set(
            "by hand",
            &tiny.clone().manual_compaction_only(true).recycle_segments(false),
            &plain.clone().block_len(64),
        ),
        set("few handles", &tiny.clone().open_tables_max(1).write_buffer(1 << 20), &plain),
        set(
            "threads",
            &tiny.background(Background::Threads(2)),
            &plain.filter(FilterPolicy::Bloom { bits_per_key: 1 }),
        ),
    ]
}

struct Machine<'a> {
    setting: &'a Setting,
    db: Option<(Db, [Keyspace; 2])>,
    maps: [Map; 2],
    snapshots: Vec<(Snapshot, [Map; 2])>,
}

impl Machine<'_> {
    fn open(&mut self) {
        let db = Db::open("/db", &self.setting.options).unwrap();
        let keyspaces = ["a", "b"].map(|name| db.keyspace(name, self.setting.keyspace.clone()).unwrap());
        self.db = Some((db, keyspaces));
    }

    fn run(&mut self, action: &Action) {
        let (db, keyspaces) = self.db.as_ref().unwrap();
        match action {
            Action::Batch(ops, durability) => {
                let mut batch = WriteBatch::new();
                let mut absent = Vec::new();
                for (slot, op) in ops {
                    let (keyspace, map) = (&keyspaces[*slot], &mut self.maps[*slot]);
                    match op {
                        Op::Put(key, value) => {
                            batch.put(keyspace, key, value);
                            map.insert(key.clone(), Arc::clone(value));
                        }
                        Op::PutIfAbsent(key, value) => {
                            batch.put_if_absent(keyspace, key, value);
                            absent.push(!map.contains_key(key));
                            map.entry(key.clone()).or_insert_with(|| Arc::clone(value));
                        }
                        Op::Delete(key) => {
                            batch.delete(keyspace, key);
                            map.remove(key);
                        }
                        Op::DeleteRange(start, end) => {
                            batch.delete_range(keyspace, start, end);
                            map.retain(|key, _| key < start || key >= end);
                        }
                    }
                }
                assert_eq!(db.write(batch, *durability).unwrap().was_absent, absent);
            }
            Action::Get(slot, key) => {
                let expected = self.maps[*slot].get(key).map(|value| value.to_vec());
                assert!(keyspaces[*slot].get(key).unwrap() == expected, "get {}", show(key));
                assert_eq!(keyspaces[*slot].contains_key(key).unwrap(), expected.is_some(), "contains {}", show(key));
            }
            Action::Scan(slot, lower, upper) => {
                let is_empty = match (lower, upper) {
                    (Bound::Included(a), Bound::Included(b)) => a > b,
                    (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => a >= b,
                    _ => false,
                };
                let map = if is_empty { &Map::new() } else { &self.maps[*slot] };
                let (low, high) = if is_empty { (&Bound::Unbounded, &Bound::Unbounded) } else { (lower, upper) };
                if is_empty {
                    let scan = keyspaces[*slot].scan::<Vec<u8>, _>((lower.clone(), upper.clone())).unwrap();
                    assert_eq!(scan.count(), map.len());
                } else {
                    crate::oracle::walk(&keyspaces[*slot], map, low, high);
                }
            }
            Action::Walk(slot, from, steps) => walk(&keyspaces[*slot], &self.maps[*slot], from, steps),
            Action::Prefix(slot, prefix) => {
                let found: Vec<Vec<u8>> =
                    keyspaces[*slot].scan_prefix(prefix).unwrap().map(|entry| entry.unwrap().0).collect();
                let expected: Vec<&Vec<u8>> = self.maps[*slot].keys().filter(|key| key.starts_with(prefix)).collect();
                assert!(found.iter().eq(expected), "prefix {}", show(prefix));
            }
            Action::TakeSnapshot => self.snapshots.push((db.snapshot(), self.maps.clone())),
            Action::DropSnapshot => {
                if !self.snapshots.is_empty() {
                    self.snapshots.remove(0);
                }
            }
            Action::ReadSnapshot(slot, key) => {
                for (snapshot, maps) in &self.snapshots {
                    let (keyspace, map) = (&keyspaces[*slot], &maps[*slot]);
                    let expected = map.get(key).map(|value| value.to_vec());
                    assert!(snapshot.get(keyspace, key).unwrap() == expected, "{} at a snapshot", show(key));
                    let scan: Vec<_> =
                        snapshot.scan::<&[u8], _>(keyspace, ..).unwrap().collect::<Result<_, _>>().unwrap();
                    assert_eq!(scan.len(), map.len(), "entries at a snapshot");
                    assert!(scan.iter().zip(map).all(|((a, b), (c, d))| a == c && **b == **d), "a scan of a snapshot");
                }
            }
            Action::Flush => db.flush().unwrap(),
            Action::Compact(None) => db.compact().unwrap(),
            Action::Compact(Some((from, to))) => {
                for keyspace in keyspaces {
                    keyspace.compact_range(from.min(to).clone()..=from.max(to).clone()).unwrap();
                }
            }
            Action::Sweep(slot, rejects) => {
                // What a snapshot can see stays, for readers of the present too.
                if self.snapshots.is_empty() {
                    let rejects = *rejects;
                    keyspaces[*slot].sweep(db.seq(), move |key| !rejects.rejects(key)).unwrap();
                    self.maps[*slot].retain(|key, _| !rejects.rejects(key));
                }
            }
            Action::Trim => db.trim().unwrap(),
            Action::Reopen => {
                self.snapshots.clear();
                if let Some((db, _)) = self.db.take() {
                    db.close().unwrap();
                }
                self.open();
            }
        }
    }
}

/// Seeks, and goes back and forth.
fn walk(keyspace: &Keyspace, map: &Map, from: &[u8], steps: &[bool]) {
    let mut walk = keyspace.scan::<&[u8], _>(..).unwrap();
    walk.seek(from).unwrap();
    let keys: Vec<&Vec<u8>> = map.keys().collect();
    let mut at = keys.partition_point(|key| key.as_slice() < from);
    for &forward in steps {
        let Some(expected) = keys.get(at) else {
            assert!(!walk.valid(), "{} is no entry", show(walk.key()));
            return;
        };
        assert!(
            walk.valid() && walk.key() == expected.as_slice(),
            "{} instead of {}",
            show(walk.key()),
            show(expected)
        );
        assert!(*walk.value().unwrap() == *map[*expected], "the value of {}", show(expected));
        if forward {
            walk.next().unwrap();
            at += 1;
        } else {
            walk.prev().unwrap();
            at = at.checked_sub(1).unwrap_or(usize::MAX);
        }
    }
}

fn run(setting: &Setting, seed: u64, count: usize) {
    let mut setting =
        Setting { name: setting.name, options: setting.options.clone(), keyspace: setting.keyspace.clone() };
    setting.options = setting.options.vfs(Arc::new(SimDisk::new()));
    let mut machine = Machine { setting: &setting, db: None, maps: [Map::new(), Map::new()], snapshots: Vec::new() };
    machine.open();
    for (number, action) in actions(seed, count).iter().enumerate() {
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| machine.run(action)));
        if ran.is_err() {
            let text: String = format!("{action:?}").chars().take(300).collect();
            panic!("GRANITE_SEED={seed}: action {number} under \"{}\": {text}", setting.name);
        }
    }
}

/// If it fails, an option changes what the database answers.
#[test]
fn metamorphic_all_options_give_the_answers_of_a_map() {
    let first = seed_or(1);
    let (lists, count) = if is_long() { (2000, 3000) } else { (4, 700) };
    for seed in first..first + lists {
        for setting in settings() {
            run(&setting, seed, count);
        }
    }
}
