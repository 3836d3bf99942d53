//! Reading tree pages.
//!
//! ```text
//! 32  2  number of entries
//! 34  2  length of the prefix that all keys share
//! 36  2  start of the heap
//! 38  2  bytes in the heap that belong to no entry
//! 40  4  internal: the child before the first separator; leaf: 0
//! 44  4  zero
//! 48     slots, in the order of keys
//!        free space
//!        heap: cells, in no order
//!  end   the prefix, up to the end of the page
//!
//! leaf slot:     u32 head, u16 offset of the cell, u16 length of the suffix
//! internal slot: u32 head, u32 child, u16 offset of the cell, u16 length of the suffix
//! ```
//! The suffix is the key without the prefix, the head its first four bytes as a big-endian number, filled up with zeros. A leaf's cell is a
//! tag (u16), the suffix, and the value; an internal page's cell is the suffix, and there is none (offset 0) where the head holds all of it.

use crate::coding::Reader;
use crate::id::{PageId, TxnId};
use crate::page::{PAGE_HEADER_LEN, PageKind};

pub(crate) const NODE_HEADER_LEN: usize = PAGE_HEADER_LEN + 16;
pub(super) const COUNT: usize = PAGE_HEADER_LEN;
pub(super) const PREFIX_LEN: usize = PAGE_HEADER_LEN + 2;
pub(super) const HEAP_START: usize = PAGE_HEADER_LEN + 4;
pub(super) const GARBAGE: usize = PAGE_HEADER_LEN + 6;
pub(super) const LEFTMOST: usize = PAGE_HEADER_LEN + 8;
const KIND: usize = 7;
pub(super) const LEAF_SLOT_LEN: usize = 8;
pub(super) const INTERNAL_SLOT_LEN: usize = 12;
pub(super) const HEAD_LEN: usize = 4;
/// The tag before a leaf's suffix.
pub(super) const TAG_LEN: usize = 2;
/// Set in the tag of a value that stands in pages of its own; the other bits are the length of a value that does not.
pub(crate) const OVERFLOW_TAG: u16 = 1 << 15;
/// What an overflow value leaves in its leaf: length (u32), first page (u32), the transaction that wrote it (u64).
pub(crate) const OVERFLOW_POINTER_LEN: usize = 16;
/// Bytes of an inline entry beside key and value.
pub(crate) const INLINE_CELL_LEN: usize = LEAF_SLOT_LEN + TAG_LEN;

/// The longest key in pages of this size: four of them and their pointers fit, so that each page can be split.
pub(crate) const fn key_len_max(page_size: usize) -> usize {
    page_size / 4 - 32
}

/// The longest value that stays with a key of this length: an entry takes a quarter of a page at most.
pub(crate) const fn inline_value_max(page_size: usize, key_len: usize) -> usize {
    ((page_size - NODE_HEADER_LEN) / 4).saturating_sub(key_len + INLINE_CELL_LEN)
}

#[inline]
pub(super) fn u16_at(bytes: &[u8], offset: usize) -> usize {
    match bytes.get(offset..offset + 2) {
        Some(&[a, b]) => u16::from_le_bytes([a, b]) as usize,
        _ => 0,
    }
}

#[inline]
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    match bytes.get(offset..offset + 4) {
        Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]),
        _ => 0,
    }
}

/// The first four bytes of a suffix, in the order of keys.
#[inline]
pub(super) fn head_of(suffix: &[u8]) -> u32 {
    match suffix {
        [a, b, c, d, ..] => u32::from_be_bytes([*a, *b, *c, *d]),
        [a, b, c] => u32::from_be_bytes([*a, *b, *c, 0]),
        [a, b] => u32::from_be_bytes([*a, *b, 0, 0]),
        [a] => u32::from_be_bytes([*a, 0, 0, 0]),
        [] => 0,
    }
}

/// Where a value of many bytes stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OverflowPointer {
    pub(crate) len: u32,
    pub(crate) page: PageId,
    pub(crate) birth: TxnId,
}

impl OverflowPointer {
    pub(crate) fn to_bytes(self) -> [u8; OVERFLOW_POINTER_LEN] {
        let low = u128::from(self.len) | u128::from(self.page.0) << 32;
        (low | u128::from(self.birth.0) << 64).to_le_bytes()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut fields = Reader::new(bytes);
        Some(Self { len: fields.u32()?, page: PageId(fields.u32()?), birth: TxnId(fields.u64()?) })
    }
}

/// A value as a leaf has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeafValue<'a> {
    Inline(&'a [u8]),
    Overflow(OverflowPointer),
}

/// A tree page. Reading one that [`Node::validate`] has refused gives wrong answers and no panics.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a> {
    pub(super) bytes: &'a [u8],
}

impl<'a> Node<'a> {
    #[inline]
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    #[inline]
    pub(crate) fn is_leaf(self) -> bool {
        self.bytes.get(KIND) == Some(&(PageKind::Leaf as u8))
    }

    #[inline]
    pub(crate) fn count(self) -> usize {
        u16_at(self.bytes, COUNT)
    }

    #[inline]
    pub(crate) fn prefix_len(self) -> usize {
        u16_at(self.bytes, PREFIX_LEN)
    }

    #[inline]
    pub(crate) fn prefix(self) -> &'a [u8] {
        self.bytes.get(self.bytes.len().saturating_sub(self.prefix_len())..).unwrap_or_default()
    }

    pub(super) fn slot_len(self) -> usize {
        if self.is_leaf() { LEAF_SLOT_LEN } else { INTERNAL_SLOT_LEN }
    }

    /// Bytes that hold something: header, slots, cells and prefix.
    pub(crate) fn used_len(self) -> usize {
        let slots = NODE_HEADER_LEN + self.count() * self.slot_len();
        let heap = self.bytes.len().saturating_sub(u16_at(self.bytes, HEAP_START) + u16_at(self.bytes, GARBAGE));
        slots + heap
    }

    #[inline]
    fn leaf_slot(self, index: usize) -> (u32, usize, usize) {
        let slot = NODE_HEADER_LEN + index * LEAF_SLOT_LEN;
        match self.bytes.get(slot..slot + LEAF_SLOT_LEN) {
            Some(&[a, b, c, d, e, f, g, h]) => (
                u32::from_le_bytes([a, b, c, d]),
                u16::from_le_bytes([e, f]) as usize,
                u16::from_le_bytes([g, h]) as usize,
            ),
            _ => (0, 0, 0),
        }
    }

    /// Head, child, offset of the cell, length of the suffix.
    #[inline]
    fn internal_slot(self, index: usize) -> (u32, u32, usize, usize) {
        let slot = NODE_HEADER_LEN + index * INTERNAL_SLOT_LEN;
        match self.bytes.get(slot..slot + INTERNAL_SLOT_LEN) {
            Some(&[a, b, c, d, i, j, k, l, e, f, g, h]) => (
                u32::from_le_bytes([a, b, c, d]),
                u32::from_le_bytes([i, j, k, l]),
                u16::from_le_bytes([e, f]) as usize,
                u16::from_le_bytes([g, h]) as usize,
            ),
            _ => (0, 0, 0, 0),
        }
    }

    /// The suffix of a leaf's key.
    #[inline]
    pub(crate) fn leaf_suffix(self, index: usize) -> &'a [u8] {
        let (_, offset, len) = self.leaf_slot(index);
        self.bytes.get(offset + TAG_LEN..offset + TAG_LEN + len).unwrap_or_default()
    }

    /// The tag of a leaf's entry, and the bytes of its value or pointer.
    #[inline]
    pub(crate) fn leaf_payload(self, index: usize) -> (u16, &'a [u8]) {
        let (_, offset, len) = self.leaf_slot(index);
        let tag = u16_at(self.bytes, offset) as u16;
        let start = offset + TAG_LEN + len;
        (tag, self.bytes.get(start..start + payload_len(tag)).unwrap_or_default())
    }

    #[inline]
    pub(crate) fn leaf_value(self, index: usize) -> LeafValue<'a> {
        let (tag, payload) = self.leaf_payload(index);
        if tag & OVERFLOW_TAG == 0 {
            return LeafValue::Inline(payload);
        }
        let none = OverflowPointer { len: 0, page: PageId::NONE, birth: TxnId::ZERO };
        LeafValue::Overflow(OverflowPointer::from_bytes(payload).unwrap_or(none))
    }

    /// All that a cursor wants of an entry, with one look at its slot: the suffix, the tag, and where in the page the value begins.
    #[inline]
    pub(crate) fn leaf_entry(self, index: usize) -> (&'a [u8], u16, usize) {
        let (_, offset, len) = self.leaf_slot(index);
        let start = offset + TAG_LEN;
        match self.bytes.get(offset..start + len).and_then(|cell| cell.split_first_chunk::<TAG_LEN>()) {
            Some((tag, suffix)) => (suffix, u16::from_le_bytes(*tag), start + len),
            None => (&[], 0, 0),
        }
    }

    /// Where in the page an inline value begins, for handles that outlive the borrow.
    #[inline]
    pub(crate) fn leaf_value_start(self, index: usize) -> usize {
        let (_, offset, len) = self.leaf_slot(index);
        offset + TAG_LEN + len
    }

    /// A leaf's key.
    pub(crate) fn key(self, index: usize) -> Vec<u8> {
        [self.prefix(), self.leaf_suffix(index)].concat()
    }

    /// The large values of a leaf.
    pub(crate) fn overflow_pointers(self) -> impl Iterator<Item = (usize, OverflowPointer)> {
        (0..self.count()).filter_map(move |index| match self.leaf_value(index) {
            LeafValue::Overflow(pointer) => Some((index, pointer)),
            LeafValue::Inline(_) => None,
        })
    }

    /// Offset and length of a leaf's cell.
    pub(super) fn leaf_cell(self, index: usize) -> (usize, usize) {
        let (_, offset, len) = self.leaf_slot(index);
        (offset, TAG_LEN + len + payload_len(u16_at(self.bytes, offset) as u16))
    }

    /// The entry with this key (`Ok`), or where it would stand (`Err`).
    #[inline]
    pub(crate) fn search_leaf(self, key: &[u8]) -> Result<usize, usize> {
        let Some(suffix) = key.strip_prefix(self.prefix()) else {
            return Err(if key < self.prefix() { 0 } else { self.count() });
        };
        let head = head_of(suffix);
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = (low + high) / 2;
            let (slot_head, offset, len) = self.leaf_slot(middle);
            let order = slot_head.cmp(&head).then_with(|| {
                let found = self.bytes.get(offset + TAG_LEN..offset + TAG_LEN + len).unwrap_or_default();
                found.cmp(suffix)
            });
            match order {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// Which child has the keys around `key`: 0 is the one before the first separator.
    #[inline]
    pub(crate) fn search_child(self, key: &[u8]) -> usize {
        let Some(suffix) = key.strip_prefix(self.prefix()) else {
            return if key < self.prefix() { 0 } else { self.count() };
        };
        let head = head_of(suffix);
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = (low + high) / 2;
            let (slot_head, _, offset, len) = self.internal_slot(middle);
            let goes_right = match slot_head.cmp(&head) {
                std::cmp::Ordering::Less => true,
                std::cmp::Ordering::Greater => false,
                // Equal heads: short suffixes are filled up with zeros, so that lengths decide.
                std::cmp::Ordering::Equal if len <= HEAD_LEN => len <= suffix.len(),
                std::cmp::Ordering::Equal => self.bytes.get(offset..offset + len).unwrap_or_default() <= suffix,
            };
            if goes_right {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The child at this place, from 0 to the number of separators.
    #[inline]
    pub(crate) fn child(self, place: usize) -> PageId {
        match place.checked_sub(1) {
            None => PageId(u32_at(self.bytes, LEFTMOST)),
            Some(index) => PageId(self.internal_slot(index).1),
        }
    }

    /// The suffix of a separator, part of it out of the head.
    pub(crate) fn separator_suffix(self, index: usize) -> SeparatorSuffix<'a> {
        let (head, _, offset, len) = self.internal_slot(index);
        if len <= HEAD_LEN {
            SeparatorSuffix::Short(head.to_be_bytes(), len)
        } else {
            SeparatorSuffix::Long(self.bytes.get(offset..offset + len).unwrap_or_default())
        }
    }

    /// Offset and length of a separator's cell, which may be none.
    pub(super) fn internal_cell(self, index: usize) -> (usize, usize) {
        let (_, _, offset, len) = self.internal_slot(index);
        (offset, if len <= HEAD_LEN { 0 } else { len })
    }

    /// Checks that all that the page says of itself stays within it and is in order, once, when it comes from the disk.
    pub(crate) fn validate(self) -> Result<(), &'static str> {
        let len = self.bytes.len();
        let (count, prefix_len, heap) = (self.count(), self.prefix_len(), u16_at(self.bytes, HEAP_START));
        let slots_end = NODE_HEADER_LEN + count * self.slot_len();
        let heap_end = len.checked_sub(prefix_len).ok_or("the prefix is longer than the page")?;
        if slots_end > heap || heap > heap_end {
            return Err("slots, heap and prefix overlap");
        }
        let inside = |offset: usize, cell_len: usize| offset >= heap && offset + cell_len <= heap_end;
        if self.is_leaf() {
            for index in 0..count {
                let (offset, cell_len) = self.leaf_cell(index);
                if !inside(offset, cell_len) {
                    return Err("an entry reaches out of the heap");
                }
            }
        } else {
            if self.child(0).is_none() {
                return Err("a child is missing");
            }
            for index in 0..count {
                let (offset, cell_len) = self.internal_cell(index);
                if cell_len > 0 && !inside(offset, cell_len) {
                    return Err("a separator reaches out of the heap");
                }
                if self.child(index + 1).is_none() {
                    return Err("a child is missing");
                }
            }
        }
        self.validate_order()
    }

    /// Checks that keys rise, that heads are those of the keys, and that the garbage is what is left over. Searches and changes rely on it.
    fn validate_order(self) -> Result<(), &'static str> {
        let mut cells = 0;
        if self.is_leaf() {
            let mut before: Option<&[u8]> = None;
            for index in 0..self.count() {
                cells += self.leaf_cell(index).1;
                let suffix = self.leaf_suffix(index);
                if self.leaf_slot(index).0 != head_of(suffix) {
                    return Err("a head is not that of its key");
                }
                if before.is_some_and(|before| before >= suffix) {
                    return Err("keys do not rise");
                }
                before = Some(suffix);
            }
        } else {
            let mut before: Option<SeparatorSuffix<'_>> = None;
            for index in 0..self.count() {
                cells += self.internal_cell(index).1;
                let suffix = self.separator_suffix(index);
                if self.internal_slot(index).0 != head_of(suffix.bytes()) {
                    return Err("a head is not that of its key");
                }
                if before.is_some_and(|before| before.bytes() >= suffix.bytes()) {
                    return Err("keys do not rise");
                }
                before = Some(suffix);
            }
        }
        let heap_len = self.bytes.len().saturating_sub(self.prefix_len() + u16_at(self.bytes, HEAP_START));
        if heap_len != cells + u16_at(self.bytes, GARBAGE) {
            return Err("cells and garbage do not add up to the heap");
        }
        Ok(())
    }
}

/// The suffix of a separator.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SeparatorSuffix<'a> {
    Short([u8; HEAD_LEN], usize),
    Long(&'a [u8]),
}

impl SeparatorSuffix<'_> {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(head, len) => head.get(..*len).unwrap_or_default(),
            Self::Long(suffix) => suffix,
        }
    }

    pub(crate) fn to_vec(self) -> Vec<u8> {
        self.bytes().to_vec()
    }
}

#[inline]
pub(super) const fn payload_len(tag: u16) -> usize {
    if tag & OVERFLOW_TAG == 0 { tag as usize } else { OVERFLOW_POINTER_LEN }
}
