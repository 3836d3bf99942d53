//! Doors for a fuzzer: every decoder, fed with arbitrary bytes. Not for programs.
//!
//! Of the decoders nothing is expected but that their answers come: no panic, no endless loop, no memory beyond the input's size. A whole log
//! is held to more, see [`log`](fn@log).

mod log;

pub use self::log::log;
use crate::log::format::{OpReader, RecordHeader, SegmentHeader, check_meta};
use crate::log::pointer::ValuePointer;
use crate::manifest::ManifestState;
use crate::manifest::format::{decode_edits, decode_header};

/// Blocks of tables: data, index, filter, properties, range deletes.
pub fn block(bytes: &[u8]) {
    crate::table::fuzzing::decode_block(bytes);
}

/// The footer of a table.
pub fn footer(bytes: &[u8]) {
    crate::table::fuzzing::decode_footer(bytes);
}

/// Headers of segments and records, and the operations of a record, past its checksum.
pub fn record(bytes: &[u8]) {
    if let Some(header) = bytes.first_chunk() {
        let _decoded = SegmentHeader::decode(header);
    }
    if let Some(header) = bytes.first_chunk() {
        let _decoded = RecordHeader::decode(header, 1, 64);
    }
    let operations = OpReader::new(bytes).count();
    let header = RecordHeader {
        first_seq: crate::Seq::new(1),
        durable: crate::Seq::ZERO,
        op_count: u32::try_from(operations).unwrap_or(u32::MAX),
        meta_len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        meta_crc: crate::checksum::crc32c(bytes),
        data_len: 0,
    };
    check_meta(&header, bytes);
}

/// The changes of a manifest, past their checksum, and what they add up to.
pub fn manifest(bytes: &[u8]) {
    if let Some(header) = bytes.first_chunk() {
        let _decoded = decode_header(header);
    }
    let Some(edits) = decode_edits(bytes) else { return };
    let mut state = ManifestState::default();
    for edit in edits {
        if state.apply(edit).is_err() {
            return;
        }
    }
    state.live_bytes();
    for keyspace in state.keyspaces.values() {
        ManifestState::levels(keyspace);
    }
    let mut again = ManifestState::default();
    for edit in state.to_edits() {
        // A state that was reached can be reached again.
        let applied = again.apply(edit);
        debug_assert!(applied.is_ok(), "{applied:?}");
    }
}

/// A value pointer.
pub fn pointer(bytes: &[u8]) {
    if let Some(pointer) = ValuePointer::decode(bytes) {
        let mut out = Vec::new();
        pointer.encode(&mut out);
        debug_assert_eq!(ValuePointer::decode(&out), Some(pointer));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    type Target = (&'static str, fn(&[u8]));

    /// If it fails, an input that a fuzzer once found makes a decoder panic.
    #[test]
    fn the_corpora_are_decoded_without_a_panic() {
        let crate_dir = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
        let corpora = std::path::Path::new(&crate_dir).join("../../fuzz/corpus");
        let targets: [Target; 6] = [
            ("block", super::block),
            ("footer", super::footer),
            ("record", super::record),
            ("manifest", super::manifest),
            ("pointer", super::pointer),
            ("log", |bytes| super::log(&(Arc::new(vfs_sim::SimDisk::new()) as _), bytes)),
        ];
        for (target, decode) in targets {
            let files: Vec<_> = std::fs::read_dir(corpora.join(target)).unwrap().collect();
            assert!(!files.is_empty(), "the corpus of {target} is empty");
            for file in files {
                decode(&std::fs::read(file.unwrap().path()).unwrap());
            }
        }
    }
}
