//! Text that compresses about as source code does.

use rand::{Rng, RngExt};
use rand_distr::{Distribution, Zipf};

const WORDS: usize = 4000;
const WORD_LEN_MAX: usize = 12;
const LINE_WORDS_MAX: usize = 12;
const INDENT_MAX: usize = 4;
const MARKS: [&[u8]; 6] = [b" ", b"(", b").", b" = ", b"::", b"_"];

/// At least `len` bytes of lines, cut to `len`.
pub(super) fn text(rng: &mut impl Rng, len: usize) -> Vec<u8> {
    let words: Vec<Vec<u8>> = (0..WORDS)
        .map(|_| {
            let len = rng.random_range(2..=WORD_LEN_MAX);
            (0..len).map(|_| rng.random_range(b'a'..=b'z')).collect()
        })
        .collect();
    // A distribution over the ranks of a vocabulary that is not empty, with a positive exponent, always exists.
    let Ok(ranks) = Zipf::new(WORDS as f64, 1.0) else { return vec![b'\n'; len] };
    let mut text = Vec::with_capacity(len + 256);
    while text.len() < len {
        for _ in 0..rng.random_range(0..=INDENT_MAX) {
            text.extend_from_slice(b"    ");
        }
        for _ in 0..rng.random_range(1..=LINE_WORDS_MAX) {
            text.extend_from_slice(&words[ranks.sample(rng) as usize - 1]);
            text.extend_from_slice(MARKS[rng.random_range(0..MARKS.len())]);
        }
        text.push(b'\n');
    }
    text.truncate(len);
    text
}
