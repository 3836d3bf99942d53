//! What a name in a directory stands for.

use std::fmt;

use crate::id::ObjectId;
use crate::path::EntryName;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntryKind {
    /// A regular file; its blob is the content.
    File,
    /// A symbolic link; its blob is the target's raw bytes.
    Symlink,
    /// A directory; its tree may be empty.
    Directory,
}

/// Permission bits, with set-user-id, set-group-id and sticky: 12 bits. Shown in octal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mode(u16);

impl Mode {
    const MASK: u32 = 0o7777;

    /// Takes the lowest 12 bits of `bits`, so that a `st_mode` fits.
    #[must_use]
    pub const fn new(bits: u32) -> Self {
        Self((bits & Self::MASK) as u16)
    }

    /// The bits, at most `0o7777`.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0 as u32
    }

    pub(crate) const fn code(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A blob that was put: its id with the length of its content, which belong together in an [`Entry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Blob {
    /// The blob's id.
    pub id: ObjectId,
    /// Length of the content in bytes.
    pub len: u64,
}

/// What a name in a directory stands for.
///
/// The size must be that of the blob: from it a collector tells which blobs consist of chunks. [`Entry::file`] and [`Entry::symlink`] see to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// Its permissions.
    pub mode: Mode,
    /// Its content: a blob for files and symbolic links, a tree for directories.
    pub id: ObjectId,
    /// Length in bytes of the file or of the link's target; 0 for directories.
    pub size: u64,
}

impl Entry {
    /// A regular file.
    #[must_use]
    pub const fn file(content: Blob, mode: Mode) -> Self {
        Self { kind: EntryKind::File, mode, id: content.id, size: content.len }
    }

    /// A symbolic link.
    #[must_use]
    pub const fn symlink(target: Blob, mode: Mode) -> Self {
        Self { kind: EntryKind::Symlink, mode, id: target.id, size: target.len }
    }

    /// A directory.
    #[must_use]
    pub const fn directory(tree: ObjectId, mode: Mode) -> Self {
        Self { kind: EntryKind::Directory, mode, id: tree, size: 0 }
    }

    /// True for a directory.
    #[must_use]
    pub const fn is_directory(&self) -> bool {
        matches!(self.kind, EntryKind::Directory)
    }
}

/// One entry of a [`Tree`](crate::Tree).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeEntry<'a> {
    /// The name.
    pub name: &'a EntryName,
    /// What it stands for.
    pub entry: Entry,
}
