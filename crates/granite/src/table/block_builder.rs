//! Puts entries together to a data or index block.

use super::block::{BUCKET_COLLISION, BUCKET_EMPTY, TAIL_LEN, common_prefix};
use super::filter::KeyHash;
use crate::coding::put_varint;
use crate::key::Trailer;

/// Buckets per distinct key. At two, one lookup in three meets another key first.
const BUCKETS_PER_KEY: usize = 2;

/// The most that trailer, lengths and a restart point take beside key and value.
const ENTRY_OVERHEAD: usize = 8 + 3 * 5 + 8 + BUCKETS_PER_KEY;

/// A block that grows entry by entry.
#[derive(Debug)]
pub(super) struct BlockBuilder {
    /// The values at first; the finished block in the end.
    bytes: Vec<u8>,
    keys: Vec<u8>,
    /// Where key and value stand of each entry with a whole key.
    restarts: Vec<(u32, u32)>,
    restart_interval: u32,
    /// Entries since the last restart point.
    run: u32,
    entries: u32,
    width: u16,
    last_key: Vec<u8>,
    /// One for each distinct key, if the block gets a hash index.
    hashed: Option<Vec<Hashed>>,
}

/// A key, and the anchors from which its first and its last version are reached.
#[derive(Debug, Clone, Copy)]
struct Hashed {
    hash: KeyHash,
    first: u32,
    last: u32,
}

impl BlockBuilder {
    /// A data block whose keys have `width` bytes (0: prefix-compressed).
    pub(super) fn data(width: u16, restart_interval: u32, hash_index: bool) -> Self {
        Self {
            bytes: Vec::new(),
            keys: Vec::new(),
            restarts: Vec::new(),
            restart_interval: restart_interval.max(1),
            run: 0,
            entries: 0,
            width,
            last_key: Vec::new(),
            hashed: hash_index.then(Vec::new),
        }
    }

    /// An index block: every key stands whole.
    pub(super) fn index() -> Self {
        Self::data(0, 1, false)
    }

    /// Appends an entry. The caller sees to the order, and to the width of keys.
    pub(super) fn add(&mut self, key: &[u8], hash: KeyHash, trailer: Trailer, value: &[u8]) {
        if self.width == 0 {
            let mut shared = 0;
            if self.entries == 0 || self.run >= self.restart_interval {
                self.restarts.push((self.keys.len() as u32, self.bytes.len() as u32));
                self.run = 0;
            } else {
                shared = common_prefix(&self.last_key, key);
            }
            let suffix = key.get(shared..).unwrap_or_default();
            put_varint(&mut self.keys, shared as u64);
            put_varint(&mut self.keys, suffix.len() as u64);
            put_varint(&mut self.keys, value.len() as u64);
            self.keys.extend_from_slice(suffix);
        } else {
            self.keys.extend_from_slice(key);
        }
        self.keys.extend_from_slice(&trailer.to_u64().to_le_bytes());
        self.bytes.extend_from_slice(value);
        if self.width != 0 {
            self.keys.extend_from_slice(&(self.bytes.len() as u32).to_le_bytes());
        }
        if let Some(hashed) = &mut self.hashed {
            let anchor = if self.width == 0 { self.restarts.len() as u32 - 1 } else { self.entries };
            match hashed.last_mut() {
                Some(last) if self.last_key == key => last.last = anchor,
                _ => hashed.push(Hashed { hash, first: anchor, last: anchor }),
            }
        }
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.run += 1;
        self.entries += 1;
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The key added last, also after the block was finished and cleared.
    pub(super) fn last_key(&self) -> &[u8] {
        &self.last_key
    }

    /// Length of the block if it were finished now, up to a few bytes.
    pub(super) fn len(&self) -> usize {
        let buckets = self.hashed.as_ref().map_or(0, |hashed| hashed.len() * BUCKETS_PER_KEY);
        self.bytes.len() + self.keys.len() + 8 * self.restarts.len() + buckets + TAIL_LEN
    }

    /// Length of the block with another entry, at most.
    pub(super) fn len_with(&self, key: &[u8], value: &[u8]) -> usize {
        self.len() + key.len() + value.len() + ENTRY_OVERHEAD
    }

    /// The finished block; `clear` begins the next one.
    pub(super) fn finish(&mut self) -> &[u8] {
        let keys_at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(&self.keys);
        for (key, value) in &self.restarts {
            self.bytes.extend_from_slice(&(keys_at + key).to_le_bytes());
            self.bytes.extend_from_slice(&value.to_le_bytes());
        }
        // As few anchors to a bucket number as let all numbers fit: with restart points there is no choice.
        let step = if self.width == 0 { 1 } else { self.entries.div_ceil(u32::from(BUCKET_COLLISION)).max(1) };
        let buckets = self.put_buckets(step);
        self.bytes.extend_from_slice(&self.entries.to_le_bytes());
        self.bytes.extend_from_slice(&keys_at.to_le_bytes());
        let restarts = if self.width == 0 { self.restarts.len() as u32 } else { step };
        self.bytes.extend_from_slice(&restarts.to_le_bytes());
        self.bytes.extend_from_slice(&buckets.to_le_bytes());
        self.bytes.extend_from_slice(&self.width.to_le_bytes());
        &self.bytes
    }

    /// Begins the next block. Keeps memory for one of up to `capacity_max` bytes.
    pub(super) fn clear(&mut self, capacity_max: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(capacity_max);
        self.keys.clear();
        self.keys.shrink_to(capacity_max);
        self.restarts.clear();
        self.run = 0;
        self.entries = 0;
        if let Some(hashed) = &mut self.hashed {
            hashed.clear();
        }
    }

    fn put_buckets(&mut self, step: u32) -> u16 {
        let Some(hashed) = &self.hashed else { return 0 };
        let Ok(count) = u16::try_from(hashed.len() * BUCKETS_PER_KEY) else { return 0 };
        if self.restarts.len() > usize::from(BUCKET_COLLISION) {
            return 0;
        }
        let start = self.bytes.len();
        self.bytes.resize(start + usize::from(count), BUCKET_EMPTY);
        let Some(buckets) = self.bytes.get_mut(start..) else { return 0 };
        for &Hashed { hash, first, last } in hashed {
            let home = hash.bucket(buckets.len());
            if self.width == 0 {
                let number = if last == first { first as u8 } else { BUCKET_COLLISION };
                if let Some(bucket) = buckets.get_mut(home) {
                    *bucket = if *bucket == BUCKET_EMPTY || *bucket == number { number } else { BUCKET_COLLISION };
                }
            } else {
                let number = (first / step) as u8;
                let (before, after) = buckets.split_at_mut(home);
                let place = after.iter_mut().chain(before).find(|bucket| [BUCKET_EMPTY, number].contains(bucket));
                // There are more buckets than keys.
                if let Some(bucket) = place {
                    *bucket = number;
                }
            }
        }
        count
    }
}
