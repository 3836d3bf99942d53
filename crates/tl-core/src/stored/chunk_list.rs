//! Which chunks a large blob consists of.

use super::{MAX_BLOB_LEN, WHOLE_BLOB_LEN_MAX};
use crate::coding::{Reader, put_varint};
use crate::error::Damage;
use crate::id::ObjectId;

/// Most bytes of a list.
const MAX_LIST_LEN: usize = 64 << 20;
/// A length of one byte, and an id.
const MIN_CHUNK_ENTRY_LEN: usize = 1 + ObjectId::LEN;

/// One chunk of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) id: ObjectId,
    /// Bytes, at least 1.
    pub(crate) len: u32,
}

/// The chunks of a blob in order; their lengths add up to its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ChunkList {
    content_len: u64,
    chunks: Vec<Chunk>,
}

impl ChunkList {
    pub(crate) const fn content_len(&self) -> u64 {
        self.content_len
    }

    pub(crate) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    pub(crate) fn push(&mut self, chunk: Chunk) {
        self.content_len += u64::from(chunk.len);
        self.chunks.push(chunk);
    }

    /// False if the blob or the list has become too long to be stored.
    pub(crate) fn is_within_limits(&self) -> bool {
        // A length takes at most three bytes, the count at most four.
        let list_len = 4 + self.chunks.len() * (3 + ObjectId::LEN);
        self.content_len <= MAX_BLOB_LEN && list_len <= MAX_LIST_LEN
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.chunks.len() as u64);
        for chunk in &self.chunks {
            put_varint(out, u64::from(chunk.len));
        }
        for chunk in &self.chunks {
            out.extend_from_slice(chunk.id.as_bytes());
        }
    }

    /// Reads the list of a blob of `content_len` bytes.
    pub(super) fn decode(bytes: &[u8], content_len: u64) -> Result<Self, Damage> {
        let mut reader = Reader::new(bytes);
        let count = reader.varint().and_then(|count| usize::try_from(count).ok()).ok_or(Damage::Malformed)?;
        if bytes.len() > MAX_LIST_LEN || count < 2 || count > reader.rest().len() / MIN_CHUNK_ENTRY_LEN {
            return Err(Damage::ChunkList);
        }
        let mut list = Self { content_len: 0, chunks: Vec::with_capacity(count) };
        for _ in 0..count {
            let len = reader.varint().ok_or(Damage::Malformed)?;
            if len == 0 || len > WHOLE_BLOB_LEN_MAX as u64 {
                return Err(Damage::ChunkList);
            }
            list.push(Chunk { id: ObjectId::EMPTY_TREE, len: len as u32 });
        }
        for chunk in &mut list.chunks {
            chunk.id = ObjectId::from_bytes(reader.array().ok_or(Damage::Malformed)?);
        }
        if list.content_len != content_len || !reader.rest().is_empty() {
            return Err(Damage::ChunkList);
        }
        Ok(list)
    }
}
