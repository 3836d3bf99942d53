//! What objects are called: the hash of their kind and content.

use std::fmt;
use std::str::FromStr;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A file's content, or the target of a symbolic link.
    Blob,
    /// A directory.
    Tree,
}

impl ObjectKind {
    /// What the hashed bytes begin with, so that a blob that looks like a tree has another id.
    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Blob => b"blob\0",
            Self::Tree => b"tree\0",
        }
    }

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Blob => 1,
            Self::Tree => 2,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Blob),
            2 => Some(Self::Tree),
            _ => None,
        }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blob => "blob",
            Self::Tree => "tree",
        })
    }
}

/// The name of an object: BLAKE3 over its kind and its content, however that is stored.
///
/// Shown and parsed as 64 lower-case hexadecimal digits.
///
/// ```
/// use tl_core::{ObjectId, ObjectKind};
///
/// let id = ObjectId::of(ObjectKind::Blob, b"hello\n");
/// assert_eq!(id.to_string().parse::<ObjectId>()?, id);
/// assert_ne!(id, ObjectId::of(ObjectKind::Tree, b"hello\n"));
/// # Ok::<(), tl_core::ParseIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId([u8; Self::LEN]);

impl ObjectId {
    /// Length of an id in bytes.
    pub const LEN: usize = 32;

    /// The tree without entries, which every store holds.
    pub const EMPTY_TREE: Self = Self([
        0x66, 0x82, 0x88, 0xfb, 0x1d, 0xf2, 0x31, 0x22, 0x45, 0xfb, 0x26, 0x27, 0x51, 0x10, 0x59, 0x17, 0x6d, 0x30,
        0xdf, 0x0a, 0x09, 0x35, 0xf5, 0xb3, 0x64, 0x05, 0xfd, 0xbc, 0xf6, 0xeb, 0x77, 0x40,
    ]);

    /// The id of an object with this content.
    #[must_use]
    pub fn of(kind: ObjectKind, content: &[u8]) -> Self {
        let mut hasher = IdHasher::new(kind);
        hasher.update(content);
        hasher.finish()
    }

    /// An id from its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The first eight bytes as a number: as random as the id, and enough for a probabilistic set.
    pub(crate) const fn short(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectId({self})")
    }
}

/// A text that is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an object's id has 64 lower-case hexadecimal digits")]
pub struct ParseIdError;

impl FromStr for ObjectId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(ParseIdError),
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != Self::LEN || !rest.is_empty() {
            return Err(ParseIdError);
        }
        let mut bytes = [0; Self::LEN];
        for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(high)? << 4 | digit(low)?;
        }
        Ok(Self(bytes))
    }
}

/// Computes an id from content that comes in pieces.
///
/// ```
/// use tl_core::{IdHasher, ObjectId, ObjectKind};
///
/// let mut hasher = IdHasher::new(ObjectKind::Blob);
/// hasher.update(b"hel");
/// hasher.update(b"lo");
/// assert_eq!(hasher.finish(), ObjectId::of(ObjectKind::Blob, b"hello"));
/// ```
#[derive(Debug)]
pub struct IdHasher(blake3::Hasher);

impl IdHasher {
    /// A hasher that has seen nothing yet.
    #[must_use]
    pub fn new(kind: ObjectKind) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(kind.prefix());
        Self(hasher)
    }

    /// Takes the next piece of the content.
    pub fn update(&mut self, content: &[u8]) {
        self.0.update(content);
    }

    /// The id of an object of all pieces so far.
    #[must_use]
    pub fn finish(&self) -> ObjectId {
        ObjectId(*self.0.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If it fails, the constant names another object than the empty tree.
    #[test]
    fn the_empty_tree_is_the_hash_of_its_one_byte() {
        assert_eq!(ObjectId::EMPTY_TREE, ObjectId::of(ObjectKind::Tree, &[0]));
    }

    /// If it fails, ids of stores that exist mean other content.
    #[test]
    fn an_id_is_blake3_over_prefix_and_content() {
        let expected = blake3::hash(b"blob\0hello\n");
        assert_eq!(ObjectId::of(ObjectKind::Blob, b"hello\n").as_bytes(), expected.as_bytes());
        assert_eq!(
            ObjectId::of(ObjectKind::Blob, b"hello\n").to_string(),
            "cd2fe0396f281bf23d7278c6a074cd558fa2d61d2c47427fe3cfe61fe98d6b09"
        );
    }

    #[test]
    fn texts_that_are_no_ids_are_refused() {
        let good = ObjectId::EMPTY_TREE.to_string();
        let long = format!("{good}00");
        for bad in ["", &good[1..], &long, &good.to_uppercase(), &good.replace('d', "g"), &good.replacen('d', "é", 1)]
        {
            assert_eq!(bad.parse::<ObjectId>(), Err(ParseIdError), "{bad:?}");
        }
    }
}
