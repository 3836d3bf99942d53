//! What a transaction did, as its record says it.
//!
//! ```text
//! u8 kind, varint tree id, then
//! 1 put:    bytes key, bytes value
//! 2 delete: bytes key
//! 3 create: bytes name (the id was never used before)
//! 4 drop
//! 5 clear
//! ```

use crate::coding::{Reader, put_sized, put_varint};

/// One step of a transaction. Trees are named by their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation<'a> {
    Put { tree: u32, key: &'a [u8], value: &'a [u8] },
    Delete { tree: u32, key: &'a [u8] },
    Create { tree: u32, name: &'a str },
    Drop { tree: u32 },
    Clear { tree: u32 },
}

const PUT: u8 = 1;
const DELETE: u8 = 2;
const CREATE: u8 = 3;
const DROP: u8 = 4;
const CLEAR: u8 = 5;

/// The operations of one transaction, encoded.
#[derive(Debug, Default, Clone)]
pub(crate) struct Payload {
    pub(crate) bytes: Vec<u8>,
    pub(crate) count: u32,
}

impl Payload {
    pub(crate) fn push(&mut self, operation: &Operation<'_>) {
        let out = &mut self.bytes;
        let mut start = |kind: u8, tree: u32| {
            out.push(kind);
            put_varint(out, u64::from(tree));
        };
        match *operation {
            Operation::Put { tree, key, value } => {
                start(PUT, tree);
                put_sized(out, key);
                put_sized(out, value);
            }
            Operation::Delete { tree, key } => {
                start(DELETE, tree);
                put_sized(out, key);
            }
            Operation::Create { tree, name } => {
                start(CREATE, tree);
                put_sized(out, name.as_bytes());
            }
            Operation::Drop { tree } => start(DROP, tree),
            Operation::Clear { tree } => start(CLEAR, tree),
        }
        self.count += 1;
    }

    /// Takes back what was pushed after the payload had this length and count.
    pub(crate) fn back_to(&mut self, len: usize, count: u32) {
        self.bytes.truncate(len);
        self.count = count;
    }
}

/// Reads a payload.
#[derive(Debug, Clone)]
pub(crate) struct Operations<'a> {
    fields: Reader<'a>,
    failed: bool,
}

/// A payload that is none, although its checksum matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

impl<'a> Operations<'a> {
    pub(crate) const fn new(payload: &'a [u8]) -> Self {
        Self { fields: Reader::new(payload), failed: false }
    }

    fn read(&mut self) -> Option<Operation<'a>> {
        let fields = &mut self.fields;
        let kind = fields.u8()?;
        let tree = u32::try_from(fields.varint()?).ok()?;
        Some(match kind {
            PUT => Operation::Put { tree, key: fields.sized()?, value: fields.sized()? },
            DELETE => Operation::Delete { tree, key: fields.sized()? },
            CREATE => Operation::Create { tree, name: std::str::from_utf8(fields.sized()?).ok()? },
            DROP => Operation::Drop { tree },
            CLEAR => Operation::Clear { tree },
            _ => return None,
        })
    }
}

impl<'a> Iterator for Operations<'a> {
    type Item = Result<Operation<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.fields.is_empty() {
            return None;
        }
        let operation = self.read();
        self.failed = operation.is_none();
        Some(operation.ok_or(Malformed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A replay would do something else than the transaction did.
        #[test]
        fn operations_come_back(ops in prop::collection::vec((0u8..5, any::<u32>(), prop::collection::vec(any::<u8>(), 0..20), prop::collection::vec(any::<u8>(), 0..200)), 0..20)) {
            let name = "a tree";
            let ops: Vec<Operation<'_>> = ops.iter().map(|(kind, tree, key, value)| match kind {
                0 => Operation::Put { tree: *tree, key, value },
                1 => Operation::Delete { tree: *tree, key },
                2 => Operation::Create { tree: *tree, name },
                3 => Operation::Drop { tree: *tree },
                _ => Operation::Clear { tree: *tree },
            }).collect();
            let mut payload = Payload::default();
            ops.iter().for_each(|op| payload.push(op));
            prop_assert_eq!(payload.count as usize, ops.len());
            let read: Result<Vec<_>, _> = Operations::new(&payload.bytes).collect();
            prop_assert_eq!(read, Ok(ops));
        }

        /// Hostile bytes must end in an error, not in a panic or a loop.
        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(Operations::new(&bytes).count() <= bytes.len());
        }
    }
}
