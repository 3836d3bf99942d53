//! One entry of the index: docs/format/journal.md, "Keyspace `index`".

use tl_core::{Entry, EntryKind, Mode, ObjectId};

use crate::wire::{Reader, put_varint, put_zigzag};
use crate::workdir::{FileTime, Stat, StatKind};

const FILE: u8 = 0;
const SYMLINK: u8 = 1;
const DIRECTORY: u8 = 2;
const RACY: u8 = 128;

/// What a path was when it was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexEntry {
    /// What it was, with the id of its content. Of a directory the id is that of the empty tree: its entries say what is in it.
    pub entry: Entry,
    /// When its content was last changed.
    pub mtime: FileTime,
    /// When anything of it was last changed.
    pub ctime: FileTime,
    /// Its number on its device; 0 if no file was looked at.
    pub inode: u64,
    /// Its device.
    pub device: u64,
    /// It could change again without other times: it has to be read whenever it is looked at.
    pub racy: bool,
}

impl IndexEntry {
    /// What is known from a tree alone. It matches no file.
    pub(crate) fn of_tree(entry: Entry) -> Self {
        let zero = FileTime { seconds: 0, nanos: 0 };
        Self { entry: comparable(entry), mtime: zero, ctime: zero, inode: 0, device: 0, racy: false }
    }

    pub(crate) fn new(entry: Entry, stat: &Stat, racy: bool) -> Self {
        let Stat { mtime, ctime, inode, device, .. } = *stat;
        Self { entry: comparable(entry), mtime, ctime, inode, device, racy }
    }

    /// True if the tree's `entry` is what this one is of.
    pub(crate) fn is_of(&self, entry: Entry) -> bool {
        self.entry == comparable(entry)
    }

    /// True if a file with this `stat` need not be read again. Device numbers do not count: they change when a disk is mounted anew.
    pub(crate) fn matches(&self, stat: &Stat) -> bool {
        let kind = match stat.kind {
            StatKind::File => EntryKind::File,
            StatKind::Symlink => EntryKind::Symlink,
            StatKind::Directory => EntryKind::Directory,
            StatKind::Special => return false,
        };
        !self.racy
            && self.inode != 0
            && self.inode == stat.inode
            && self.entry.kind == kind
            && self.entry.mode == stat.mode
            && self.entry.size == stat.size
            && self.mtime == stat.mtime
            && self.ctime == stat.ctime
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        let kind = match self.entry.kind {
            EntryKind::File => FILE,
            EntryKind::Symlink => SYMLINK,
            EntryKind::Directory => DIRECTORY,
        };
        out.push(kind | if self.racy { RACY } else { 0 });
        put_varint(&mut out, u64::from(self.entry.mode.bits()));
        if kind != DIRECTORY {
            out.extend_from_slice(self.entry.id.as_bytes());
        }
        put_varint(&mut out, self.entry.size);
        for time in [self.mtime, self.ctime] {
            put_zigzag(&mut out, time.seconds);
            put_varint(&mut out, u64::from(time.nanos));
        }
        put_varint(&mut out, self.inode);
        put_varint(&mut out, self.device);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let head = reader.u8()?;
        let kind = match head & !RACY {
            FILE => EntryKind::File,
            SYMLINK => EntryKind::Symlink,
            DIRECTORY => EntryKind::Directory,
            _ => return None,
        };
        let mode = Mode::new(u32::try_from(reader.count(0o7777)?).ok()?);
        let id = match kind {
            EntryKind::Directory => ObjectId::EMPTY_TREE,
            _ => ObjectId::from_bytes(reader.array()?),
        };
        let size = reader.varint()?;
        let mut time = || {
            let seconds = reader.zigzag()?;
            let nanos = u32::try_from(reader.count(999_999_999)?).ok()?;
            Some(FileTime { seconds, nanos })
        };
        let (mtime, ctime) = (time()?, time()?);
        let (inode, device) = (reader.varint()?, reader.varint()?);
        reader.end()?;
        let entry = Entry { kind, mode, id, size };
        Some(Self { entry, mtime, ctime, inode, device, racy: head & RACY != 0 })
    }
}

/// Directories are compared without what is in them.
fn comparable(entry: Entry) -> Entry {
    match entry.kind {
        EntryKind::Directory => Entry::directory(ObjectId::EMPTY_TREE, entry.mode),
        _ => entry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_entry_survives_its_encoding(
            kind in 0u8..3, mode in 0u32..=0o7777, id: [u8; 32], size: u64,
            times: (i64, i64), nanos in (0u32..1_000_000_000, 0u32..1_000_000_000), numbers: (u64, u64), racy: bool,
        ) {
            let entry = match kind {
                0 => Entry { kind: EntryKind::File, mode: Mode::new(mode), id: ObjectId::from_bytes(id), size },
                1 => Entry { kind: EntryKind::Symlink, mode: Mode::new(mode), id: ObjectId::from_bytes(id), size },
                _ => Entry::directory(ObjectId::from_bytes(id), Mode::new(mode)),
            };
            let found = IndexEntry {
                entry: comparable(entry),
                mtime: FileTime { seconds: times.0, nanos: nanos.0 },
                ctime: FileTime { seconds: times.1, nanos: nanos.1 },
                inode: numbers.0,
                device: numbers.1,
                racy,
            };
            let encoded = found.encode();
            prop_assert_eq!(IndexEntry::decode(&encoded), Some(found));
            prop_assert_eq!(IndexEntry::decode(&encoded[..encoded.len() - 1]), None);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
            if let Some(entry) = IndexEntry::decode(&bytes) {
                prop_assert_eq!(IndexEntry::decode(&entry.encode()), Some(entry));
            }
        }
    }
}
