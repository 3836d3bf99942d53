//! Bits that turn over at rest, in every file of a quiet database.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use granite::{Db, Error, Result};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use vfs::Vfs;
use vfs_sim::SimDisk;

use crate::oracle::{NAMES, Notes, Value};
use crate::workload::{LONG, Mix, is_long, run, seed_or, steps, tiny};

pub fn files(disk: &SimDisk) -> Vec<PathBuf> {
    let mut paths = disk.read_dir(Path::new("/db")).unwrap();
    paths.retain(|path| path.file_name().is_some_and(|name| name != "LOCK"));
    paths.sort();
    paths
}

/// What a keyspace should say: every key ever used, with its value or none.
pub type Expected = BTreeMap<&'static str, BTreeMap<Vec<u8>, Option<Value>>>;

pub fn expected(notes: &Notes) -> Expected {
    let of = |slot: usize| {
        let content = notes.lives.get(&slot).and_then(|life| notes.content.get(life));
        let value = |key: &[u8]| content.and_then(|content| content.get(key)).map(|(_, value)| Arc::clone(value));
        notes.keys_of(slot).map(|key| (key.to_vec(), value(key))).collect()
    };
    notes.lives.keys().map(|&slot| (NAMES[slot], of(slot))).collect()
}

/// The damage was noticed, by a typed error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noticed(pub bool);

/// `Ok` if the call worked or says that files are damaged; anything else fails the test.
fn typed<T>(what: &str, result: Result<T>) -> std::result::Result<T, Noticed> {
    match result {
        Ok(answer) => Ok(answer),
        Err(Error::Corrupt { .. }) => Err(Noticed(true)),
        Err(error) => panic!("{what}: damage is reported as something else: {error}"),
    }
}

/// Opens a damaged database and reads everything: every answer is right, or an error.
pub fn read_everything(disk: &SimDisk, expected: &Expected) -> Noticed {
    let options = tiny().vfs(Arc::new(disk.clone())).manual_compaction_only(true);
    let Ok(db) = typed("open", Db::open("/db", &options)) else { return Noticed(true) };
    let mut noticed = false;
    let names: Vec<String> = db.keyspace_names();
    assert_eq!(names.len(), expected.len(), "keyspaces {names:?}");
    for (name, entries) in expected {
        let keyspace = db.existing_keyspace(name).unwrap();
        for (key, value) in entries {
            match typed("get", keyspace.get(key)) {
                Ok(found) => assert!(
                    found.as_deref() == value.as_deref(),
                    "{name}: {} has {:?} bytes, not {:?}",
                    crate::oracle::show(key),
                    found.as_ref().map(Vec::len),
                    value.as_ref().map(|value| value.len())
                ),
                Err(_) => noticed = true,
            }
        }
        let mut left = entries.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        let scan = typed("scan", keyspace.scan::<&[u8], _>(..));
        noticed |= scan.is_err();
        if let Ok(scan) = scan {
            for entry in scan {
                let Ok((key, value)) = typed("scan", entry) else {
                    noticed = true;
                    break;
                };
                let next = left.next();
                assert!(
                    next.is_some_and(|(left_key, left_value)| *left_key == key && **left_value == *value),
                    "{name}: {} is scanned, not {:?}",
                    crate::oracle::show(&key),
                    next.map(|(key, _)| crate::oracle::show(key))
                );
            }
        }
    }
    Noticed(noticed)
}

/// A quiet database with tables, segments with values, and a log that is not flushed.
fn quiet(seed: u64, closed: bool) -> (SimDisk, Notes) {
    let disk = SimDisk::new();
    let mut notes = Notes::default();
    let mut steps = steps(seed, &Mix { steps: 90, keys: 30, ..LONG });
    steps.push(crate::workload::Step::Sync);
    if closed {
        run(&tiny(), &steps, &disk, &mut notes).unwrap();
        return (disk.kill(), notes);
    }
    let mut runner = crate::workload::Runner::open(&tiny(), &disk).unwrap();
    for step in &steps {
        runner.step(step, &mut notes).unwrap();
    }
    (disk.kill(), notes)
}

/// Flips bits of every file: all of the first and last bytes, where the structure is, and many between.
fn flip(seed: u64, closed: bool, between: usize, is_excused: impl Fn(&Path, u64) -> bool) {
    let (disk, notes) = quiet(seed, closed);
    let expected = expected(&notes);
    assert_eq!(read_everything(&disk.kill(), &expected), Noticed(false), "an undamaged database");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut noticed: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for path in files(&disk) {
        let len = disk.contents(&path).unwrap().len() as u64;
        let mut offsets: Vec<u64> = (0..len.min(80)).chain(len.saturating_sub(70)..len).collect();
        offsets.extend((0..between).map(|_| rng.random_range(0..len.max(1))));
        for offset in offsets {
            if len == 0 || is_excused(&path, offset) {
                continue;
            }
            let bit = rng.random_range(0..8);
            let damaged = disk.kill();
            damaged.flip_bit(&path, offset, bit).unwrap();
            let read = || read_everything(&damaged, &expected);
            let Ok(Noticed(seen)) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)) else {
                panic!("GRANITE_SEED={seed}: bit {bit} of byte {offset} of {} ({len} B)", path.display());
            };
            let kind = path.extension().unwrap_or(path.file_name().unwrap()).to_string_lossy().into_owned();
            let counts = noticed.entry(kind).or_default();
            counts.0 += usize::from(seen);
            counts.1 += 1;
        }
    }
    println!("GRANITE_SEED={seed}: noticed of flipped {noticed:?}");
    for (kind, (seen, _)) in noticed {
        assert!(seen > 0, "no damage of {kind} was ever noticed: the test looks at nothing");
    }
}

/// If it fails, a bit that turned over in a closed database changes an answer, or is met with a panic.
#[test]
pub fn a_flipped_bit_in_a_closed_database_is_reported_or_changes_nothing() {
    let first = seed_or(500);
    let (lists, between) = if is_long() { (50, 4000) } else { (2, 60) };
    for seed in first..first + lists {
        flip(seed, true, between, |_, _| false);
    }
}

/// If it fails, a damaged last change of the manifest is taken for one that never happened: the tables it names are removed, and
/// the log that it gave up is missed or not.
#[test]
pub fn a_flipped_bit_in_the_manifest_of_a_killed_database_is_reported() {
    let first = seed_or(600);
    let (lists, between) = if is_long() { (50, 4000) } else { (6, 100) };
    for seed in first..first + lists {
        flip(seed, false, between, |path, _| !path.ends_with("MANIFEST"));
    }
}
