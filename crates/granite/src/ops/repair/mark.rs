//! The mark of a rebuild that is under way: which files it wrote itself, should it be cut short.
//!
//! Without a manifest every table in the directory is taken for a part of the database. A table that an earlier rebuild left half written must not
//! be: it says of the log that it was absorbed up to an entry of which only a part is in it. So before the first new file there is
//! a file that tells from which number on files are new, and it stays until the manifest names them.

use std::path::Path;

use vfs::{OpenMode, Vfs};

use crate::error::{Error, Result};

/// The file, beside the manifest.
pub(super) const REPAIR: &str = "REPAIR";
const MAGIC: u64 = u64::from_le_bytes(*b"GRNREPAR");
/// Magic, number, and the number's complement; 8 bytes each, little-endian. Within one sector, so a crash leaves all of it or nothing.
const LEN: usize = 24;

/// The number of the first file that a rebuild wrote which was not finished. `None` if none was begun.
pub(super) fn read(vfs: &dyn Vfs, dir: &Path) -> Result<Option<u64>> {
    let path = dir.join(REPAIR);
    let mut bytes = [0; LEN];
    let file = match vfs.open(&path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", &path, error)),
    };
    match file.read_exact_at(0, &mut bytes) {
        Ok(()) => {}
        // It was not durable yet, so nothing else had been written.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(Error::io("read", &path, error)),
    }
    let first = decode(&bytes);
    if first.is_none() && bytes != [0; LEN] {
        tracing::warn!(path = %path.display(), "the mark of an earlier repair is damaged: what that one wrote is taken for a part of the database");
    }
    Ok(first)
}

fn decode(bytes: &[u8; LEN]) -> Option<u64> {
    let ([magic, first, complement], []) = bytes.as_chunks::<8>() else { return None };
    let first = u64::from_le_bytes(*first);
    (u64::from_le_bytes(*magic) == MAGIC && u64::from_le_bytes(*complement) == !first).then_some(first)
}

/// Says durably that files from number `first` on are new, before there is one.
pub(super) fn write(vfs: &dyn Vfs, dir: &Path, first: u64) -> Result<()> {
    let path = dir.join(REPAIR);
    let bytes: Vec<u8> = [MAGIC, first, !first].into_iter().flat_map(u64::to_le_bytes).collect();
    let file = vfs.open(&path, OpenMode::OpenOrCreate).map_err(|error| Error::io("create", &path, error))?;
    // An earlier one is the same in every byte, so nothing is lost should this be cut short.
    file.write_at(0, &bytes).map_err(|error| Error::io("write", &path, error))?;
    file.sync_data().map_err(|error| Error::io("sync", &path, error))?;
    vfs.sync_dir(dir).map_err(|error| Error::io("sync", dir, error))
}

/// Removes the mark, if there is one. The manifest is whole.
///
/// Whoever is about to add files calls this first: with a mark that stays, a later rebuild would throw them away. It needs no sync of its own, since
/// no new file counts before the directory is synced.
pub(crate) fn remove(vfs: &dyn Vfs, dir: &Path) -> Result<()> {
    let path = dir.join(REPAIR);
    if vfs::exists(vfs, &path).map_err(|error| Error::io("look at", &path, error))? {
        vfs.remove_file(&path).map_err(|error| Error::io("remove", &path, error))?;
    }
    Ok(())
}
