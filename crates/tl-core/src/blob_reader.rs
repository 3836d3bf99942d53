//! Reading blobs, chunk by chunk where they have chunks.

use std::borrow::Cow;
use std::io::{self, Read};

use crate::error::{Damage, Error, Result};
use crate::id::{IdHasher, ObjectId, ObjectKind};
use crate::objects::{Objects, parse_blob};
use crate::stored::{Body, Chunk, ChunkList};

/// Reads a blob's content. Holds one chunk of it, at most 1 MiB.
///
/// Each chunk is checked before any of it is handed out, and the whole before the last chunk is. So damage shows as an error that comes
/// before the content is complete; what was read until then must not be taken for the blob.
///
/// As [`Read`], it fails with [`io::ErrorKind::InvalidData`] and an [`Error`] inside.
#[derive(Debug)]
pub struct BlobReader {
    objects: Objects,
    id: ObjectId,
    len: u64,
    chunks: Chunks,
    /// What is being handed out.
    content: Vec<u8>,
    at: usize,
}

#[derive(Debug)]
enum Chunks {
    /// All content is there.
    None,
    Left {
        list: ChunkList,
        next: usize,
        hasher: Box<IdHasher>,
    },
    /// A chunk could not be read. The same answer again.
    Failed(Error),
}

impl Objects {
    /// A reader of the blob with this id.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Purged`], [`Error::Damaged`], or an error of the source.
    pub fn blob_reader(&self, id: &ObjectId) -> Result<BlobReader> {
        let value = self.load(id)?;
        self.reader_of(id, &value).map_err(|damage| Error::Damaged { id: *id, damage })
    }

    /// A reader of a blob's value.
    pub(crate) fn reader_of(&self, id: &ObjectId, value: &[u8]) -> Result<BlobReader, Damage> {
        let stored = parse_blob(value)?;
        let len = stored.content_len();
        let (content, chunks) = match stored.body {
            Body::Chunked(list) => {
                let hasher = Box::new(IdHasher::new(ObjectKind::Blob));
                (Vec::new(), Chunks::Left { list, next: 0, hasher })
            }
            whole => {
                let content = whole.whole_content(ObjectKind::Blob, id)?;
                (content.map(Cow::into_owned).unwrap_or_default(), Chunks::None)
            }
        };
        Ok(BlobReader { objects: self.clone(), id: *id, len, chunks, content, at: 0 })
    }

    /// The content of one chunk of `blob`.
    pub(crate) fn chunk(&self, blob: &ObjectId, chunk: &Chunk) -> Result<Vec<u8>> {
        let damaged = |damage| Error::Damaged { id: *blob, damage };
        let value = match self.load(&chunk.id) {
            Err(Error::Missing { .. }) => return Err(damaged(Damage::MissingChunk { chunk: chunk.id })),
            Err(Error::Purged { len, .. }) => return Err(Error::Purged { id: *blob, len }),
            Err(Error::Database(error @ granite::Error::Corrupt { .. })) => {
                tracing::warn!(%error, chunk = %chunk.id, "a chunk cannot be read");
                return Err(damaged(Damage::DamagedChunk { chunk: chunk.id }));
            }
            value => value?,
        };
        let content = parse_blob(&value).and_then(|stored| stored.body.whole_content(ObjectKind::Blob, &chunk.id));
        match content {
            Ok(Some(content)) if content.len() == chunk.len as usize => Ok(content.into_owned()),
            _ => Err(damaged(Damage::DamagedChunk { chunk: chunk.id })),
        }
    }
}

impl BlobReader {
    /// Length of the whole content in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// True if the content has no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All content, if nothing was read of it yet.
    pub(crate) fn into_content(mut self, len_max: u64) -> Result<Vec<u8>> {
        if self.len > len_max {
            return Err(Error::BlobTooLarge { len: self.len, max: len_max });
        }
        if matches!(self.chunks, Chunks::None) {
            return Ok(self.content);
        }
        // The length was only announced: memory follows the chunks that are really there.
        let mut content = Vec::new();
        while self.next_chunk()? {
            content.extend_from_slice(&self.content);
        }
        Ok(content)
    }

    /// Reads everything that was not read yet, for the checks alone.
    pub(crate) fn check(mut self) -> Result<()> {
        while self.next_chunk()? {}
        Ok(())
    }

    /// Goes on to the next chunk, checked; false at the end.
    fn next_chunk(&mut self) -> Result<bool> {
        let (list, next, hasher) = match &mut self.chunks {
            Chunks::None => return Ok(false),
            Chunks::Failed(error) => return Err(error.clone()),
            Chunks::Left { list, next, hasher } => (list, next, hasher),
        };
        let Some(chunk) = list.chunks().get(*next) else { return Ok(false) };
        let checked = self.objects.chunk(&self.id, chunk).and_then(|content| {
            hasher.update(&content);
            *next += 1;
            if *next == list.chunks().len() {
                let found = hasher.finish();
                if found != self.id {
                    return Err(Error::Damaged { id: self.id, damage: Damage::WrongContent { found } });
                }
            }
            Ok(content)
        });
        match checked {
            Ok(content) => {
                self.content = content;
                self.at = 0;
                Ok(true)
            }
            Err(error) => {
                self.content = Vec::new();
                self.chunks = Chunks::Failed(error.clone());
                Err(error)
            }
        }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.content.len() {
            let more = self.next_chunk().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if !more {
                return Ok(0);
            }
        }
        let count = self.content.get(self.at..).unwrap_or_default().read(buffer)?;
        self.at += count;
        Ok(count)
    }
}
