//! The watch table: which directory a watch descriptor stands for. Each directory holds a number of its parent and its own name, so that
//! a directory that moves takes everything beneath along by one change, and a hundred thousand of them fit into a few megabytes.

use std::hash::BuildHasher;
use std::mem;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::path::split;

/// A watched directory. Valid until it is removed from the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct NodeId(u32);

/// The root has no parent; it is its own.
pub(crate) const ROOT: NodeId = NodeId(0);

/// A free slot has this in place of a watch descriptor; the kernel's are positive.
const FREE: i32 = -1;

/// Removed names are left in the store of names until they are this many bytes, and half of it.
const GARBAGE_LEN_MIN: usize = 64 * 1024;

#[derive(Debug, Clone, Copy)]
struct Node {
    wd: i32,
    parent: u32,
    /// Where the name begins in the store of names.
    name_start: u32,
    /// How many nodes have this one as their parent.
    children: u32,
    /// A name has at most 255 bytes.
    name_len: u8,
    /// In which census it was last seen.
    census: u8,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct WatchTable {
    nodes: Vec<Node>,
    free: Vec<u32>,
    names: Vec<u8>,
    garbage_len: usize,
    by_wd: HashTable<u32>,
    by_name: HashTable<u32>,
    hasher: DefaultHashBuilder,
    census: u8,
}

impl WatchTable {
    pub(crate) fn new(root_wd: i32) -> Self {
        let root = Node { wd: root_wd, parent: 0, name_start: 0, children: 0, name_len: 0, census: 0 };
        let mut table = Self {
            nodes: vec![root],
            free: Vec::new(),
            names: Vec::new(),
            garbage_len: 0,
            by_wd: HashTable::new(),
            by_name: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            census: 0,
        };
        table.index_wd(0, root_wd);
        table
    }

    /// Watched directories.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// What the table takes on the heap, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
            + self.free.capacity() * size_of::<u32>()
            + self.names.capacity()
            + self.by_wd.allocation_size()
            + self.by_name.allocation_size()
    }

    /// Gives back what growing took in advance.
    pub(crate) fn shrink(&mut self) {
        self.nodes.shrink_to_fit();
        self.names.shrink_to_fit();
        self.free.shrink_to_fit();
    }

    pub(crate) fn by_wd(&self, wd: i32) -> Option<NodeId> {
        let found = self.by_wd.find(self.hasher.hash_one(wd), |id| self.node(*id).is_some_and(|node| node.wd == wd));
        found.map(|id| NodeId(*id))
    }

    pub(crate) fn wd(&self, id: NodeId) -> Option<i32> {
        self.node(id.0).map(|node| node.wd)
    }

    /// The watched subdirectory `name` of `parent`.
    pub(crate) fn child(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        let hash = self.hash_name(parent.0, name);
        let found = self.by_name.find(hash, |id| {
            self.node(*id).is_some_and(|node| node.parent == parent.0 && *id != 0 && self.name(node) == name)
        });
        found.map(|id| NodeId(*id))
    }

    /// The watched directory at `path`.
    pub(crate) fn find(&self, path: &[u8]) -> Option<NodeId> {
        if path.is_empty() {
            return Some(ROOT);
        }
        path.split(|byte| *byte == b'/').try_fold(ROOT, |parent, name| self.child(parent, name))
    }

    /// Writes the path of a directory into `path`.
    pub(crate) fn path(&self, id: NodeId, path: &mut Vec<u8>) {
        path.clear();
        let mut current = id.0;
        // Backwards, as the names are met from the last to the first.
        while current != 0
            && let Some(node) = self.node(current)
        {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend(self.name(node).iter().rev());
            current = node.parent;
        }
        path.reverse();
    }

    /// Enters a directory under the descriptor of its watch. Whatever was known at its place loses it.
    pub(crate) fn insert(&mut self, parent: NodeId, name: &[u8], wd: i32) -> NodeId {
        let (name_start, name_len) = self.store_name(name);
        let node = Node { wd, parent: parent.0, name_start, children: 0, name_len, census: self.census };
        let id = match self.free.pop() {
            Some(id) => {
                if let Some(slot) = self.node_mut(id) {
                    *slot = node;
                }
                id
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.count_child(parent.0, 1);
        self.index_wd(id, wd);
        self.index_name(id, parent.0, name);
        NodeId(id)
    }

    /// A directory stands at another place now, with everything beneath it. False, and nothing is changed, if that place lies beneath it as
    /// far as the table knows: paths would have no end.
    pub(crate) fn replace(&mut self, id: NodeId, parent: NodeId, name: &[u8]) -> bool {
        if id == ROOT || self.is_beneath(parent, id) {
            return false;
        }
        self.forget_name(id.0);
        let (name_start, name_len) = self.store_name(name);
        let Some(node) = self.node_mut(id.0) else { return false };
        let former = mem::replace(&mut node.parent, parent.0);
        let former_len = mem::replace(&mut node.name_len, name_len);
        node.name_start = name_start;
        self.garbage_len += usize::from(former_len);
        self.count_child(former, -1);
        self.count_child(parent.0, 1);
        self.index_name(id.0, parent.0, name);
        self.collect_garbage();
        true
    }

    /// True if `id` stands at `name` in `parent`.
    pub(crate) fn stands_at(&self, id: NodeId, parent: NodeId, name: &[u8]) -> bool {
        self.child(parent, name) == Some(id)
    }

    /// Removes a directory and everything beneath it. Returns the descriptors.
    pub(crate) fn remove(&mut self, id: NodeId) -> Vec<i32> {
        let ids = match self.node(id.0) {
            Some(node) if node.wd != FREE && node.children == 0 => vec![id.0],
            Some(node) if node.wd != FREE => self.subtree(id.0),
            _ => Vec::new(),
        };
        ids.into_iter().filter_map(|id| self.remove_one(id)).collect()
    }

    /// Begins to look which of the directories still exist: see [`WatchTable::seen`].
    pub(crate) fn begin_census(&mut self) {
        self.census = self.census.wrapping_add(1);
        self.seen(ROOT);
    }

    /// A directory was met during the census.
    pub(crate) fn seen(&mut self, id: NodeId) {
        let census = self.census;
        if let Some(node) = self.node_mut(id.0) {
            node.census = census;
        }
    }

    /// Removes what was not met since the census began. Returns the descriptors.
    pub(crate) fn end_census(&mut self) -> Vec<i32> {
        let census = self.census;
        let lost = |node: &Node| node.wd != FREE && node.census != census;
        let ids = self.nodes.iter().zip(0u32..).filter(|(node, _)| lost(node)).map(|(_, id)| id).collect::<Vec<_>>();
        ids.into_iter().flat_map(|id| self.remove(NodeId(id))).collect()
    }

    fn node(&self, id: u32) -> Option<&Node> {
        self.nodes.get(usize::try_from(id).ok()?)
    }

    fn node_mut(&mut self, id: u32) -> Option<&mut Node> {
        self.nodes.get_mut(usize::try_from(id).ok()?)
    }

    fn name(&self, node: &Node) -> &[u8] {
        let start = node.name_start as usize;
        self.names.get(start..start + usize::from(node.name_len)).unwrap_or_default()
    }

    fn hash_name(&self, parent: u32, name: &[u8]) -> u64 {
        self.hasher.hash_one((parent, name))
    }

    fn index_wd(&mut self, id: u32, wd: i32) {
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        let hash_of = |id: &u32| hasher.hash_one(nodes.get(*id as usize).map_or(FREE, |node| node.wd));
        self.by_wd.insert_unique(hasher.hash_one(wd), id, hash_of);
    }

    fn index_name(&mut self, id: u32, parent: u32, name: &[u8]) {
        if let Some(former) = self.child(NodeId(parent), name) {
            self.forget_name(former.0);
        }
        let hash = self.hash_name(parent, name);
        let (nodes, names, hasher) = (&self.nodes, &self.names, &self.hasher);
        let hash_of = |id: &u32| {
            let Some(node) = nodes.get(*id as usize) else { return 0 };
            let start = node.name_start as usize;
            let name = names.get(start..start + usize::from(node.name_len)).unwrap_or_default();
            hasher.hash_one((node.parent, name))
        };
        self.by_name.insert_unique(hash, id, hash_of);
    }

    /// Its place is not looked up any more; it still has its path and its descriptor.
    fn forget_name(&mut self, id: u32) {
        let Some(node) = self.node(id) else { return };
        let hash = self.hash_name(node.parent, self.name(node));
        if let Ok(entry) = self.by_name.find_entry(hash, |found| *found == id) {
            entry.remove();
        }
    }

    fn remove_one(&mut self, id: u32) -> Option<i32> {
        // The root's number is fixed; it is never given to another directory.
        if id == 0 {
            return None;
        }
        self.forget_name(id);
        let node = *self.node(id)?;
        if let Ok(entry) = self.by_wd.find_entry(self.hasher.hash_one(node.wd), |found| *found == id) {
            entry.remove();
        }
        if let Some(node) = self.node_mut(id) {
            node.wd = FREE;
        }
        self.free.push(id);
        self.count_child(node.parent, -1);
        self.garbage_len += usize::from(node.name_len);
        self.collect_garbage();
        Some(node.wd)
    }

    fn collect_garbage(&mut self) {
        if self.garbage_len > GARBAGE_LEN_MIN && self.garbage_len * 2 > self.names.len() {
            self.collect_names();
        }
    }

    fn count_child(&mut self, parent: u32, difference: i32) {
        if let Some(node) = self.node_mut(parent) {
            node.children = node.children.saturating_add_signed(difference);
        }
    }

    fn is_beneath(&self, id: NodeId, ancestor: NodeId) -> bool {
        let mut current = id.0;
        loop {
            if current == ancestor.0 {
                return true;
            }
            match self.node(current) {
                Some(node) if current != 0 => current = node.parent,
                _ => return false,
            }
        }
    }

    /// The numbers of a directory and of everything beneath it.
    fn subtree(&self, id: u32) -> Vec<u32> {
        let all = self.nodes.iter().zip(0u32..).filter(|(node, _)| node.wd != FREE).map(|(_, id)| id);
        all.filter(|found| self.is_beneath(NodeId(*found), NodeId(id))).collect()
    }

    fn store_name(&mut self, name: &[u8]) -> (u32, u8) {
        let start = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.extend_from_slice(name);
        (start, u8::try_from(name.len()).unwrap_or(u8::MAX))
    }

    fn collect_names(&mut self) {
        let former = mem::take(&mut self.names);
        let mut kept = Vec::with_capacity(former.len().saturating_sub(self.garbage_len));
        for node in self.nodes.iter_mut().filter(|node| node.wd != FREE) {
            let start = node.name_start as usize;
            node.name_start = u32::try_from(kept.len()).unwrap_or(u32::MAX);
            kept.extend_from_slice(former.get(start..start + usize::from(node.name_len)).unwrap_or_default());
        }
        self.names = kept;
        self.garbage_len = 0;
    }
}

/// The parent of `path` as far as it is watched, and the last component.
pub(crate) fn place<'a>(table: &WatchTable, path: &'a [u8]) -> Option<(NodeId, &'a [u8])> {
    let (directory, name) = split(path);
    Some((table.find(directory)?, name))
}

#[cfg(test)]
mod tests;
