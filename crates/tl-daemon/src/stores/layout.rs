//! What a store's directory holds.

use std::path::{Path, PathBuf};

use super::private::{check_dir, read_small, write_atomically};
use super::root::{ROOT_LEN_MAX, Root};
use super::{MARKER, StoreId};
use crate::error::{Error, Result};

/// The version of the layout, in the file `FORMAT`.
pub const FORMAT_VERSION: u32 = 1;
const FORMAT_PREFIX: &str = "timelapse store ";
const FORMAT_LEN_MAX: usize = 64;

/// Where a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// In the user's state directory, outside of the tree.
    Outside,
    /// In a directory `.tl` of the tree itself.
    InTree,
}

/// The directory of one store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreDir {
    id: StoreId,
    form: Form,
    path: PathBuf,
}

/// The content of `FORMAT`.
pub(super) fn encode_format(version: u32) -> Vec<u8> {
    format!("{FORMAT_PREFIX}{version}\n").into_bytes()
}

/// The version in the content of `FORMAT`.
pub(super) fn parse_format(content: &[u8]) -> Option<u32> {
    let version = std::str::from_utf8(content).ok()?.strip_prefix(FORMAT_PREFIX)?.trim_end().parse().ok()?;
    // A sign or a leading zero is nothing that any version writes.
    (encode_format(version).trim_ascii_end() == content.trim_ascii_end()).then_some(version)
}

impl StoreDir {
    /// Directories in it.
    pub(super) const DIRS: [&'static str; 4] = ["state", "locks", "logs", "tmp"];

    pub(super) const fn unchecked(id: StoreId, form: Form, path: PathBuf) -> Self {
        Self { id, form, path }
    }

    /// A store that is nothing but a directory.
    #[cfg(test)]
    pub(crate) fn for_tests(path: &Path) -> Self {
        Self { id: StoreId([1; 16]), form: Form::Outside, path: path.to_owned() }
    }

    /// The directory at `path`, once it was found to be the user's own and of a version that is understood.
    pub(super) fn open(id: StoreId, form: Form, path: PathBuf) -> Result<Self> {
        // On a removable disk modes are what the mount says, and the directory above is not ours to hide.
        check_dir(&path, form == Form::Outside)?;
        let store = Self { id, form, path };
        store.check_format()?;
        Ok(store)
    }

    fn check_format(&self) -> Result<()> {
        let path = self.path.join("FORMAT");
        let wrong = || Error::not_a_store(&self.path, "its file FORMAT says something else");
        let content = read_small(&path, FORMAT_LEN_MAX)?
            .ok_or_else(|| Error::not_a_store(&self.path, "it has no file FORMAT"))?;
        match parse_format(&content).ok_or_else(wrong)? {
            FORMAT_VERSION => Ok(()),
            found if found > FORMAT_VERSION => {
                Err(Error::NewerStore { path: self.path.clone(), found, supported: FORMAT_VERSION })
            }
            _ => Err(wrong()),
        }
    }

    pub(super) fn write_format(&self) -> Result<()> {
        write_atomically(&self.path.join("FORMAT"), &encode_format(FORMAT_VERSION))
    }

    /// Which directory the store belongs to.
    ///
    /// # Errors
    /// [`Error::NotAStore`] if the file does not say.
    pub fn root(&self) -> Result<Root> {
        let path = self.path.join("ROOT");
        let content =
            read_small(&path, ROOT_LEN_MAX)?.ok_or_else(|| Error::not_a_store(&self.path, "it has no file ROOT"))?;
        Root::decode(&content, &path)
    }

    pub(super) fn write_root(&self, root: &Root) -> Result<()> {
        write_atomically(&self.path.join("ROOT"), &root.encode())
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> StoreId {
        self.id
    }

    /// Where it is.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// The database: objects, journal, refs, index.
    #[must_use]
    pub fn db(&self) -> PathBuf {
        self.path.join("db")
    }

    /// What can be made again: metrics.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.path.join("state")
    }

    /// Logs of the daemon.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// Files under way, emptied at each start.
    #[must_use]
    pub fn tmp(&self) -> PathBuf {
        self.path.join("tmp")
    }

    /// The lock that the daemon holds as long as it runs.
    #[must_use]
    pub fn daemon_lock(&self) -> PathBuf {
        self.path.join("locks").join("daemon")
    }

    /// Where the marker stands in a root.
    #[must_use]
    pub fn marker(root: &Path) -> PathBuf {
        root.join(MARKER)
    }
}
