//! A store with the root that it belongs to, and the stores of which it is one.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::Result;
use crate::stores::{Root, StoreDir, Stores};

/// A store and its root.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    pub(crate) stores: Stores,
    pub(crate) store: StoreDir,
    root: Arc<Mutex<Root>>,
}

impl Home {
    pub(crate) fn new(stores: Stores, store: StoreDir, root: Root) -> Self {
        Self { stores, store, root: Arc::new(Mutex::new(root)) }
    }

    /// Where the root is.
    pub(crate) fn root(&self) -> Root {
        self.root.lock().clone()
    }

    /// The root was moved, and this is where it seems to be now.
    pub(crate) fn moved_to(&self, path: &Path) -> Result<()> {
        let found = Root::at(path)?;
        let mut root = self.root.lock();
        if !found.identity.is(&root.identity) {
            // By now something else is there.
            return Ok(());
        }
        self.stores.remember_root(&self.store, &found)?;
        *root = found;
        Ok(())
    }

    /// Sees to it that the marker stands in the root, if the root is where it was last.
    pub(crate) fn restore_marker(&self) -> Result<()> {
        let root = self.root();
        if root.is_in_place() { self.stores.restore_marker(&self.store, &root) } else { Ok(()) }
    }
}
