//! Several writes that happen together or not at all.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::key::{MAX_VALUE_LEN, Seq};
use crate::keyspace::{Keyspace, KeyspaceCore};
use crate::log::format::{Action, MAX_META_LEN, Op};
use crate::log::writer::RecordBody;

/// Most bytes of keys and values in one batch.
pub const MAX_BATCH_LEN: usize = MAX_META_LEN;

/// A `put_if_absent` that is not decided yet: the bytes that go if the key is present.
#[derive(Debug)]
pub(crate) struct Conditional {
    pub(crate) keyspace: Arc<KeyspaceCore>,
    pub(crate) key: Range<usize>,
    meta: Range<usize>,
    data: Range<usize>,
    /// Position among the batch's `put_if_absent` calls.
    pub(crate) call: usize,
    /// Position among the batch's operations.
    pub(crate) op: u32,
}

/// Writes to any keyspaces of one database, to be committed with [`Db::write`](crate::Db::write): all of them or, after a crash, none.
/// Later operations win over earlier ones on the same key.
///
/// An operation that cannot be accepted (an empty key, say) makes the commit fail with its error; nothing is written then.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// use granite::{Db, Durability, KeyspaceOptions, Options, WriteBatch};
///
/// let db = Db::open(dir.path(), &Options::new())?;
/// let objects = db.keyspace("objects", KeyspaceOptions::new())?;
/// let refs = db.keyspace("refs", KeyspaceOptions::new())?;
/// let mut batch = WriteBatch::new();
/// batch.put_if_absent(&objects, b"key", b"content");
/// batch.put(&refs, b"head", b"key");
/// let committed = db.write(batch, Durability::Sync)?;
/// assert_eq!(committed.was_absent, [true]);
/// # Ok::<(), granite::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct WriteBatch {
    pub(crate) body: RecordBody,
    pub(crate) conditionals: Vec<Conditional>,
    /// `put_if_absent` calls so far.
    pub(crate) calls: usize,
    /// Keyspaces that are written to.
    pub(crate) keyspaces: Vec<Arc<KeyspaceCore>>,
    db: Option<u64>,
    error: Option<Error>,
}

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The sequence of the last operation, or of the newest write before it if the batch came to nothing.
    pub seq: Seq,
    /// For every `put_if_absent`, in order: true if the key was absent and is now written.
    pub was_absent: Vec<bool>,
}

impl WriteBatch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes `value` under `key`.
    pub fn put(&mut self, keyspace: &Keyspace, key: &[u8], value: &[u8]) {
        self.push_put(keyspace, key, value);
    }

    /// Writes `value` under `key` if the key is absent when the batch is committed; [`Committed::was_absent`] tells.
    /// An earlier operation of the same batch counts.
    pub fn put_if_absent(&mut self, keyspace: &Keyspace, key: &[u8], value: &[u8]) {
        let (meta, data) = (self.body.meta.len(), self.body.data.len());
        let op = self.body.op_count;
        let call = self.calls;
        self.calls += 1;
        if self.push_put(keyspace, key, value) {
            let key_start = self.body.meta.len() - self.key_distance(value.len(), key.len(), data);
            self.conditionals.push(Conditional {
                keyspace: Arc::clone(&keyspace.core),
                key: key_start..key_start + key.len(),
                meta: meta..self.body.meta.len(),
                data: data..self.body.data.len(),
                call,
                op,
            });
        }
    }

    /// Removes `key`. It need not exist.
    pub fn delete(&mut self, keyspace: &Keyspace, key: &[u8]) {
        if self.accept(keyspace, keyspace.core.options.check_key(key), key.len()) {
            self.push(&Op { keyspace: keyspace.core.id, key, action: Action::Delete });
        }
    }

    /// Removes every key from `start` up to, not including, `end`.
    pub fn delete_range(&mut self, keyspace: &Keyspace, start: &[u8], end: &[u8]) {
        let checked = match (start.is_empty(), start < end) {
            (true, _) => Err(Error::EmptyKey),
            (_, false) => {
                Err(Error::InvalidOption { what: "range", reason: "its end must be greater than its start".into() })
            }
            _ => Ok(()),
        };
        if self.accept(keyspace, checked, start.len() + end.len()) {
            self.push(&Op { keyspace: keyspace.core.id, key: start, action: Action::DeleteRange { end } });
        }
    }

    /// Number of operations.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.body.op_count as usize
    }

    /// True if there is no operation.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.body.op_count == 0
    }

    /// Bytes of memory that the batch takes for keys and values.
    #[must_use]
    pub const fn byte_len(&self) -> usize {
        self.body.meta.len() + self.body.data.len()
    }

    /// Distance from the key's first byte to the end of the operations, right after a put was pushed.
    fn key_distance(&self, value_len: usize, key_len: usize, data_before: usize) -> usize {
        let varint_len = |value: usize| (value.max(1).ilog2() as usize) / 7 + 1;
        let separated = self.body.data.len() > data_before;
        key_len + varint_len(value_len) + if separated { 4 } else { value_len }
    }

    fn push_put(&mut self, keyspace: &Keyspace, key: &[u8], value: &[u8]) -> bool {
        let core = &keyspace.core;
        let checked = match value.len() {
            len if len > MAX_VALUE_LEN => Err(Error::ValueTooLarge { len, max: MAX_VALUE_LEN }),
            _ => core.options.check_key(key),
        };
        if !self.accept(keyspace, checked, key.len() + value.len()) {
            return false;
        }
        let separated = core.options.separation_threshold.is_some_and(|threshold| value.len() >= threshold as usize);
        let action = if separated {
            Action::PutSeparated { len: value.len() as u32, crc: crate::checksum::crc32c(value) }
        } else {
            Action::Put(value)
        };
        // Kind, three varints, a checksum; small batches then allocate once.
        self.body.meta.reserve(key.len() + if separated { 0 } else { value.len() } + 20);
        self.push(&Op { keyspace: core.id, key, action });
        if separated {
            self.body.data.extend_from_slice(value);
        }
        true
    }

    fn push(&mut self, op: &Op<'_>) {
        op.encode(&mut self.body.meta);
        self.body.op_count += 1;
    }

    /// True if an operation of `len` more bytes is to be taken in.
    fn accept(&mut self, keyspace: &Keyspace, checked: Result<()>, len: usize) -> bool {
        if self.error.is_some() {
            return false;
        }
        let total = self.byte_len() + len;
        let checked = checked.and_then(|()| {
            if *self.db.get_or_insert(keyspace.db.id) != keyspace.db.id {
                return Err(Error::InvalidOption {
                    what: "batch",
                    reason: "it holds writes to keyspaces of two databases".into(),
                });
            }
            if total > MAX_BATCH_LEN || self.body.op_count == u32::MAX {
                return Err(Error::BatchTooLarge { len: total, max: MAX_BATCH_LEN });
            }
            Ok(())
        });
        if let Err(error) = checked {
            self.error = Some(error);
            return false;
        }
        if !self.keyspaces.iter().any(|known| Arc::ptr_eq(known, &keyspace.core)) {
            self.keyspaces.push(Arc::clone(&keyspace.core));
        }
        true
    }

    /// The first error of an operation, or of a batch that belongs to another database.
    pub(crate) fn check(&mut self, db: u64) -> Result<()> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if self.db.is_some_and(|own| own != db) {
            return Err(Error::InvalidOption { what: "batch", reason: "it belongs to another database".into() });
        }
        match self.keyspaces.iter().find(|keyspace| keyspace.is_dropped()) {
            Some(dropped) => Err(Error::UnknownKeyspace { name: dropped.name.clone() }),
            None => Ok(()),
        }
    }

    pub(crate) fn key_of(&self, conditional: &Conditional) -> &[u8] {
        self.body.meta.get(conditional.key.clone()).unwrap_or_default()
    }

    /// Takes the conditional operations at the given positions (rising) out of the batch, because their keys are present.
    /// Returns the batch as it was, if anything was taken out.
    pub(crate) fn take_out(&mut self, present: &[usize]) -> Option<Whole> {
        if present.is_empty() {
            return None;
        }
        let gone = |select: fn(&Conditional) -> &Range<usize>| -> Vec<Range<usize>> {
            present.iter().filter_map(|&index| self.conditionals.get(index)).map(|one| select(one).clone()).collect()
        };
        let body = RecordBody {
            meta: without(&self.body.meta, &gone(|one| &one.meta)),
            data: without(&self.body.data, &gone(|one| &one.data)),
            op_count: self.body.op_count - u32::try_from(present.len()).unwrap_or(u32::MAX),
        };
        let (mut meta_shift, mut data_shift, mut op_shift) = (0, 0, 0);
        let mut conditionals = Vec::with_capacity(self.conditionals.len() - present.len());
        for (index, one) in self.conditionals.iter().enumerate() {
            if present.binary_search(&index).is_ok() {
                meta_shift += one.meta.len();
                data_shift += one.data.len();
                op_shift += 1;
                continue;
            }
            conditionals.push(Conditional {
                keyspace: Arc::clone(&one.keyspace),
                key: one.key.start - meta_shift..one.key.end - meta_shift,
                meta: one.meta.start - meta_shift..one.meta.end - meta_shift,
                data: one.data.start - data_shift..one.data.end - data_shift,
                call: one.call,
                op: one.op - op_shift,
            });
        }
        Some(Whole {
            body: std::mem::replace(&mut self.body, body),
            conditionals: std::mem::replace(&mut self.conditionals, conditionals),
            taken_out: present.to_vec(),
        })
    }

    /// Undoes [`WriteBatch::take_out`].
    pub(crate) fn put_back(&mut self, whole: Whole) {
        self.body = whole.body;
        self.conditionals = whole.conditionals;
    }
}

/// A batch before operations were taken out of it.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) body: RecordBody,
    pub(crate) conditionals: Vec<Conditional>,
    /// Positions of conditionals.
    taken_out: Vec<usize>,
}

impl Whole {
    /// The conditionals that were taken out because their keys were present.
    pub(crate) fn taken_out(&self) -> impl Iterator<Item = &Conditional> {
        self.taken_out.iter().filter_map(|&index| self.conditionals.get(index))
    }
}

/// What is left of `bytes` without the given ranges, rising and disjoint.
fn without(bytes: &[u8], ranges: &[Range<usize>]) -> Vec<u8> {
    let gone: usize = ranges.iter().map(Range::len).sum();
    let mut kept = Vec::with_capacity(bytes.len().saturating_sub(gone));
    let mut from = 0;
    for range in ranges {
        kept.extend_from_slice(bytes.get(from..range.start).unwrap_or_default());
        from = range.end;
    }
    kept.extend_from_slice(bytes.get(from..).unwrap_or_default());
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taking_ranges_out_keeps_everything_else_in_order() {
        let bytes: Vec<u8> = (0..10).collect();
        assert_eq!(without(&bytes, &[0..2, 4..5, 9..10]), [2, 3, 5, 6, 7, 8]);
        assert_eq!(without(&bytes, &[]), bytes);
    }
}
