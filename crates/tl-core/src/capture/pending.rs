//! What a capture has gathered and not written yet.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use granite::{Keyspace, WriteBatch};

use crate::id::ObjectId;
use crate::tree::Tree;

/// What a capture has gathered and not written yet, and counts of what it has written.
#[derive(Debug, Default)]
pub(super) struct Pending {
    batch: WriteBatch,
    ids: HashSet<ObjectId>,
    /// Bytes of key and value of each object in the batch.
    lens: Vec<u32>,
    /// Trees that the store cannot give yet.
    trees: HashMap<ObjectId, Arc<Tree>>,
    /// Those of them that are in the batch.
    batch_trees: Vec<Arc<Tree>>,
    /// Bytes of memory of these.
    trees_len: usize,
    objects_new: u64,
    bytes_new: u64,
}

/// A batch that is to be written.
#[derive(Debug)]
pub(super) struct Full {
    pub(super) batch: WriteBatch,
    /// Bytes of key and value of each object.
    pub(super) lens: Vec<u32>,
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
        self.batch.byte_len() + self.trees_len
    }

    /// Adds an object, unless another thread was faster.
    pub(super) fn add(&mut self, objects: &Keyspace, id: ObjectId, value: &[u8], tree: Option<&Arc<Tree>>) {
        if !self.ids.insert(id) {
            return;
        }
        self.batch.put_if_absent(objects, id.as_bytes(), value);
        self.lens.push((ObjectId::LEN + value.len()) as u32);
        if let Some(tree) = tree {
            self.trees_len += tree.memory_len();
            self.trees.insert(id, Arc::clone(tree));
            self.batch_trees.push(Arc::clone(tree));
        }
    }

    /// Takes what was gathered, and begins anew.
    pub(super) fn take(&mut self) -> Full {
        self.ids.clear();
        self.trees_len = 0;
        Full {
            batch: std::mem::take(&mut self.batch),
            lens: std::mem::take(&mut self.lens),
            trees: std::mem::take(&mut self.batch_trees),
        }
    }

    /// Notes that a batch was written, and the store can give its trees. Of `was_absent`, the first ones are for the objects.
    pub(super) fn note_written(&mut self, was_absent: &[bool], lens: &[u32], trees: &[Arc<Tree>]) {
        for (_, len) in was_absent.iter().zip(lens).filter(|(absent, _)| **absent) {
            self.objects_new += 1;
            self.bytes_new += u64::from(*len);
        }
        for tree in trees {
            self.trees.remove(&tree.id());
        }
    }

    /// Objects and bytes that were not stored before.
    pub(super) const fn written(&self) -> (u64, u64) {
        (self.objects_new, self.bytes_new)
    }
}
