//! Keys, values and the distributions they are drawn from. Everything follows from a seed and an index; nothing is stored, so
//! that the harness itself stays small beside what it measures.

use std::ops::Deref;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};

const KEY_BYTES_MAX: usize = 32;

/// A short key, held inline so that making one allocates nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    bytes: [u8; KEY_BYTES_MAX],
    len: u8,
}

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// How the key of an index looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyScheme {
    /// 32 bytes that look random, as object identifiers do.
    Hash32,
    /// 16 decimal digits: the order of the keys is the order of the indexes.
    Decimal16,
    /// `user` and 20 digits of a hash, as YCSB makes them.
    Ycsb,
}

impl KeyScheme {
    /// The key of `index`.
    #[must_use]
    pub fn key(self, index: u64) -> Key {
        let mut bytes = [0; KEY_BYTES_MAX];
        let len = match self {
            Self::Hash32 => {
                for (lane, chunk) in bytes.chunks_exact_mut(8).enumerate() {
                    chunk.copy_from_slice(&scramble(index.wrapping_mul(4).wrapping_add(lane as u64)).to_le_bytes());
                }
                32
            }
            Self::Decimal16 => {
                decimal(&mut bytes[..16], index);
                16
            }
            Self::Ycsb => {
                bytes[..4].copy_from_slice(b"user");
                decimal(&mut bytes[4..24], scramble(index));
                24
            }
        };
        Key { bytes, len }
    }

    /// A key that was never written, among those that were: no engine can tell by the range alone.
    #[must_use]
    pub fn missing_key(self, index: u64) -> Key {
        let mut key = self.key(index);
        if usize::from(key.len) < KEY_BYTES_MAX {
            key.bytes[usize::from(key.len)] = b'.';
            key.len += 1;
        } else {
            key.bytes[KEY_BYTES_MAX - 1] ^= 1;
        }
        key
    }

    /// The width, if the keys are hashes.
    #[must_use]
    pub fn hash_width(self) -> Option<usize> {
        (self == Self::Hash32).then_some(32)
    }
}

fn decimal(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// A bijection of `u64` whose outputs look random (the finalizer of splitmix64).
#[must_use]
pub fn scramble(index: u64) -> u64 {
    let mut x = index.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A walk over `0..count` that visits each index once, in an order without locality.
#[derive(Debug, Clone, Copy)]
pub struct Shuffled {
    count: u64,
    step: u64,
}

impl Shuffled {
    /// A walk over `0..count`.
    #[must_use]
    pub fn new(count: u64) -> Self {
        let count = count.max(1);
        let golden = (count as f64 * 0.618_033_988_75) as u64 | 1;
        let step = (golden..).find(|&step| gcd(step, count) == 1).unwrap_or(1);
        Self { count, step }
    }

    /// The index at `position` of the walk.
    #[must_use]
    pub fn at(&self, position: u64) -> u64 {
        ((u128::from(position) * u128::from(self.step)) % u128::from(self.count)) as u64
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// How long values are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueSizes {
    /// All of the same length.
    Fixed(usize),
    /// From 50 B to 64 KB, each power of two as likely as the next: the objects of the first client.
    Client,
}

const CLIENT_BYTES_MIN: f64 = 50.0;
const CLIENT_BYTES_MAX: f64 = 65536.0;

impl ValueSizes {
    /// Draws a length.
    pub fn sample(self, rng: &mut impl Rng) -> usize {
        match self {
            Self::Fixed(bytes) => bytes,
            Self::Client => {
                let exponent = rng.random_range(CLIENT_BYTES_MIN.ln()..=CLIENT_BYTES_MAX.ln());
                exponent.exp() as usize
            }
        }
    }

    /// The mean length.
    #[must_use]
    pub fn mean(self) -> f64 {
        match self {
            Self::Fixed(bytes) => bytes as f64,
            Self::Client => (CLIENT_BYTES_MAX - CLIENT_BYTES_MIN) / (CLIENT_BYTES_MAX / CLIENT_BYTES_MIN).ln(),
        }
    }
}

const POOL_BYTES: usize = 4 << 20;
const VALUE_BYTES_MAX: usize = 64 << 10;

/// A pool of bytes that compress to about half; values are slices of it, so that making one costs nothing.
#[derive(Debug)]
pub struct ValuePool {
    bytes: Vec<u8>,
}

impl ValuePool {
    /// A pool that follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut bytes = vec![0; POOL_BYTES + VALUE_BYTES_MAX];
        for chunk in bytes.chunks_mut(64) {
            let random = chunk.len() / 2;
            rng.fill_bytes(&mut chunk[..random]);
            chunk[random..].fill(b'v');
        }
        Self { bytes }
    }

    /// All bytes of the pool.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// A value of `len` bytes, at most 64 KiB.
    pub fn value(&self, rng: &mut impl Rng, len: usize) -> &[u8] {
        let start = rng.random_range(0..POOL_BYTES);
        &self.bytes[start..start + len.min(VALUE_BYTES_MAX)]
    }
}

/// YCSB's popularity: ranks follow a Zipf distribution with exponent 0.99, and ranks are spread over the keys by a hash.
#[derive(Debug, Clone, Copy)]
pub struct Popularity {
    ranks: Zipf<f64>,
    count: u64,
}

impl Popularity {
    /// Over `0..count`.
    ///
    /// # Errors
    /// If `count` is 0.
    pub fn new(count: u64) -> anyhow::Result<Self> {
        Ok(Self { ranks: Zipf::new(count as f64, 0.99)?, count })
    }

    /// An index, popular ones anywhere in the range.
    pub fn scrambled(&self, rng: &mut impl Rng) -> u64 {
        scramble(self.rank(rng)) % self.count
    }

    /// An index below `newest`, recent ones most popular.
    pub fn latest(&self, rng: &mut impl Rng, newest: u64) -> u64 {
        newest.saturating_sub(1 + self.rank(rng).min(newest.saturating_sub(1)))
    }

    fn rank(&self, rng: &mut impl Rng) -> u64 {
        self.ranks.sample(rng) as u64 - 1
    }
}

/// Touches every byte of a value, as a caller would; the result keeps the work from being optimised away.
#[must_use]
pub fn touch(value: &[u8]) -> u64 {
    let (words, rest) = value.as_chunks::<8>();
    let sum = words.iter().fold(0_u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, &byte| sum.wrapping_add(u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_shuffled_walk_visits_every_index_once() {
        for count in [1, 2, 3, 10, 1000, 1024, 99_991] {
            let walk = Shuffled::new(count);
            let seen: HashSet<u64> = (0..count).map(|position| walk.at(position)).collect();
            assert_eq!(seen.len() as u64, count);
            assert!(seen.iter().all(|&index| index < count));
        }
    }

    #[test]
    fn keys_differ_and_missing_keys_are_none_of_them() {
        for scheme in [KeyScheme::Hash32, KeyScheme::Decimal16, KeyScheme::Ycsb] {
            let keys: HashSet<Vec<u8>> = (0..2000).map(|index| scheme.key(index).to_vec()).collect();
            assert_eq!(keys.len(), 2000);
            assert!((0..2000).all(|index| !keys.contains(&scheme.missing_key(index).to_vec())));
        }
    }

    #[test]
    fn decimal_keys_sort_as_their_indexes() {
        let keys: Vec<Vec<u8>> =
            [0, 9, 10, 99, 1_000_000].map(|index| KeyScheme::Decimal16.key(index).to_vec()).to_vec();
        assert!(keys.is_sorted());
        assert_eq!(keys[2], b"0000000000000010");
    }

    #[test]
    fn client_values_have_the_bounds_and_the_mean_of_a_log_uniform_distribution() {
        let mut rng = StdRng::seed_from_u64(7);
        let sizes: Vec<usize> = (0..100_000).map(|_| ValueSizes::Client.sample(&mut rng)).collect();
        assert!(sizes.iter().all(|size| (49..=65536).contains(size)));
        let mean = sizes.iter().sum::<usize>() as f64 / sizes.len() as f64;
        assert!((mean / ValueSizes::Client.mean() - 1.0).abs() < 0.03, "mean {mean}");
    }

    #[test]
    fn popularity_is_skewed_and_within_bounds() {
        let mut rng = StdRng::seed_from_u64(7);
        let popularity = Popularity::new(1000).expect("not empty");
        let mut counts = vec![0_u32; 1000];
        for _ in 0..100_000 {
            counts[popularity.scrambled(&mut rng) as usize] += 1;
            assert!(popularity.latest(&mut rng, 10) < 10);
        }
        counts.sort_unstable();
        assert!(counts[999] > 20 * counts[500].max(1), "most popular {} median {}", counts[999], counts[500]);
    }
}
