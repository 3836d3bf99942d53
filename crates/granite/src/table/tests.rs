//! Tables against a `BTreeMap`.

mod damage;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use vfs::File;

use super::writer::TableSummary;
use super::*;
use crate::cache::BlockCache;
use crate::cursor::Cursor;
use crate::error::Error;
use crate::key::{Kind, Seq, Trailer};
use crate::range_tombstone::RangeTombstone;

/// A file in memory.
#[derive(Debug, Default)]
struct MemFile(Mutex<Vec<u8>>);

impl File for MemFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.0.lock().unwrap();
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut bytes = self.0.lock().unwrap();
        let end = offset as usize + data.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[offset as usize..end].copy_from_slice(data);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        panic!("a table is synced by its owner, not by its writer")
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().unwrap().resize(len as usize, 0);
        Ok(())
    }

    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }

    fn drop_cache(&self) -> io::Result<()> {
        Ok(())
    }

    fn prefetch(&self, _: u64, _: u64) {}
}

type Entries = BTreeMap<(Vec<u8>, Reverse<u64>), (Kind, Vec<u8>)>;
type StoredEntry<'a> = (&'a (Vec<u8>, Reverse<u64>), &'a (Kind, Vec<u8>));

const PATH: &str = "/db/000007.sst";

fn entry_trailer(seq: u64, kind: Kind) -> Trailer {
    Trailer::new(Seq::new(seq), kind)
}

const CODECS: [Codec; 3] = [Codec::None, Codec::Lz4, Codec::Zstd { level: 3 }];

fn write(entries: &Entries, tombstones: &[RangeTombstone], options: &TableOptions) -> (Vec<u8>, TableSummary) {
    let file = Arc::new(MemFile::default());
    let mut writer = TableWriter::new(Arc::clone(&file) as Arc<dyn File>, Path::new(PATH), 7, options.clone()).unwrap();
    for ((key, Reverse(seq)), (kind, value)) in entries {
        writer.add(key, entry_trailer(*seq, *kind), value).unwrap();
    }
    for tombstone in tombstones {
        writer.add_range_tombstone(&tombstone.start, &tombstone.end, tombstone.seq).unwrap();
    }
    let estimated = writer.estimated_len();
    let summary = writer.finish().unwrap();
    let bytes = std::mem::take(&mut *file.0.lock().unwrap());
    assert_eq!(bytes.len() as u64, summary.file_len);
    assert!(estimated + 4096 > summary.file_len, "estimated {estimated}, is {}", summary.file_len);
    (bytes, summary)
}

fn open_with(bytes: Vec<u8>, cache: &Arc<BlockCache>) -> Result<Arc<Table>, Error> {
    let len = bytes.len() as u64;
    let file = Arc::new(MemFile(Mutex::new(bytes)));
    Table::open(file, Path::new(PATH), 7, len, Arc::clone(cache)).map(Arc::new)
}

fn open(bytes: Vec<u8>) -> Result<Arc<Table>, Error> {
    open_with(bytes, &Arc::new(BlockCache::new(1 << 20)))
}

/// An entry as it comes out of a table.
type Read = (Vec<u8>, Trailer, Vec<u8>);

fn current(cursor: &TableCursor) -> Option<Read> {
    cursor.valid().then(|| (cursor.key().to_vec(), cursor.trailer(), cursor.value().to_vec()))
}

fn expected<'a>(mut entries: impl Iterator<Item = StoredEntry<'a>>) -> Option<Read> {
    entries.next().map(|((key, Reverse(seq)), (kind, value))| (key.clone(), entry_trailer(*seq, *kind), value.clone()))
}

/// Everything that a reader can ask, compared with the map.
fn check(entries: &Entries, table: &Arc<Table>, probes: &[(Vec<u8>, u64)]) {
    table.verify().unwrap();
    for fill_cache in [false, true] {
        let mut cursor = table.cursor(fill_cache);
        cursor.seek_to_first().unwrap();
        for entry in entries {
            assert_eq!(current(&cursor), expected([entry].into_iter()));
            cursor.next().unwrap();
        }
        assert!(!cursor.valid());
        cursor.seek_to_last().unwrap();
        for entry in entries.iter().rev() {
            assert_eq!(current(&cursor), expected([entry].into_iter()));
            cursor.prev().unwrap();
        }
        assert!(!cursor.valid());
    }
    let mut cursor = table.cursor(true);
    let stored =
        entries.keys().flat_map(|(key, Reverse(seq))| [(key, *seq), (key, seq + 1), (key, seq.saturating_sub(1))]);
    for (key, seq) in stored.chain(probes.iter().map(|(key, seq)| (key, *seq))) {
        let from = (key.clone(), Reverse(seq));
        let hash = KeyHash::of(key);
        let newest = entries.range(from.clone()..).next().filter(|((found, _), _)| found == key);
        let found = table.get(key, hash, Seq::new(seq)).unwrap();
        assert_eq!(
            found.map(|found| (key.clone(), found.trailer(), found.value().to_vec())),
            expected(newest.into_iter()),
            "get {key:?} at {seq}"
        );

        let target = Trailer::at(Seq::new(seq));
        cursor.seek(key, target).unwrap();
        let (after, before) = (entries.range(from.clone()..), entries.range(..from.clone()));
        assert_eq!(current(&cursor), expected(after.clone()), "seek {key:?} at {seq}");
        if cursor.valid() {
            cursor.prev().unwrap();
            assert_eq!(current(&cursor), expected(before.clone().rev()));
        }
        cursor.seek_before(key, target).unwrap();
        assert_eq!(current(&cursor), expected(before.clone().rev()), "seek before {key:?} at {seq}");
        if cursor.valid() {
            cursor.next().unwrap();
            assert_eq!(current(&cursor), expected(after.clone()));
        }
    }
}

fn codecs() -> impl Strategy<Value = Codec> {
    prop_oneof![Just(Codec::None), Just(Codec::Lz4), Just(Codec::Zstd { level: 1 })]
}

fn options(key_layout: KeyLayout) -> impl Strategy<Value = TableOptions> {
    let filters =
        prop_oneof![Just(FilterPolicy::None), (1u8..20).prop_map(|bits_per_key| FilterPolicy::Bloom { bits_per_key })];
    (prop_oneof![1u32..400, Just(4096)], 1u32..20, codecs(), filters, 1u32..20, 1u32..6, any::<u64>()).prop_map(
        move |(block_size, restart_interval, codec, filter, partition_keys, partition_blocks, file_id)| TableOptions {
            block_size,
            restart_interval,
            codec,
            filter,
            key_layout,
            partition_keys,
            partition_blocks,
            file_id,
            keyspace: 3,
        },
    )
}

/// Few different bytes, so that keys share prefixes and versions meet.
fn plain_keys() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(prop_oneof![Just(0u8), Just(b'a'), Just(b'b'), Just(0xff)], 1..6),
        2 => prop::collection::vec(prop_oneof![Just(b'a'), Just(b'b')], 1..6)
            .prop_map(|tail| [b"a common beginning".as_slice(), &tail].concat()),
        1 => prop::collection::vec(any::<u8>(), 1..300),
    ]
}

fn entries(keys: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Entries> {
    let kinds = prop_oneof![Just(Kind::Delete), Just(Kind::Inline), Just(Kind::Separated)];
    let values = prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..20),
        2 => (any::<u8>(), 0usize..300).prop_map(|(byte, len)| vec![byte; len]),
    ];
    let one = ((keys, (0u64..40).prop_map(Reverse)), (kinds, values));
    prop::collection::vec(one, 0..120).prop_map(|list| {
        list.into_iter()
            .map(|(key, (kind, value))| (key, if kind == Kind::Delete { (kind, Vec::new()) } else { (kind, value) }))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_table_of_plain_keys_answers_like_a_map(
        entries in entries(plain_keys()),
        options in options(KeyLayout::Plain),
        probes in prop::collection::vec((plain_keys(), 0u64..42), 0..30),
    ) {
        let (bytes, _) = write(&entries, &[], &options);
        check(&entries, &open(bytes).unwrap(), &probes);
    }

    #[test]
    fn a_table_of_hashes_answers_like_a_map(
        entries in entries(prop::collection::vec(0u8..4, 3)),
        options in options(KeyLayout::Hash { width: 3 }),
        probes in prop::collection::vec((prop::collection::vec(0u8..4, 1..5), 0u64..42), 0..30),
    ) {
        let (bytes, _) = write(&entries, &[], &options);
        check(&entries, &open(bytes).unwrap(), &probes);
    }

    #[test]
    fn a_table_under_a_cache_that_holds_nothing_answers_the_same(
        entries in entries(plain_keys()),
        options in options(KeyLayout::Plain),
    ) {
        let (bytes, _) = write(&entries, &[], &options);
        check(&entries, &open_with(bytes, &Arc::new(BlockCache::new(0))).unwrap(), &[]);
    }

}

#[test]
fn a_table_of_nothing_and_one_of_range_tombstones_alone_can_be_read() {
    let (bytes, summary) = write(&Entries::new(), &[], &TableOptions::default());
    assert_eq!((summary.properties.min_seq, summary.properties.max_seq), (Seq::ZERO, Seq::ZERO));
    check(&Entries::new(), &open(bytes).unwrap(), &[(b"a".to_vec(), 1)]);

    let tombstones = [(b"m", b"q", 3), (b"c", b"d", 8), (b"c", b"x", 9)].map(|(start, end, seq)| RangeTombstone {
        start: start.to_vec(),
        end: end.to_vec(),
        seq: Seq::new(seq),
    });
    let (bytes, summary) = write(&Entries::new(), &tombstones, &TableOptions::default());
    let properties = &summary.properties;
    assert_eq!((&properties.smallest[..], &properties.largest[..]), (&b"c"[..], &b"x"[..]));
    assert_eq!((properties.min_seq, properties.max_seq, properties.range_tombstones), (Seq::new(3), Seq::new(9), 3));
    let table = open(bytes).unwrap();
    table.verify().unwrap();
    assert_eq!(table.properties(), properties);
    let read: Vec<u64> = table.range_tombstones().iter().map(|tombstone| tombstone.seq.get()).collect();
    assert_eq!(read, [9, 8, 3], "by start, then from new to old");
}

#[test]
fn the_summary_covers_entries_and_range_tombstones() {
    let entries: Entries = [(b"d", 4, Kind::Inline), (b"f", 9, Kind::Delete), (b"f", 6, Kind::Inline)]
        .into_iter()
        .map(|(key, seq, kind)| {
            ((key.to_vec(), Reverse(seq)), (kind, if kind == Kind::Delete { vec![] } else { vec![1; 10] }))
        })
        .collect();
    let tombstone = RangeTombstone { start: b"e".to_vec(), end: b"h".to_vec(), seq: Seq::new(2) };
    let (_, summary) = write(&entries, &[tombstone], &TableOptions::default());
    let found = summary.properties;
    assert_eq!((found.entries, found.deletes, found.range_tombstones), (3, 1, 1));
    assert_eq!((found.raw_key_bytes, found.raw_value_bytes), (3, 20));
    assert_eq!((&found.smallest[..], &found.largest[..]), (&b"d"[..], &b"h"[..]));
    assert_eq!((found.min_seq, found.max_seq), (Seq::new(2), Seq::new(9)));
}

#[test]
fn entries_out_of_order_or_out_of_form_are_refused() {
    let options = TableOptions { key_layout: KeyLayout::Hash { width: 2 }, ..TableOptions::default() };
    let mut writer = TableWriter::new(Arc::new(MemFile::default()), Path::new(PATH), 7, options).unwrap();
    let put = |writer: &mut TableWriter, key: &[u8], seq| writer.add(key, entry_trailer(seq, Kind::Inline), b"v");
    put(&mut writer, b"bb", 5).unwrap();
    assert!(matches!(put(&mut writer, b"ba", 6), Err(Error::InvalidOption { .. })));
    assert!(matches!(put(&mut writer, b"bb", 5), Err(Error::InvalidOption { .. })));
    assert!(matches!(put(&mut writer, b"bb", 6), Err(Error::InvalidOption { .. })));
    assert!(matches!(put(&mut writer, b"", 6), Err(Error::EmptyKey)));
    assert!(matches!(put(&mut writer, b"ccc", 6), Err(Error::KeyLength { len: 3, .. })));
    let deleted = writer.add(b"cc", entry_trailer(6, Kind::Delete), b"v");
    assert!(matches!(deleted, Err(Error::InvalidOption { .. })));
    let range = writer.add(b"cc", entry_trailer(6, Kind::RangeDelete), b"v");
    assert!(matches!(range, Err(Error::InvalidOption { .. })));
    assert!(writer.add_range_tombstone(b"b", b"b", Seq::new(1)).is_err());
    put(&mut writer, b"bb", 4).unwrap();
    assert_eq!(writer.finish().unwrap().properties.entries, 2);
}

#[test]
fn large_keys_and_values_are_kept_in_blocks_of_their_own() {
    for codec in CODECS {
        let mut entries = Entries::new();
        for (number, (key_len, value_len)) in
            [(1 << 20, 10), (1 << 20, 3 << 20), (5, 5), (300_000, 0), (9, 1 << 20)].into_iter().enumerate()
        {
            let mut key = vec![b'x'; key_len];
            key.push(number as u8);
            let value = (0..value_len as u32).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
            entries.insert((key, Reverse(number as u64)), (Kind::Inline, value));
        }
        entries.insert((b"zeros".to_vec(), Reverse(9)), (Kind::Inline, vec![0; 8 << 20]));
        let (bytes, _) = write(&entries, &[], &TableOptions { codec, ..TableOptions::default() });
        check(&entries, &open(bytes).unwrap(), &[]);
    }
}

#[test]
fn a_miss_reads_the_filter_and_neither_index_nor_data() {
    let mut entries = Entries::new();
    for number in 0..1000u32 {
        entries.insert((number.to_be_bytes().to_vec(), Reverse(1)), (Kind::Inline, vec![1; 50]));
    }
    let options = TableOptions { filter: FilterPolicy::Bloom { bits_per_key: 20 }, ..TableOptions::default() };
    let (bytes, _) = write(&entries, &[], &options);
    let cache = Arc::new(BlockCache::new(1 << 20));
    let table = open_with(bytes, &cache).unwrap();
    assert_eq!(table.properties().partitions, 1);
    let key = [0, 0, 0, 1, 0];
    assert!(table.get(&key, KeyHash::of(&key), Seq::MAX).unwrap().is_none());
    assert_eq!((cache.stats().hits, cache.stats().misses), (0, 1));
    assert!(table.get(&key, KeyHash::of(&key), Seq::MAX).unwrap().is_none());
    assert_eq!((cache.stats().hits, cache.stats().misses), (1, 1));
    // Past the last key, not even the filter.
    assert!(table.get(&[9; 4], KeyHash::of(&[9; 4]), Seq::MAX).unwrap().is_none());
    assert_eq!((cache.stats().hits, cache.stats().misses), (1, 1));
    let used = cache.stats().inserted_bytes;
    let mut cursor = table.cursor(false);
    cursor.seek_to_first().unwrap();
    assert_eq!(cache.stats().inserted_bytes, used, "a cursor of a compaction leaves the cache alone");
}

#[test]
fn offsets_rise_with_the_keys_over_the_whole_file() {
    let entries: Entries = (0..5000u32)
        .map(|number| ((number.to_be_bytes().to_vec(), Reverse(1)), (Kind::Inline, number.to_le_bytes().repeat(25))))
        .collect();
    let options = TableOptions { codec: Codec::None, partition_keys: 500, ..TableOptions::default() };
    let (bytes, summary) = write(&entries, &[], &options);
    let table = open(bytes).unwrap();
    let offsets: Vec<u64> = (0..=50u32).map(|tenth| table.approximate_offset(&(tenth * 100).to_be_bytes())).collect();
    assert!(offsets.is_sorted());
    assert_eq!(offsets[0], 0);
    let middle = offsets[25] as f64 / summary.file_len as f64;
    assert!((0.4..0.6).contains(&middle), "the middle key lies at {middle} of the file");
    assert!(offsets[50] > summary.file_len * 9 / 10);
    assert!(table.heap_bytes() < 4096, "an open table of ten partitions is small: {}", table.heap_bytes());
}

#[test]
fn a_separator_is_short_and_stands_between_its_neighbours() {
    let cases: [(&[u8], &[u8], &[u8]); 6] = [
        (b"abc", b"abzz", b"abz"),
        (b"abc", b"abz", b"abd"),
        (b"abc", b"abd", b"abc"),
        (b"ab", b"abc", b"ab"),
        (b"a", b"b\0", b"b"),
        (b"\xfe\xff", b"\xff", b"\xfe\xff"),
    ];
    for (before, after, shortest) in cases {
        let mut out = Vec::new();
        separators::shortest(before, after, &mut out);
        assert_eq!(out, shortest, "between {before:?} and {after:?}");
        assert!(before <= &out[..] && &out[..] < after);
    }
}

#[test]
fn blocks_of_more_entries_than_a_bucket_can_number_are_searched_right() {
    let entries: Entries = (0..3000u32)
        .flat_map(|number| [number, number / 100 * 100])
        .enumerate()
        .map(|(seq, number)| {
            ((number.wrapping_mul(0x9e37_79b9).to_be_bytes().to_vec(), Reverse(seq as u64)), (Kind::Inline, vec![]))
        })
        .collect();
    for key_layout in [KeyLayout::Plain, KeyLayout::Hash { width: 4 }] {
        let options = TableOptions { key_layout, restart_interval: 2, block_size: 32 << 10, ..TableOptions::default() };
        let (bytes, summary) = write(&entries, &[], &options);
        assert!(summary.properties.entries / summary.properties.data_blocks > 2 * 254);
        check(&entries, &open(bytes).unwrap(), &[(vec![1, 2, 3, 4], 9), (vec![0xff; 4], 9)]);
    }
}
