//! The replay of a whole log: segments whose checksums are right and whose fields are whatever the fuzzer likes, with damage on top.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use vfs::{OpenMode, Vfs};

use crate::coding::Decoder;
use crate::db::Db;
use crate::error::Error;
use crate::key::Seq;
use crate::keyspace::Keyspace;
use crate::log::format::{
    ALIGNMENT, Action, MAX_DATA_LEN, NO_KEYSPACE, Op, RECORD_HEADER_LEN, RecordHeader, SegmentHeader, SegmentKind,
};
use crate::log::segment::segment_path;
use crate::manifest::state::KeyspaceState;
use crate::manifest::{ManifestFile, ManifestState};
use crate::options::{Background, KeyspaceOptions, Options, RecoveryMode};

/// Inputs are cut after so many segments, so that one run stays short.
const SEGMENTS_MAX: usize = 12;

/// Writes the log that `bytes` describe, three times over into the empty disk `vfs`, and opens it in each mode.
///
/// # Panics
/// If the modes contradict each other, or a second open contradicts the first.
pub fn log(vfs: &Arc<dyn Vfs>, bytes: &[u8]) {
    let mut input = Script { input: Decoder::new(bytes), running: 1 };
    let state = input.state();
    let segments = input.segments(&state);
    let open = |mode, name| outcome(vfs, Path::new(name), &state, &segments, mode);
    let strict = open(RecoveryMode::Strict, "/strict");
    let tail = open(RecoveryMode::Tail, "/tail");
    let salvage = open(RecoveryMode::Salvage, "/salvage");
    if strict.is_some() {
        assert_eq!(strict, tail, "a log that ends cleanly is read differently in mode `tail`");
    }
    if let Some(tail) = &tail {
        assert_eq!(Some(tail), salvage.as_ref(), "an undamaged log is read differently in mode `salvage`");
    }
}

/// Keys with their values, in order.
type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// What a recovered database holds.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    seq: Seq,
    lost: usize,
    content: BTreeMap<String, Entries>,
}

/// `None` if the log is refused.
fn outcome(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    state: &ManifestState,
    segments: &BTreeMap<u64, Vec<u8>>,
    mode: RecoveryMode,
) -> Option<Outcome> {
    let written = write(vfs, dir, state, segments);
    assert!(written.is_ok(), "{written:?}");
    let options = Options::new()
        .vfs(Arc::clone(vfs))
        .create_if_missing(false)
        .memory_budget(1 << 20)
        .write_buffer(4096)
        .segment_len(4096)
        .background(Background::Inline)
        .recovery(mode);
    let db = match Db::open(dir, &options) {
        Ok(db) => db,
        Err(Error::Corrupt { .. }) => return None,
        Err(error) => refused(dir, &error),
    };
    let found = read(&db, dir);
    drop(db);
    if found.seq.plus(1) == Seq::MAX {
        // No sequence is left to go on with, which no database lives to see.
        return Some(found);
    }
    // What a recovery leaves needs no salvaging.
    match Db::open(dir, &options.recovery(RecoveryMode::Tail)) {
        Ok(db) => {
            let again = read(&db, dir);
            assert_eq!((found.seq, &found.content), (again.seq, &again.content), "a second open reads something else");
        }
        Err(error) => refused(dir, &error),
    }
    Some(found)
}

#[expect(clippy::panic, reason = "a fuzz target says that way what it found")]
fn refused(dir: &Path, error: &Error) -> ! {
    panic!("{}: {error}", dir.display())
}

fn read(db: &Db, dir: &Path) -> Outcome {
    let read = |name: String| {
        let keyspace: Keyspace = db.existing_keyspace(&name)?;
        let entries: Entries = keyspace.scan::<&[u8], _>(..)?.collect::<Result<_, Error>>()?;
        for (key, value) in &entries {
            assert_eq!(keyspace.get(key)?.as_ref(), Some(value), "a look-up contradicts the scan");
        }
        Ok((name, entries))
    };
    // Whatever a replay lets through is whole.
    match db.keyspace_names().into_iter().map(read).collect() {
        Ok(content) => Outcome { seq: db.seq(), lost: db.recovery().lost.len(), content },
        Err(error) => refused(dir, &error),
    }
}

fn write(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    state: &ManifestState,
    segments: &BTreeMap<u64, Vec<u8>>,
) -> crate::error::Result<()> {
    vfs.create_dir_all(dir).map_err(|error| Error::io("create", dir, error))?;
    ManifestFile::create(vfs, dir, state.clone())?;
    for (&number, bytes) in segments {
        let path = segment_path(dir, number);
        let written = vfs.open(&path, OpenMode::CreateNew).and_then(|file| file.write_at(0, bytes));
        written.map_err(|error| Error::io("write", &path, error))?;
    }
    Ok(())
}

/// Reads the description of a log. An end of the input reads as zeros.
struct Script<'a> {
    input: Decoder<'a>,
    /// The sequence that a log without surprises goes on with.
    running: u64,
}

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        self.input.u8().unwrap_or(0)
    }

    /// Mostly `near` or a little more, but anything is possible.
    fn number(&mut self, near: u64) -> u64 {
        match self.byte() {
            more @ 0..=127 => near.saturating_add(u64::from(more)),
            less @ 128..=191 => near.saturating_sub(u64::from(less) - 127),
            small @ 192..=231 => u64::from(small) - 192,
            large @ 232..=239 => u64::MAX - (u64::from(large) - 232),
            _ => self.input.u64().unwrap_or(0),
        }
    }

    fn state(&mut self) -> ManifestState {
        // A manifest has a checksum of its own, and the engine writes none that contradicts itself.
        let durable = Seq::new(self.number(0));
        let log_first_seq = Seq::new(self.number(1)).clamp(Seq::new(1), durable.plus(1));
        self.running = log_first_seq.get();
        let mut keyspaces = BTreeMap::new();
        for (id, name) in [(0, "a"), (1, "b")] {
            let options = KeyspaceOptions::new().separation_threshold(Some(16)).block_len(256);
            let persisted = Seq::new(self.number(0)).min(durable);
            keyspaces.insert(id, KeyspaceState { name: name.to_owned(), options, persisted, tables: BTreeMap::new() });
        }
        ManifestState {
            keyspaces,
            next_keyspace: 2,
            log_start: 1,
            log_first_seq,
            next_file: 1,
            durable,
            ..ManifestState::default()
        }
    }

    fn segments(&mut self, state: &ManifestState) -> BTreeMap<u64, Vec<u8>> {
        let mut segments = BTreeMap::new();
        let mut number = state.log_start;
        while !self.input.is_empty() && segments.len() < SEGMENTS_MAX {
            number = number.saturating_add(u64::from(self.byte() % 4));
            segments.insert(number, self.segment(number));
            number = number.saturating_add(1);
        }
        segments
    }

    fn segment(&mut self, number: u64) -> Vec<u8> {
        let incarnation = self.number(number);
        let header = SegmentHeader {
            kind: if self.byte() % 8 == 7 { SegmentKind::Values } else { SegmentKind::Log },
            number: self.number(number),
            incarnation,
            first_seq: Seq::new(self.number(self.running)),
            durable: Seq::new(self.number(0)),
            value_bytes: 0,
        };
        let mut file = header.encode().to_vec();
        loop {
            match self.byte() % 16 {
                // An end of the input ends the segment, too.
                0 => return file,
                1 => {
                    let len = usize::from(self.byte());
                    // No more is taken than there is, so that this cannot fail.
                    let raw = self.input.take(len.min(self.input.rest().len())).unwrap_or_default();
                    file.extend_from_slice(raw);
                }
                2 => {
                    let at = file.len().saturating_sub(1 + usize::from(self.byte()));
                    let bit = 1 << (self.byte() % 8);
                    if let Some(byte) = file.get_mut(at) {
                        *byte ^= bit;
                    }
                }
                3 => file.truncate(file.len().saturating_sub(usize::from(self.byte()))),
                4 => file.resize(file.len() + 8 * usize::from(self.byte()), 0),
                5 => file.resize(file.len().next_multiple_of(ALIGNMENT as usize), 0),
                _ => self.record(incarnation, &mut file),
            }
        }
    }

    fn record(&mut self, incarnation: u64, file: &mut Vec<u8>) {
        file.resize(file.len().next_multiple_of(ALIGNMENT as usize), 0);
        let (mut meta, mut data, mut op_count) = (Vec::new(), Vec::new(), 0u32);
        for _ in 0..self.byte() % 6 {
            let place = self.byte();
            let keyspace = match place % 8 {
                0..=3 => 0,
                4 | 5 => 1,
                6 => NO_KEYSPACE,
                _ => 2,
            };
            let key = [b'k', place >> 4];
            let len = usize::from(self.byte());
            let fill = vec![place; len];
            let end = [b'k', len as u8];
            let action = match self.byte() % 8 {
                0..=2 => Action::Put(&fill),
                3 | 4 => {
                    data.extend_from_slice(&fill);
                    Action::PutSeparated { len: len as u32, crc: crate::checksum::crc32c(&fill) }
                }
                5 => Action::PutSeparated { len: len as u32, crc: 7 },
                6 => Action::DeleteRange { end: &end },
                _ => Action::Delete,
            };
            Op { keyspace, key: &key, action }.encode(&mut meta);
            op_count += 1;
        }
        let first_seq = Seq::new(self.number(self.running));
        // 0 leaves the lengths and the count as they are.
        let lie = self.byte();
        let more = |bit: u8, number: u64| number.saturating_add(u64::from((lie >> bit) & 3));
        let header = RecordHeader {
            first_seq,
            durable: Seq::new(self.number(0)),
            op_count: more(0, u64::from(op_count)) as u32,
            meta_len: more(2, meta.len() as u64) as u32,
            meta_crc: crate::checksum::crc32c(&meta),
            data_len: if lie & 64 > 0 { self.number(data.len() as u64).min(MAX_DATA_LEN) } else { data.len() as u64 },
        };
        file.extend_from_slice(&header.encode(incarnation, file.len() as u64));
        debug_assert!(file.len() >= RECORD_HEADER_LEN);
        file.extend_from_slice(&meta);
        file.extend_from_slice(&data);
        file.resize(file.len().next_multiple_of(ALIGNMENT as usize), 0);
        self.running = header.end_seq().get();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        /// If it fails, the modes of recovery contradict each other over some log, or a recovery does not settle.
        #[test]
        fn all_modes_of_recovery_agree_on_any_log(
            head in prop::collection::vec(prop_oneof![4 => Just(0u8), 1 => any::<u8>()], 4),
            segments in prop::collection::vec((
                prop::collection::vec(prop_oneof![6 => Just(0u8), 1 => any::<u8>()], 6),
                prop::collection::vec(prop_oneof![
                    // Mostly records of up to two operations, which continue the sequence.
                    6 => (any::<[u8; 6]>(), prop_oneof![6 => Just([0; 2]), 1 => any::<[u8; 2]>()], 0..8u8).prop_map(|(ops, [seq, lie], durable)| {
                        let mut record = vec![6, 2];
                        record.extend(ops);
                        record.extend([seq, lie, durable]);
                        record
                    }),
                    1 => any::<[u8; 3]>().prop_map(|damage| damage.to_vec()),
                ], 0..6),
            ), 0..5),
        ) {
            let mut bytes = head;
            for (header, items) in segments {
                bytes.extend(header);
                bytes.extend(items.concat());
                bytes.push(0);
            }
            super::log(&(std::sync::Arc::new(vfs_sim::SimDisk::new()) as _), &bytes);
        }
    }
}
