//! `.tl`: what stands in a working tree.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::id::parse_id;
use super::private::{read_small, sync_parent};
use super::{Form, StoreId};
use crate::error::{Error, Result};

/// The marker's name.
pub const MARKER: &str = ".tl";
/// 32 digits and the end of the line, with room for what an editor may add.
const MARKER_LEN_MAX: usize = 64;

/// What stands at the marker's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A file with an id.
    Id(StoreId),
    /// A store of the form that lives in the tree.
    InTree,
    /// Something else.
    Unreadable,
}

/// Looks at the marker in `root`.
pub(super) fn read(root: &Path) -> Result<Found> {
    let path = root.join(MARKER);
    match fs::symlink_metadata(&path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Found::Nothing);
        }
        Err(error) => return Err(Error::io("look at", &path, error)),
        Ok(metadata) if metadata.is_dir() => return Ok(Found::InTree),
        Ok(metadata) if !metadata.is_file() => return Ok(Found::Unreadable),
        Ok(_) => {}
    }
    match read_small(&path, MARKER_LEN_MAX) {
        Ok(None) => Ok(Found::Nothing),
        Ok(Some(content)) => Ok(parse_id(&content).map_or(Found::Unreadable, Found::Id)),
        Err(Error::NotAStore { .. }) => Ok(Found::Unreadable),
        Err(error) => Err(error),
    }
}

/// Writes the marker, in place of a file that stands there.
pub(super) fn write(root: &Path, id: StoreId) -> Result<()> {
    let path = root.join(MARKER);
    let failed = |error| Error::io("write", &path, error);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    // Not by renaming: the name beside it would be recorded as a file of the tree. A torn marker is written again, since the root is known by itself.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path).map_err(failed)?;
    file.write_all(format!("{id}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    sync_parent(&path)
}

/// Removes the marker if it is a file with this id.
pub(super) fn remove(root: &Path, id: StoreId) -> Result<()> {
    let path = root.join(MARKER);
    if read(root)? == Found::Id(id) {
        fs::remove_file(&path).map_err(|error| Error::io("remove", &path, error))?;
    }
    Ok(())
}

/// Whether a store of this form is marked in its root, which a tree that was cleaned may no longer be.
pub(super) fn is_in_place(root: &Path, id: StoreId, form: Form) -> Result<bool> {
    Ok(match form {
        Form::Outside => read(root)? == Found::Id(id),
        Form::InTree => read(root)? == Found::InTree,
    })
}
