//! Integers as cartridges hold them. A varint has one encoding here, so that equal maps are equal bytes.

pub(crate) use crate::checksum::crc32c;
pub(crate) use crate::coding::put_varint;

/// Zeros up to the next multiple of `to`.
pub(crate) const fn padding(len: u64, to: u64) -> u64 {
    (to - len % to) % to
}

/// The `u32` with this number in an array of them.
pub(crate) fn u32_at(array: &[u8], number: usize) -> Option<u32> {
    let start = number.checked_mul(4)?;
    array.get(start..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// The `u64` with this number in an array of them.
pub(crate) fn u64_at(array: &[u8], number: usize) -> Option<u64> {
    let start = number.checked_mul(8)?;
    array.get(start..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// Reads forward; every method is `None` where the input ends early or is malformed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*head)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A varint in its shortest form: any other would give one number two encodings.
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            if (shift == 63 && bits > 1) || (shift > 0 && byte == 0) {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A varint of at most `max`.
    pub(crate) fn count(&mut self, max: usize) -> Option<usize> {
        self.varint().and_then(|value| usize::try_from(value).ok()).filter(|value| *value <= max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_varint_survives_its_encoding(value: u64, tail: Vec<u8>) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            out.extend_from_slice(&tail);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint(), Some(value));
            prop_assert_eq!(reader.rest(), &tail[..]);
        }

        #[test]
        fn a_number_has_one_encoding(input: Vec<u8>) {
            let mut reader = Reader::new(&input);
            if let Some(value) = reader.varint() {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                prop_assert!(input.starts_with(&out) && reader.rest().len() + out.len() == input.len());
            }
        }
    }
}
