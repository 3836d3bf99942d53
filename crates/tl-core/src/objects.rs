//! Reading objects, from wherever they come: whoever hands out stored bytes is not trusted, all is checked here.

use std::fmt;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::error::{Damage, Error, Result};
use crate::id::{ObjectId, ObjectKind};
use crate::stored::Stored;
use crate::tree::Tree;

/// About how much memory one tree in the cache takes, for sizing the cache's own tables.
const TREE_LEN_TYPICAL: usize = 2 << 10;

/// Where stored objects come from: a database at hand, or a process that holds it.
pub trait ObjectSource: fmt::Debug + Send + Sync {
    /// The bytes of an object as they are stored. Nobody has checked them.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Purged`], or that the source failed.
    fn load(&self, id: &ObjectId) -> Result<Vec<u8>>;
}

#[derive(Clone)]
struct TreeLen;

impl Weighter<ObjectId, Arc<Tree>> for TreeLen {
    fn weight(&self, _: &ObjectId, tree: &Arc<Tree>) -> u64 {
        (tree.memory_len() + size_of::<ObjectId>()) as u64
    }
}

/// Objects to read. Cheap to clone; usable from any thread. A [`Store`](crate::Store) has [its own](crate::Store::objects).
#[derive(Clone)]
pub struct Objects {
    source: Arc<dyn ObjectSource>,
    trees: Arc<Cache<ObjectId, Arc<Tree>, TreeLen>>,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Objects {
    /// The objects of `source`, with this many bytes of memory for trees that were read.
    #[must_use]
    pub fn new(source: Arc<dyn ObjectSource>, tree_cache_bytes: usize) -> Self {
        let trees = Cache::with_weighter(tree_cache_bytes / TREE_LEN_TYPICAL, tree_cache_bytes as u64, TreeLen);
        Self { source, trees: Arc::new(trees) }
    }

    /// The tree with this id. Those read lately are kept in memory.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Purged`], [`Error::Damaged`], or an error of the source.
    pub fn get_tree(&self, id: &ObjectId) -> Result<Arc<Tree>> {
        if *id == ObjectId::EMPTY_TREE {
            return Ok(Arc::new(Tree::empty()));
        }
        if let Some(tree) = self.trees.get(id) {
            return Ok(tree);
        }
        let value = self.load(id)?;
        let tree = Arc::new(decode_tree(id, &value).map_err(|damage| Error::Damaged { id: *id, damage })?);
        self.keep_tree(&tree);
        Ok(tree)
    }

    /// Keeps a tree in memory that is stored.
    pub(crate) fn keep_tree(&self, tree: &Arc<Tree>) {
        self.trees.insert(tree.id(), Arc::clone(tree));
    }

    /// The content of the blob with this id, if it has at most `len_max` bytes.
    ///
    /// # Errors
    /// [`Error::BlobTooLarge`], before anything is allocated; else as for [`Objects::get_tree`].
    pub fn get_blob(&self, id: &ObjectId, len_max: u64) -> Result<Vec<u8>> {
        self.blob_reader(id)?.into_content(len_max)
    }

    /// Length in bytes of the blob with this id, as it is stored: the content is not checked.
    ///
    /// # Errors
    /// As for [`Objects::get_tree`].
    pub fn blob_len(&self, id: &ObjectId) -> Result<u64> {
        let value = self.load(id)?;
        let stored = parse_blob(&value).map_err(|damage| Error::Damaged { id: *id, damage })?;
        Ok(stored.content_len())
    }

    /// Gives the memory of the trees that were read back.
    pub fn trim(&self) {
        self.trees.clear();
    }

    /// The stored bytes of an object, unchecked.
    pub(crate) fn load(&self, id: &ObjectId) -> Result<Vec<u8>> {
        self.source.load(id)
    }
}

/// Takes a blob's value apart.
pub(crate) fn parse_blob(value: &[u8]) -> Result<Stored<'_>, Damage> {
    let stored = Stored::parse(value)?;
    match stored.kind {
        ObjectKind::Blob => Ok(stored),
        ObjectKind::Tree => Err(Damage::WrongKind { expected: ObjectKind::Blob }),
    }
}

/// Reads a tree's value and checks all of it.
pub(crate) fn decode_tree(id: &ObjectId, value: &[u8]) -> Result<Tree, Damage> {
    let stored = Stored::parse(value)?;
    let expected = ObjectKind::Tree;
    if stored.kind != expected {
        return Err(Damage::WrongKind { expected });
    }
    // Only blobs are chunked.
    let content = stored.body.whole_content(expected, id)?.ok_or(Damage::WrongKind { expected })?;
    Ok(Tree::decode_as(*id, content.into_owned())?)
}
