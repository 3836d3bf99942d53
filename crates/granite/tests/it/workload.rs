//! Seeded lists of steps, and running them with a note of every promise.

use std::sync::Arc;

use granite::{Background, Db, Durability, Error, Keyspace, Options, WriteBatch};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use vfs_sim::SimDisk;

use crate::oracle::{NAMES, Notes, Op, Rejects, Value, key, keyspace_options};

#[derive(Debug, Clone)]
pub enum Step {
    Commit(Vec<(usize, Op)>, Durability),
    Sync,
    Flush,
    Compact(usize),
    Sweep(usize, Rejects),
    Create(usize),
    Drop(usize),
    Reopen,
}

/// Everything small, so that a few hundred writes set all machinery in motion.
pub fn tiny() -> Options {
    Options::new()
        .memory_budget(1 << 20)
        .write_buffer(10 << 10)
        .segment_len(8 << 10)
        .table_len(8 << 10)
        .log_len_max(64 << 10)
        .value_gc_share(0.7)
        .background(Background::Inline)
        .durability(Durability::Sync)
}

/// `GRANITE_SEED`, or `fallback`.
pub fn seed_or(fallback: u64) -> u64 {
    std::env::var("GRANITE_SEED").ok().map_or(fallback, |text| text.parse().expect("GRANITE_SEED is a number"))
}

/// True in the long mode.
pub fn is_long() -> bool {
    std::env::var_os("GRANITE_LONG").is_some()
}

pub fn value(rng: &mut StdRng) -> Value {
    let len = match rng.random_range(0..20) {
        0 => 0,
        1..=9 => rng.random_range(1..60),
        10..=17 => rng.random_range(60..700),
        18 => rng.random_range(700..3000),
        _ => rng.random_range(3000..12_000),
    };
    let mut value = vec![0; len];
    rng.fill_bytes(&mut value);
    // A half that can be compressed.
    let middle = len / 2;
    value[middle..].fill(b'z');
    value.into()
}

fn op(rng: &mut StdRng, slot: usize, keys: u32) -> Op {
    let number = rng.random_range(0..keys);
    match rng.random_range(0..20) {
        0..=10 => Op::Put(key(slot, number), value(rng)),
        11..=14 => Op::PutIfAbsent(key(slot, number), value(rng)),
        15..=18 => Op::Delete(key(slot, number)),
        _ => {
            let (a, b) = (key(slot, number), key(slot, rng.random_range(0..keys)));
            if a < b { Op::DeleteRange(a, b) } else { Op::Delete(a) }
        }
    }
}

pub struct Mix {
    pub steps: usize,
    pub keys: u32,
    /// One step in so many is none of the writes.
    pub maintenance: u32,
    pub reopen: bool,
}

/// Enough for flushes, compactions, rewrites of the manifest and recycled segments.
pub const LONG: Mix = Mix { steps: 420, keys: 60, maintenance: 9, reopen: true };

/// A list of steps that makes sense: keyspaces exist when they are used.
pub fn steps(seed: u64, mix: &Mix) -> Vec<Step> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut alive = [true, true, false];
    let mut steps = vec![Step::Create(0), Step::Create(1)];
    for _ in 0..mix.steps {
        let slots: Vec<usize> = (0..NAMES.len()).filter(|&slot| alive[slot]).collect();
        let slot = slots[rng.random_range(0..slots.len())];
        if rng.random_range(0..mix.maintenance) > 0 {
            let count = [1, 1, 1, 2, 5, 12][rng.random_range(0..6)];
            let ops = (0..count).map(|_| {
                let slot = slots[rng.random_range(0..slots.len())];
                (slot, op(&mut rng, slot, mix.keys))
            });
            let ops = ops.collect();
            let durability = if rng.random_bool(0.4) { Durability::Sync } else { Durability::Buffered };
            steps.push(Step::Commit(ops, durability));
            continue;
        }
        steps.push(match rng.random_range(0..16) {
            0..=4 => Step::Flush,
            5..=7 => Step::Compact(slot),
            8..=9 => {
                let modulus = rng.random_range(2..6);
                Step::Sweep(slot, Rejects { modulus, rest: rng.random_range(0..modulus) })
            }
            10..=11 => Step::Sync,
            12..=13 if mix.reopen => Step::Reopen,
            _ => {
                let slot = rng.random_range(1..NAMES.len());
                alive[slot] = !alive[slot];
                if alive[slot] { Step::Create(slot) } else { Step::Drop(slot) }
            }
        });
    }
    steps
}

/// A database under test, with its keyspaces by slot.
pub struct Runner {
    options: Options,
    db: Option<Db>,
    keyspaces: [Option<Keyspace>; 3],
}

impl Runner {
    pub fn open(options: &Options, disk: &SimDisk) -> Result<Self, Error> {
        let options = options.clone().vfs(Arc::new(disk.clone()));
        let mut runner = Self { options, db: None, keyspaces: [None, None, None] };
        runner.reopen()?;
        Ok(runner)
    }

    pub fn db(&self) -> &Db {
        self.db.as_ref().expect("the database is open")
    }

    pub fn reopen(&mut self) -> Result<(), Error> {
        self.keyspaces = [None, None, None];
        if let Some(db) = self.db.take() {
            db.close()?;
        }
        let db = Db::open("/db", &self.options)?;
        for (slot, name) in NAMES.iter().enumerate() {
            self.keyspaces[slot] = db.existing_keyspace(name).ok();
        }
        self.db = Some(db);
        Ok(())
    }

    fn keyspace(&self, slot: usize) -> &Keyspace {
        self.keyspaces[slot].as_ref().expect("the keyspace exists")
    }

    pub fn commit(&self, ops: &[(usize, Op)], durability: Durability, notes: &mut Notes) -> Result<(), Error> {
        let mut batch = WriteBatch::new();
        for (slot, op) in ops {
            let keyspace = self.keyspace(*slot);
            match op {
                Op::Put(key, value) => batch.put(keyspace, key, value),
                Op::PutIfAbsent(key, value) => batch.put_if_absent(keyspace, key, value),
                Op::Delete(key) => batch.delete(keyspace, key),
                Op::DeleteRange(start, end) => batch.delete_range(keyspace, start, end),
            }
        }
        notes.abandon();
        let (absent, left) = notes.decide(ops);
        let last = notes.begin_commit(ops, left);
        let committed = self.db().write(batch, durability)?;
        assert_eq!(committed.was_absent, absent, "which keys were new");
        assert_eq!(committed.seq.get(), last, "the sequence of the batch");
        notes.done(durability == Durability::Sync);
        Ok(())
    }

    /// Runs one step and notes what it promises.
    pub fn step(&mut self, step: &Step, notes: &mut Notes) -> Result<(), Error> {
        match step {
            Step::Commit(ops, durability) => self.commit(ops, *durability, notes)?,
            Step::Sync => {
                self.db().sync()?;
                notes.abandon();
                notes.done(true);
            }
            Step::Flush => {
                self.db().flush()?;
                notes.abandon();
                notes.done(true);
            }
            Step::Compact(slot) => self.keyspace(*slot).compact()?,
            Step::Sweep(slot, rejects) => {
                let rejects = *rejects;
                let bound = self.db().seq();
                notes.begin_sweep(notes.lives[slot], bound.get(), rejects);
                self.keyspace(*slot).sweep(bound, move |key| !rejects.rejects(key))?;
                notes.done(false);
            }
            Step::Create(slot) => {
                notes.begin_create(*slot);
                self.keyspaces[*slot] = Some(self.db().keyspace(NAMES[*slot], keyspace_options(*slot))?);
                notes.done_lives();
            }
            Step::Drop(slot) => {
                notes.begin_drop(*slot);
                self.db().drop_keyspace(NAMES[*slot])?;
                self.keyspaces[*slot] = None;
                notes.done_lives();
            }
            Step::Reopen => {
                self.reopen()?;
                notes.done(true);
            }
        }
        Ok(())
    }
}

/// Opens a database and runs the steps.
pub fn run(options: &Options, steps: &[Step], disk: &SimDisk, notes: &mut Notes) -> Result<(), Error> {
    let mut runner = Runner::open(options, disk)?;
    for step in steps {
        runner.step(step, notes)?;
    }
    Ok(())
}

/// Writes small values under long keys and overwrites most of them: of a segment with the rest, most is keys and headers.
#[test]
fn collecting_small_values_under_long_keys_comes_to_an_end() {
    use granite::KeyspaceOptions;
    let db = Db::open("/db", &tiny().vfs(Arc::new(SimDisk::new()))).unwrap();
    let keyspace = db.keyspace("k", KeyspaceOptions::new().separation_threshold(Some(20))).unwrap();
    let key = |number: u32| [format!("{number:03}").as_bytes(), &[b'x'; 500]].concat();
    for round in 0..3u8 {
        for number in (0..60).filter(|number| round == 0 || number % 5 > 0) {
            keyspace.put(&key(number), &[round; 30]).unwrap();
        }
        keyspace.compact().unwrap();
    }
    db.wait_for_background().unwrap();
    for number in 0..60 {
        let round = if number % 5 > 0 { 2 } else { 0 };
        assert_eq!(keyspace.get(&key(number)).unwrap().unwrap(), [round; 30]);
    }
}
