//! A model of the database that knows what a crash may leave.
//!
//! Every operation has a sequence number, so a recovered database says itself which prefix of the commits it claims to hold:
//! [`Db::seq`]. The model checks that this prefix ends at the border of a batch, that it holds everything that was
//! promised, and that every way of reading gives exactly the content that the prefix leads to.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use granite::{Db, Keyspace, KeyspaceOptions, Options};

/// The keyspaces of a test, by place.
pub const NAMES: [&str; 3] = ["plain", "hashed", "tiered"];

pub fn keyspace_options(slot: usize) -> KeyspaceOptions {
    use granite::{Codec, CompactionPolicy, FilterPolicy, KeyLayout};
    let small = KeyspaceOptions::new().block_len(512).separation_threshold(Some(100));
    match slot {
        0 => small,
        1 => small.key_layout(KeyLayout::Hash { width: 8 }).codec(Codec::None).separation_threshold(Some(64)),
        _ => small
            .compaction(CompactionPolicy::Tiered)
            .codec(Codec::Zstd { level: 1 })
            .filter(FilterPolicy::None)
            .separation_threshold(None),
    }
}

/// The key of a number in a keyspace. Some are long, so that tables' bounds fill the manifest.
pub fn key(slot: usize, number: u32) -> Vec<u8> {
    match slot {
        1 => (u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes().to_vec(),
        _ if number % 4 == 3 => [format!("k{number:04}").as_bytes(), &[b'x'; 1500]].concat(),
        _ => format!("k{number:04}").into_bytes(),
    }
}

pub type Value = Arc<[u8]>;

#[derive(Debug, Clone)]
pub enum Op {
    Put(Vec<u8>, Value),
    PutIfAbsent(Vec<u8>, Value),
    Delete(Vec<u8>),
    DeleteRange(Vec<u8>, Vec<u8>),
}

/// What a sweep rejects: keys whose hash has this rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejects {
    pub modulus: u32,
    pub rest: u32,
}

impl Rejects {
    pub fn rejects(self, key: &[u8]) -> bool {
        let hash = key.iter().fold(7u32, |hash, &byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
        hash % self.modulus == self.rest
    }
}

/// One life of a keyspace: a dropped one that is created again begins anew.
pub type Life = usize;

#[derive(Debug, Clone)]
enum Event {
    Commit { last: u64, ops: Vec<(Life, Op)> },
    Sweep { life: Life, bound: u64, rejects: Rejects },
}

/// Content of one keyspace: the version's sequence, and the value.
pub type Content = BTreeMap<Vec<u8>, (u64, Value)>;

/// Keys that a sweep under way may or may not have taken.
type Doubtful = BTreeMap<Life, BTreeSet<Vec<u8>>>;

/// What was done, and what was promised about it.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    events: Vec<Event>,
    /// The last event was begun, but its call has not returned `Ok`.
    in_flight: bool,
    /// Every commit up to this sequence must survive a loss of power.
    pub synced: u64,
    /// Every commit up to this one was acknowledged.
    pub acked: u64,
    pub content: BTreeMap<Life, Content>,
    /// The lives that exist, by slot.
    pub lives: BTreeMap<usize, Life>,
    /// The lives that exist if the keyspace creation or removal that is under way has happened.
    lives_next: Option<BTreeMap<usize, Life>>,
    lives_count: usize,
    keys: BTreeSet<(usize, Vec<u8>)>,
}

impl Notes {
    pub fn last(&self) -> u64 {
        let commits = self.events.iter().rev().filter_map(|event| match event {
            Event::Commit { last, .. } => Some(*last),
            Event::Sweep { .. } => None,
        });
        commits.max().unwrap_or(0)
    }

    /// Which `put_if_absent` of `ops` finds its key absent, and the operations that are left to be written.
    pub fn decide(&self, ops: &[(usize, Op)]) -> (Vec<bool>, Vec<(Life, Op)>) {
        let mut content: BTreeMap<Life, Content> = BTreeMap::new();
        let (mut absent, mut left) = (Vec::new(), Vec::new());
        for (slot, op) in ops {
            let life = self.lives[slot];
            let here = content.entry(life).or_insert_with(|| self.content.get(&life).cloned().unwrap_or_default());
            if let Op::PutIfAbsent(key, _) = op {
                absent.push(!here.contains_key(key));
                if !absent[absent.len() - 1] {
                    continue;
                }
            }
            apply(here, op, 0);
            left.push((life, op.clone()));
        }
        (absent, left)
    }

    /// Notes a commit that is about to be tried, with operations from [`Notes::decide`].
    pub fn begin_commit(&mut self, ops: &[(usize, Op)], left: Vec<(Life, Op)>) -> u64 {
        self.abandon();
        for (slot, op) in ops {
            match op {
                Op::Put(key, _) | Op::PutIfAbsent(key, _) | Op::Delete(key) => {
                    self.keys.insert((*slot, key.clone()));
                }
                Op::DeleteRange(..) => {}
            }
        }
        let last = self.last() + left.len() as u64;
        if !left.is_empty() {
            self.events.push(Event::Commit { last, ops: left });
            self.in_flight = true;
        }
        last
    }

    /// Every key that was ever written in a slot.
    pub fn keys_of(&self, slot: usize) -> impl Iterator<Item = &[u8]> {
        self.keys.iter().filter(move |(of, _)| *of == slot).map(|(_, key)| key.as_slice())
    }

    pub fn begin_sweep(&mut self, life: Life, bound: u64, rejects: Rejects) {
        self.abandon();
        self.events.push(Event::Sweep { life, bound, rejects });
        self.in_flight = true;
    }

    /// The call returned `Ok`.
    pub fn done(&mut self, durable: bool) {
        if self.in_flight {
            let mut content = std::mem::take(&mut self.content);
            replay(&self.events[self.events.len() - 1..], u64::MAX, &mut content);
            self.content = content;
            self.in_flight = false;
        }
        self.acked = self.last();
        if durable {
            self.synced = self.acked;
        }
    }

    /// The call returned an error that promises that nothing happened, or another call succeeded since.
    pub fn abandon(&mut self) {
        if self.in_flight {
            self.events.pop();
            self.in_flight = false;
        }
    }

    pub fn begin_create(&mut self, slot: usize) {
        let mut next = self.lives.clone();
        next.insert(slot, self.lives_count);
        self.lives_count += 1;
        self.lives_next = Some(next);
    }

    pub fn begin_drop(&mut self, slot: usize) {
        let mut next = self.lives.clone();
        next.remove(&slot);
        self.lives_next = Some(next);
    }

    pub fn done_lives(&mut self) {
        if let Some(next) = self.lives_next.take() {
            self.lives = next;
        }
    }

    pub fn abandon_lives(&mut self) {
        self.lives_next = None;
    }

    /// Content after the commits up to `seq`, and the keys that a sweep under way may or may not have taken.
    fn at(&self, seq: u64) -> (BTreeMap<Life, Content>, Doubtful) {
        let mut content = BTreeMap::new();
        let mut doubtful = Doubtful::new();
        let mut events = self.events.as_slice();
        if self.in_flight
            && let Some((Event::Sweep { life, bound, rejects }, before)) = self.events.split_last()
        {
            events = before;
            replay(events, seq, &mut content);
            let swept = content.get(life).into_iter().flatten();
            let swept = swept.filter(|(key, (written, _))| written <= bound && rejects.rejects(key));
            doubtful.insert(*life, swept.map(|(key, _)| key.clone()).collect());
            return (content, doubtful);
        }
        replay(events, seq, &mut content);
        (content, doubtful)
    }

    /// What each slot's keyspace holds if the commits with these sequence numbers had never been.
    pub fn content_without(&self, lost: std::ops::Range<u64>) -> BTreeMap<usize, Content> {
        let is_kept = |event: &&Event| !matches!(event, Event::Commit { last, .. } if lost.contains(last));
        let events: Vec<Event> = self.events.iter().filter(is_kept).cloned().collect();
        let mut content = BTreeMap::new();
        replay(&events, u64::MAX, &mut content);
        self.lives.iter().map(|(&slot, life)| (slot, content.remove(life).unwrap_or_default())).collect()
    }

    /// The state was found by an open that succeeded: from now on it is what must survive.
    pub fn settled_at(&self, seq: u64) -> Self {
        let mut notes = self.clone();
        notes.synced = seq;
        notes
    }

    /// Checks what a reopened database says against what may be left, and gives back its sequence.
    ///
    /// `required` is the sequence up to which everything must be there.
    pub fn check(&self, db: &Db, required: u64) -> u64 {
        let seq = db.seq().get();
        assert!(seq >= required, "operations up to {required} were promised, the database ends at {seq}");
        let is_border =
            seq == 0 || self.events.iter().any(|event| matches!(event, Event::Commit { last, .. } if *last == seq));
        assert!(is_border, "sequence {seq} is not the end of a batch; the last is {}", self.last());
        let found: BTreeSet<String> = db.keyspace_names().into_iter().collect();
        let names = |lives: &BTreeMap<usize, Life>| lives.keys().map(|&slot| NAMES[slot].to_owned()).collect();
        let here: BTreeSet<String> = names(&self.lives);
        let next: Option<BTreeSet<String>> = self.lives_next.as_ref().map(names);
        assert!(found == here || next == Some(found.clone()), "keyspaces {found:?}, not {here:?} or {next:?}");
        let lives = if found == here { &self.lives } else { self.lives_next.as_ref().unwrap() };
        let (content, doubtful) = self.at(seq);
        for (slot, life) in lives {
            let keyspace = db.existing_keyspace(NAMES[*slot]).unwrap();
            let expected = content.get(life).cloned().unwrap_or_default();
            let doubtful = doubtful.get(life).cloned().unwrap_or_default();
            check_keyspace(&keyspace, &expected, &doubtful, self.keys_of(*slot));
        }
        seq
    }
}

fn apply(content: &mut Content, op: &Op, seq: u64) {
    match op {
        Op::Put(key, value) | Op::PutIfAbsent(key, value) => {
            content.insert(key.clone(), (seq, Arc::clone(value)));
        }
        Op::Delete(key) => {
            content.remove(key);
        }
        Op::DeleteRange(start, end) => content.retain(|key, _| key < start || key >= end),
    }
}

fn replay(events: &[Event], until: u64, content: &mut BTreeMap<Life, Content>) {
    for event in events {
        match event {
            Event::Commit { last, ops } if *last <= until => {
                let first = last + 1 - ops.len() as u64;
                for (seq, (life, op)) in (first..).zip(ops) {
                    apply(content.entry(*life).or_default(), op, seq);
                }
            }
            Event::Sweep { life, bound, rejects } => {
                if let Some(content) = content.get_mut(life) {
                    content.retain(|key, (written, _)| *written > *bound || !rejects.rejects(key));
                }
            }
            Event::Commit { .. } => {}
        }
    }
}

/// Reads a keyspace in every way. A doubtful key may be absent, but then everywhere.
pub fn check_keyspace<'a>(
    keyspace: &Keyspace,
    content: &Content,
    doubtful: &BTreeSet<Vec<u8>>,
    keys: impl Iterator<Item = &'a [u8]>,
) {
    let name = keyspace.name().to_owned();
    let mut expected: BTreeMap<Vec<u8>, Value> = BTreeMap::new();
    for (key, (_, value)) in content {
        let found = keyspace.get(key).unwrap();
        if found.is_none() && doubtful.contains(key) {
            continue;
        }
        let found = found.unwrap_or_else(|| panic!("{name}: the key {} is gone", show(key)));
        assert!(*found == **value, "{name}: the value of {} is another", show(key));
        expected.insert(key.clone(), Arc::clone(value));
    }
    for key in keys.filter(|key| !expected.contains_key(*key)) {
        assert!(keyspace.get(key).unwrap().is_none(), "{name}: the key {} is back", show(key));
    }
    walk(keyspace, &expected, &Bound::Unbounded, &Bound::Unbounded);
    let bounds: Vec<&Vec<u8>> = expected.keys().step_by(expected.len() / 2 + 1).collect();
    for lower in &bounds {
        walk(keyspace, &expected, &Bound::Included(lower.to_vec()), &Bound::Unbounded);
        walk(keyspace, &expected, &Bound::Unbounded, &Bound::Excluded(lower.to_vec()));
    }
}

/// Walks both ways between bounds and compares.
pub fn walk(keyspace: &Keyspace, expected: &BTreeMap<Vec<u8>, Value>, lower: &Bound<Vec<u8>>, upper: &Bound<Vec<u8>>) {
    let bounds = (lower.as_ref().map(Vec::as_slice), upper.as_ref().map(Vec::as_slice));
    let within: Vec<(&[u8], &[u8])> =
        expected.range::<[u8], _>(bounds).map(|(key, value)| (key.as_slice(), &**value)).collect();
    let range = (lower.clone(), upper.clone());
    let forward: Vec<(Vec<u8>, Vec<u8>)> =
        keyspace.scan::<Vec<u8>, _>(range.clone()).unwrap().collect::<Result<_, _>>().unwrap();
    let name = keyspace.name();
    assert_eq!(forward.len(), within.len(), "{name}: another number of entries forward");
    for ((key, value), (expected_key, expected_value)) in forward.iter().zip(&within) {
        assert!(key == expected_key && value == expected_value, "{name}: {} is read forward", show(key));
    }
    let mut backward = keyspace.scan::<Vec<u8>, _>(range).unwrap();
    backward.seek_to_last().unwrap();
    for (key, value) in within.iter().rev() {
        assert!(backward.valid(), "{name}: the walk back ends before {}", show(key));
        assert!(backward.key() == *key, "{name}: {} is read backward", show(backward.key()));
        assert!(backward.value().unwrap() == *value, "{name}: the value of {} backward", show(key));
        backward.prev().unwrap();
    }
    assert!(!backward.valid(), "{name}: {} is read backward and not forward", show(backward.key()));
}

pub fn show(key: &[u8]) -> String {
    key.escape_ascii().to_string().chars().take(24).collect()
}

/// All entries of a database, by keyspace.
pub type Dump = BTreeMap<String, Vec<(Vec<u8>, Vec<u8>)>>;

/// All content of a database, for comparing two openings.
pub fn dump(db: &Db) -> Dump {
    try_dump(db).unwrap()
}

/// As [`dump`], where the power may fail meanwhile.
pub fn try_dump(db: &Db) -> granite::Result<Dump> {
    let read = |name: String| {
        let keyspace = db.existing_keyspace(&name)?;
        let entries = keyspace.scan::<&[u8], _>(..)?.collect::<Result<_, _>>()?;
        Ok((name, entries))
    };
    db.keyspace_names().into_iter().map(read).collect()
}

/// The promised content is there after a restart. Returns the sequence of the recovered state.
pub fn check_restart(options: &Options, disk: &vfs_sim::SimDisk, notes: &Notes, required: u64) -> u64 {
    let opened = Db::open("/db", &options.clone().vfs(Arc::new(disk.clone())));
    let db = opened.unwrap_or_else(|error| panic!("the open after the crash: {error}"));
    notes.check(&db, required)
}

/// What a restart does, and what follows: the promised content is there, stays there when it is opened once more, and writes go on.
///
/// Returns the sequence of the recovered state.
pub fn check_recovery(options: &Options, disk: &vfs_sim::SimDisk, notes: &Notes, required: u64) -> u64 {
    let options = options.clone().vfs(Arc::new(disk.clone()));
    let open = |what: &str| Db::open("/db", &options).unwrap_or_else(|error| panic!("{what}: {error}"));
    let db = open("the first open after the crash");
    let seq = notes.check(&db, required);
    let first = dump(&db);
    drop(db);
    let db = open("the second open after the crash");
    assert_eq!(db.seq().get(), seq, "a second open ends elsewhere");
    assert!(dump(&db) == first, "a second open reads something else");
    let keyspace = db.keyspace("after", KeyspaceOptions::new().separation_threshold(Some(100))).unwrap();
    keyspace.put(b"small", b"1").unwrap();
    keyspace.put(b"large", &[7; 500]).unwrap();
    db.flush().unwrap();
    keyspace.put(b"last", b"2").unwrap();
    let left = disk.crash(vfs_sim::Crash::Nothing);
    drop((db, keyspace));
    let options = options.vfs(Arc::new(left));
    let db = Db::open("/db", &options).unwrap_or_else(|error| panic!("the open after a second crash: {error}"));
    let mut last = dump(&db);
    let after = last.remove("after").unwrap();
    assert_eq!(after.len(), 3, "synced writes after the recovery are gone");
    let mut first = first;
    first.remove("after");
    assert!(last == first, "writes after the recovery changed what was recovered");
    seq
}
