//! Making stores: new ones, and copies for a second root.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::id::new_id;
use super::marker::{self, Found, MARKER};
use super::private::{create_dir, sync_parent};
use super::{Form, Root, StoreDir, StoreId, Stores, exclude_marker};
use crate::error::{Error, Result};

/// Begins the names of stores that are not finished, and of those that are being removed.
pub(super) const UNFINISHED: &str = ".new-";

/// A store that is being made. It becomes one with [`Staged::finish`], and leaves nothing behind otherwise.
#[derive(Debug)]
pub struct Staged {
    stores: Stores,
    store: StoreDir,
    root: Root,
    target: PathBuf,
    finished: bool,
}

impl Stores {
    /// Begins a store for a directory that has none.
    ///
    /// # Errors
    /// [`Error::AlreadyProtected`] if the directory has one, the errors of [`Stores::locate`] if something else marks it, or if a directory cannot be created.
    pub fn create(&self, root: &Path, form: Form) -> Result<Staged> {
        let root = Root::at(root)?;
        if let Some(located) = self.locate_at(&root)? {
            return Err(Error::AlreadyProtected { root: root.path, id: located.store.id() });
        }
        self.stage(root, form)
    }

    /// Begins a store of its own for a directory that is marked as another one's: a copy of that one's root, or a root whose store is to be used again
    /// under another id. The caller puts a copy of the database of `from` into [`Staged::store`] before finishing.
    ///
    /// # Errors
    /// As for [`Stores::create`].
    pub fn fork(&self, root: &Path, from: &StoreDir) -> Result<Staged> {
        let root = Root::at(root)?;
        let staged = self.stage(root, Form::Outside)?;
        match fs::copy(from.config(), staged.store.config()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("copy", &from.config(), error)),
            _ => Ok(staged),
        }
    }

    /// Gives a store to another directory, because its own is gone. The history goes on there.
    ///
    /// # Errors
    /// [`Error::OtherRoot`] if its own directory is still there, [`Error::AlreadyProtected`] if the other one has a store.
    pub fn reattach(&self, store: &StoreDir, root: &Path) -> Result<Root> {
        let root = Root::at(root)?;
        let remembered = store.root()?;
        if remembered.is_in_place() && !remembered.is(&root) {
            return Err(Error::OtherRoot {
                id: store.id(),
                here: root.path,
                recorded: remembered.path,
                in_place: true,
            });
        }
        match marker::read(&root.path)? {
            Found::Nothing => {}
            Found::Id(id) if id == store.id() => {}
            Found::Id(id) => return Err(Error::AlreadyProtected { root: root.path, id }),
            Found::InTree | Found::Unreadable => return Err(Error::BadMarker { path: root.path.join(MARKER) }),
        }
        store.write_root(&root)?;
        marker::write(&root.path, store.id())?;
        exclude_marker(&root.path)?;
        Ok(root)
    }

    /// Sees to it that the marker of a store stands in its root, and that Git ignores it.
    ///
    /// # Errors
    /// If the marker or the line for Git cannot be written.
    pub fn restore_marker(&self, store: &StoreDir, root: &Root) -> Result<()> {
        if !marker::is_in_place(&root.path, store.id(), store.form())? && store.form() == Form::Outside {
            marker::write(&root.path, store.id())?;
        }
        exclude_marker(&root.path)?;
        Ok(())
    }

    fn stage(&self, root: Root, form: Form) -> Result<Staged> {
        let id = new_id(&*self.vfs);
        let (target, parent) = match form {
            Form::Outside => (self.stores().join(id.to_string()), self.stores()),
            Form::InTree => (root.path.join(MARKER), root.path.clone()),
        };
        if form == Form::Outside {
            create_dir(&self.state)?;
            create_dir(&parent)?;
        }
        let path = parent.join(format!("{UNFINISHED}{id}"));
        let store = StoreDir::unchecked(id, form, path);
        let staged = Staged { stores: self.clone(), store, root, target, finished: false };
        create_dir(staged.store.path())?;
        for dir in StoreDir::DIRS {
            create_dir(&staged.store.path().join(dir))?;
        }
        Ok(staged)
    }
}

impl Staged {
    /// The id that the store will have.
    #[must_use]
    pub const fn id(&self) -> StoreId {
        self.store.id()
    }

    /// The directory as it is while it is being made: a database may be put into it.
    #[must_use]
    pub const fn store(&self) -> &StoreDir {
        &self.store
    }

    /// Puts the store into its place and marks the root.
    ///
    /// # Errors
    /// If something cannot be written. Nothing is left behind then, unless the root could not be marked: then there is a store that its root is recognised by.
    pub fn finish(mut self) -> Result<(StoreDir, Root)> {
        self.store.write_root(&self.root)?;
        if self.store.form() == Form::InTree {
            self.stores.write_id(&self.store)?;
        }
        self.store.write_format()?;
        let failed = |error| Error::io("put in place", &self.target, error);
        if self.store.form() == Form::InTree {
            // A directory is not renamed over a file; the marker of another form gives way.
            match fs::remove_file(&self.target) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
        fs::rename(self.store.path(), &self.target).map_err(failed)?;
        self.finished = true;
        sync_parent(&self.target)?;
        let store = StoreDir::unchecked(self.store.id(), self.store.form(), self.target.clone());
        match store.form() {
            Form::Outside => marker::write(&self.root.path, store.id())?,
            Form::InTree => self.stores.register_in_tree(&store, &self.root)?,
        }
        exclude_marker(&self.root.path)?;
        Ok((store, self.root.clone()))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.finished
            && let Err(error) = fs::remove_dir_all(self.store.path())
        {
            tracing::warn!(path = %self.store.path().display(), %error, "an unfinished store could not be removed");
        }
    }
}
