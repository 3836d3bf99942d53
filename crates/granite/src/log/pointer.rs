//! Where a separated value stands.

use crate::coding::{Decoder, put_varint};
use crate::key::MAX_VALUE_LEN;

/// A value in a segment, with the checksum of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ValuePointer {
    pub(crate) segment: u64,
    /// Of the value's first byte, from the start of the file.
    pub(crate) offset: u64,
    pub(crate) len: u32,
    pub(crate) crc: u32,
}

/// Longest encoding in bytes.
pub(crate) const MAX_POINTER_LEN: usize = 10 + 10 + 5 + 4;

impl ValuePointer {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.segment);
        put_varint(out, self.offset);
        put_varint(out, u64::from(self.len));
        out.extend_from_slice(&self.crc.to_le_bytes());
    }

    /// `None` if the bytes are no pointer.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Decoder::new(bytes);
        let pointer = Self {
            segment: input.varint()?,
            offset: input.varint()?,
            len: u32::try_from(input.varint()?).ok()?,
            crc: input.u32()?,
        };
        (input.is_empty() && pointer.len as usize <= MAX_VALUE_LEN).then_some(pointer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_survives_its_encoding_and_no_extra_byte() {
        let pointer = ValuePointer { segment: 1 << 40, offset: 1 << 50, len: 1 << 29, crc: u32::MAX };
        let mut bytes = Vec::new();
        pointer.encode(&mut bytes);
        assert!(bytes.len() <= MAX_POINTER_LEN);
        assert_eq!(ValuePointer::decode(&bytes), Some(pointer));
        bytes.push(0);
        assert_eq!(ValuePointer::decode(&bytes), None);
    }
}
