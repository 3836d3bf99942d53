//! Opening what lies below the root without ever leaving it: no symlink is followed, whatever is swapped meanwhile, and no path is too long.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};
use rustix::io::{Errno, Result};

use crate::path::split;

/// The kernel takes no path of 4,096 bytes or more in one call.
const PIECE_LEN_MAX: usize = 4000;

/// Opens the directory `path` below `root` for reading.
pub(crate) fn open_directory(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    let mut current = openat(root, ".", directory_flags(), Mode::empty())?;
    for piece in pieces(path) {
        current = open_piece(current.as_fd(), piece)?;
    }
    Ok(current)
}

/// What stands at `name` in `directory`; none if nothing does.
pub(crate) fn kind_of(directory: BorrowedFd<'_>, name: &[u8]) -> Result<Option<FileType>> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Looks at many paths in turn, and opens a directory once for all neighbours among them.
pub(crate) struct Lookup<'a> {
    root: BorrowedFd<'a>,
    directory: Option<(Vec<u8>, OwnedFd)>,
}

impl<'a> Lookup<'a> {
    pub(crate) fn new(root: BorrowedFd<'a>) -> Self {
        Self { root, directory: None }
    }

    /// What stands at `path`; none if nothing does.
    pub(crate) fn kind_of(&mut self, path: &[u8]) -> Result<Option<FileType>> {
        let (parent, name) = split(path);
        if self.directory.as_ref().is_none_or(|(known, _)| known != parent) {
            self.directory = match open_directory(self.root, parent) {
                Ok(opened) => Some((parent.to_vec(), opened)),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                Err(error) => return Err(error),
            };
        }
        match &self.directory {
            Some((_, directory)) => kind_of(directory.as_fd(), name),
            None => Ok(None),
        }
    }
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Cuts a path between components into pieces that the kernel takes.
fn pieces(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = path;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let window = rest.get(..PIECE_LEN_MAX).unwrap_or(rest);
        let end = if window.len() == rest.len() {
            rest.len()
        } else {
            window.iter().rposition(|byte| *byte == b'/').unwrap_or(window.len())
        };
        let (piece, tail) = rest.split_at(end);
        rest = tail.strip_prefix(b"/").unwrap_or(tail);
        Some(piece)
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn open_piece(from: BorrowedFd<'_>, piece: &[u8]) -> Result<OwnedFd> {
    use rustix::fs::{ResolveFlags, openat2};
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        match openat2(from, piece, directory_flags(), Mode::empty(), resolve) {
            // A rename anywhere in the system can make the kernel unsure; it asks to try again.
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Kernels before 5.6, and sandboxes that do not know the call.
            Err(Errno::NOSYS | Errno::PERM) => return walk(from, piece),
            other => return other,
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn open_piece(from: BorrowedFd<'_>, piece: &[u8]) -> Result<OwnedFd> {
    walk(from, piece)
}

/// Opens `piece` component by component.
fn walk(from: BorrowedFd<'_>, piece: &[u8]) -> Result<OwnedFd> {
    let mut current = None::<OwnedFd>;
    for name in piece.split(|byte| *byte == b'/') {
        let at = current.as_ref().map_or(from, AsFd::as_fd);
        current = Some(openat(at, name, directory_flags(), Mode::empty())?);
    }
    current.ok_or(Errno::NOENT)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::fs::File;

    use super::*;

    type Open = fn(BorrowedFd<'_>, &[u8]) -> Result<OwnedFd>;

    #[test]
    fn symlinks_are_not_followed_at_any_depth_by_either_way() {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir_all(scratch.path().join("outside/deep")).unwrap();
        fs::create_dir_all(scratch.path().join("root/real/deep")).unwrap();
        std::os::unix::fs::symlink("../outside", scratch.path().join("root/link")).unwrap();
        let root = File::open(scratch.path().join("root")).unwrap();
        for open in [open_piece as Open, walk] {
            assert!(open(root.as_fd(), b"real/deep").is_ok());
            assert!(open(root.as_fd(), b"link").is_err());
            assert!(open(root.as_fd(), b"link/deep").is_err());
        }
    }

    #[test]
    fn paths_beyond_the_limit_of_the_kernel_open() {
        let scratch = tempfile::tempdir().unwrap();
        let root = File::open(scratch.path()).unwrap();
        let name = vec![b'd'; 200];
        let mut path = Vec::new();
        let mut current = open_directory(root.as_fd(), b"").unwrap();
        for _ in 0..40 {
            rustix::fs::mkdirat(&current, &name[..], Mode::RWXU).unwrap();
            current = openat(&current, &name[..], directory_flags(), Mode::empty()).unwrap();
            path = crate::path::join(&path, &name);
        }
        assert!(path.len() > 8000);
        assert!(open_directory(root.as_fd(), &path).is_ok());
        let mut lookup = Lookup::new(root.as_fd());
        assert_eq!(lookup.kind_of(&path), Ok(Some(FileType::Directory)));
        assert_eq!(lookup.kind_of(&crate::path::join(&path, b"absent")), Ok(None));
    }
}
