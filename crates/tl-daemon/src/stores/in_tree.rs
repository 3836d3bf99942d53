//! The form in which the store is in the tree, for a project on a removable disk. The user's state knows each by its id: what a disk or an archive brings along is
//! not opened before that.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::id::parse_id;
use super::private::{create_dir, names, read_small, user, write_atomically};
use super::root::ROOT_LEN_MAX;
use super::{Form, MARKER, Root, StoreDir, StoreId, Stores};
use crate::error::{Error, Result};

const ID_LEN_MAX: usize = 64;
/// Deeper than the database's own directories.
const DEPTH_MAX: usize = 8;

impl Stores {
    fn registration(&self, id: StoreId) -> PathBuf {
        self.in_tree().join(id.to_string())
    }

    /// The stores of this form that are registered, with the roots where they were seen last.
    pub(super) fn registered(&self) -> Result<Vec<(StoreId, Root)>> {
        let mut found = Vec::new();
        for path in names(&self.in_tree())? {
            let id = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            let Some(id) = id else { continue };
            found.extend(self.registered_root(id)?.map(|root| (id, root)));
        }
        Ok(found)
    }

    fn registered_root(&self, id: StoreId) -> Result<Option<Root>> {
        let path = self.registration(id);
        read_small(&path, ROOT_LEN_MAX)?.map(|content| Root::decode(&content, &path)).transpose()
    }

    /// Remembers a store of this form and where its root is.
    pub(super) fn register_in_tree(&self, store: &StoreDir, root: &Root) -> Result<()> {
        if self.registered_root(store.id())?.as_ref() == Some(root) {
            return Ok(());
        }
        create_dir(&self.state)?;
        create_dir(&self.in_tree())?;
        write_atomically(&self.registration(store.id()), &root.encode())
    }

    /// Forgets a store of this form.
    pub(super) fn unregister(&self, id: StoreId) -> Result<()> {
        let path = self.registration(id);
        fs::remove_file(&path).map_err(|error| Error::io("remove", &path, error))
    }

    pub(super) fn write_id(&self, store: &StoreDir) -> Result<()> {
        write_atomically(&store.path().join("ID"), format!("{}\n", store.id()).as_bytes())
    }

    /// The registered store of that id, at the place where it was seen last.
    pub(super) fn find_in_tree(&self, id: StoreId) -> Result<StoreDir> {
        let root = self.registered_root(id)?.ok_or(Error::UnknownStore { id, marker: None })?;
        let path = root.path.join(MARKER);
        match read_id(&path) {
            Ok(found) if found == id => StoreDir::open(id, Form::InTree, path),
            _ => Err(Error::Unplugged { id, path }),
        }
    }

    /// The store in `root`, if it is registered and no copy of one that is.
    pub(super) fn open_in_tree(&self, root: &Root) -> Result<StoreDir> {
        let path = root.path.join(MARKER);
        let id = read_id(&path)?;
        let Some(registered) = self.registered_root(id)? else {
            return Err(Error::Unregistered { id, path });
        };
        if !registered.is(root) && read_id(&registered.path.join(MARKER)).is_ok_and(|other| other == id) {
            return Err(Error::OtherRoot { id, here: root.path.clone(), recorded: registered.path, in_place: true });
        }
        StoreDir::open(id, Form::InTree, path)
    }

    /// Takes in a store of this form that is not registered, or that is a copy of a registered one, after looking at every file of it; a copy gets an id of its
    /// own. `check` verifies the content.
    ///
    /// # Errors
    /// [`Error::ForeignStore`], [`Error::NotAStore`] if there is anything that a store does not consist of, or the error of `check`: nothing is changed then.
    pub fn adopt_in_tree(&self, root: &Path, check: impl FnOnce(&StoreDir) -> Result<()>) -> Result<(StoreDir, Root)> {
        let root = Root::at(root)?;
        let path = root.path.join(MARKER);
        let id = read_id(&path)?;
        check_tree(&path, 0)?;
        let store = StoreDir::open(id, Form::InTree, path.clone())?;
        check(&store)?;
        let is_copy = self.registered_root(id)?.is_some_and(|registered| {
            !registered.is(&root) && read_id(&registered.path.join(MARKER)).is_ok_and(|other| other == id)
        });
        let store = if is_copy {
            let copy = StoreDir::unchecked(super::id::new_id(&*self.vfs), Form::InTree, path);
            self.write_id(&copy)?;
            copy
        } else {
            store
        };
        store.write_root(&root)?;
        self.register_in_tree(&store, &root)?;
        Ok((store, root))
    }
}

fn read_id(store: &Path) -> Result<StoreId> {
    let wrong = || Error::not_a_store(store, "it has no file ID with the id of a store");
    let content = read_small(&store.join("ID"), ID_LEN_MAX)?.ok_or_else(wrong)?;
    parse_id(&content).ok_or_else(wrong)
}

/// Refuses what could lead out of the directory, or belongs to somebody else.
fn check_tree(dir: &Path, depth: usize) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(Error::not_a_store(dir, "it is too deep"));
    }
    for path in names(dir)? {
        let metadata = fs::symlink_metadata(&path).map_err(|error| Error::io("look at", &path, error))?;
        if metadata.uid() != user() {
            return Err(Error::ForeignStore { path, owner: metadata.uid(), user: user() });
        }
        match metadata.file_type() {
            kind if kind.is_dir() => check_tree(&path, depth + 1)?,
            kind if kind.is_file() && metadata.nlink() == 1 => {}
            _ => return Err(Error::not_a_store(&path, "it is no plain file of its own")),
        }
    }
    Ok(())
}
