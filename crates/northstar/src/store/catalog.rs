//! What a meta points to beside the free list: the directory of a state (its trees) and the catalog (persistent roots, pins, buckets of
//! freed pages). `docs/format/northstar.md`, "Directory" and "Catalog".

use std::sync::Arc;

use super::space::{BucketRecord, SpaceRecord};
use crate::coding::{Reader, put_sized, put_varint};
use crate::id::{CommitTime, PageId, TxnId};

/// Most trees that a database can have.
pub(crate) const TREES_MAX: usize = 1024;
/// Longest name of a tree or pin, in bytes.
pub(crate) const NAME_LEN_MAX: usize = 128;

/// A named tree in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TreeState {
    pub(crate) id: u32,
    pub(crate) name: Arc<str>,
    /// None: the tree is empty.
    pub(crate) root: PageId,
    pub(crate) len: u64,
}

/// All trees of one state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Directory {
    /// Sorted by id, so that a handle finds its tree fast. Names differ.
    pub(crate) trees: Vec<TreeState>,
    /// Ids are given out once.
    pub(crate) next_tree_id: u32,
}

impl Directory {
    pub(crate) fn named(&self, name: &str) -> Option<&TreeState> {
        self.trees.iter().find(|tree| *tree.name == *name)
    }

    fn place(&self, id: u32) -> Result<usize, usize> {
        self.trees.binary_search_by_key(&id, |tree| tree.id)
    }

    #[inline]
    pub(crate) fn get(&self, id: u32) -> Option<&TreeState> {
        self.trees.get(self.place(id).ok()?)
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut TreeState> {
        let place = self.place(id).ok()?;
        self.trees.get_mut(place)
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<TreeState> {
        self.place(id).ok().map(|place| self.trees.remove(place))
    }

    /// Adds an empty tree. Neither id nor name is there yet.
    pub(crate) fn create(&mut self, id: u32, name: &str) {
        let place = self.place(id).unwrap_or_else(|place| place);
        self.trees.insert(place, TreeState { id, name: name.into(), root: PageId::NONE, len: 0 });
        self.next_tree_id = self.next_tree_id.max(id.saturating_add(1));
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, u64::from(self.next_tree_id));
        put_varint(&mut out, self.trees.len() as u64);
        for tree in &self.trees {
            put_varint(&mut out, u64::from(tree.id));
            put_sized(&mut out, tree.name.as_bytes());
            put_varint(&mut out, u64::from(tree.root.0));
            put_varint(&mut out, tree.len);
        }
        out
    }

    pub(crate) fn decode(content: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(content);
        let next_tree_id = u32::try_from(fields.varint()?).ok()?;
        let count = usize::try_from(fields.varint()?).ok().filter(|count| *count <= TREES_MAX)?;
        let mut trees: Vec<TreeState> = Vec::with_capacity(count);
        for _ in 0..count {
            let tree = TreeState {
                id: u32::try_from(fields.varint()?).ok()?,
                name: std::str::from_utf8(fields.sized()?).ok()?.into(),
                root: PageId(u32::try_from(fields.varint()?).ok()?),
                len: fields.varint()?,
            };
            if trees.last().is_some_and(|before| before.id >= tree.id) {
                return None;
            }
            trees.push(tree);
        }
        fields.is_empty().then_some(Self { trees, next_tree_id })
    }
}

/// A place in the log: where the record after a state begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct LogPosition {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

/// A state that is on disk as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RootRecord {
    pub(crate) txn: TxnId,
    pub(crate) time: CommitTime,
    pub(crate) directory: PageId,
    pub(crate) directory_pages: u32,
    pub(crate) log: LogPosition,
}

impl RootRecord {
    pub(crate) const LEN: usize = 40;

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.txn.0.to_le_bytes());
        out.extend_from_slice(&self.time.0.to_le_bytes());
        out.extend_from_slice(&self.directory.0.to_le_bytes());
        out.extend_from_slice(&self.directory_pages.to_le_bytes());
        out.extend_from_slice(&self.log.segment.to_le_bytes());
        out.extend_from_slice(&self.log.offset.to_le_bytes());
    }

    pub(crate) fn read(fields: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            txn: TxnId(fields.u64()?),
            time: CommitTime(fields.u64()?),
            directory: PageId(fields.u32()?),
            directory_pages: fields.u32()?,
            log: LogPosition { segment: fields.u64()?, offset: fields.u64()? },
        })
    }
}

/// What a meta knows beside its own root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Catalog {
    /// Older persistent roots, oldest first.
    pub(crate) roots: Vec<RootRecord>,
    /// Names of roots that stay, sorted. The newest root of all can be among them.
    pub(crate) pins: Vec<(String, TxnId)>,
    pub(crate) space: SpaceRecord,
}

impl Catalog {
    /// An upper bound of the encoded length, without the bytes of the pins' names.
    pub(crate) const fn len_max(roots: usize, pins: usize, buckets: usize) -> usize {
        64 + roots * RootRecord::LEN + pins * 24 + buckets * 20
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.roots.len() as u64);
        self.roots.iter().for_each(|root| root.put(&mut out));
        put_varint(&mut out, self.pins.len() as u64);
        for (name, txn) in &self.pins {
            put_sized(&mut out, name.as_bytes());
            out.extend_from_slice(&txn.0.to_le_bytes());
        }
        out.extend_from_slice(&self.space.free_head.0.to_le_bytes());
        out.extend_from_slice(&self.space.free_pages.to_le_bytes());
        put_varint(&mut out, self.space.buckets.len() as u64);
        for bucket in &self.space.buckets {
            out.extend_from_slice(&bucket.root.0.to_le_bytes());
            out.extend_from_slice(&bucket.head.0.to_le_bytes());
            out.extend_from_slice(&bucket.pages.to_le_bytes());
        }
        out
    }

    pub(crate) fn decode(content: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(content);
        let mut catalog = Self::default();
        for _ in 0..fields.varint()? {
            let root = RootRecord::read(&mut fields)?;
            if catalog.roots.last().is_some_and(|before| before.txn >= root.txn) {
                return None;
            }
            catalog.roots.push(root);
        }
        for _ in 0..fields.varint()? {
            let name = std::str::from_utf8(fields.sized()?).ok()?.to_owned();
            catalog.pins.push((name, TxnId(fields.u64()?)));
        }
        catalog.space.free_head = PageId(fields.u32()?);
        catalog.space.free_pages = fields.u64()?;
        for _ in 0..fields.varint()? {
            let bucket = BucketRecord { root: TxnId(fields.u64()?), head: PageId(fields.u32()?), pages: fields.u64()? };
            catalog.space.buckets.push(bucket);
        }
        // What follows is room that the run was given before its length was known.
        Some(catalog)
    }
}
