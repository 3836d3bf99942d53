//! Objects as they are stored: kind, codec, bytes. Specified in docs/format/objects.md.

mod chunk_list;
mod codec;

use std::borrow::Cow;

pub(crate) use self::chunk_list::{Chunk, ChunkList};
pub(crate) use self::codec::{Compressor, decompress};
use crate::coding::{Reader, put_varint};
use crate::error::Damage;
use crate::id::{ObjectId, ObjectKind};

/// Most bytes of an encoded tree.
pub const MAX_TREE_LEN: usize = 64 << 20;
/// Blobs of up to this many bytes are stored in one piece, longer ones in chunks.
pub const WHOLE_BLOB_LEN_MAX: usize = 1 << 20;
/// Most bytes of a blob. Its list of chunks fits into memory, whatever the chunks' lengths.
pub const MAX_BLOB_LEN: u64 = 100 << 30;

const RAW: u8 = 0;
const ZSTD: u8 = 1;
const CHUNKED: u8 = 2;

/// A stored object, taken apart and not yet trusted.
#[derive(Debug)]
pub(crate) struct Stored<'a> {
    pub(crate) kind: ObjectKind,
    pub(crate) body: Body<'a>,
}

#[derive(Debug)]
pub(crate) enum Body<'a> {
    Raw(&'a [u8]),
    Zstd { len: usize, frame: &'a [u8] },
    Chunked(ChunkList),
}

const fn first_byte(kind: ObjectKind, codec: u8) -> u8 {
    kind.code() << 4 | codec
}

/// Trees below this many bytes are stored as they are. Half of them is ids, which do not shrink, and a checkpoint writes one on each level above a saved file:
/// compressing those took a sixth of its time, and gained 3 % of a store's size.
const COMPRESSED_TREE_LEN_MIN: usize = 1024;

/// Appends the stored form of an object that is not chunked, compressed if that helps.
pub(crate) fn encode_whole(kind: ObjectKind, content: &[u8], compressor: &mut Compressor, out: &mut Vec<u8>) {
    let start = out.len();
    out.push(first_byte(kind, ZSTD));
    put_varint(out, content.len() as u64);
    let is_small_tree = kind == ObjectKind::Tree && content.len() < COMPRESSED_TREE_LEN_MIN;
    if is_small_tree || !compressor.compress(content, out) {
        out.truncate(start);
        out.push(first_byte(kind, RAW));
        out.extend_from_slice(content);
    }
}

/// Appends the stored form of a chunked blob.
pub(crate) fn encode_chunked(chunks: &ChunkList, out: &mut Vec<u8>) {
    out.push(first_byte(ObjectKind::Blob, CHUNKED));
    put_varint(out, chunks.content_len());
    chunks.encode(out);
}

/// What is left of an object that was purged.
pub(crate) fn encode_purged(kind: ObjectKind, content_len: u64) -> Vec<u8> {
    let mut note = vec![first_byte(kind, RAW)];
    put_varint(&mut note, content_len);
    note
}

/// Length in bytes that the content of a purged object had.
pub(crate) fn decode_purged(note: &[u8]) -> Result<u64, Damage> {
    let mut reader = Reader::new(note);
    let [first] = reader.array().ok_or(Damage::Malformed)?;
    kind_of(first)?;
    if first & 0x0f != RAW {
        return Err(Damage::UnknownCodec(first & 0x0f));
    }
    let len = reader.varint().ok_or(Damage::Malformed)?;
    if reader.rest().is_empty() { Ok(len) } else { Err(Damage::Malformed) }
}

/// The kind in a value's first byte.
fn kind_of(first_byte: u8) -> Result<ObjectKind, Damage> {
    ObjectKind::from_code(first_byte >> 4).ok_or(Damage::UnknownKind(first_byte >> 4))
}

impl<'a> Stored<'a> {
    /// Takes a value apart. Every length is within its limit afterwards.
    pub(crate) fn parse(value: &'a [u8]) -> Result<Self, Damage> {
        let (&first, rest) = value.split_first().ok_or(Damage::Malformed)?;
        let kind = kind_of(first)?;
        let whole_len_max = match kind {
            ObjectKind::Blob => WHOLE_BLOB_LEN_MAX,
            ObjectKind::Tree => MAX_TREE_LEN,
        };
        let whole_len =
            |len: u64| usize::try_from(len).ok().filter(|&len| len <= whole_len_max).ok_or(Damage::Length { len });
        let body = match first & 0x0f {
            RAW => {
                whole_len(rest.len() as u64)?;
                Body::Raw(rest)
            }
            ZSTD => {
                let mut reader = Reader::new(rest);
                let len = reader.varint().ok_or(Damage::Malformed)?;
                Body::Zstd { len: whole_len(len)?, frame: reader.rest() }
            }
            CHUNKED if kind == ObjectKind::Blob => {
                let mut reader = Reader::new(rest);
                let len = reader.varint().ok_or(Damage::Malformed)?;
                if len <= WHOLE_BLOB_LEN_MAX as u64 || len > MAX_BLOB_LEN {
                    return Err(Damage::Length { len });
                }
                Body::Chunked(ChunkList::decode(reader.rest(), len)?)
            }
            codec => return Err(Damage::UnknownCodec(codec)),
        };
        Ok(Self { kind, body })
    }

    /// Length of the content in bytes, as announced.
    pub(crate) fn content_len(&self) -> u64 {
        match &self.body {
            Body::Raw(content) => content.len() as u64,
            Body::Zstd { len, .. } => *len as u64,
            Body::Chunked(chunks) => chunks.content_len(),
        }
    }
}

impl<'a> Body<'a> {
    /// The content of an object that is not chunked, after a comparison of its id. `None` for a chunked one.
    pub(crate) fn whole_content(self, kind: ObjectKind, id: &ObjectId) -> Result<Option<Cow<'a, [u8]>>, Damage> {
        let content = match self {
            Self::Raw(content) => Cow::Borrowed(content),
            Self::Zstd { len, frame } => Cow::Owned(decompress(frame, len)?),
            Self::Chunked(_) => return Ok(None),
        };
        let found = ObjectId::of(kind, &content);
        if found == *id { Ok(Some(content)) } else { Err(Damage::WrongContent { found }) }
    }
}

#[cfg(test)]
mod tests;
