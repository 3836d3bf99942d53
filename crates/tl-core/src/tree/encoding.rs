//! The bytes of a tree. Specified in docs/format/objects.md.

use super::entry::{Entry, EntryKind, Mode};
use crate::coding::{Reader, put_varint};
use crate::id::ObjectId;
use crate::path::{EntryName, NameError};
use crate::stored::MAX_TREE_LEN;

/// Least bytes of an entry: two of kind and mode, a name of one byte with its length, a size, an id.
const MIN_ENTRY_LEN: usize = 5 + ObjectId::LEN;
const KIND_SHIFT: u32 = 12;

/// Why entries are no tree, or bytes no encoded one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// More bytes than a tree may have.
    #[error("the tree takes over {MAX_TREE_LEN} bytes")]
    TooLarge,
    /// The bytes end too early, or a number is not in its shortest form.
    #[error("the tree is cut off or holds a malformed number")]
    Malformed,
    /// A kind that there is not.
    #[error("the tree holds an entry of the unknown kind {0}")]
    UnknownKind(u8),
    /// A name that cannot be one.
    #[error("the tree holds a name that cannot be used: {0}")]
    Name(#[from] NameError),
    /// A directory with a size.
    #[error("a directory in the tree has a size")]
    DirectorySize,
    /// Names that do not rise, or one that is there twice.
    #[error("the names in the tree do not rise strictly")]
    Order,
    /// Bytes after the last id.
    #[error("the tree is followed by {0} bytes too many")]
    Trailing(usize),
}

/// An entry without its id.
pub(super) struct Head<'a> {
    pub(super) kind: EntryKind,
    pub(super) mode: Mode,
    pub(super) name: &'a [u8],
    pub(super) size: u64,
}

const fn kind_code(kind: EntryKind) -> u16 {
    match kind {
        EntryKind::File => 1,
        EntryKind::Symlink => 2,
        EntryKind::Directory => 3,
    }
}

const fn kind_of(code: u16) -> Option<EntryKind> {
    match code {
        1 => Some(EntryKind::File),
        2 => Some(EntryKind::Symlink),
        3 => Some(EntryKind::Directory),
        _ => None,
    }
}

impl<'a> Head<'a> {
    /// Reads a head. Its name is not checked.
    pub(super) fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let code = u16::from_le_bytes(reader.array()?);
        let name_len = usize::try_from(reader.varint()?).ok()?;
        let name = reader.bytes(name_len)?;
        let size = reader.varint()?;
        Some(Self { kind: kind_of(code >> KIND_SHIFT)?, mode: Mode::new(u32::from(code)), name, size })
    }

    /// Reads a head and checks it.
    fn check(reader: &mut Reader<'a>) -> Result<Self, TreeError> {
        let code = u16::from_le_bytes(Reader::new(reader.rest()).array().ok_or(TreeError::Malformed)?) >> KIND_SHIFT;
        if kind_of(code).is_none() {
            return Err(TreeError::UnknownKind(code as u8));
        }
        let head = Self::read(reader).ok_or(TreeError::Malformed)?;
        EntryName::new(head.name)?;
        if head.kind == EntryKind::Directory && head.size != 0 {
            return Err(TreeError::DirectorySize);
        }
        Ok(head)
    }
}

pub(super) fn put_head(out: &mut Vec<u8>, name: &EntryName, entry: &Entry) {
    let code = kind_code(entry.kind) << KIND_SHIFT | entry.mode.code();
    out.extend_from_slice(&code.to_le_bytes());
    put_varint(out, name.as_bytes().len() as u64);
    out.extend_from_slice(name.as_bytes());
    put_varint(out, entry.size);
}

/// Where things are in an encoded tree.
pub(super) struct Layout {
    pub(super) heads_start: u32,
    pub(super) ids_start: u32,
    pub(super) heads: Vec<u32>,
}

/// Checks an encoded tree.
pub(super) fn check(content: &[u8]) -> Result<Layout, TreeError> {
    if content.len() > MAX_TREE_LEN {
        return Err(TreeError::TooLarge);
    }
    let mut reader = Reader::new(content);
    let count = reader.varint().and_then(|count| usize::try_from(count).ok()).ok_or(TreeError::Malformed)?;
    if count > reader.rest().len() / MIN_ENTRY_LEN {
        return Err(TreeError::Malformed);
    }
    let heads_start = content.len() - reader.rest().len();
    let mut heads = Vec::with_capacity(count);
    let mut before: Option<&[u8]> = None;
    for _ in 0..count {
        heads.push((content.len() - reader.rest().len() - heads_start) as u32);
        let head = Head::check(&mut reader)?;
        if before.is_some_and(|before| before >= head.name) {
            return Err(TreeError::Order);
        }
        before = Some(head.name);
    }
    let ids_start = content.len() - reader.rest().len();
    reader.bytes(count * ObjectId::LEN).ok_or(TreeError::Malformed)?;
    match reader.rest().len() {
        0 => Ok(Layout { heads_start: heads_start as u32, ids_start: ids_start as u32, heads }),
        trailing => Err(TreeError::Trailing(trailing)),
    }
}
