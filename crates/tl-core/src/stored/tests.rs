use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn stored(kind: ObjectKind, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_whole(kind, content, &mut Compressor::default(), &mut out);
    out
}

fn list(lens: &[u32]) -> ChunkList {
    let mut list = ChunkList::default();
    for (number, &len) in lens.iter().enumerate() {
        list.push(Chunk { id: ObjectId::of(ObjectKind::Blob, &number.to_le_bytes()), len });
    }
    list
}

fn encoded(list: &ChunkList) -> Vec<u8> {
    let mut out = Vec::new();
    encode_chunked(list, &mut out);
    out
}

/// What parses must also read, with whatever answer, and never more than its limit.
fn read_all(value: &[u8]) {
    let Ok(stored) = Stored::parse(value) else { return };
    let (kind, len) = (stored.kind, stored.content_len());
    assert!(len <= MAX_BLOB_LEN);
    if let Body::Chunked(chunks) = &stored.body {
        assert_eq!(chunks.chunks().iter().map(|chunk| u64::from(chunk.len)).sum::<u64>(), len);
    }
    if let Ok(Some(content)) = stored.body.whole_content(kind, &ObjectId::EMPTY_TREE) {
        assert_eq!(content.len() as u64, len);
    }
}

proptest! {
    #[test]
    fn contents_come_back(content in vec(prop_oneof![Just(b'a'), any::<u8>()], 0..2000), repeat in 1..20usize) {
        let content = content.repeat(repeat);
        for kind in [ObjectKind::Blob, ObjectKind::Tree] {
            let value = stored(kind, &content);
            prop_assert!(value.len() <= content.len() + 1, "raw takes one byte more");
            let parsed = Stored::parse(&value).unwrap();
            prop_assert_eq!((parsed.kind, parsed.content_len()), (kind, content.len() as u64));
            let id = ObjectId::of(kind, &content);
            let read = parsed.body.whole_content(kind, &id).unwrap().unwrap();
            prop_assert_eq!(&*read, &content[..]);
        }
    }

    #[test]
    fn lists_of_chunks_come_back(lens in vec(1..=WHOLE_BLOB_LEN_MAX as u32, 3..50)) {
        let list = list(&[&lens[..], &[WHOLE_BLOB_LEN_MAX as u32]].concat());
        let value = encoded(&list);
        let parsed = Stored::parse(&value).unwrap();
        prop_assert_eq!(parsed.content_len(), list.content_len());
        let Body::Chunked(read) = parsed.body else { panic!("not chunked") };
        prop_assert_eq!(read, list);
    }

    /// If it fails, damage in the store brings the reader down.
    #[test]
    fn arbitrary_values_are_read_without_a_panic(mut value in vec(any::<u8>(), 0..300), kind in 1..=2u8, codec in 0..=4u8) {
        read_all(&value);
        if let Some(first) = value.first_mut() {
            *first = kind << 4 | codec;
        }
        read_all(&value);
    }

    #[test]
    fn changed_values_are_read_without_a_panic(
        content in vec(0..3u8, 0..3000),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let lens = [WHOLE_BLOB_LEN_MAX as u32, 1 + content.len() as u32, 77];
        for mut value in [stored(ObjectKind::Blob, &content), stored(ObjectKind::Tree, &content), encoded(&list(&lens))] {
            for (index, byte) in &changes {
                let at = index.index(value.len());
                value[at] = *byte;
            }
            read_all(&value);
            read_all(&value[..value.len() / 2]);
        }
    }
}

/// If it fails, a few bytes of a store make a reader allocate as much as they like.
#[test]
fn lengths_are_refused_before_anything_is_allocated() {
    let announce = |kind: ObjectKind, codec: u8, len: u64| {
        let mut value = vec![first_byte(kind, codec)];
        put_varint(&mut value, len);
        value.extend_from_slice(&[0; 64]);
        Stored::parse(&value).map(|stored| stored.content_len())
    };
    let too_long = |len: u64| Err(Damage::Length { len });
    let (blob_max, tree_max) = (WHOLE_BLOB_LEN_MAX as u64, MAX_TREE_LEN as u64);
    assert_eq!(announce(ObjectKind::Blob, ZSTD, blob_max), Ok(blob_max));
    assert_eq!(announce(ObjectKind::Blob, ZSTD, blob_max + 1), too_long(blob_max + 1));
    assert_eq!(announce(ObjectKind::Tree, ZSTD, tree_max), Ok(tree_max));
    assert_eq!(announce(ObjectKind::Tree, ZSTD, tree_max + 1), too_long(tree_max + 1));
    assert_eq!(announce(ObjectKind::Blob, ZSTD, u64::MAX), too_long(u64::MAX));
    assert_eq!(announce(ObjectKind::Blob, CHUNKED, blob_max), too_long(blob_max));
    assert_eq!(announce(ObjectKind::Blob, CHUNKED, MAX_BLOB_LEN + 1), too_long(MAX_BLOB_LEN + 1));
    assert_eq!(announce(ObjectKind::Tree, CHUNKED, blob_max + 1), Err(Damage::UnknownCodec(CHUNKED)));
    assert_eq!(announce(ObjectKind::Blob, 3, 5), Err(Damage::UnknownCodec(3)));
    let raw = vec![first_byte(ObjectKind::Blob, RAW); WHOLE_BLOB_LEN_MAX + 2];
    assert_eq!(Stored::parse(&raw).unwrap_err(), Damage::Length { len: blob_max + 1 });
}

/// If it fails, a list whose chunks do not make up its blob is taken for one that does.
#[test]
fn lists_that_contradict_themselves_are_refused() {
    let full = WHOLE_BLOB_LEN_MAX as u32;
    let good = encoded(&list(&[full, 100]));
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut value = good.clone();
        change(&mut value);
        Stored::parse(&value).unwrap_err()
    };
    assert!(Stored::parse(&good).is_ok());
    // First byte, length of the content (3), count, lengths (3 and 1), ids.
    assert_eq!(refused(&|value| value[1] ^= 1), Damage::ChunkList, "another sum");
    assert_eq!(refused(&|value| value[4] = 1), Damage::ChunkList, "one chunk");
    assert_eq!(refused(&|value| value[4] = 0x7f), Damage::ChunkList, "more chunks than bytes");
    assert_eq!(refused(&|value| value[8] = 0), Damage::ChunkList, "an empty chunk");
    assert_eq!(refused(&|value| value[5] = 0x81), Damage::ChunkList, "a chunk over the limit");
    assert_eq!(refused(&|value| value.push(0)), Damage::ChunkList, "a byte more");
    assert_eq!(refused(&|value| value.truncate(value.len() - 1)), Damage::Malformed, "a byte less");
}

#[test]
fn content_of_another_id_is_refused() {
    let value = stored(ObjectKind::Blob, b"one");
    let other = ObjectId::of(ObjectKind::Blob, b"other");
    let damage = Stored::parse(&value).unwrap().body.whole_content(ObjectKind::Blob, &other).unwrap_err();
    assert_eq!(damage, Damage::WrongContent { found: ObjectId::of(ObjectKind::Blob, b"one") });
}

/// If it fails, objects of stores that exist cannot be read. The bytes are spelled out as the format's document has them.
#[test]
fn stored_forms_are_those_of_the_document() {
    assert_eq!(stored(ObjectKind::Blob, b"hello"), b"\x10hello");
    assert_eq!(stored(ObjectKind::Tree, &[0]), b"\x20\0");
    let zeros = stored(ObjectKind::Blob, &[0; 1000]);
    // Kind and codec, the length, the magic of a frame.
    assert_eq!(&zeros[..7], b"\x11\xe8\x07\x28\xb5\x2f\xfd");
    let list = encoded(&list(&[1 << 20, 5]));
    assert_eq!(&list[..9], b"\x12\x85\x80\x40\x02\x80\x80\x40\x05");
    assert_eq!(list.len(), 9 + 2 * 32);
    assert_eq!(encode_purged(ObjectKind::Tree, 300), b"\x20\xac\x02");
}
