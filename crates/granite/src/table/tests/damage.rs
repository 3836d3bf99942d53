//! Tables against damage, and decoders against arbitrary bytes.

use super::*;
use crate::error::ErrorKind;
use crate::table::{block_builder, fuzzing};

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(mut bytes: Vec<u8>, entries in 0u32..4, keys_at in 0u32..40, restarts in 0u32..4, buckets in 0u16..4) {
        fuzzing::decode_block(&bytes);
        fuzzing::decode_footer(&bytes);
        // A tail that fits opens the way to the entries.
        for width in [0u16, 1, 32] {
            let len = bytes.len();
            bytes.extend_from_slice(&entries.to_le_bytes());
            bytes.extend_from_slice(&keys_at.to_le_bytes());
            bytes.extend_from_slice(&restarts.to_le_bytes());
            bytes.extend_from_slice(&buckets.to_le_bytes());
            bytes.extend_from_slice(&width.to_le_bytes());
            fuzzing::decode_block(&bytes);
            bytes.truncate(len);
        }
    }

    #[test]
    fn a_damaged_block_behind_a_right_checksum_makes_no_decoder_panic(
        entries in entries(plain_keys()),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut builder = block_builder::BlockBuilder::data(0, 4, true);
        for ((key, Reverse(seq)), (kind, value)) in &entries {
            builder.add(key, KeyHash::of(key), entry_trailer(*seq, *kind), value);
        }
        let mut block = builder.finish().to_vec();
        for (at, byte) in damage {
            let at = at.index(block.len());
            block[at] = byte;
        }
        fuzzing::decode_block(&block);
    }
}

fn small_table(options: &TableOptions) -> (Entries, Vec<u8>) {
    let mut entries = Entries::new();
    for number in 0..40u64 {
        let key = format!("key{:03}", number / 2).into_bytes();
        let kind = if number % 7 == 0 { Kind::Delete } else { Kind::Inline };
        let value = if kind == Kind::Delete { Vec::new() } else { vec![b'v'; 1 + number as usize] };
        entries.insert((key, Reverse(number)), (kind, value));
    }
    let tombstones = [
        RangeTombstone { start: b"a".to_vec(), end: b"b".to_vec(), seq: Seq::new(99) },
        RangeTombstone { start: b"key".to_vec(), end: b"z".to_vec(), seq: Seq::new(5) },
    ];
    let (bytes, _) = write(&entries, &tombstones, options);
    (entries, bytes)
}

fn small_options(codec: Codec) -> TableOptions {
    TableOptions {
        block_size: 200,
        restart_interval: 3,
        codec,
        partition_keys: 7,
        file_id: 42,
        ..TableOptions::default()
    }
}

fn open_and_verify(bytes: Vec<u8>) -> Result<(), Error> {
    open(bytes)?.verify()
}

#[test]
fn every_flipped_byte_is_noticed() {
    for codec in CODECS {
        let (entries, bytes) = small_table(&small_options(codec));
        check(&entries, &open(bytes.clone()).unwrap(), &[]);
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                match open_and_verify(damaged) {
                    Err(Error::Corrupt { path, .. }) => assert_eq!(path, Path::new(PATH)),
                    other => panic!("byte {at} flipped by {flip:#x} gives {other:?}"),
                }
            }
        }
    }
}

#[test]
fn every_truncation_is_noticed() {
    let (_, bytes) = small_table(&small_options(Codec::Lz4));
    for len in 0..bytes.len() {
        let result = open_and_verify(bytes[..len].to_vec());
        assert!(matches!(result, Err(Error::Corrupt { .. })), "cut to {len} bytes: {result:?}");
        // The file is shorter than the length that the caller has on record.
        let file = Arc::new(MemFile(Mutex::new(bytes[..len].to_vec())));
        let cache = Arc::new(BlockCache::new(0));
        let result = Table::open(file, Path::new(PATH), 7, bytes.len() as u64, cache);
        assert!(matches!(result, Err(Error::Corrupt { .. })), "{result:?}");
    }
    let longer = [&bytes[..], b"\0"].concat();
    assert!(matches!(open(longer), Err(Error::Corrupt { .. })));
}

#[test]
fn a_block_of_another_file_or_place_is_noticed() {
    let options = small_options(Codec::None);
    let (_, bytes) = small_table(&options);
    let (_, other) = small_table(&TableOptions { file_id: 43, ..options });
    let len = bytes.len();
    assert_eq!(len, other.len());
    // The same bytes, but for checksums: every block of the other file in its very place.
    let mut swapped = other;
    swapped[len - 64..].copy_from_slice(&bytes[len - 64..]);
    assert!(matches!(open(swapped), Err(Error::Corrupt { .. })));
    // The first two data blocks of a table of equal entries, exchanged.
    let entries: Entries = (0..2u64).map(|n| ((vec![b'k'], Reverse(n)), (Kind::Inline, vec![7; 300]))).collect();
    let (bytes, _) = write(&entries, &[], &small_options(Codec::None));
    let table = open(bytes.clone()).unwrap();
    assert_eq!(table.properties().data_blocks, 2);
    let index = table.index(table.top().get(0).unwrap().index, reader::CacheUse::Bypass).unwrap();
    let (first, second) = (index.get(0).unwrap(), index.get(1).unwrap());
    assert_eq!(first.len, second.len);
    let mut moved = bytes;
    moved.copy_within(first.offset as usize..first.end() as usize, second.offset as usize);
    assert!(matches!(open_and_verify(moved), Err(Error::Corrupt { offset, .. }) if offset == second.offset));
}

#[test]
fn a_newer_format_is_told_apart_from_damage() {
    let (_, mut bytes) = small_table(&small_options(Codec::None));
    let at = bytes.len() - 64;
    bytes[at + 48] = 2;
    let checksum = crate::checksum::crc32c(&bytes[at..at + 52]);
    bytes[at + 52..at + 56].copy_from_slice(&checksum.to_le_bytes());
    let error = open(bytes).unwrap_err();
    assert!(matches!(error, Error::NewerFormat { found: 2, supported: 1, .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::FixInput);
}

#[test]
fn a_block_that_claims_to_expand_beyond_the_limit_is_refused_before_memory_is_taken() {
    use super::codec::StoredCodec;
    use super::format::BlockKind;
    use super::frame::{Place, open, seal};
    let place = Place { kind: BlockKind::Data, file_id: 1, offset: 2 };
    let stored = [0u8; 40];
    for raw_len in [200_000, u32::MAX] {
        for codec in [StoredCodec::Lz4, StoredCodec::Zstd] {
            let read = [&stored[..], &seal(&stored, codec, raw_len, place)].concat();
            assert_eq!(open(read, place), Err(Malformed("a block claims to expand beyond the limit")));
        }
    }
}

#[test]
fn a_blocks_checksum_holds_for_its_kind_file_and_place_alone() {
    use super::codec::StoredCodec;
    use super::format::BlockKind;
    use super::frame::{Place, open, seal};
    let place = Place { kind: BlockKind::Filter, file_id: 1, offset: 2 };
    let read = [&b"bytes"[..], &seal(b"bytes", StoredCodec::None, 5, place)].concat();
    assert_eq!(open(read.clone(), place).unwrap(), b"bytes");
    for other in [Place { kind: BlockKind::Data, ..place }, Place { file_id: 2, ..place }, Place { offset: 3, ..place }]
    {
        assert!(open(read.clone(), other).is_err(), "{other:?}");
    }
}
