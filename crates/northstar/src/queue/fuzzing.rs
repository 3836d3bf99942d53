//! Doors for a fuzzer. Not for programs.

use super::event::Event;
use super::key::Key;
use super::name::TaskId;
use super::task::{Header, Task, TypeStatus};
use crate::id::TxnId;

/// A key of a queue's tree: what is taken for one is what is written for it.
pub fn key(bytes: &[u8]) {
    if let Some(key) = Key::decode(bytes) {
        debug_assert_eq!(key.encode(), bytes, "a key with two encodings: {key:?}");
    }
}

/// A value in a queue's tree, as each of the kinds that there are: what is taken for one is what is written for it.
pub fn value(bytes: &[u8]) {
    if let Ok(task) = Task::decode(TaskId(7), b"key", bytes) {
        debug_assert_eq!(task.encode(), bytes, "a task with two encodings: {task:?}");
    }
    if let Ok(status) = TypeStatus::decode(b"key", bytes) {
        debug_assert_eq!(status.encode(), bytes, "a type with two encodings: {status:?}");
    }
    if let Ok(event) = Event::decode(TxnId(7), b"key", bytes) {
        debug_assert_eq!(event.encode(), bytes, "an event with two encodings: {event:?}");
    }
    if let Ok(header) = Header::decode(b"key", bytes) {
        debug_assert_eq!(header.encode(), bytes, "a header with two encodings: {header:?}");
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    type Target = (&'static str, fn(&[u8]));
    const TARGETS: [Target; 2] = [("queue_key", super::key), ("queue_value", super::value)];

    fn corpus(target: &str) -> Vec<Vec<u8>> {
        let crate_dir = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
        let corpus = std::path::Path::new(&crate_dir).join("../../fuzz/corpus").join(target);
        let mut files: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "the corpus of {target} is empty");
        files.iter().map(|path| std::fs::read(path).unwrap()).collect()
    }

    /// If it fails, an input that a fuzzer once found makes a decoder panic, or take what no encoder wrote.
    #[test]
    fn the_corpora_of_the_queue_are_refused_or_decoded_to_what_encodes_to_them() {
        for (target, decode) in TARGETS {
            corpus(target).iter().for_each(|bytes| decode(bytes));
        }
    }

    /// If it fails, a few changed bytes do.
    #[test]
    fn changed_corpora_of_the_queue_are_refused_or_decoded_to_what_encodes_to_them() {
        let mut random = StdRng::seed_from_u64(7);
        for (target, decode) in TARGETS {
            let files = corpus(target);
            for _ in 0..20_000 {
                let mut bytes = files[random.random_range(0..files.len())].clone();
                for _ in 0..random.random_range(1..4) {
                    let at = random.random_range(0..bytes.len().max(1));
                    match random.random_range(0..4) {
                        0 => bytes.truncate(at),
                        1 => bytes.insert(at.min(bytes.len()), random.random()),
                        _ => {
                            if let Some(byte) = bytes.get_mut(at) {
                                *byte = [0, 1, 2, 0x7f, 0x80, 0xff, random.random()][random.random_range(0..7)];
                            }
                        }
                    }
                }
                decode(&bytes);
            }
        }
    }
}
