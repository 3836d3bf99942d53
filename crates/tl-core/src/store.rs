//! The store: objects in a database, read and checked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use granite::{Codec, Db, Durability, KeyLayout, Keyspace, KeyspaceOptions, WriteBatch};

use crate::blob_reader::BlobReader;
use crate::coding::Reader;
use crate::collect::gate::Gate;
use crate::diff::Diff;
use crate::error::{Error, Result};
use crate::id::ObjectId;
use crate::objects::{ObjectSource, Objects};
use crate::stored::decode_purged;
use crate::tree::Tree;

const OBJECTS: &str = "objects";
const PURGED: &str = "purged";
/// The key of the header, which is no object's id.
pub(crate) const HEADER_KEY: [u8; ObjectId::LEN] = [0; ObjectId::LEN];
const MAGIC: &[u8; 8] = b"TLOBJECT";
const FORMAT_VERSION: u32 = 1;

/// How a store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// Bytes of memory for trees that were read. Default 2 MiB.
    pub tree_cache_bytes: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { tree_cache_bytes: 2 << 20 }
    }
}

/// Objects in a database. Cheap to clone; usable from any thread.
///
/// The database is the caller's, who may keep other things in it: the store uses the keyspaces `objects` and `purged`. All that is read is checked
/// against its id.
#[derive(Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) db: Db,
    pub(crate) objects: Keyspace,
    pub(crate) purged: Keyspace,
    pub(crate) reading: Objects,
    pub(crate) gate: Arc<Gate>,
    /// True while a collection is under way.
    collecting: AtomicBool,
}

impl Shared {
    /// False if a collection is under way already.
    pub(crate) fn begin_collection(&self) -> bool {
        !self.collecting.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn end_collection(&self) {
        self.collecting.store(false, Ordering::Release);
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("db", &self.shared.db).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the objects in `db`, or makes room for them if there are none. A database that is open read-only must hold them.
    ///
    /// # Errors
    /// [`Error::NotAStore`], [`Error::NewerFormat`], or an error of the database.
    pub fn open(db: &Db, options: &StoreOptions) -> Result<Self> {
        let hashes =
            KeyspaceOptions::new().key_layout(KeyLayout::Hash { width: ObjectId::LEN as u8 }).codec(Codec::None);
        let keyspace = |name| {
            db.keyspace(name, hashes.clone()).map_err(|error| match error {
                granite::Error::ReadOnly => Error::NotAStore { reason: "its keyspaces are not there" },
                error => Error::Database(error),
            })
        };
        let (objects, purged) = (keyspace(OBJECTS)?, keyspace(PURGED)?);
        check_header(db, &objects)?;
        let source = Arc::new(Keyspaces { objects: objects.clone(), purged: purged.clone() });
        let reading = Objects::new(source, options.tree_cache_bytes);
        let gate = Arc::default();
        let collecting = AtomicBool::new(false);
        Ok(Self { shared: Arc::new(Shared { db: db.clone(), objects, purged, reading, gate, collecting }) })
    }

    /// The database that the objects are in.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.shared.db
    }

    /// True if the object is there to be read: stored, and not purged. Its content is not looked at.
    ///
    /// # Errors
    /// An error of the database.
    pub fn contains(&self, id: &ObjectId) -> Result<bool> {
        Ok(*id == ObjectId::EMPTY_TREE || self.shared.objects.contains_key(id.as_bytes())?)
    }

    /// The objects, for what only reads: it can read another source as well.
    #[must_use]
    pub fn objects(&self) -> &Objects {
        &self.shared.reading
    }

    /// [`Objects::get_tree`].
    ///
    /// # Errors
    /// As there.
    pub fn get_tree(&self, id: &ObjectId) -> Result<Arc<Tree>> {
        self.objects().get_tree(id)
    }

    /// [`Objects::get_blob`].
    ///
    /// # Errors
    /// As there.
    pub fn get_blob(&self, id: &ObjectId, len_max: u64) -> Result<Vec<u8>> {
        self.objects().get_blob(id, len_max)
    }

    /// [`Objects::blob_len`].
    ///
    /// # Errors
    /// As there.
    pub fn blob_len(&self, id: &ObjectId) -> Result<u64> {
        self.objects().blob_len(id)
    }

    /// [`Objects::blob_reader`].
    ///
    /// # Errors
    /// As there.
    pub fn blob_reader(&self, id: &ObjectId) -> Result<BlobReader> {
        self.objects().blob_reader(id)
    }

    /// [`Objects::diff`].
    ///
    /// # Errors
    /// As there.
    pub fn diff(&self, before: &ObjectId, after: &ObjectId) -> Result<Diff> {
        self.objects().diff(before, after)
    }

    /// [`Objects::trim`].
    pub fn trim(&self) {
        self.objects().trim();
    }

    /// The bytes of an object as they are stored, unchecked, for a reader elsewhere that is an [`ObjectSource`] to its [`Objects`].
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Purged`], [`Error::Damaged`] for the note of a purge, or an error of the database.
    pub fn stored_bytes(&self, id: &ObjectId) -> Result<Vec<u8>> {
        self.objects().load(id)
    }
}

/// The keyspaces of a store as a source.
#[derive(Debug)]
struct Keyspaces {
    objects: Keyspace,
    purged: Keyspace,
}

impl ObjectSource for Keyspaces {
    fn load(&self, id: &ObjectId) -> Result<Vec<u8>> {
        if let Some(value) = self.objects.get(id.as_bytes())? {
            return Ok(value);
        }
        match self.purged.get(id.as_bytes())? {
            None => Err(Error::Missing { id: *id }),
            Some(note) => {
                let len = decode_purged(&note).map_err(|damage| Error::Damaged { id: *id, damage })?;
                Err(Error::Purged { id: *id, len })
            }
        }
    }
}

/// Looks at the header, and writes one where there is nothing yet.
fn check_header(db: &Db, objects: &Keyspace) -> Result<()> {
    let not_a_store = |reason| Err(Error::NotAStore { reason });
    let Some(header) = objects.get(&HEADER_KEY)? else {
        let mut walk = objects.scan::<&[u8], _>(..)?;
        walk.seek_to_first()?;
        if walk.valid() {
            return not_a_store("its keyspace `objects` has no header");
        }
        let mut batch = WriteBatch::new();
        batch.put_if_absent(objects, &HEADER_KEY, &[&MAGIC[..], &FORMAT_VERSION.to_le_bytes()].concat());
        // Nothing needs the header before the first object, and that brings it to the disk.
        return match db.write(batch, Durability::Buffered) {
            // To a reader, a store without objects is as good without its header.
            Ok(_) | Err(granite::Error::ReadOnly) => Ok(()),
            Err(error) => Err(error.into()),
        };
    };
    let mut reader = Reader::new(&header);
    match (reader.array(), reader.array().map(u32::from_le_bytes)) {
        (Some(magic), Some(FORMAT_VERSION)) if magic == *MAGIC && reader.rest().is_empty() => Ok(()),
        (Some(magic), Some(found)) if magic == *MAGIC && found > FORMAT_VERSION => {
            Err(Error::NewerFormat { found, supported: FORMAT_VERSION })
        }
        _ => not_a_store("its keyspace `objects` has the header of something else"),
    }
}
