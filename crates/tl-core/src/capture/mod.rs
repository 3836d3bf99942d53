//! Writing objects: many at a time, made durable together.

mod chunked;
mod pending;

use std::io::Read;
use std::sync::{Arc, OnceLock};

use granite::{Durability, Seq, WriteBatch};
use parking_lot::Mutex;

use self::chunked::{ChunkedPut, fill};
use self::pending::{Full, Pending};
use crate::collect::gate::{LiveCapture, Presence};
use crate::error::{Error, Result};
use crate::id::{ObjectId, ObjectKind};
use crate::store::Store;
use crate::stored::{Compressor, WHOLE_BLOB_LEN_MAX, encode_whole};
use crate::tree::{Blob, Tree};

/// What is gathered beyond this many bytes is written ahead, without a sync.
const AHEAD_LEN: usize = 4 << 20;
/// Idle buffers of each kind that are kept: one for each thread that may well be at work.
const IDLE_MAX: usize = 8;

/// A unit of writing: objects are put into it, and [`Capture::commit`] makes them durable in one batch with what the caller adds.
///
/// Objects can be put from several threads at once: hashing and compression happen in the thread that puts. What is stored already
/// is not written again. Beyond 4 MiB, objects go ahead in batches of their own that are not synced; the last batch, which says what the objects are
/// for, brings everything before it to the disk. A capture that is dropped without a commit leaves at most objects that nothing refers to.
///
/// After a failed put or commit the capture is of no use, and every further call fails for the same reason: begin another.
#[derive(Debug)]
pub struct Capture {
    store: Store,
    live: LiveCapture,
    pending: Mutex<Pending>,
    /// Why an earlier write failed, so that objects of this capture are missing.
    failed: OnceLock<Error>,
    encoders: Mutex<Vec<Encoder>>,
    buffers: Mutex<Vec<Vec<u8>>>,
}

/// What it takes to bring an object into its stored form.
#[derive(Debug, Default)]
struct Encoder {
    compressor: Compressor,
    value: Vec<u8>,
}

/// What a [`Capture`] added to its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Objects that were not stored before.
    pub objects_new: u64,
    /// Bytes of these, as they are stored, with their keys.
    pub bytes_new: u64,
    /// The last operation of the last batch, or the newest before it if there was nothing to write.
    pub sequence: Seq,
}

impl Store {
    /// Begins to write.
    ///
    /// # Errors
    /// An error of the database.
    pub fn capture(&self) -> Result<Capture> {
        Ok(Capture {
            store: self.clone(),
            live: self.shared.gate.enter(self.db()),
            pending: Mutex::default(),
            failed: OnceLock::new(),
            encoders: Mutex::default(),
            buffers: Mutex::default(),
        })
    }
}

impl Capture {
    /// The store that is written to.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Puts a file's content that is in memory.
    ///
    /// # Errors
    /// [`Error::BlobTooLarge`], an error of the database, of this write or an earlier one.
    pub fn put_blob(&self, content: &[u8]) -> Result<Blob> {
        if content.len() > WHOLE_BLOB_LEN_MAX {
            let mut put = ChunkedPut::new(self);
            put.take_chunks(content, true)?;
            return put.finish();
        }
        let id = ObjectId::of(ObjectKind::Blob, content);
        self.put_whole(id, content, None)?;
        Ok(Blob { id, len: content.len() as u64 })
    }

    /// Puts a file's content as it is read, whatever its length, in about 1 MiB of memory. `len_hint` is the length that is expected; a wrong one
    /// costs time only.
    ///
    /// # Errors
    /// [`Error::Source`] if `content` fails, after which the capture can go on; else as for [`Capture::put_blob`].
    pub fn put_blob_from(&self, content: &mut dyn Read, len_hint: u64) -> Result<Blob> {
        let mut buffer = self.buffers.lock().pop().unwrap_or_default();
        buffer.clear();
        let blob = self.put_read(content, len_hint, &mut buffer);
        let mut buffers = self.buffers.lock();
        if buffers.len() < IDLE_MAX {
            buffers.push(buffer);
        }
        blob
    }

    fn put_read(&self, content: &mut dyn Read, len_hint: u64, buffer: &mut Vec<u8>) -> Result<Blob> {
        let hint = usize::try_from(len_hint).unwrap_or(usize::MAX);
        let mut is_end = fill(content, buffer, WHOLE_BLOB_LEN_MAX + 1, hint)?;
        if buffer.len() <= WHOLE_BLOB_LEN_MAX {
            return self.put_blob(buffer);
        }
        let mut put = ChunkedPut::new(self);
        loop {
            let taken = put.take_chunks(buffer, is_end)?;
            buffer.drain(..taken);
            if is_end {
                return put.finish();
            }
            is_end = fill(content, buffer, WHOLE_BLOB_LEN_MAX, WHOLE_BLOB_LEN_MAX)?;
        }
    }

    /// Puts the target of a symbolic link.
    ///
    /// # Errors
    /// As for [`Capture::put_blob`].
    pub fn put_symlink(&self, target: &[u8]) -> Result<Blob> {
        self.put_blob(target)
    }

    /// Puts a directory. What it refers to must be put in the same capture, or be part of a state that is kept: that a tree is stored already
    /// says nothing about that.
    ///
    /// # Errors
    /// An error of the database, of this write or an earlier one.
    pub fn put_tree(&self, tree: &Tree) -> Result<ObjectId> {
        self.put_shared_tree(&Arc::new(tree.clone()))
    }

    pub(crate) fn put_shared_tree(&self, tree: &Arc<Tree>) -> Result<ObjectId> {
        let id = tree.id();
        if id != ObjectId::EMPTY_TREE {
            self.put_whole(id, tree.content(), Some(tree))?;
        }
        Ok(id)
    }

    /// The tree with this id, from the store or from what this capture has put so far.
    ///
    /// # Errors
    /// As for [`Store::get_tree`].
    pub fn get_tree(&self, id: &ObjectId) -> Result<Arc<Tree>> {
        let pending = self.pending.lock().tree(id);
        pending.map_or_else(|| self.store.get_tree(id), Ok)
    }

    /// Makes everything that was put durable, or only safe from the death of the process, as `durability` says, together with what `add` puts into
    /// the last batch: all of it or, after a crash, none.
    ///
    /// # Errors
    /// An error of the database, of this write or an earlier one: then nothing of the last batch is written, unless the database refuses
    /// further writes and only its next opening can tell.
    pub fn commit(mut self, add: impl FnOnce(&mut WriteBatch), durability: Durability) -> Result<Committed> {
        self.check()?;
        let mut last = self.pending.get_mut().take();
        add(&mut last.batch);
        let trees = last.rest.trees.clone();
        let sequence = self.write(last, durability)?;
        // The next checkpoint begins with these.
        for tree in trees {
            self.store.objects().keep_tree(&tree);
        }
        let (objects_new, bytes_new) = self.pending.get_mut().written();
        Ok(Committed { objects_new, bytes_new, sequence })
    }

    /// Puts an object that is stored in one piece: `tree`, or a blob.
    fn put_whole(&self, id: ObjectId, content: &[u8], tree: Option<&Arc<Tree>>) -> Result<()> {
        let presence = self.presence(&id)?;
        if presence == Presence::Stored {
            return Ok(());
        }
        let mut encoder = self.encoders.lock().pop().unwrap_or_default();
        encoder.value.clear();
        let kind = if tree.is_some() { ObjectKind::Tree } else { ObjectKind::Blob };
        encode_whole(kind, content, &mut encoder.compressor, &mut encoder.value);
        self.put_value(id, &encoder.value, tree, presence)?;
        let mut encoders = self.encoders.lock();
        if encoders.len() < IDLE_MAX {
            encoders.push(encoder);
        }
        Ok(())
    }

    /// Whether an object has to be written.
    fn presence(&self, id: &ObjectId) -> Result<Presence> {
        self.check()?;
        if self.pending.lock().holds(id) {
            return Ok(Presence::Stored);
        }
        self.live.presence(id, || Ok(self.store.shared.objects.contains_key(id.as_bytes())?))
    }

    /// Gathers an object, and writes what was gathered if that is enough.
    fn put_value(&self, id: ObjectId, value: &[u8], tree: Option<&Arc<Tree>>, presence: Presence) -> Result<()> {
        let full = {
            let mut pending = self.pending.lock();
            pending.add(&self.store.shared.objects, id, value, tree, presence == Presence::Doomed);
            if pending.len() < AHEAD_LEN {
                return Ok(());
            }
            pending.take()
        };
        self.write(full, Durability::Buffered).map(|_| ())
    }

    fn write(&self, full: Full, durability: Durability) -> Result<Seq> {
        let Full { batch, rest } = full;
        match self.store.db().write(batch, durability) {
            Ok(committed) => {
                // From now on the store has them.
                self.pending.lock().note_written(&committed.was_absent, &rest);
                Ok(committed.seq)
            }
            Err(error) => {
                // The first cause is the one to tell, also to a put in another thread that only meets its consequence.
                let cause = self.failed.get_or_init(|| error.into());
                Err(cause.clone())
            }
        }
    }

    fn check(&self) -> Result<()> {
        self.failed.get().map_or(Ok(()), |cause| Err(cause.clone()))
    }
}
