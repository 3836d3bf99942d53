//! The content of a file as memory: mapped by the system, or read. The one unsafe call passes on the condition of
//! [`File::map`](crate::File::map), that nobody changes the file meanwhile; the pages are read-only, so nothing in this process can.

use std::fs::File;
use std::io;
use std::ops::Deref;

/// The content of a file as memory, for reading. Made by [`File::map`](crate::File::map) and [`File::read_whole`](crate::File::read_whole).
#[derive(Debug)]
pub struct Mapping(Content);

#[derive(Debug)]
enum Content {
    Mapped(memmap2::Mmap),
    Read(Vec<u8>),
}

impl Mapping {
    /// Bytes that are in memory already.
    #[must_use]
    pub const fn of(bytes: Vec<u8>) -> Self {
        Self(Content::Read(bytes))
    }

    /// # Safety
    /// As for [`File::map`](crate::File::map).
    pub(crate) unsafe fn map(file: &File) -> io::Result<Self> {
        // SAFETY: nobody writes to the file or cuts it while the mapping lives, says the caller.
        let mapped = unsafe { memmap2::Mmap::map(file) }?;
        Ok(Self(Content::Mapped(mapped)))
    }

    /// True if the system reads pages as they are looked at; false if all of it is in this process's own memory.
    #[must_use]
    pub const fn is_mapped(&self) -> bool {
        matches!(self.0, Content::Mapped(_))
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Content::Mapped(mapped) => mapped,
            Content::Read(bytes) => bytes,
        }
    }
}
