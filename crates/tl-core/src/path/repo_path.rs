//! A path from the root of a tree.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;

use ref_cast::{RefCastCustom, ref_cast_custom};
use smallvec::SmallVec;

use super::name::{EntryName, NameError};

/// Most bytes of a path. The names of a deeper tree cannot be told in one.
pub const MAX_PATH_LEN: usize = 65_535;

/// Paths of up to this many bytes need no memory of their own.
const INLINE_LEN: usize = 40;

/// Why bytes cannot be a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// More than [`MAX_PATH_LEN`] bytes.
    #[error("a path has at most {MAX_PATH_LEN} bytes")]
    TooLong,
    /// A component is no name; an absolute path, a doubled or a trailing `/` has an empty one.
    #[error("a component of the path cannot be used: {0}")]
    Component(#[from] NameError),
}

/// A path from the root of a tree: names joined by `/`, nothing before, between or after them. The root itself is the path of no bytes.
///
/// Ordered by components, so that a directory is directly followed by everything beneath it (`a`, `a/b`, `a.txt`). As bytes, this is the
/// order in which `/` comes before everything else.
///
/// ```
/// use tl_core::RepoPath;
///
/// let path = RepoPath::new(b"src/main.rs")?;
/// assert_eq!(path.parent(), Some(RepoPath::new(b"src")?));
/// assert_eq!(path.file_name().map(|name| name.to_string()).as_deref(), Some("main.rs"));
/// assert!(RepoPath::new(b"/etc/passwd").is_err() && RepoPath::new(b"a/../b").is_err());
/// assert!(path < RepoPath::new(b"src.txt")?);
/// # Ok::<(), tl_core::PathError>(())
/// ```
#[derive(PartialEq, Eq, Hash, RefCastCustom)]
#[repr(transparent)]
pub struct RepoPath([u8]);

impl RepoPath {
    #[ref_cast_custom]
    const fn checked(bytes: &[u8]) -> &Self;

    /// The root: the path of no bytes.
    #[must_use]
    pub const fn root() -> &'static Self {
        Self::checked(b"")
    }

    /// Takes `bytes` as a path.
    ///
    /// # Errors
    /// What a path must not be.
    pub fn new(bytes: &[u8]) -> Result<&Self, PathError> {
        if bytes.len() > MAX_PATH_LEN {
            return Err(PathError::TooLong);
        }
        if !bytes.is_empty() {
            for component in bytes.split(|&byte| byte == b'/') {
                EntryName::new(component)?;
            }
        }
        Ok(Self::checked(bytes))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// True for the root.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The names from the root downwards; none for the root.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &EntryName> {
        self.0.split(|&byte| byte == b'/').filter(|bytes| !bytes.is_empty()).map(EntryName::checked)
    }

    /// The path without its last name; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<&Self> {
        self.split_last().map(|(parent, _)| parent)
    }

    /// The last name; `None` for the root.
    #[must_use]
    pub fn file_name(&self) -> Option<&EntryName> {
        self.split_last().map(|(_, name)| name)
    }

    /// The path without its last name, and that name; `None` for the root.
    #[must_use]
    pub fn split_last(&self) -> Option<(&Self, &EntryName)> {
        if self.is_root() {
            return None;
        }
        let mut parts = self.0.rsplitn(2, |&byte| byte == b'/');
        let name = parts.next().unwrap_or_default();
        Some((Self::checked(parts.next().unwrap_or_default()), EntryName::checked(name)))
    }

    /// What follows `ancestor`; `None` if this path is not `ancestor` or beneath it.
    #[must_use]
    pub fn strip_prefix(&self, ancestor: &Self) -> Option<&Self> {
        if ancestor.is_root() {
            return Some(self);
        }
        match self.0.strip_prefix(&ancestor.0)? {
            [] => Some(Self::root()),
            [b'/', rest @ ..] => Some(Self::checked(rest)),
            _ => None,
        }
    }

    /// True for `ancestor` itself and everything beneath it.
    #[must_use]
    pub fn starts_with(&self, ancestor: &Self) -> bool {
        self.strip_prefix(ancestor).is_some()
    }

    /// The path of `name` in this directory.
    ///
    /// # Errors
    /// [`PathError::TooLong`].
    pub fn join(&self, name: &EntryName) -> Result<RepoPathBuf, PathError> {
        let mut path = self.to_owned();
        path.push(name)?;
        Ok(path)
    }
}

impl Ord for RepoPath {
    fn cmp(&self, other: &Self) -> Ordering {
        let differ = self.0.iter().zip(&other.0).find(|(left, right)| left != right);
        match differ {
            None => self.0.len().cmp(&other.0.len()),
            // No name holds a zero byte, so `/` may stand for one.
            Some((left, right)) => {
                let weight = |byte: u8| if byte == b'/' { 0 } else { byte };
                weight(*left).cmp(&weight(*right))
            }
        }
    }
}

impl PartialOrd for RepoPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl ToOwned for RepoPath {
    type Owned = RepoPathBuf;

    fn to_owned(&self) -> RepoPathBuf {
        RepoPathBuf(SmallVec::from_slice(&self.0))
    }
}

impl AsRef<Self> for RepoPath {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// For people: what is not UTF-8 is replaced.
impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&String::from_utf8_lossy(&self.0), f)
    }
}

impl fmt::Debug for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// An owned [`RepoPath`]. Short ones take no memory of their own.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct RepoPathBuf(SmallVec<[u8; INLINE_LEN]>);

impl RepoPathBuf {
    /// The root.
    #[must_use]
    pub fn root() -> Self {
        Self(SmallVec::new())
    }

    /// Goes down to `name`.
    ///
    /// # Errors
    /// [`PathError::TooLong`]; the path is then as it was.
    pub fn push(&mut self, name: &EntryName) -> Result<(), PathError> {
        let separator = usize::from(!self.0.is_empty());
        if self.0.len() + separator + name.as_bytes().len() > MAX_PATH_LEN {
            return Err(PathError::TooLong);
        }
        if separator == 1 {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(name.as_bytes());
        Ok(())
    }

    /// Goes up by one name; false at the root, which has nowhere to go.
    pub fn pop(&mut self) -> bool {
        let Some(parent_len) = self.parent().map(|parent| parent.0.len()) else { return false };
        self.0.truncate(parent_len);
        true
    }
}

impl Deref for RepoPathBuf {
    type Target = RepoPath;

    fn deref(&self) -> &RepoPath {
        RepoPath::checked(&self.0)
    }
}

impl Borrow<RepoPath> for RepoPathBuf {
    fn borrow(&self) -> &RepoPath {
        self
    }
}

impl AsRef<RepoPath> for RepoPathBuf {
    fn as_ref(&self) -> &RepoPath {
        self
    }
}

impl Ord for RepoPathBuf {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(other)
    }
}

impl PartialOrd for RepoPathBuf {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for RepoPathBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl fmt::Debug for RepoPathBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> RepoPathBuf {
        RepoPath::new(text.as_bytes()).unwrap().to_owned()
    }

    #[test]
    fn what_is_not_normalised_is_refused() {
        for bad in ["/", "/a", "a/", "a//b", "./a", "a/.", "a/../b", "..", "a\0", "a/.git", ".tl/x"] {
            assert!(matches!(RepoPath::new(bad.as_bytes()), Err(PathError::Component(_))), "{bad}");
        }
        assert_eq!(RepoPath::new(&[b'a'; MAX_PATH_LEN + 1]), Err(PathError::TooLong));
        assert!(RepoPath::new(b"").unwrap().is_root());
    }

    #[test]
    fn prefixes_end_at_names() {
        let strip = |text: &str, ancestor: &str| path(text).strip_prefix(&path(ancestor)).map(ToOwned::to_owned);
        assert_eq!(strip("a/b/c", "a"), Some(path("b/c")));
        assert_eq!(strip("a", "a"), Some(path("")));
        assert_eq!(strip("a/b", ""), Some(path("a/b")));
        assert_eq!(strip("ab", "a"), None);
        assert_eq!(strip("a", "a/b"), None);
    }

    #[test]
    fn a_path_that_would_be_too_long_is_left_as_it_was() {
        let mut long = path("a");
        let name = vec![b'x'; 4000];
        let name = EntryName::new(&name).unwrap();
        while long.push(name).is_ok() {}
        let len = long.as_bytes().len();
        assert!(len <= MAX_PATH_LEN && len + 1 + 4000 > MAX_PATH_LEN);
        assert_eq!(long.join(name), Err(PathError::TooLong));
    }

    fn any_path() -> impl Strategy<Value = RepoPathBuf> {
        vec("[!-.a-c]{1,3}", 0..4).prop_filter_map("a reserved name", |names| {
            RepoPath::new(names.join("/").as_bytes()).ok().map(ToOwned::to_owned)
        })
    }

    proptest! {
        /// If it fails, differences and edits meet paths in another order than trees hold them.
        #[test]
        fn the_order_is_that_of_components(left in any_path(), right in any_path()) {
            let names = |path: &RepoPathBuf| path.components().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>();
            prop_assert_eq!(left.cmp(&right), names(&left).cmp(&names(&right)));
            let as_bytes = |path: &RepoPathBuf| path.as_bytes().iter().map(|&byte| if byte == b'/' { 0 } else { byte }).collect::<Vec<_>>();
            prop_assert_eq!(left.cmp(&right), as_bytes(&left).cmp(&as_bytes(&right)));
        }

        #[test]
        fn going_down_and_up_again_changes_nothing(path in any_path()) {
            let mut again = RepoPathBuf::root();
            for name in path.components() {
                again.push(name).unwrap();
            }
            prop_assert_eq!(&again, &path);
            if let Some((parent, name)) = path.split_last() {
                prop_assert_eq!(&parent.join(name).unwrap(), &path);
                prop_assert!(path.starts_with(parent) && parent < &*path);
                prop_assert!(again.pop());
                prop_assert_eq!(&*again, parent);
            } else {
                prop_assert!(!again.pop());
            }
        }
    }

    #[test]
    fn owned_paths_are_found_by_borrowed_ones() {
        let set: HashSet<_> = ["a", "a/b", "c"].map(path).into();
        assert!(set.contains(RepoPath::new(b"a/b").unwrap()));
        let set: BTreeSet<_> = ["a.b", "a", "a/b", "a-b"].map(path).into();
        assert!(set.contains(RepoPath::new(b"a/b").unwrap()));
        assert_eq!(set.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a", "a/b", "a-b", "a.b"]);
    }
}
