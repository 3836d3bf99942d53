//! What a name stands for on disk, content included.

use std::io::Read;

use rustix::io::Errno;
use tl_core::{Entry, EntryKind, IdHasher, ObjectId, ObjectKind};

use super::dir::WriteDir;
use crate::workdir::{Stat, StatKind};

const BUFFER_LEN: usize = 64 << 10;
/// Attempts at a file that changes while it is read. After that it counts as another content, which is what it is.
const ATTEMPTS: usize = 3;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// There is nothing.
    Nothing,
    /// A file, a link, or a directory (with the id of the empty tree: what is in it is not looked at).
    Entry(Entry, Stat),
    /// A FIFO, socket or device.
    Special,
    /// A file that changes faster than it can be read.
    Unstable,
}

impl Found {
    /// True if it is exactly `wanted`.
    pub(super) fn is(&self, wanted: Option<&Entry>) -> bool {
        match (self, wanted) {
            (Self::Nothing, None) => true,
            (Self::Entry(found, _), Some(wanted)) => is_same(found, wanted),
            _ => false,
        }
    }
}

/// True if both stand for the same. Links have no mode of their own, and directories are compared without what is in them.
pub(super) fn is_same(a: &Entry, b: &Entry) -> bool {
    match (a.kind, b.kind) {
        (EntryKind::Symlink, EntryKind::Symlink) => a.id == b.id,
        (EntryKind::Directory, EntryKind::Directory) => a.mode == b.mode,
        _ => a.kind == b.kind && a.id == b.id && a.mode == b.mode,
    }
}

/// What `name` stands for. The content of a file is read.
pub(super) fn look(dir: &WriteDir, name: &[u8]) -> Result<Found, Errno> {
    for _ in 0..ATTEMPTS {
        let Some(stat) = dir.stat(name)? else { return Ok(Found::Nothing) };
        let found = match stat.kind {
            StatKind::File => look_at_file(dir, name)?,
            StatKind::Symlink => look_at_link(dir, name, stat)?,
            StatKind::Directory => Some(Found::Entry(Entry::directory(ObjectId::EMPTY_TREE, stat.mode), stat)),
            StatKind::Special => Some(Found::Special),
        };
        if let Some(found) = found {
            return Ok(found);
        }
    }
    Ok(Found::Unstable)
}

fn look_at_file(dir: &WriteDir, name: &[u8]) -> Result<Option<Found>, Errno> {
    let mut file = match dir.open_file(name) {
        Ok(file) => file,
        // It became something else, or nothing, since it was looked at.
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let before = Stat::new(&rustix::fs::fstat(&file)?);
    if before.kind != StatKind::File {
        return Ok(None);
    }
    let mut hasher = IdHasher::new(ObjectKind::Blob);
    let len = hash(&mut file, &mut hasher, before.size)?;
    let after = Stat::new(&rustix::fs::fstat(&file)?);
    if !after.is_same_state(&before) || len != after.size {
        return Ok(None);
    }
    let entry = Entry { kind: EntryKind::File, mode: after.mode, id: hasher.finish(), size: len };
    Ok(Some(Found::Entry(entry, after)))
}

fn hash(file: &mut std::fs::File, hasher: &mut IdHasher, len_expected: u64) -> Result<u64, Errno> {
    // One byte more than expected, so that a small file takes one call to read and its end is seen by the next.
    let len_buffer = usize::try_from(len_expected).map_or(BUFFER_LEN, |len| (len + 1).min(BUFFER_LEN));
    let mut buffer = vec![0; len_buffer];
    let mut len = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(len),
            Ok(count) => {
                hasher.update(buffer.get(..count).unwrap_or_default());
                len += count as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        }
    }
}

fn look_at_link(dir: &WriteDir, name: &[u8], before: Stat) -> Result<Option<Found>, Errno> {
    let target = match dir.link_target(name) {
        Ok(target) => target,
        Err(Errno::NOENT | Errno::INVAL) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let after = dir.stat(name)?;
    if !after.is_some_and(|after| after.is_same_state(&before)) {
        return Ok(None);
    }
    let id = ObjectId::of(ObjectKind::Blob, &target);
    let size = target.len() as u64;
    let entry = Entry { kind: EntryKind::Symlink, mode: before.mode, id, size };
    Ok(Some(Found::Entry(entry, Stat { size, ..before })))
}
