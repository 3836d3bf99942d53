//! What a capture has gathered and not written yet.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use granite::{Keyspace, WriteBatch};

use crate::id::ObjectId;
use crate::tree::Tree;

/// What a capture has gathered and not written yet, and counts of what it has written.
#[derive(Debug, Default)]
pub(super) struct Pending {
    full: Full,
    ids: HashSet<ObjectId>,
    /// Trees that the store cannot give yet.
    trees: HashMap<ObjectId, Arc<Tree>>,
    /// Bytes of memory of those in the batch.
    trees_len: usize,
    objects_new: u64,
    bytes_new: u64,
}

/// A batch that is to be written.
#[derive(Debug, Default)]
pub(super) struct Full {
    pub(super) batch: WriteBatch,
    pub(super) rest: Contents,
}

/// What is in a batch.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Bytes of key and value of each object that is written if it is absent.
    lens: Vec<u32>,
    /// Objects that are written whether they are there or not, and their bytes.
    forced_objects: u64,
    forced_bytes: u64,
    pub(super) trees: Vec<Arc<Tree>>,
}

impl Pending {
    /// True if the object waits to be written.
    pub(super) fn holds(&self, id: &ObjectId) -> bool {
        self.ids.contains(id)
    }

    /// A tree that the store cannot give yet.
    pub(super) fn tree(&self, id: &ObjectId) -> Option<Arc<Tree>> {
        self.trees.get(id).cloned()
    }

    /// Bytes of memory that were gathered.
    pub(super) const fn len(&self) -> usize {
        self.full.batch.byte_len() + self.trees_len
    }

    /// Adds an object, unless another thread was faster. If `forced`, it is written even if it is there.
    pub(super) fn add(
        &mut self,
        objects: &Keyspace,
        id: ObjectId,
        value: &[u8],
        tree: Option<&Arc<Tree>>,
        forced: bool,
    ) {
        if !self.ids.insert(id) {
            return;
        }
        let Full { batch, rest } = &mut self.full;
        let len = ObjectId::LEN + value.len();
        if forced {
            batch.put(objects, id.as_bytes(), value);
            rest.forced_objects += 1;
            rest.forced_bytes += len as u64;
        } else {
            batch.put_if_absent(objects, id.as_bytes(), value);
            rest.lens.push(len as u32);
        }
        if let Some(tree) = tree {
            self.trees_len += tree.memory_len();
            self.trees.insert(id, Arc::clone(tree));
            rest.trees.push(Arc::clone(tree));
        }
    }

    /// Takes what was gathered, and begins anew.
    pub(super) fn take(&mut self) -> Full {
        self.ids.clear();
        self.trees_len = 0;
        std::mem::take(&mut self.full)
    }

    /// Notes that a batch was written, and the store can give its trees. Of `was_absent`, the first ones are for the objects.
    pub(super) fn note_written(&mut self, was_absent: &[bool], written: &Contents) {
        self.objects_new += written.forced_objects;
        self.bytes_new += written.forced_bytes;
        for (_, len) in was_absent.iter().zip(&written.lens).filter(|(absent, _)| **absent) {
            self.objects_new += 1;
            self.bytes_new += u64::from(*len);
        }
        for tree in &written.trees {
            self.trees.remove(&tree.id());
        }
    }

    /// Objects and bytes that were not stored before.
    pub(super) const fn written(&self) -> (u64, u64) {
        (self.objects_new, self.bytes_new)
    }
}
