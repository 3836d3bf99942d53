//! What a file held, as far as it can be compared line by line.

use anyhow::Result;
use tl_core::{Entry, Error, Objects};

/// Files above this length are told apart by their ids alone.
pub const COMPARED_LEN_MAX: u64 = 32 << 20;
/// A zero byte among the first bytes makes a file binary, as it does for Git.
const LOOKED_AT_LEN: usize = 8000;

/// The content of one side of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Lines. An absent side has none.
    Text(Vec<u8>),
    /// Bytes that are no text.
    Binary {
        /// How many.
        len: u64,
    },
    /// More than [`COMPARED_LEN_MAX`] bytes.
    TooLarge {
        /// How many.
        len: u64,
    },
    /// It was purged.
    Purged {
        /// How many bytes there were.
        len: u64,
    },
    /// It is damaged or missing in the store.
    Unreadable {
        /// Why.
        why: String,
        /// How many bytes there should be.
        len: u64,
    },
}

impl Content {
    /// What `entry` holds: the content of a file, the target of a link; nothing for a directory or for none.
    ///
    /// # Errors
    /// That the store cannot be reached. What is wrong with this one object is a [`Content`] of its own, so that a comparison goes on.
    pub fn load(objects: &Objects, entry: Option<&Entry>) -> Result<Self> {
        let Some(entry) = entry.filter(|entry| !entry.is_directory()) else { return Ok(Self::Text(Vec::new())) };
        let len = entry.size;
        if len > COMPARED_LEN_MAX {
            return Ok(Self::TooLarge { len });
        }
        Ok(match objects.get_blob(&entry.id, COMPARED_LEN_MAX) {
            Ok(content) if is_binary(&content) => Self::Binary { len: content.len() as u64 },
            Ok(content) => Self::Text(content),
            Err(Error::BlobTooLarge { len, .. }) => Self::TooLarge { len },
            Err(Error::Purged { len, .. }) => Self::Purged { len },
            Err(error @ (Error::Missing { .. } | Error::Damaged { .. })) => {
                Self::Unreadable { why: error.to_string(), len }
            }
            Err(error) => return Err(error.into()),
        })
    }

    /// The bytes, if they are text.
    pub fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Length in bytes.
    pub const fn len(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Binary { len } | Self::TooLarge { len } | Self::Purged { len } | Self::Unreadable { len, .. } => *len,
        }
    }

    /// Why it is not compared by lines, for people; nothing if it is.
    pub fn obstacle(&self) -> Option<String> {
        match self {
            Self::Text(_) => None,
            Self::Binary { .. } => Some("binary".to_owned()),
            Self::TooLarge { .. } => Some("too large to compare".to_owned()),
            Self::Purged { .. } => Some("purged".to_owned()),
            Self::Unreadable { why, .. } => Some(why.clone()),
        }
    }

    /// One word for programs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Binary { .. } => "binary",
            Self::TooLarge { .. } => "too-large",
            Self::Purged { .. } => "purged",
            Self::Unreadable { .. } => "unreadable",
        }
    }
}

/// True if the bytes are taken for something else than text.
pub fn is_binary(content: &[u8]) -> bool {
    content.iter().take(LOOKED_AT_LEN).any(|byte| *byte == 0)
}
