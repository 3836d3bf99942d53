//! All stores of a user, and the end of one.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use vfs::LockKind;

use super::create::UNFINISHED;
use super::marker;
use super::private::{names, remove_leftovers, sync_parent};
use super::{Form, Root, StoreDir, StoreId, Stores};
use crate::error::{Error, Result};

/// Bytes of a block as `stat` counts them.
const BLOCK_LEN: u64 = 512;

/// Where the root of a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// Where it was seen last.
    InPlace,
    /// Nothing is there: it was removed, moved without a program noticing, or is on a disk that is not there.
    Gone,
    /// Another directory is there.
    Replaced,
}

/// One store of the list.
#[derive(Debug)]
pub struct Listed {
    /// Its id.
    pub id: StoreId,
    /// Where it is.
    pub form: Form,
    /// The store, or why it cannot be opened.
    pub store: Result<StoreDir>,
    /// Its root as it was seen last; none if the store does not say.
    pub root: Option<Root>,
    /// Where the root is.
    pub whereabouts: Whereabouts,
    /// Bytes on the disk. What a fork shares with its original is counted for both.
    pub disk_bytes: u64,
    /// When the database was written last, since 1970.
    pub last_write: Option<Duration>,
}

impl Stores {
    /// All stores, by id. Those that cannot be opened are listed with the reason.
    ///
    /// # Errors
    /// If the state directory cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for id in self.outside()? {
            let found = self.find_outside(id).and_then(|store| store.ok_or(Error::UnknownStore { id, marker: None }));
            let root = found.as_ref().ok().and_then(|store| store.root().ok());
            listed.push(Listed::of(id, Form::Outside, found, root, &self.stores().join(id.to_string())));
        }
        for (id, root) in self.registered()? {
            let path = StoreDir::marker(&root.path);
            listed.push(Listed::of(id, Form::InTree, self.find_in_tree(id), Some(root), &path));
        }
        Ok(listed)
    }

    /// Removes a store with all its history, for ever, and its marker. Nothing else does.
    ///
    /// # Errors
    /// [`Error::InUse`] while a daemon runs on it. If files cannot be removed, the next removal does it.
    pub fn remove(&self, id: StoreId) -> Result<()> {
        self.remove_unfinished()?;
        let store = match self.get(id) {
            // Its files are where nobody can get at them; what is known of it here is forgotten.
            Err(Error::Unplugged { .. }) => return self.unregister(id),
            found => found?,
        };
        let lock = store.daemon_lock();
        let held = self.vfs.lock(&lock, LockKind::Exclusive).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Error::InUse { id },
            _ => Error::io("lock", &lock, error),
        })?;
        // A root that is not there, or not the store's any more, has no marker of ours.
        if let Ok(root) = store.root()
            && root.is_in_place()
        {
            marker::remove(&root.path, id)?;
        }
        // First it stops being a store, all at once.
        let doomed = store.path().with_file_name(format!("{UNFINISHED}removed-{id}"));
        let failed = |error| Error::io("remove", store.path(), error);
        fs::rename(store.path(), &doomed).map_err(failed)?;
        sync_parent(&doomed)?;
        if store.form() == Form::InTree {
            self.unregister(id)?;
        }
        drop(held);
        fs::remove_dir_all(&doomed).map_err(failed)
    }

    /// Removes what creations and removals left that were interrupted, except those of this very moment, which hold a lock on nothing: they are told by age.
    fn remove_unfinished(&self) -> Result<()> {
        for path in names(&self.stores())? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let Some(rest) = name.strip_prefix(UNFINISHED) else { continue };
            let is_old = fs::symlink_metadata(&path)
                .and_then(|metadata| metadata.modified())
                .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > Duration::from_secs(24 * 3600)));
            if rest.starts_with("removed-") || is_old {
                remove_leftovers(&path)?;
                fs::remove_dir(&path).map_err(|error| Error::io("remove", &path, error))?;
            }
        }
        Ok(())
    }
}

impl Listed {
    fn of(id: StoreId, form: Form, store: Result<StoreDir>, root: Option<Root>, path: &Path) -> Self {
        let whereabouts = match &root {
            Some(root) if root.is_in_place() => Whereabouts::InPlace,
            Some(root) if root.path.symlink_metadata().is_ok() => Whereabouts::Replaced,
            _ => Whereabouts::Gone,
        };
        let mut total = Measured::default();
        // A size is not worth failing for: what cannot be looked at is not counted.
        drop(total.add(path));
        Self { id, form, store, root, whereabouts, disk_bytes: total.bytes, last_write: total.newest }
    }
}

#[derive(Default)]
struct Measured {
    bytes: u64,
    newest: Option<Duration>,
}

impl Measured {
    fn add(&mut self, path: &Path) -> io::Result<()> {
        let metadata = fs::symlink_metadata(path)?;
        self.bytes += metadata.blocks() * BLOCK_LEN;
        if metadata.is_dir() {
            for entry in fs::read_dir(path)? {
                self.add(&entry?.path())?;
            }
        } else if path.parent().is_some_and(|dir| dir.ends_with("db")) {
            let time = metadata.modified()?.duration_since(UNIX_EPOCH).ok();
            self.newest = self.newest.max(time);
        }
        Ok(())
    }
}
