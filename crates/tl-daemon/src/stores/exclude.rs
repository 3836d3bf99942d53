//! Keeping Git from the marker: a line in `info/exclude`, which is nobody's but this clone's.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::marker::MARKER;
use super::private::{read_small, user};
use crate::error::{Error, Result};

const EXCLUDE_LEN_MAX: usize = 1 << 20;
/// A `.git` file, or a `commondir`, holds one path.
const POINTER_LEN_MAX: usize = 16 << 10;

/// Sees to it that Git ignores the marker in `root`, wherever in a repository that is. Returns the file that says so; none outside of repositories.
///
/// # Errors
/// If the file cannot be read or written, or is another user's.
pub fn exclude_marker(root: &Path) -> Result<Option<PathBuf>> {
    let Some((top, git_dir)) = root.ancestors().find_map(|dir| Some((dir, git_dir(dir)?))) else { return Ok(None) };
    let Ok(below) = root.strip_prefix(top) else { return Ok(None) };
    let info = common_dir(&git_dir).join("info");
    let path = info.join("exclude");
    let line = pattern(below);
    let content = read_small(&path, EXCLUDE_LEN_MAX)?.unwrap_or_default();
    if content.split(|&byte| byte == b'\n').any(|found| found == line) {
        return Ok(Some(path));
    }
    let failed = |error| Error::io("write", &path, error);
    match fs::create_dir(&info) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let mut file = OpenOptions::new().append(true).create(true).custom_flags(flags).open(&path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.uid() != user() || !metadata.is_file() {
        return Err(Error::ForeignStore { path, owner: metadata.uid(), user: user() });
    }
    let open_end: &[u8] = if content.last().is_none_or(|&byte| byte == b'\n') { b"" } else { b"\n" };
    file.write_all(&[open_end, &line, b"\n"].concat()).map_err(failed)?;
    Ok(Some(path))
}

/// The directory of the repository whose working tree begins at `top`, if one does.
fn git_dir(top: &Path) -> Option<PathBuf> {
    let dot_git = top.join(".git");
    let metadata = fs::symlink_metadata(&dot_git).ok()?;
    let dir = if metadata.is_dir() {
        dot_git
    } else {
        // A worktree or submodule. What it points to must look like a repository before a line is added there.
        let pointer = read_small(&dot_git, POINTER_LEN_MAX).ok()??;
        top.join(path_of(pointer.strip_prefix(b"gitdir: ")?))
    };
    dir.join("HEAD").is_file().then_some(dir)
}

/// Where the worktrees of a repository share what is not theirs alone.
fn common_dir(git_dir: &Path) -> PathBuf {
    match read_small(&git_dir.join("commondir"), POINTER_LEN_MAX) {
        Ok(Some(pointer)) => git_dir.join(path_of(&pointer)),
        _ => git_dir.to_owned(),
    }
}

fn path_of(line: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(line.trim_ascii_end().to_vec()))
}

/// The line: anchored, with the letters escaped that mean something in it.
fn pattern(below: &Path) -> Vec<u8> {
    let mut line = b"/".to_vec();
    for &byte in below.as_os_str().as_bytes() {
        if matches!(byte, b'*' | b'?' | b'[' | b'\\' | b' ') {
            line.push(b'\\');
        }
        line.push(byte);
    }
    if line.len() > 1 {
        line.push(b'/');
    }
    line.extend_from_slice(MARKER.as_bytes());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(".git/info")).unwrap();
        fs::write(dir.path().join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        dir
    }

    #[test]
    fn the_line_is_added_once_and_nothing_is_lost() {
        let dir = repository();
        let exclude = dir.path().join(".git/info/exclude");
        fs::write(&exclude, "# mine\n*.o").unwrap();
        for _ in 0..2 {
            assert_eq!(exclude_marker(dir.path()).unwrap(), Some(exclude.clone()));
            assert_eq!(fs::read_to_string(&exclude).unwrap(), "# mine\n*.o\n/.tl\n");
        }
    }

    #[test]
    fn a_root_below_the_top_is_named_by_its_path() {
        let dir = repository();
        let root = dir.path().join("a [b]");
        fs::create_dir(&root).unwrap();
        fs::remove_dir(dir.path().join(".git/info")).unwrap();
        let exclude = exclude_marker(&root).unwrap().unwrap();
        assert_eq!(fs::read_to_string(exclude).unwrap(), "/a\\ \\[b]/.tl\n");
    }

    #[test]
    fn a_worktree_shares_the_file_of_its_repository() {
        let dir = repository();
        let worktree = tempfile::tempdir().unwrap();
        let inner = dir.path().join(".git/worktrees/w");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("HEAD"), "x\n").unwrap();
        fs::write(inner.join("commondir"), "../..\n").unwrap();
        fs::write(worktree.path().join(".git"), format!("gitdir: {}\n", inner.display())).unwrap();
        exclude_marker(worktree.path()).unwrap().unwrap();
        assert_eq!(fs::read_to_string(dir.path().join(".git/info/exclude")).unwrap(), "/.tl\n");
    }

    /// If it fails, a tree that was unpacked could have a line written into a file of its choice.
    #[test]
    fn a_planted_link_is_not_written_through() {
        let dir = repository();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious\n").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join(".git/info/exclude")).unwrap();
        assert!(exclude_marker(dir.path()).is_err());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious\n");
    }

    #[test]
    fn outside_of_repositories_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(exclude_marker(dir.path()).unwrap(), None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
