//! The two levels of the index: partitions of a table, data blocks of a partition.

use super::Malformed;
use super::block::Block;
use super::format::BlockHandle;
use super::separators::Separators;
use crate::coding::{Decoder, put_varint};
use crate::key::Trailer;

/// A run of consecutive data blocks with one filter and one index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Partition {
    /// Where its first data block begins.
    pub(crate) start: u64,
    pub(crate) filter: Option<BlockHandle>,
    pub(crate) index: BlockHandle,
}

impl Partition {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.start);
        self.filter.unwrap_or(BlockHandle { offset: 0, len: 0 }).put(&mut out);
        self.index.put(&mut out);
        out
    }

    fn decode(value: &[u8], file_end: u64) -> Result<Self, Malformed> {
        const WRONG: Malformed = Malformed("an entry of the top index is malformed");
        let mut input = Decoder::new(value);
        let start = input.varint().ok_or(WRONG)?;
        let filter = BlockHandle::decode(&mut input).ok_or(WRONG)?;
        let index = BlockHandle::decode(&mut input).ok_or(WRONG)?.check(file_end)?;
        if !input.is_empty() || start > index.offset {
            return Err(WRONG);
        }
        let filter = if filter.len == 0 { None } else { Some(filter.check(file_end)?) };
        Ok(Self { start, filter, index })
    }
}

/// Says in which partition a key is. In memory as long as the table is open.
#[derive(Debug)]
pub(crate) struct TopIndex {
    separators: Separators,
    partitions: Box<[Partition]>,
}

impl TopIndex {
    pub(crate) fn parse(block: &Block, file_end: u64) -> Result<Self, Malformed> {
        let mut partitions = Vec::new();
        let separators = Separators::parse(block, |value| {
            partitions.push(Partition::decode(value, file_end)?);
            Ok(())
        })?;
        Ok(Self { separators, partitions: partitions.into_boxed_slice() })
    }

    pub(super) const fn len(&self) -> usize {
        self.partitions.len()
    }

    pub(super) fn get(&self, at: usize) -> Option<&Partition> {
        self.partitions.get(at)
    }

    pub(super) fn separator(&self, at: usize) -> (&[u8], Trailer) {
        self.separators.get(at)
    }

    /// The partition with the first entry at or after the given internal key; `len` if there is none.
    #[inline]
    pub(super) fn find(&self, key: &[u8], trailer: Trailer) -> usize {
        self.separators.find(key, trailer)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.separators.heap_bytes() + size_of_val(&*self.partitions)
    }
}

/// Says in which data block of a partition a key is.
#[derive(Debug)]
pub(crate) struct Index {
    separators: Separators,
    handles: Box<[BlockHandle]>,
}

impl Index {
    pub(crate) fn parse(block: &Block, file_end: u64) -> Result<Self, Malformed> {
        let mut handles = Vec::new();
        let separators = Separators::parse(block, |value| {
            let mut input = Decoder::new(value);
            let handle = BlockHandle::decode(&mut input).filter(|_| input.is_empty());
            handles.push(handle.ok_or(Malformed("a handle in an index is malformed"))?.check(file_end)?);
            Ok(())
        })?;
        Ok(Self { separators, handles: handles.into_boxed_slice() })
    }

    pub(super) const fn len(&self) -> usize {
        self.handles.len()
    }

    pub(super) fn get(&self, at: usize) -> Option<BlockHandle> {
        self.handles.get(at).copied()
    }

    pub(super) fn separator(&self, at: usize) -> (&[u8], Trailer) {
        self.separators.get(at)
    }

    /// The data block with the first entry at or after the given internal key; `len` if there is none.
    #[inline]
    pub(super) fn find(&self, key: &[u8], trailer: Trailer) -> usize {
        self.separators.find(key, trailer)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.separators.heap_bytes() + size_of_val(&*self.handles)
    }
}
