//! Files and directories that are the user's alone.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::error::{Error, Result};

/// Bits with which others could write.
const OTHERS_MAY_WRITE: u32 = 0o022;
/// All bits that are not the owner's.
const OTHERS: u32 = 0o077;

/// Who this process works for.
pub(super) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Creates a directory for the user alone, with what is missing above it. One that exists is checked.
pub(super) fn create_dir(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Error::io("create", path, error))?;
    check_dir(path, true)
}

/// Refuses a directory that another user owns or can write to, or can look into if it is to be `private`.
pub(super) fn check_dir(path: &Path, private: bool) -> Result<()> {
    let metadata = fs::symlink_metadata(path).map_err(|error| Error::io("look at", path, error))?;
    if !metadata.is_dir() {
        return Err(Error::not_a_store(path, "it is not a directory"));
    }
    if metadata.uid() != user() {
        return Err(Error::ForeignStore { path: path.into(), owner: metadata.uid(), user: user() });
    }
    let forbidden = if private { OTHERS } else { OTHERS_MAY_WRITE };
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & forbidden != 0 {
        return Err(Error::OpenToOthers { path: path.into(), mode });
    }
    Ok(())
}

/// Reads a small file of the user's, never through a symbolic link. `None` if there is none.
pub(crate) fn read_small(path: &Path, len_max: usize) -> Result<Option<Vec<u8>>> {
    let failed = |error| Error::io("read", path, error);
    // Without waiting: what stands there could be a FIFO.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(Error::not_a_store(path, "it is not a regular file"));
    }
    let mut content = Vec::new();
    file.take(len_max as u64 + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() > len_max {
        return Err(Error::not_a_store(path, "it is too long"));
    }
    Ok(Some(content))
}

/// Replaces a file so that a crash leaves either content whole, and makes that durable.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    let failed = |error| Error::io("write", path, error);
    let mut name: OsString = path.file_name().unwrap_or_default().into();
    name.push(".new");
    let new = path.with_file_name(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(failed)?;
    let written = file.write_all(content).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&new, path));
    if let Err(error) = written {
        // The error to report is the first one; what is left is removed by the next write.
        drop(fs::remove_file(&new));
        return Err(failed(error));
    }
    sync_parent(path)
}

/// Makes the names in a path's directory durable.
pub(super) fn sync_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(|error| Error::io("sync", parent, error))
}

/// Removes everything in a directory, but not the directory. One that does not exist is as good as empty.
pub(super) fn remove_leftovers(dir: &Path) -> Result<()> {
    let failed = |path: &Path, error| Error::io("remove", path, error);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(dir, error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| failed(dir, error))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(|error| failed(&path, error))?;
        let removed = if kind.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

/// Directories that could be read, in order of their names; none if there is no such directory.
pub(super) fn names(dir: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| Error::io("list", dir, error);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(failed)?;
    paths.sort();
    Ok(paths)
}
