//! Where stores are, and which directory each belongs to.
//!
//! A store is in the user's state directory, outside the tree that it protects; in the tree stands only `.tl`, a file with the store's id. What a tree brings
//! along is never trusted: an id that this user's state does not know is refused, and a directory that says it belongs to a store must be the one that the
//! store remembers. The project's document on stores is normative.
//!
//! The state directory and everything else from the environment come in as values.

mod create;
mod exclude;
mod id;
mod in_tree;
mod layout;
mod list;
mod locate;
mod marker;
mod private;
mod root;
mod runtime;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vfs::Vfs;

use crate::error::Result;

pub use crate::wire::StoreId;
pub use create::Staged;
pub use exclude::exclude_marker;
pub use layout::{FORMAT_VERSION, Form, StoreDir};
pub use list::{Listed, Whereabouts};
pub use locate::{Located, MarkerState};
pub use marker::MARKER;
pub use root::{Root, RootIdentity};
pub use runtime::RuntimeDir;

pub(crate) use private::{read_small as read_private, write_atomically};

/// The stores of one user.
#[derive(Debug, Clone)]
pub struct Stores {
    state: PathBuf,
    vfs: Arc<dyn Vfs>,
}

impl Stores {
    /// The stores below `state`, which is `$XDG_STATE_HOME/timelapse` in programs. Nothing is created before the first store is.
    #[must_use]
    pub const fn new(state: PathBuf, vfs: Arc<dyn Vfs>) -> Self {
        Self { state, vfs }
    }

    /// The state directory.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    fn stores(&self) -> PathBuf {
        self.state.join("stores")
    }

    fn in_tree(&self) -> PathBuf {
        self.state.join("in-tree")
    }

    /// The store of that id, wherever its root is.
    ///
    /// # Errors
    /// [`Error::UnknownStore`](crate::Error::UnknownStore), or what is wrong with its directory.
    pub fn get(&self, id: StoreId) -> Result<StoreDir> {
        match self.find_outside(id)? {
            Some(store) => Ok(store),
            None => self.find_in_tree(id),
        }
    }

    /// Remembers where a store's root is now, if that is not known yet: it was moved, or its device got another number.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn remember_root(&self, store: &StoreDir, root: &Root) -> Result<()> {
        match store.form() {
            Form::Outside => {
                if store.root()? != *root {
                    store.write_root(root)?;
                }
                Ok(())
            }
            Form::InTree => self.register_in_tree(store, root),
        }
    }
}

/// The files of a store, for a fuzzer: 0 `FORMAT`, 1 `ROOT`, 2 the marker or `ID`.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn fuzz_file(kind: u8, content: &[u8]) {
    let is_line = |line: &[u8]| content.starts_with(line) && content.trim_ascii_end() == line;
    match kind {
        0 => {
            if let Some(version) = layout::parse_format(content) {
                debug_assert!(is_line(layout::encode_format(version).trim_ascii_end()));
            }
        }
        1 => {
            if let Ok(root) = Root::decode(content, Path::new("ROOT")) {
                debug_assert_eq!(root.encode(), content, "a root with two encodings: {root:?}");
                debug_assert!(root.path.is_absolute());
            }
        }
        2 => {
            if let Some(id) = id::parse_id(content) {
                // White space of Unicode counts as such, too.
                debug_assert_eq!(std::str::from_utf8(content).map(str::trim_end), Ok(id.to_string().as_str()));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
