//! The name of one entry of a directory.

use std::fmt;

use ref_cast::{RefCastCustom, ref_cast_custom};

/// Most bytes of a name. Filesystems in use stop at 255 characters or 1023 bytes.
pub const MAX_NAME_LEN: usize = 4095;

/// Directories of version control systems and Timelapse's own entry: they are never recorded.
const RESERVED: [&[u8]; 3] = [b".git", b".jj", b".tl"];

/// Why bytes cannot be the name of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// No bytes.
    #[error("a name must not be empty")]
    Empty,
    /// More than [`MAX_NAME_LEN`] bytes.
    #[error("a name has at most {MAX_NAME_LEN} bytes")]
    TooLong,
    /// `.` or `..`.
    #[error("`.` and `..` name no entry of their own")]
    Dots,
    /// A `/` or a zero byte.
    #[error("a name holds neither `/` nor a zero byte")]
    Separator,
    /// Exactly `.git`, `.jj` or `.tl`.
    #[error("`.git`, `.jj` and `.tl` are never recorded")]
    Reserved,
}

/// The name of an entry in a directory: any bytes except none, `.`, `..`, `/`, zero, and exactly `.git`, `.jj`, `.tl`.
/// Ordered by bytes.
///
/// ```
/// use tl_core::{EntryName, NameError};
///
/// assert_eq!(EntryName::new(b"README.md")?.as_bytes(), b"README.md");
/// assert_eq!(EntryName::new(b".git"), Err(NameError::Reserved));
/// # Ok::<(), NameError>(())
/// ```
#[derive(PartialEq, Eq, Hash, PartialOrd, Ord, RefCastCustom)]
#[repr(transparent)]
pub struct EntryName([u8]);

impl EntryName {
    #[ref_cast_custom]
    pub(crate) const fn checked(bytes: &[u8]) -> &Self;

    /// Takes `bytes` as a name.
    ///
    /// # Errors
    /// What a name must not be.
    pub fn new(bytes: &[u8]) -> Result<&Self, NameError> {
        match bytes {
            b"" => Err(NameError::Empty),
            b"." | b".." => Err(NameError::Dots),
            _ if bytes.len() > MAX_NAME_LEN => Err(NameError::TooLong),
            _ if bytes.iter().any(|byte| matches!(byte, b'/' | 0)) => Err(NameError::Separator),
            _ if RESERVED.contains(&bytes) => Err(NameError::Reserved),
            _ => Ok(Self::checked(bytes)),
        }
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// For people: what is not UTF-8 is replaced.
impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&String::from_utf8_lossy(&self.0), f)
    }
}

impl fmt::Debug for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        let cases: [(&[u8], NameError); 9] = [
            (b"", NameError::Empty),
            (b".", NameError::Dots),
            (b"..", NameError::Dots),
            (b"a/b", NameError::Separator),
            (b"a\0b", NameError::Separator),
            (b".git", NameError::Reserved),
            (b".jj", NameError::Reserved),
            (b".tl", NameError::Reserved),
            (&[b'x'; MAX_NAME_LEN + 1], NameError::TooLong),
        ];
        for (bytes, error) in cases {
            assert_eq!(EntryName::new(bytes), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn odd_names_are_names() {
        for bytes in [&b"..."[..], b".gitignore", b".GIT", b"a\nb", b"\xff\xfe", b" ", b"C:\\x", &[b'x'; MAX_NAME_LEN]]
        {
            assert_eq!(EntryName::new(bytes).map(EntryName::as_bytes), Ok(bytes));
        }
    }
}
