//! Paths below the watched root, as the filesystem knows them: raw bytes.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Error, Result};

/// A path below the watched root: raw bytes, components separated by `/`, relative, and normalised, so that two paths are equal exactly
/// if their bytes are. The root itself is the empty path. Ordered by bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RelPath(Box<[u8]>);

impl RelPath {
    /// The root: the empty path.
    pub fn root() -> Self {
        Self::default()
    }

    /// Takes `bytes` if they are a normalised relative path.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidPath`] if a component is empty, `.` or `..`, or if there is a NUL in it.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Result<Self> {
        let bytes = bytes.into();
        let valid = bytes.is_empty()
            || bytes.split(|byte| *byte == b'/').all(|name| !matches!(name, b"" | b"." | b"..") && !name.contains(&0));
        if valid { Ok(Self(bytes)) } else { Err(Error::InvalidPath { path: bytes.into() }) }
    }

    /// Takes bytes that the caller put together from the kernel's names.
    pub(crate) fn trusted(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same as a relative `Path`.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// True for the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last component; none for the root.
    pub fn name(&self) -> Option<&[u8]> {
        (!self.is_root()).then(|| split(&self.0).1)
    }

    /// The directory that holds it; none for the root.
    pub fn parent(&self) -> Option<Self> {
        (!self.is_root()).then(|| Self(split(&self.0).0.into()))
    }

    /// True if this is `ancestor` or lies beneath it.
    pub fn starts_with(&self, ancestor: &Self) -> bool {
        is_within(&self.0, &ancestor.0)
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() { f.write_str(".") } else { self.as_path().display().fmt(f) }
    }
}

/// The directory and the last component of `path`. The directory of a path of one component is the root.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => {
            let (directory, rest) = path.split_at(slash);
            (directory, rest.get(1..).unwrap_or_default())
        }
        None => (&[], path),
    }
}

/// `directory/name`; just `name` in the root, just `directory` for an empty name.
pub(crate) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
    path.extend_from_slice(directory);
    if !directory.is_empty() && !name.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// True if `path` is `ancestor` or lies beneath it.
pub(crate) fn is_within(path: &[u8], ancestor: &[u8]) -> bool {
    match path.strip_prefix(ancestor) {
        Some(rest) => ancestor.is_empty() || matches!(rest.first(), None | Some(b'/')),
        None => false,
    }
}

/// The directories above `path`, from its own directory up to the root.
pub(crate) fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut next = (!path.is_empty()).then(|| split(path).0);
    std::iter::from_fn(move || {
        let current = next?;
        next = (!current.is_empty()).then(|| split(current).0);
        Some(current)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_normalised_is_refused() {
        for bad in ["/a", "a/", "a//b", ".", "..", "a/./b", "a/../b", "a\0b"] {
            assert!(RelPath::new(bad.as_bytes()).is_err(), "{bad:?}");
        }
        for good in ["", "a", "a/b", ".git", "...", "a/..b"] {
            assert!(RelPath::new(good.as_bytes()).is_ok(), "{good:?}");
        }
        assert!(RelPath::new(*b"a/\xff\xfe").is_ok(), "names are raw bytes");
    }

    #[test]
    fn a_sibling_with_a_longer_name_is_not_beneath() {
        assert!(is_within(b"a/b", b"a") && is_within(b"a", b"a") && is_within(b"a", b""));
        assert!(!is_within(b"ab", b"a") && !is_within(b"a", b"a/b"));
    }

    #[test]
    fn ancestors_end_with_the_root() {
        let above: Vec<&[u8]> = ancestors(b"a/b/c").collect();
        assert_eq!(above, [&b"a/b"[..], b"a", b""]);
        assert_eq!(ancestors(b"").count(), 0);
        assert_eq!(join(b"", b"x"), b"x");
        assert_eq!(join(b"a", b"x"), b"a/x");
        assert_eq!(join(b"a", b""), b"a");
    }
}
