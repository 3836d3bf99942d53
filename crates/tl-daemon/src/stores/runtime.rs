//! Where sockets are.

use std::path::{Path, PathBuf};

use super::StoreId;
use super::private::{check_dir, create_dir};
use crate::error::{Error, Result};

/// Bytes of a socket's path that every system takes, with the zero at its end.
const SOCKET_PATH_LEN_MAX: usize = 104;

/// The directory of the sockets of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeDir {
    path: PathBuf,
}

impl RuntimeDir {
    /// The directory at `path`, which is `$XDG_RUNTIME_DIR/timelapse` in programs.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The socket of a store's daemon, once the directory was found to be the user's alone, and was created if it was missing.
    ///
    /// # Errors
    /// [`Error::SocketPath`] if the path is too long for a socket, or what is wrong with the directory.
    pub fn prepare_socket(&self, id: StoreId) -> Result<PathBuf> {
        create_dir(&self.path)?;
        self.socket(id)
    }

    /// The socket of a store's daemon, which need not be there.
    ///
    /// # Errors
    /// As for [`RuntimeDir::prepare_socket`].
    pub fn socket(&self, id: StoreId) -> Result<PathBuf> {
        // In a directory of somebody else's, the socket could be somebody else's too.
        if self.path.symlink_metadata().is_ok() {
            check_dir(&self.path, true)?;
        }
        let path = self.path.join(format!("{id}.sock"));
        if path.as_os_str().len() >= SOCKET_PATH_LEN_MAX {
            return Err(Error::SocketPath { path, len_max: SOCKET_PATH_LEN_MAX - 1 });
        }
        Ok(path)
    }
}
