//! Both buffers against an ordered map, and readers beside a writer.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;

use proptest::prelude::*;

use super::*;
use crate::key::Kind;

type Internal = (Vec<u8>, Reverse<Trailer>);
type Oracle = BTreeMap<Internal, Vec<u8>>;

const CASES: u32 = if cfg!(miri) { 4 } else { 256 };
const ENTRIES_MAX: usize = if cfg!(miri) { 25 } else { 300 };

/// Keys that collide, share prefixes of every length around 8, are prefixes of each other, or lie at the ends.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(prop::sample::select(vec![0u8, 1, b'a', 0xff]), 1..4),
        3 => prop::collection::vec(prop::sample::select(vec![0u8, b'x', 0xff]), 0..4)
            .prop_map(|tail| [b"shared".as_slice(), &tail].concat()),
        1 => prop::collection::vec(any::<u8>(), 1..40),
        1 => Just(vec![0xff; 9]),
        1 => Just(vec![0; 8]),
    ]
}

fn seq() -> impl Strategy<Value = Seq> {
    prop_oneof![(0u64..40).prop_map(Seq::new), Just(Seq::MAX)]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Delete, Kind::Inline, Kind::Separated])
}

fn entries() -> impl Strategy<Value = Vec<(Vec<u8>, Seq, Kind, Vec<u8>)>> {
    prop::collection::vec((key(), seq(), kind(), prop::collection::vec(any::<u8>(), 0..20)), 0..ENTRIES_MAX).prop_map(
        |mut entries| {
            let mut seen = std::collections::HashSet::new();
            entries.retain(|(key, seq, ..)| seen.insert((key.clone(), *seq)));
            entries
        },
    )
}

/// The two buffers with these entries in this order, and what they must hold.
fn build(entries: &[(Vec<u8>, Seq, Kind, Vec<u8>)], shared: &[u8]) -> (Oracle, [Buffer; 2]) {
    let memtable = Memtable::with_shared_prefix(7, shared);
    let mut run = SortedRunBuilder::new();
    let mut oracle = Oracle::new();
    for batch in entries.chunks(5) {
        let mut writer = memtable.writer();
        for (key, seq, kind, value) in batch {
            let trailer = Trailer::new(*seq, *kind);
            writer.insert(key, trailer, value);
            run.push(key, trailer, value);
            oracle.insert((key.clone(), Reverse(trailer)), value.clone());
        }
    }
    (oracle, [Buffer::Skiplist(Arc::new(memtable)), Buffer::Run(Arc::new(run.finish()))])
}

fn here(cursor: &BufferCursor) -> Option<(Internal, Vec<u8>)> {
    cursor.valid().then(|| ((cursor.key().to_vec(), Reverse(cursor.trailer())), cursor.value().to_vec()))
}

fn owned((internal, value): (&Internal, &Vec<u8>)) -> (Internal, Vec<u8>) {
    (internal.clone(), value.clone())
}

fn forward(buffer: &Buffer) -> Vec<(Internal, Vec<u8>)> {
    let mut cursor = buffer.cursor();
    cursor.seek_to_first().unwrap();
    let mut found = Vec::new();
    while let Some(entry) = here(&cursor) {
        found.push(entry);
        cursor.next().unwrap();
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_buffers_read_as_an_ordered_map_does(
        entries in entries(),
        shared in prop::sample::select(vec![b"".as_slice(), b"shared", b"a", b"\xff\xff", b"\0"]),
        probes in prop::collection::vec((key(), seq()), 1..if cfg!(miri) { 8 } else { 60 }),
    ) {
        let (oracle, buffers) = build(&entries, shared);
        let expected: Vec<_> = oracle.iter().map(owned).collect();
        for buffer in &buffers {
            prop_assert_eq!(buffer.len(), oracle.len());
            prop_assert_eq!(buffer.is_empty(), oracle.is_empty());
            let seqs = || entries.iter().map(|(_, seq, ..)| *seq);
            prop_assert_eq!(buffer.seq_bounds(), seqs().min().zip(seqs().max()));

            prop_assert_eq!(&forward(buffer), &expected);
            let mut cursor = buffer.cursor();
            prop_assert!(!cursor.valid(), "a new cursor is not valid");
            cursor.seek_to_last().unwrap();
            for entry in expected.iter().rev() {
                let found = here(&cursor);
                prop_assert_eq!(found.as_ref(), Some(entry));
                cursor.prev().unwrap();
            }
            prop_assert!(!cursor.valid());

            for (key, at) in probes.iter().cloned().chain(entries.iter().map(|(key, seq, ..)| (key.clone(), *seq))) {
                let sought = (key.clone(), Reverse(Trailer::at(at)));
                let next = oracle.range(sought.clone()..).next().map(owned);
                let before = oracle.range(..sought).next_back().map(owned);
                let newest = next.as_ref().filter(|((found, _), _)| *found == key);
                let newest = newest.map(|((_, Reverse(trailer)), value)| (*trailer, value.as_slice()));
                prop_assert_eq!(buffer.get(&key, at), newest);

                cursor.seek(&key, Trailer::at(at)).unwrap();
                prop_assert_eq!(here(&cursor), next.clone());
                if next.is_some() {
                    cursor.prev().unwrap();
                    prop_assert_eq!(here(&cursor), before.clone(), "back from what was sought");
                }
                cursor.seek_before(&key, Trailer::at(at)).unwrap();
                prop_assert_eq!(here(&cursor), before.clone());
                if before.is_some() {
                    cursor.next().unwrap();
                    prop_assert_eq!(here(&cursor), next, "forth from what was before");
                }
            }
        }
    }

    #[test]
    fn the_prefix_that_a_memtable_passes_on_is_shared_by_all_its_keys(entries in entries()) {
        let (oracle, [Buffer::Skiplist(memtable), _]) = build(&entries, b"") else { unreachable!() };
        let shared = memtable.shared_prefix();
        prop_assert!(oracle.keys().all(|(key, _)| key.starts_with(shared)));
    }
}

#[test]
fn keys_with_a_common_beginning_pass_it_on_to_the_next_memtable() {
    let memtable = Memtable::new(1);
    for number in [5, 1, 900] {
        memtable.writer().insert(format!("user{number:06}").as_bytes(), Trailer::new(Seq::new(1), Kind::Inline), b"");
    }
    assert_eq!(memtable.shared_prefix(), b"user000");
    let next = Memtable::with_shared_prefix(2, memtable.shared_prefix());
    assert_eq!(next.shared_prefix(), b"user000", "nothing is known of the new one's keys yet");
}

#[test]
fn rising_falling_and_interleaved_keys_are_all_found() {
    let count: u32 = if cfg!(miri) { 60 } else { 20_000 };
    let orders: [&dyn Fn(u32) -> u32; 4] =
        [&|i| i, &|i| count - 1 - i, &|i| if i % 2 == 0 { i / 2 } else { count - 1 - i / 2 }, &|i| {
            // Rising again and again through what is there already: the finger must climb over it.
            let (lap, laps) = (i / (count / 10), 10);
            i % (count / 10) * laps + lap
        }];
    for order in orders {
        let memtable = Arc::new(Memtable::new(3));
        let mut writer = memtable.writer();
        for i in 0..count {
            writer.insert(&order(i).to_be_bytes(), Trailer::new(Seq::new(u64::from(i)), Kind::Inline), b"v");
        }
        drop(writer);
        let found = forward(&Buffer::Skiplist(memtable));
        let keys: Vec<_> = found.into_iter().map(|((key, _), _)| key).collect();
        assert_eq!(keys, (0..count).map(|key| key.to_be_bytes().to_vec()).collect::<Vec<_>>());
    }
}

#[test]
fn an_empty_memtable_is_small_and_the_overhead_of_an_entry_is_bounded() {
    let memtable = Memtable::new(1);
    assert!(memtable.allocated_bytes() < 8 << 10, "{}", memtable.allocated_bytes());
    assert!(memtable.is_empty());
    assert_eq!(memtable.seq_bounds(), None);

    let entries: u64 = if cfg!(miri) { 300 } else { 100_000 };
    let mut run = SortedRunBuilder::new();
    let mut writer = memtable.writer();
    for number in 0..entries {
        let key = [number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes(), number.to_be_bytes()].concat();
        writer.insert(&key, Trailer::new(Seq::new(number), Kind::Inline), &[7; 100]);
        run.push(&key, Trailer::new(Seq::new(number), Kind::Inline), &[7; 100]);
    }
    drop(writer);
    let overhead = |bytes: usize| bytes as f64 / entries as f64 - 116.0;
    let run = run.finish();
    if !cfg!(miri) {
        // One chunk of 1 MiB may be unused, which is 10 bytes for each of so few entries.
        assert!(overhead(memtable.allocated_bytes()) < 50.0, "{}", overhead(memtable.allocated_bytes()));
        assert!(overhead(run.allocated_bytes()) < 28.0, "{}", overhead(run.allocated_bytes()));
    }
}

#[test]
fn large_keys_and_values_come_back_whole() {
    let (key_len, value_len) = if cfg!(miri) { (300, 5_000) } else { (3 << 20, 40 << 20) };
    let (key, value) = (vec![b'k'; key_len], vec![b'v'; value_len]);
    let entries =
        [(key.clone(), Seq::new(1), Kind::Inline, value.clone()), (b"k".to_vec(), Seq::new(2), Kind::Inline, vec![])];
    for buffer in build(&entries, b"").1 {
        assert!(buffer.get(&key, Seq::MAX) == Some((Trailer::new(Seq::new(1), Kind::Inline), &value)));
        assert_eq!(buffer.get(b"k", Seq::MAX), Some((Trailer::new(Seq::new(2), Kind::Inline), b"".as_slice())));
        assert!(buffer.allocated_bytes() < key_len + value_len + (64 << 10));
    }
}

#[test]
fn range_tombstones_are_kept_apart_and_snapshots_of_them_hold_still() {
    let memtable = Arc::new(Memtable::new(1));
    assert!(!memtable.has_range_tombstones());
    memtable.writer().insert_range_tombstone(b"m", b"p", Seq::new(9));
    let snapshot = memtable.range_tombstones();
    memtable.writer().insert_range_tombstone(b"a", b"z", Seq::new(4));
    let mut run = SortedRunBuilder::new();
    run.push_range_tombstone(b"m", b"p", Seq::new(9));
    run.push_range_tombstone(b"a", b"z", Seq::new(4));

    assert_eq!(snapshot.len(), 1);
    for buffer in [Buffer::Skiplist(memtable), Buffer::Run(Arc::new(run.finish()))] {
        assert!(buffer.has_range_tombstones());
        assert!(!buffer.is_empty(), "a buffer with nothing but range tombstones must be flushed");
        assert_eq!(buffer.len(), 0);
        assert_eq!(buffer.seq_bounds(), Some((Seq::new(4), Seq::new(9))));
        let starts: Vec<_> = buffer.range_tombstones().iter().map(|tombstone| tombstone.start.clone()).collect();
        assert_eq!(starts, [b"a", b"m"]);
    }
}

#[test]
fn a_cursor_keeps_its_memtable_alive() {
    let memtable = Arc::new(Memtable::new(1));
    memtable.writer().insert(b"k", Trailer::new(Seq::new(1), Kind::Inline), b"v");
    let mut cursor = memtable.cursor();
    drop(memtable);
    cursor.seek_to_first().unwrap();
    assert_eq!((cursor.key(), cursor.value()), (b"k".as_slice(), b"v".as_slice()));
}

/// The key of the n-th write: scattered, so that links change everywhere.
fn nth_key(n: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20).to_be_bytes());
    key[8..].copy_from_slice(&n.to_be_bytes());
    key
}

#[test]
fn readers_beside_a_writer_see_a_sorted_list_with_all_that_was_published() {
    let (writes, readers) = if cfg!(miri) { (60, 2) } else { (30_000, 3) };
    let memtable = Arc::new(Memtable::new(11));
    let published = AtomicU64::new(0);
    let start = Barrier::new(readers + 1);
    thread::scope(|scope| {
        for reader in 0..readers as u64 {
            let (memtable, published, start) = (&memtable, &published, &start);
            scope.spawn(move || {
                start.wait();
                let mut cursor = memtable.cursor();
                let mut random = reader + 1;
                loop {
                    let count = published.load(Ordering::Acquire);
                    for _ in 0..200.min(count) {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let n = (random >> 33) % count;
                        let found = memtable.get(&nth_key(n), Seq::MAX);
                        assert_eq!(
                            found.map(|(trailer, value)| (trailer.seq().get(), value)),
                            Some((n, &nth_key(n)[..]))
                        );
                        cursor.seek_before(&nth_key(n), Trailer::NEWEST).unwrap();
                        if cursor.valid() {
                            assert!(cursor.key() < &nth_key(n)[..]);
                            cursor.next().unwrap();
                            assert!(cursor.valid() && cursor.key() <= &nth_key(n)[..]);
                        }
                    }
                    let mut seen = 0;
                    let mut last = Vec::new();
                    cursor.seek_to_first().unwrap();
                    while cursor.valid() {
                        assert!(last.as_slice() < cursor.key(), "the list is out of order");
                        assert_eq!(cursor.key(), cursor.value());
                        seen += u64::from(cursor.trailer().seq().get() < count);
                        last.clear();
                        last.extend_from_slice(cursor.key());
                        cursor.next().unwrap();
                    }
                    assert_eq!(seen, count, "a walk misses something that was published before it");
                    if count == writes {
                        break;
                    }
                }
            });
        }
        start.wait();
        let mut n = 0;
        while n < writes {
            let mut writer = memtable.writer();
            for _ in 0..(1 + n % 7).min(writes - n) {
                writer.insert(&nth_key(n), Trailer::new(Seq::new(n), Kind::Inline), &nth_key(n));
                n += 1;
                published.store(n, Ordering::Release);
            }
        }
    });
    assert_eq!(memtable.len() as u64, writes);
}
