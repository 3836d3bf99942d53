//! Directories whose names survive a loss of power.

use std::path::Path;

use vfs::Vfs;

use crate::error::{Error, Result};

/// Creates `dir` and what is missing above it, and makes all these names durable.
///
/// If a process was killed at this before, the directory that it had just made may be there without being durable: the name of
/// the deepest one that exists is synced, too.
pub(crate) fn create(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    let mut missing: Vec<&Path> = Vec::new();
    for ancestor in dir.ancestors().filter(|ancestor| !ancestor.as_os_str().is_empty()) {
        if vfs::exists(vfs, ancestor).map_err(|error| Error::io("look at", ancestor, error))? {
            match sync_name(vfs, ancestor) {
                // Who may not read the parent has not made the directory in it.
                Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => {}
                synced => synced?,
            }
            break;
        }
        missing.push(ancestor);
    }
    for new in missing.into_iter().rev() {
        vfs.create_dir_all(new).map_err(|error| Error::io("create", new, error))?;
        sync_name(vfs, new)?;
    }
    Ok(())
}

/// Makes the name of `dir` durable.
fn sync_name(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    let Some(parent) = dir.parent() else { return Ok(()) };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    vfs.sync_dir(parent).map_err(|error| Error::io("sync", parent, error))
}
