//! Internal keys: a user key, the sequence number of the write, and what the write did.
//!
//! Order everywhere: user key ascending by bytes, then sequence descending, so that the newest version comes first.

use std::cmp::Ordering;
use std::fmt;

/// Longest key in bytes.
pub const MAX_KEY_LEN: usize = 16 << 20;
/// Longest value in bytes.
pub const MAX_VALUE_LEN: usize = 1 << 30;

/// The number of one write. Every operation of every batch has its own; they rise without gaps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(u64);

impl Seq {
    /// Before every write.
    pub const ZERO: Self = Self(0);
    /// After every write: 56 bits, the rest of the trailer holds the kind.
    pub const MAX: Self = Self((1 << 56) - 1);

    /// The sequence `number`, capped at [`Seq::MAX`].
    #[must_use]
    pub const fn new(number: u64) -> Self {
        if number > Self::MAX.0 { Self::MAX } else { Self(number) }
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sequence `count` writes later.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self::new(self.0.saturating_add(count))
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a write did. The numbers are on disk: do not change them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The key is gone. The entry's value is empty.
    Delete = 0,
    /// The entry's value is the user's value.
    Inline = 1,
    /// The entry's value is an encoded pointer into a segment.
    Separated = 2,
    /// Every older key from the entry's key up to (not including) its value is gone. Never among point entries.
    RangeDelete = 3,
}

impl Kind {
    pub(crate) const fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Delete),
            1 => Some(Self::Inline),
            2 => Some(Self::Separated),
            3 => Some(Self::RangeDelete),
            _ => None,
        }
    }
}

/// Sequence and kind in eight bytes: `seq << 8 | kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Trailer(u64);

impl Trailer {
    /// Sorts before every real entry of the same user key.
    pub(crate) const NEWEST: Self = Self(u64::MAX);
    /// Sorts after every real entry of the same user key.
    pub(crate) const OLDEST: Self = Self(0);

    pub(crate) const fn new(seq: Seq, kind: Kind) -> Self {
        Self(seq.0 << 8 | kind as u8 as u64)
    }

    /// Sorts before every entry at or below `seq` and after every entry above it.
    pub(crate) const fn at(seq: Seq) -> Self {
        Self(seq.0 << 8 | 0xff)
    }

    /// Checks bytes from outside: `None` for an unknown kind.
    pub(crate) const fn from_u64(bits: u64) -> Option<Self> {
        match Kind::from_u8(bits as u8) {
            Some(_) => Some(Self(bits)),
            None => None,
        }
    }

    pub(crate) const fn to_u64(self) -> u64 {
        self.0
    }

    pub(crate) const fn seq(self) -> Seq {
        Seq(self.0 >> 8)
    }

    pub(crate) const fn kind(self) -> Kind {
        match self.0 as u8 {
            0 => Kind::Delete,
            1 => Kind::Inline,
            2 => Kind::Separated,
            _ => Kind::RangeDelete,
        }
    }
}

/// The order of internal keys.
#[inline]
pub(crate) fn compare(a_key: &[u8], a_trailer: Trailer, b_key: &[u8], b_trailer: Trailer) -> Ordering {
    a_key.cmp(b_key).then_with(|| b_trailer.0.cmp(&a_trailer.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_versions_of_a_key_come_first_and_keys_rise() {
        let old = Trailer::new(Seq::new(1), Kind::Inline);
        let new = Trailer::new(Seq::new(2), Kind::Delete);
        assert_eq!(compare(b"a", new, b"a", old), Ordering::Less);
        assert_eq!(compare(b"a", old, b"b", new), Ordering::Less);
        assert_eq!(compare(b"a", Trailer::at(Seq::new(1)), b"a", old), Ordering::Less);
        assert_eq!(compare(b"a", Trailer::at(Seq::new(1)), b"a", new), Ordering::Greater);
        assert_eq!(compare(b"a", Trailer::NEWEST, b"a", new), Ordering::Less);
        assert_eq!(compare(b"a", Trailer::OLDEST, b"a", old), Ordering::Greater);
    }

    #[test]
    fn a_trailer_survives_its_encoding_and_unknown_kinds_are_refused() {
        let trailer = Trailer::new(Seq::MAX, Kind::Separated);
        assert_eq!(Trailer::from_u64(trailer.to_u64()), Some(trailer));
        assert_eq!((trailer.seq(), trailer.kind()), (Seq::MAX, Kind::Separated));
        assert_eq!(Trailer::from_u64(0x0104), None);
    }
}
