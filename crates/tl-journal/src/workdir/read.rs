//! Reading what stands still: a file counts as read if nothing about it changed from before the first byte until after the last.

use std::fs::File;
use std::time::Duration;

use rustix::io::Errno;
use tl_core::{Blob, Capture, EntryName};

use super::dir::Dir;
use super::stat::{Stat, StatKind};
use crate::checkpoint::GapCause;
use crate::error::{Error, Result};

/// Attempts at a file that changes while it is read, before it is put off.
const ATTEMPTS: usize = 2;

/// What came of reading a file or a link.
#[derive(Debug)]
pub(crate) enum FileRead {
    /// Its content is in the capture.
    Content { blob: Blob, stat: Stat, racy: bool },
    /// It kept changing, or is not what it was a moment ago: look again.
    Unstable,
    /// It is gone.
    Gone,
    /// It cannot be read.
    Failed(GapCause),
}

impl FileRead {
    fn of_errno(errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::Gone,
            Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::STALE | Errno::INVAL | Errno::INTR => Self::Unstable,
            Errno::ACCESS | Errno::PERM => Self::Failed(GapCause::PermissionDenied),
            _ => Self::Failed(GapCause::ReadError),
        }
    }
}

/// Puts the content of the regular file `name` into `capture`. `now` tells the time since 1970.
pub(crate) fn read_file(
    dir: &Dir,
    name: &EntryName,
    capture: &Capture,
    now: &dyn Fn() -> Duration,
) -> Result<FileRead> {
    for _ in 0..ATTEMPTS {
        match read_once(dir, name, capture, now)? {
            FileRead::Unstable => {}
            read => return Ok(read),
        }
    }
    Ok(FileRead::Unstable)
}

fn read_once(dir: &Dir, name: &EntryName, capture: &Capture, now: &dyn Fn() -> Duration) -> Result<FileRead> {
    let fd = match dir.open_file(name) {
        Ok(fd) => fd,
        Err(errno) => return Ok(FileRead::of_errno(errno)),
    };
    let mut file = File::from(fd);
    let stat_now = |file: &File| rustix::fs::fstat(file).map(|stat| Stat::new(&stat));
    let before = match stat_now(&file) {
        Ok(stat) if stat.kind == StatKind::File => stat,
        Ok(_) => return Ok(FileRead::Unstable),
        Err(errno) => return Ok(FileRead::of_errno(errno)),
    };
    // Whatever was written until here is read; whatever is written later has a time that is not before this one.
    let start = now();
    let blob = match capture.put_blob_from(&mut file, before.size) {
        Ok(blob) => blob,
        Err(tl_core::Error::Source(source)) => {
            let errno = Errno::from_io_error(&source).unwrap_or(Errno::IO);
            return Ok(FileRead::of_errno(errno));
        }
        Err(tl_core::Error::BlobTooLarge { .. }) => return Ok(FileRead::Failed(GapCause::TooLarge)),
        Err(error) => return Err(error.into()),
    };
    match stat_now(&file) {
        Ok(after) if after.is_same_state(&before) && blob.len == after.size => {
            Ok(FileRead::Content { blob, stat: after, racy: after.is_racy_at(start) })
        }
        Ok(_) => Ok(FileRead::Unstable),
        Err(errno) => Ok(FileRead::of_errno(errno)),
    }
}

/// Puts the target of the symbolic link `name` into `capture`.
pub(crate) fn read_link(dir: &Dir, name: &EntryName, capture: &Capture, now: Duration) -> Result<FileRead> {
    let read = || {
        let before = dir.stat_of(name)?;
        let target = dir.link_target(name)?;
        Ok((before, target, dir.stat_of(name)?))
    };
    match read() {
        Ok((before, target, after)) => {
            if before.kind != StatKind::Symlink || !after.is_same_state(&before) {
                return Ok(FileRead::Unstable);
            }
            let blob = capture.put_symlink(&target).map_err(Error::from)?;
            // Some filesystems tell no size of links, and the tree's entry has the target's.
            let stat = Stat { size: blob.len, ..after };
            Ok(FileRead::Content { blob, stat, racy: after.is_racy_at(now) })
        }
        Err(errno) => Ok(FileRead::of_errno(errno)),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::io::Write;

    use granite::{Db, Options};
    use tl_core::{Store, StoreOptions};

    use super::*;

    /// Reads a file to which `write` does something each time between the first look at it and the first byte.
    fn read_while(write: impl Fn(&std::path::Path, usize)) -> FileRead {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "before").unwrap();
        let db = Db::open(dir.path().join("db"), &Options::new()).unwrap();
        let capture = Store::open(&db, &StoreOptions::default()).unwrap().capture().unwrap();
        let attempts = Cell::new(0);
        let now = || {
            write(&path, attempts.replace(attempts.get() + 1));
            Duration::MAX
        };
        let root = Dir::open_root(dir.path()).unwrap();
        read_file(&root, EntryName::new(b"f").unwrap(), &capture, &now).unwrap()
    }

    fn append(path: &std::path::Path) {
        File::options().append(true).open(path).unwrap().write_all(b"!").unwrap();
    }

    /// If it fails, a state is recorded that never was.
    #[test]
    fn a_file_that_changes_while_it_is_read_is_read_again_or_put_off() {
        assert!(matches!(read_while(|path, _| append(path)), FileRead::Unstable));
        let once = read_while(|path, attempt| {
            if attempt == 0 {
                append(path);
            }
        });
        assert!(matches!(once, FileRead::Content { blob, racy: false, .. } if blob.len == 7), "{once:?}");
        // The descriptor still has the former file: another one of that name is another event.
        let replaced = read_while(|path, _| fs::rename(path, path.with_file_name("g")).unwrap_or(()));
        assert!(matches!(replaced, FileRead::Unstable | FileRead::Gone), "{replaced:?}");
    }
}
