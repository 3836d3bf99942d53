//! Doors for a fuzzer: every decoder, fed with arbitrary bytes. Not for programs.
//!
//! Nothing is expected of the answers but that they come, with no more memory than the limits allow, and that what is accepted is what an
//! encoder would have written.

use crate::id::{ObjectId, ObjectKind};
use crate::stored::{Body, Stored, decode_purged, encode_chunked, encode_purged};
use crate::tree::{Tree, TreeBuilder};

/// The content of a tree.
pub fn tree(bytes: &[u8]) {
    let Ok(tree) = Tree::decode(bytes.to_vec()) else { return };
    let mut builder = TreeBuilder::new();
    for found in tree.iter().rev() {
        debug_assert_eq!(tree.get(found.name), Some(found.entry));
        builder.add(found.name, found.entry);
    }
    let again = builder.build();
    debug_assert!(again.is_ok_and(|again| again.content() == bytes), "a tree with two encodings");
}

/// A blob or tree as it is stored, and what a purge left of one.
pub fn object(bytes: &[u8]) {
    if let Ok(len) = decode_purged(bytes) {
        debug_assert!([ObjectKind::Blob, ObjectKind::Tree].iter().any(|kind| encode_purged(*kind, len) == bytes));
    }
    let Ok(stored) = Stored::parse(bytes) else { return };
    let (kind, len) = (stored.kind, stored.content_len());
    // No content has this id, but that of the empty tree: the answer is the id that the content has.
    if let Ok(Some(content)) = stored.body.whole_content(kind, &ObjectId::EMPTY_TREE) {
        debug_assert_eq!(content.len() as u64, len);
    }
}

/// A list of chunks, behind the first byte of a value.
pub fn chunk_list(bytes: &[u8]) {
    let value = [&[ObjectKind::Blob.code() << 4 | 2], bytes].concat();
    let Ok(stored) = Stored::parse(&value) else { return };
    let Body::Chunked(list) = &stored.body else { return };
    debug_assert_eq!(list.chunks().iter().map(|chunk| u64::from(chunk.len)).sum::<u64>(), stored.content_len());
    let mut again = Vec::new();
    encode_chunked(list, &mut again);
    debug_assert_eq!(again, value, "a list with two encodings");
}

#[cfg(test)]
mod tests {
    type Target = (&'static str, fn(&[u8]));

    /// If it fails, an input that a fuzzer once found makes a decoder panic.
    #[test]
    fn the_corpora_are_decoded_without_a_panic() {
        let crate_dir = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
        let corpora = std::path::Path::new(&crate_dir).join("../../fuzz/corpus");
        let targets: [Target; 3] =
            [("tree", super::tree), ("object", super::object), ("chunk_list", super::chunk_list)];
        for (target, decode) in targets {
            let files: Vec<_> = std::fs::read_dir(corpora.join(target)).unwrap().collect();
            assert!(!files.is_empty(), "the corpus of {target} is empty");
            for file in files {
                decode(&std::fs::read(file.unwrap().path()).unwrap());
            }
        }
    }
}
