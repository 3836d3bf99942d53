//! Making trees: from entries in any order, or from pieces of other trees.

use super::encoding::{TreeError, put_head};
use super::{Entry, EntryKind, Tree};
use crate::coding::put_varint;
use crate::id::{ObjectId, ObjectKind};
use crate::path::EntryName;
use crate::stored::MAX_TREE_LEN;

/// Bytes of a head beside the name, for most files.
const HEAD_LEN_USUAL: usize = 6;

/// Collects the entries of a directory, in any order.
///
/// ```
/// use tl_core::{Entry, EntryName, Mode, ObjectId, TreeBuilder};
///
/// let mut builder = TreeBuilder::new();
/// builder.add(EntryName::new(b"src")?, Entry::directory(ObjectId::EMPTY_TREE, Mode::new(0o755)));
/// builder.add(EntryName::new(b"doc")?, Entry::directory(ObjectId::EMPTY_TREE, Mode::new(0o755)));
/// let tree = builder.build()?;
/// let names: Vec<_> = tree.iter().map(|found| found.name.to_string()).collect();
/// assert_eq!(names, ["doc", "src"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct TreeBuilder {
    names: Vec<u8>,
    added: Vec<Added>,
}

#[derive(Debug)]
struct Added {
    name_start: usize,
    name_len: usize,
    entry: Entry,
}

impl TreeBuilder {
    /// A builder without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry. The size of a directory is not looked at: it is 0.
    pub fn add(&mut self, name: &EntryName, entry: Entry) {
        let name_start = self.names.len();
        self.names.extend_from_slice(name.as_bytes());
        let size = if entry.kind == EntryKind::Directory { 0 } else { entry.size };
        self.added.push(Added { name_start, name_len: name.as_bytes().len(), entry: Entry { size, ..entry } });
    }

    /// The tree of all entries.
    ///
    /// # Errors
    /// [`TreeError::Order`] if a name was added twice; [`TreeError::TooLarge`].
    pub fn build(self) -> Result<Tree, TreeError> {
        let mut writer = TreeWriter {
            heads: Vec::with_capacity(self.names.len() + self.added.len() * HEAD_LEN_USUAL),
            starts: Vec::with_capacity(self.added.len()),
            ids: Vec::with_capacity(self.added.len() * ObjectId::LEN),
        };
        let mut before: Option<&[u8]> = None;
        for (name, entry) in self.in_order() {
            if before == Some(name) {
                return Err(TreeError::Order);
            }
            before = Some(name);
            writer.push(EntryName::checked(name), entry);
        }
        writer.finish()
    }

    fn name_of(&self, added: &Added) -> &[u8] {
        self.names.get(added.name_start..added.name_start + added.name_len).unwrap_or_default()
    }

    /// Entries by their names. Few comparisons look at a name: where all names begin alike, the eight bytes after that tell most of them apart.
    fn in_order(&self) -> impl Iterator<Item = (&[u8], &Entry)> {
        let mut named: Vec<(u64, &[u8], &Entry)> =
            self.added.iter().map(|added| (0, self.name_of(added), &added.entry)).collect();
        let first = named.first().map_or(&[][..], |(_, name, _)| name);
        let shared = named.iter().fold(first.len(), |shared, (_, name, _)| {
            let both = first.iter().zip(*name).take(shared);
            both.take_while(|(left, right)| left == right).count()
        });
        for (key, name, _) in &mut named {
            let mut bytes = [0; size_of::<u64>()];
            for (byte, of_name) in bytes.iter_mut().zip(name.get(shared..).unwrap_or_default()) {
                *byte = *of_name;
            }
            *key = u64::from_be_bytes(bytes);
        }
        named.sort_unstable_by(|left, right| left.0.cmp(&right.0).then_with(|| left.1.cmp(right.1)));
        named.into_iter().map(|(_, name, entry)| (name, entry))
    }
}

/// Writes a tree from entries and runs of other trees' entries, both rising by name.
#[derive(Debug, Default)]
pub(crate) struct TreeWriter {
    heads: Vec<u8>,
    starts: Vec<u32>,
    ids: Vec<u8>,
}

impl TreeWriter {
    /// A writer with room for about what `tree` holds.
    pub(crate) fn sized_like(tree: &Tree) -> Self {
        let heads_len = (tree.ids_start - tree.heads_start) as usize;
        Self {
            heads: Vec::with_capacity(heads_len + 64),
            starts: Vec::with_capacity(tree.len() + 1),
            ids: Vec::with_capacity((tree.len() + 1) * ObjectId::LEN),
        }
    }

    pub(crate) fn push(&mut self, name: &EntryName, entry: &Entry) {
        // Past 4 GiB the position is meaningless, and `finish` refuses the tree long before.
        self.starts.push(self.heads.len() as u32);
        put_head(&mut self.heads, name, entry);
        self.ids.extend_from_slice(entry.id.as_bytes());
    }

    /// Takes over the entries `from..to` of `tree` as they are encoded.
    pub(crate) fn copy(&mut self, tree: &Tree, from: usize, to: usize) {
        let heads_end = tree.ids_start - tree.heads_start;
        let start_of = |index: usize| tree.heads.get(index).copied().unwrap_or(heads_end);
        let (first, end) = (start_of(from), start_of(to));
        let at = |head: u32| (tree.heads_start + head) as usize;
        let base = self.heads.len() as u32;
        self.starts.extend(tree.heads.get(from..to).unwrap_or_default().iter().map(|head| base + (head - first)));
        self.heads.extend_from_slice(tree.content.get(at(first)..at(end)).unwrap_or_default());
        let id_at = |index: usize| tree.ids_start as usize + index * ObjectId::LEN;
        self.ids.extend_from_slice(tree.content.get(id_at(from)..id_at(to)).unwrap_or_default());
    }

    pub(crate) fn finish(self) -> Result<Tree, TreeError> {
        let mut content = Vec::with_capacity(10 + self.heads.len() + self.ids.len());
        put_varint(&mut content, self.starts.len() as u64);
        let heads_start = content.len();
        content.extend_from_slice(&self.heads);
        let ids_start = content.len();
        content.extend_from_slice(&self.ids);
        if content.len() > MAX_TREE_LEN {
            return Err(TreeError::TooLarge);
        }
        Ok(Tree {
            id: ObjectId::of(ObjectKind::Tree, &content),
            content: content.into_boxed_slice(),
            heads_start: heads_start as u32,
            ids_start: ids_start as u32,
            heads: self.starts.into_boxed_slice(),
        })
    }
}
