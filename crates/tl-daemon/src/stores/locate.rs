//! From a directory to the store that protects it.

use std::path::Path;

use super::marker::{self, Found, MARKER};
use super::private::names;
use super::{Form, Root, StoreDir, StoreId, Stores};
use crate::error::{Error, Result};

/// How a root says which store it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkerState {
    /// The marker stands in the root.
    InPlace,
    /// It was removed or damaged; the root was recognised by itself.
    Lost,
}

/// A root and its store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The store.
    pub store: StoreDir,
    /// The root, where it is now.
    pub root: Root,
    /// Whether it is marked.
    pub marker: MarkerState,
}

impl Stores {
    /// The store that protects `start`: the one of the nearest directory, from `start` upwards, that has one. `None` if none of them does.
    ///
    /// # Errors
    /// [`Error::UnknownStore`] if a directory is marked with an id that this user's state does not know, [`Error::OtherRoot`] if it is not the directory that the
    /// store remembers, [`Error::BadMarker`], [`Error::Unregistered`], or what is wrong with the store.
    pub fn locate(&self, start: &Path) -> Result<Option<Located>> {
        let start = Root::at(start)?;
        for dir in start.path.ancestors() {
            // A directory above may be one that its user must not look at. There is no store of theirs then.
            let root = match Root::at(dir) {
                Ok(root) => root,
                Err(_) if dir != start.path => break,
                Err(error) => return Err(error),
            };
            if let Some(located) = self.locate_at(&root)? {
                return Ok(Some(located));
            }
        }
        Ok(None)
    }

    /// The store of exactly this directory.
    pub(super) fn locate_at(&self, root: &Root) -> Result<Option<Located>> {
        let path = root.path.join(MARKER);
        match marker::read(&root.path)? {
            Found::Id(id) => {
                let Some(store) = self.find_outside(id)? else {
                    return Err(Error::UnknownStore { id, marker: Some(path) });
                };
                let recorded = store.root()?;
                if !recorded.is(root) {
                    let in_place = recorded.is_in_place();
                    return Err(Error::OtherRoot { id, here: root.path.clone(), recorded: recorded.path, in_place });
                }
                Ok(Some(Located { store, root: root.clone(), marker: MarkerState::InPlace }))
            }
            Found::InTree => {
                let store = self.open_in_tree(root)?;
                Ok(Some(Located { store, root: root.clone(), marker: MarkerState::InPlace }))
            }
            found @ (Found::Nothing | Found::Unreadable) => match self.find_by_root(root)? {
                Some(store) => Ok(Some(Located { store, root: root.clone(), marker: MarkerState::Lost })),
                None if found == Found::Nothing => Ok(None),
                None => Err(Error::BadMarker { path }),
            },
        }
    }

    /// The store of that id in the state directory.
    pub(super) fn find_outside(&self, id: StoreId) -> Result<Option<StoreDir>> {
        let path = self.stores().join(id.to_string());
        match path.symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("look at", &path, error)),
            Ok(_) => StoreDir::open(id, Form::Outside, path).map(Some),
        }
    }

    /// The ids of all stores in the state directory.
    pub(super) fn outside(&self) -> Result<Vec<StoreId>> {
        let id = |path: &std::path::PathBuf| path.file_name()?.to_str()?.parse().ok();
        Ok(names(&self.stores())?.iter().filter_map(id).collect())
    }

    /// The store that remembers exactly this directory.
    fn find_by_root(&self, root: &Root) -> Result<Option<StoreDir>> {
        for id in self.outside()? {
            // A store that cannot be opened is no reason to not find another.
            let Ok(Some(store)) = self.find_outside(id) else { continue };
            if store.root().is_ok_and(|recorded| recorded.is(root)) {
                return Ok(Some(store));
            }
        }
        Ok(None)
    }
}
