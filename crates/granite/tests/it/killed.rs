//! Bits that turn over in the files of a database whose process was killed: each flip has one right outcome, which the layout of the log tells.
//!
//! `docs/design/0001-where-a-log-ends.md` says what cannot be noticed: damage of a record that nothing else on the disk says was durable.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use granite::inspect::{self, SegmentItem, SegmentKind};
use granite::{Db, Durability, Error, RecoveryMode};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use vfs_sim::SimDisk;

use crate::damage::{Noticed, expected, files, read_everything};
use crate::oracle::{NAMES, Notes, Op, check_keyspace, key};
use crate::workload::{LONG, Mix, Runner, Step, is_long, seed_or, steps, tiny};

/// A record that a recovery reads.
#[derive(Debug, Clone)]
struct Record {
    path: PathBuf,
    bytes: Range<u64>,
    /// Its sequence numbers.
    seqs: Range<u64>,
    /// What it says was durable before it.
    claim: u64,
}

/// Where the log is, as the undamaged files tell.
#[derive(Debug, Default)]
struct Layout {
    records: Vec<Record>,
    /// Headers of log segments, with what they say was durable.
    headers: BTreeMap<PathBuf, u64>,
    manifest_claim: u64,
    /// Up to here every keyspace has its entries in tables.
    persisted: u64,
}

impl Layout {
    fn of(disk: &SimDisk) -> Self {
        let dir = tempfile::tempdir().unwrap();
        disk.export(dir.path()).unwrap();
        let real = |path: &Path| dir.path().join(path.strip_prefix("/").unwrap());
        let manifest = inspect::manifest(real(Path::new("/db/MANIFEST"))).unwrap();
        let sealed = |number: u64| manifest.segments.iter().any(|(of, _)| *of == number);
        let mut layout = Self {
            manifest_claim: manifest.durable.get(),
            persisted: manifest.keyspaces.iter().map(|keyspace| keyspace.persisted.get()).max().unwrap_or(0),
            ..Self::default()
        };
        let mut next = manifest.log_first_seq.get();
        for path in files(disk).into_iter().filter(|path| path.extension().is_some_and(|of| of == "seg")) {
            let dump = inspect::segment(real(&path)).unwrap();
            let number = dump.number.unwrap_or(0);
            if dump.kind != Some(SegmentKind::Log) || number < manifest.log_start || sealed(number) {
                continue;
            }
            layout.headers.insert(path.clone(), dump.durable.unwrap().get());
            for item in dump.into_records() {
                let SegmentItem::Record(record) = item.unwrap() else { continue };
                let first = record.first_seq.get();
                if first == next {
                    next += u64::from(record.operation_count);
                    layout.records.push(Record {
                        path: path.clone(),
                        bytes: record.offset..record.offset + record.len,
                        seqs: first..next,
                        claim: record.durable.get(),
                    });
                }
            }
        }
        layout
    }

    /// The record that `offset` lies in.
    fn hit(&self, path: &Path, offset: u64) -> Option<&Record> {
        self.records.iter().find(|record| record.path == path && record.bytes.contains(&offset))
    }

    /// The newest sequence that something besides `damaged` says was durable.
    fn promised_without(&self, damaged: &Record) -> u64 {
        let others = self.records.iter().filter(|record| record.seqs.start != damaged.seqs.start);
        let claims = others.map(|record| record.claim).chain(self.headers.values().copied());
        claims.max().unwrap_or(0).max(self.manifest_claim)
    }
}

/// What became of the flips.
#[derive(Debug, Default)]
struct Outcomes {
    refused: u32,
    dropped_unsynced: u32,
    /// What decision 0001 says cannot be told from a torn tail.
    dropped_synced: u32,
    harmless: u32,
    elsewhere_noticed: u32,
    elsewhere: u32,
    repaired: u32,
}

struct Killed {
    disk: SimDisk,
    notes: Notes,
    layout: Layout,
    outcomes: Outcomes,
}

impl Killed {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new();
        let mut notes = Notes::default();
        let mut steps = steps(seed, &Mix { steps: 90, keys: 30, ..LONG });
        // Otherwise some of what was acknowledged was never promised to survive a loss of power.
        if seed.is_multiple_of(2) {
            let put = |number: u32| vec![(0, Op::Put(key(0, number), vec![7; 150].into()))];
            steps.extend([1, 2].map(|number| Step::Commit(put(number), Durability::Sync)));
        }
        let mut runner = Runner::open(&tiny(), &disk).unwrap();
        for step in &steps {
            runner.step(step, &mut notes).unwrap();
        }
        let disk = disk.kill();
        // The system has written back what it had cached: a flip in a page that it is yet to write would not last.
        disk.settle();
        let layout = Layout::of(&disk);
        let last = layout.records.last().map_or(layout.manifest_claim, |record| record.seqs.end - 1);
        assert!(last <= notes.acked && notes.acked <= last.max(layout.persisted), "the layout is misread: {layout:?}");
        Self { disk, notes, layout, outcomes: Outcomes::default() }
    }

    fn open(disk: &SimDisk, mode: RecoveryMode) -> granite::Result<Db> {
        let options = tiny().vfs(Arc::new(disk.clone())).manual_compaction_only(true).recovery(mode);
        Db::open("/db", &options)
    }

    /// A flip in the log: refused, or the record is gone that it lies in and what follows, which nothing promised.
    fn log(&mut self, damaged: &SimDisk, path: &Path, offset: u64) {
        let record = self.layout.hit(path, offset).cloned();
        let tail = Self::open(&damaged.kill(), RecoveryMode::Tail);
        let Some(record) = record else {
            if offset < 64 && self.layout.records.iter().any(|record| record.path == path) {
                assert!(matches!(tail, Err(Error::Corrupt { .. })), "a damaged header of a segment is not noticed");
                self.outcomes.refused += 1;
                return;
            }
            // A header of an empty segment, or room that no record takes yet.
            match tail {
                Ok(db) => assert_eq!(self.notes.check(&db, self.notes.acked), self.notes.acked),
                Err(Error::Corrupt { .. }) if offset < 64 => {}
                Err(error) => panic!("a flip where nothing stands: {error}"),
            }
            self.outcomes.harmless += 1;
            return;
        };
        let is_promised = self.layout.promised_without(&record) >= record.seqs.start;
        match tail {
            Err(Error::Corrupt { .. }) => {
                assert!(is_promised, "what nothing promised is refused");
                self.outcomes.refused += 1;
            }
            Err(error) => panic!("damage is reported as something else: {error}"),
            Ok(db) => {
                let seq = db.seq().get();
                if seq >= self.notes.acked {
                    assert!(record.bytes.end - offset < 8, "a flip in {record:?} changes nothing");
                    self.notes.check(&db, self.notes.acked);
                    self.outcomes.harmless += 1;
                    return;
                }
                assert!(!is_promised, "a promised record is dropped in silence");
                assert_eq!(seq, record.seqs.start - 1, "more is dropped than the record and what follows it");
                self.notes.check(&db, seq);
                if self.notes.synced > seq {
                    let others = self.layout.records.iter().filter(|other| other.seqs.start > record.seqs.start);
                    assert_eq!(others.count(), 0, "a synced record that is not the last one is dropped");
                    self.outcomes.dropped_synced += 1;
                } else {
                    self.outcomes.dropped_unsynced += 1;
                }
            }
        }
        self.salvage(damaged, &record, is_promised);
    }

    /// The same flip in mode `salvage`: the loss is that record, and is listed.
    fn salvage(&self, damaged: &SimDisk, record: &Record, is_promised: bool) {
        let db = Self::open(&damaged.kill(), RecoveryMode::Salvage).unwrap();
        let lost: Vec<Range<u64>> = db
            .recovery()
            .lost
            .iter()
            .map(|lost| lost.first.get()..lost.last.expect("how much is lost is known here").get() + 1)
            .collect();
        if !is_promised {
            assert!(lost.is_empty(), "a torn tail is reported as a loss: {lost:?}");
            assert_eq!(db.seq().get(), record.seqs.start - 1);
            return;
        }
        assert_eq!(lost, std::slice::from_ref(&record.seqs), "another loss is reported");
        if record.seqs.start <= self.layout.persisted {
            // Tables hold some of it: each answer is the full one, the one without, or an error.
            let (full, without) = (self.notes.content_without(0..0), self.notes.content_without(record.seqs.clone()));
            for (slot, content) in &full {
                let keyspace = db.existing_keyspace(NAMES[*slot]).unwrap();
                for known in self.notes.keys_of(*slot) {
                    match keyspace.get(known) {
                        Err(Error::Corrupt { .. }) => {}
                        Err(error) => panic!("damage is reported as something else: {error}"),
                        Ok(found) => {
                            let is = |content: Option<&crate::oracle::Content>| {
                                let value = content.and_then(|content| content.get(known)).map(|(_, value)| &**value);
                                value == found.as_deref()
                            };
                            assert!(is(Some(content)) || is(without.get(slot)), "a wrong answer");
                        }
                    }
                }
            }
            return;
        }
        for (slot, content) in self.notes.content_without(record.seqs.clone()) {
            let keyspace = db.existing_keyspace(NAMES[slot]).unwrap();
            check_keyspace(&keyspace, &content, &Default::default(), self.notes.keys_of(slot));
        }
    }

    fn flip(&mut self, path: &Path, offset: u64, bit: u8, repair: bool) {
        let damaged = self.disk.kill();
        damaged.flip_bit(path, offset, bit).unwrap();
        if self.layout.headers.contains_key(path) {
            self.log(&damaged, path, offset);
        } else {
            let Noticed(seen) = read_everything(&damaged.kill(), &expected(&self.notes));
            self.outcomes.elsewhere += 1;
            self.outcomes.elsewhere_noticed += u32::from(seen);
        }
        if repair {
            granite::repair("/db", &tiny().vfs(Arc::new(damaged.clone()))).unwrap();
            let db = Self::open(&damaged, RecoveryMode::Tail).unwrap();
            // Whatever is left can be read.
            crate::oracle::dump(&db);
            self.outcomes.repaired += 1;
        }
    }
}

/// If it fails, a bit that turned over in a killed database changes an answer, is met with a panic, or takes more with it than the record it
/// lies in; or something is lost in silence that the disk says was durable.
#[test]
fn a_flipped_bit_in_a_killed_database_has_the_one_right_outcome() {
    let first = seed_or(700);
    let (lists, between) = if is_long() { (40, 1500) } else { (4, 60) };
    let mut total = [0; 7];
    for seed in first..first + lists {
        let mut killed = Killed::new(seed);
        let mut rng = StdRng::seed_from_u64(seed);
        for path in files(&killed.disk) {
            let len = killed.disk.contents(&path).unwrap().len() as u64;
            let mut offsets: Vec<u64> = (0..between).map(|_| rng.random_range(0..len.max(1))).collect();
            let records = killed.layout.records.iter().filter(|record| record.path == path);
            // Headers and operations are small beside the values.
            offsets.extend(records.flat_map(|record| {
                let head = (record.bytes.end - record.bytes.start).min(80);
                [rng.random_range(0..head), rng.random_range(0..head)].map(|at| record.bytes.start + at)
            }));
            if let Some(last) = killed.layout.records.last().filter(|record| record.path == path) {
                offsets.extend(last.bytes.clone().take(60));
            }
            for offset in offsets.into_iter().filter(|offset| *offset < len) {
                let (bit, repair) = (rng.random_range(0..8), rng.random_range(0..6) == 0);
                let flip = || killed.flip(&path, offset, bit, repair);
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(flip)).is_err() {
                    panic!("GRANITE_SEED={seed}: bit {bit} of byte {offset} of {} ({len} B)", path.display());
                }
            }
        }
        let found = &killed.outcomes;
        println!("GRANITE_SEED={seed}: {found:?}");
        let counts = [
            found.refused,
            found.dropped_unsynced,
            found.dropped_synced,
            found.harmless,
            found.elsewhere_noticed,
            found.elsewhere,
            found.repaired,
        ];
        total.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
    }
    assert!(total.iter().all(|count| *count > 0) || lists < 4, "an outcome never came about: {total:?}");
}
