//! Space that is held back, so that a full disk can still be cleaned up: dropping anything from a store takes room for a moment.

use std::path::{Path, PathBuf};

use vfs::{OpenMode, Vfs};

use crate::error::{Error, Result};

const FILE_NAME: &str = "reserve";

/// Where the reserve is.
pub(crate) fn path_in(store_dir: &Path) -> PathBuf {
    store_dir.join(FILE_NAME)
}

/// Takes the reserve of `bytes` if it is not held and the disk has four times that. True if it is held now.
pub(crate) fn hold(vfs: &dyn Vfs, store_dir: &Path, bytes: u64) -> Result<bool> {
    let path = path_in(store_dir);
    let failed = |error| Error::io("reserve space in", &path, error);
    let file = vfs.open(&path, OpenMode::OpenOrCreate).map_err(failed)?;
    if file.len().map_err(failed)? >= bytes {
        return Ok(true);
    }
    let free = vfs.free_space(store_dir).map_err(failed)?;
    if free.is_some_and(|free| free < bytes.saturating_mul(4)) {
        return Ok(false);
    }
    match file.allocate(0, bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
            file.set_len(0).map_err(failed)?;
            Ok(false)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Gives the reserve back to the disk. True if it was held.
pub(crate) fn release(vfs: &dyn Vfs, store_dir: &Path) -> Result<bool> {
    let path = path_in(store_dir);
    let failed = |error| Error::io("release space in", &path, error);
    let file = vfs.open(&path, OpenMode::OpenOrCreate).map_err(failed)?;
    if file.len().map_err(failed)? == 0 {
        return Ok(false);
    }
    file.set_len(0).map_err(failed)?;
    Ok(true)
}
