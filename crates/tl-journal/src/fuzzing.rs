//! Doors for a fuzzer: every decoder, fed with arbitrary bytes. Not for programs.
//!
//! What a decoder takes is exactly what the encoder writes for it, so that no value has two encodings and none that is damaged passes for another; everything
//! else is refused, without a panic and with no more memory than the limits allow.

use crate::checkpoint::{Checkpoint, CheckpointId, LISTED_MAX, MESSAGE_LEN_MAX, NAME_LEN_MAX, PARENTS_MAX};

/// The record of a checkpoint, behind the sixteen bytes of its id.
pub fn checkpoint(bytes: &[u8]) {
    let Some((id, record)) = bytes.split_first_chunk() else { return };
    let id = CheckpointId::from_bytes(*id);
    let Ok(found) = Checkpoint::decode(id, record) else { return };
    debug_assert_eq!(found.encode(), record, "a record with two encodings: {found:?}");
    debug_assert!(found.parents.len() <= PARENTS_MAX && found.parents.iter().all(|parent| *parent < id));
    debug_assert!(found.touched.listed.len() <= LISTED_MAX && found.completeness.listed.len() <= LISTED_MAX);
    let provenance = &found.provenance;
    for name in [&provenance.session, &provenance.actor, &provenance.label].into_iter().flatten() {
        debug_assert!(name.len() <= NAME_LEN_MAX);
    }
    debug_assert!(provenance.message.as_ref().is_none_or(|message| message.len() <= MESSAGE_LEN_MAX));
}

/// What stands in the keyspace `refs`, but for what belongs to restores. The first byte says what it is; of a pin the second one is the length of its name.
pub fn reference(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    match kind {
        0 => crate::journal::fuzzing::id(rest),
        1 => crate::journal::fuzzing::counters(rest),
        2 => crate::index::fuzzing::state(rest),
        3 => {
            let Some((len, rest)) = rest.split_first() else { return };
            let Some((name, value)) = rest.split_at_checked(usize::from(*len)) else { return };
            crate::journal::fuzzing::pin(name, value);
        }
        4 => crate::journal::fuzzing::label(rest),
        5 => crate::journal::fuzzing::publication(rest),
        _ => {}
    }
}

/// An entry of the index.
pub fn index_entry(bytes: &[u8]) {
    crate::index::fuzzing::entry(bytes);
}

/// The key of an entry of the index.
pub fn index_key(bytes: &[u8]) {
    crate::index::fuzzing::key(bytes);
}

/// The intent of a restore.
pub fn intent(bytes: &[u8]) {
    crate::restore::fuzz_intent(bytes);
}

/// The stack of restores.
pub fn undo_stack(bytes: &[u8]) {
    crate::restore::fuzz_stack(bytes);
}

#[cfg(test)]
mod tests {
    type Target = (&'static str, fn(&[u8]));

    /// If it fails, an input that a fuzzer once found makes a decoder panic, or take what no encoder wrote.
    #[test]
    fn the_corpora_are_refused_or_decoded_to_what_encodes_to_them() {
        let crate_dir = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
        let corpora = std::path::Path::new(&crate_dir).join("../../fuzz/corpus");
        let targets: [Target; 6] = [
            ("checkpoint", super::checkpoint),
            ("reference", super::reference),
            ("index_entry", super::index_entry),
            ("index_key", super::index_key),
            ("intent", super::intent),
            ("undo_stack", super::undo_stack),
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
