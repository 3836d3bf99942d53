//! Directories: entries, the trees that hold them, and their one encoding.

mod builder;
mod encoding;
mod entry;

use std::fmt;

pub use self::builder::TreeBuilder;
pub(crate) use self::builder::TreeWriter;
pub use self::encoding::TreeError;
pub use self::entry::{Blob, Entry, EntryKind, Mode, TreeEntry};
use crate::coding::Reader;
use crate::id::{ObjectId, ObjectKind};
use crate::path::EntryName;

/// One directory: entries sorted by the bytes of their names, no name twice. Immutable; kept as it is encoded, 4 bytes an entry beside that.
///
/// Made by a [`TreeBuilder`], or read with [`Store::get_tree`](crate::Store::get_tree).
#[derive(Clone)]
pub struct Tree {
    id: ObjectId,
    content: Box<[u8]>,
    /// Where the heads begin in `content`.
    heads_start: u32,
    /// Where the ids begin.
    ids_start: u32,
    /// Where each head begins, from `heads_start` on.
    heads: Box<[u32]>,
}

impl Tree {
    /// The tree without entries.
    #[must_use]
    pub fn empty() -> Self {
        Self { id: ObjectId::EMPTY_TREE, content: Box::new([0]), heads_start: 1, ids_start: 1, heads: Box::new([]) }
    }

    /// Reads an encoded tree and checks all of it.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn decode(content: Vec<u8>) -> Result<Self, TreeError> {
        let id = ObjectId::of(ObjectKind::Tree, &content);
        Self::decode_as(id, content)
    }

    /// Reads an encoded tree whose id is known.
    pub(crate) fn decode_as(id: ObjectId, content: Vec<u8>) -> Result<Self, TreeError> {
        let layout = encoding::check(&content)?;
        Ok(Self {
            id,
            content: content.into_boxed_slice(),
            heads_start: layout.heads_start,
            ids_start: layout.ids_start,
            heads: layout.heads.into_boxed_slice(),
        })
    }

    /// The tree's id.
    #[must_use]
    pub const fn id(&self) -> ObjectId {
        self.id
    }

    /// The tree as it is encoded and hashed.
    #[must_use]
    pub const fn content(&self) -> &[u8] {
        &self.content
    }

    /// Number of entries.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.heads.len()
    }

    /// True if there is no entry.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// The entry of that name.
    #[must_use]
    pub fn get(&self, name: &EntryName) -> Option<Entry> {
        self.entry_at(self.find(name).ok()?).map(|found| found.entry)
    }

    /// The entries, rising by name.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = TreeEntry<'_>> + Clone {
        (0..self.len()).filter_map(|index| self.entry_at(index))
    }

    /// The entry at a position, counted from 0.
    #[must_use]
    pub fn entry_at(&self, index: usize) -> Option<TreeEntry<'_>> {
        let head = encoding::Head::read(&mut self.head_reader(*self.heads.get(index)?)?)?;
        let at = self.ids_start as usize + index * ObjectId::LEN;
        let id = *self.content.get(at..)?.first_chunk()?;
        let entry = Entry { kind: head.kind, mode: head.mode, id: ObjectId::from_bytes(id), size: head.size };
        Some(TreeEntry { name: EntryName::checked(head.name), entry })
    }

    /// The position of `name`, or the one where it would stand.
    pub(crate) fn find(&self, name: &EntryName) -> Result<usize, usize> {
        self.heads.binary_search_by(|&head| {
            let found = self.head_reader(head).and_then(|mut reader| encoding::Head::read(&mut reader));
            found.map_or(&[][..], |head| head.name).cmp(name.as_bytes())
        })
    }

    fn head_reader(&self, head: u32) -> Option<Reader<'_>> {
        Some(Reader::new(self.content.get((self.heads_start + head) as usize..self.ids_start as usize)?))
    }

    /// Bytes of memory that the tree takes.
    pub(crate) const fn memory_len(&self) -> usize {
        size_of::<Self>() + self.content.len() + self.heads.len() * size_of::<u32>()
    }
}

/// Trees are equal if their ids are.
impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Tree {}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|found| (found.name, found.entry))).finish()
    }
}

#[cfg(test)]
mod tests;
