//! Contents of all lengths, whole and in chunks.

use std::io::{self, Read};

use granite::Durability;
use tl_core::{Blob, Error, ObjectId, ObjectKind, Store, WHOLE_BLOB_LEN_MAX};

use crate::support::{new_store, random_bytes};

fn put_from(store: &Store, content: &[u8]) -> (Blob, u64) {
    let capture = store.capture().unwrap();
    let blob = capture.put_blob_from(&mut &*content, content.len() as u64).unwrap();
    let committed = capture.commit(|_| {}, Durability::Buffered).unwrap();
    (blob, committed.bytes_new)
}

/// If it fails, a file of some length comes back changed, or under another id than its content's.
#[test]
fn contents_of_any_length_come_back_whichever_way_they_were_put() {
    let full = WHOLE_BLOB_LEN_MAX;
    for len in [0, 1, 95, 96, 4096, full - 1, full, full + 1, full + 16_384, 3 * full, 5 * full + 12_345] {
        let (_, store) = new_store();
        let content = random_bytes(len as u64, len);
        let (blob, _) = put_from(&store, &content);
        assert_eq!(blob, Blob { id: ObjectId::of(ObjectKind::Blob, &content), len: len as u64 });
        assert!(store.get_blob(&blob.id, len as u64).unwrap() == content, "{len} bytes");
        assert_eq!(store.blob_len(&blob.id).unwrap(), len as u64);
        let capture = store.capture().unwrap();
        assert_eq!(capture.put_blob(&content).unwrap(), blob);
        assert_eq!(capture.commit(|_| {}, Durability::Buffered).unwrap().objects_new, 0, "cut otherwise in memory");
    }
}

/// If it fails, an edit of a large file costs the file.
#[test]
fn an_edit_of_a_large_file_costs_the_chunks_that_it_touches() {
    let (_, store) = new_store();
    let content = random_bytes(1, 20 << 20);
    let (_, first) = put_from(&store, &content);
    assert!(first > 20 << 20);
    // In the middle, so that everything after it moves.
    let mut edited = content;
    edited.splice(10_000_000..10_000_010, *b"some more bytes than before");
    let (blob, second) = put_from(&store, &edited);
    assert!(second < 600 << 10, "{second} bytes for an edit of 27");
    assert!(store.get_blob(&blob.id, u64::MAX).unwrap() == edited);
}

#[test]
fn a_reader_gives_the_same_in_steps_of_any_length() {
    let (_, store) = new_store();
    let content = random_bytes(2, (3 << 20) + 77);
    let (blob, _) = put_from(&store, &content);
    for step in [1000, 65_536, 10 << 20] {
        let mut reader = store.blob_reader(&blob.id).unwrap();
        assert_eq!(reader.len(), content.len() as u64);
        let (mut read, mut buffer) = (Vec::new(), vec![0; step]);
        loop {
            match reader.read(&mut buffer).unwrap() {
                0 => break,
                count => read.extend_from_slice(&buffer[..count]),
            }
        }
        assert!(read == content, "in steps of {step}");
    }
}

/// If it fails, a file that cannot be read to its end spoils the others of its checkpoint.
#[test]
fn a_source_that_fails_leaves_the_capture_usable() {
    struct Failing(usize);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::PermissionDenied)?;
            buffer.fill(self.0 as u8);
            Ok(buffer.len())
        }
    }
    let (_, store) = new_store();
    let capture = store.capture().unwrap();
    for reads in [0, 1, 10] {
        let error = capture.put_blob_from(&mut Failing(reads), 5 << 20).unwrap_err();
        assert!(matches!(&error, Error::Source(inner) if inner.kind() == io::ErrorKind::PermissionDenied));
    }
    let blob = capture.put_blob_from(&mut &b"fine"[..], 4).unwrap();
    capture.commit(|_| {}, Durability::Sync).unwrap();
    assert_eq!(store.get_blob(&blob.id, 4).unwrap(), b"fine");
}
