//! Changing tree pages in place, while there is room. A page is one that `build` laid out or [`Node::validate`] let pass, and belongs to the
//! transaction that changes it.
#![cfg_attr(
    not(test),
    expect(
        clippy::indexing_slicing,
        reason = "offsets come from a page that was validated when it was read or built here"
    )
)]

use super::view::{
    COUNT, GARBAGE, HEAD_LEN, HEAP_START, INTERNAL_SLOT_LEN, LEAF_SLOT_LEN, LEFTMOST, NODE_HEADER_LEN, Node, TAG_LEN,
    head_of, u16_at,
};
use crate::id::PageId;

fn set_u16(page: &mut [u8], offset: usize, value: usize) {
    page[offset..offset + 2].copy_from_slice(&(value as u16).to_le_bytes());
}

fn set_u32(page: &mut [u8], offset: usize, value: u32) {
    page[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
}

/// Makes room for a slot at `index` and for `cell_len` bytes in the heap, and returns where those are. `None` if there is none without
/// moving cells.
fn make_room(page: &mut [u8], index: usize, slot_len: usize, cell_len: usize) -> Option<usize> {
    let count = u16_at(page, COUNT);
    let slots_end = NODE_HEADER_LEN + count * slot_len;
    let heap = u16_at(page, HEAP_START);
    if slots_end + slot_len + cell_len > heap {
        return None;
    }
    let slot = NODE_HEADER_LEN + index * slot_len;
    page.copy_within(slot..slots_end, slot + slot_len);
    set_u16(page, COUNT, count + 1);
    set_u16(page, HEAP_START, heap - cell_len);
    Some(heap - cell_len)
}

fn remove_slot(page: &mut [u8], index: usize, slot_len: usize, offset: usize, cell_len: usize) {
    let count = u16_at(page, COUNT);
    let slot = NODE_HEADER_LEN + index * slot_len;
    page.copy_within(slot + slot_len..NODE_HEADER_LEN + count * slot_len, slot);
    set_u16(page, COUNT, count - 1);
    give_back(page, offset, cell_len);
}

/// A cell at the start of the heap is free space again, another one is garbage.
fn give_back(page: &mut [u8], offset: usize, cell_len: usize) {
    if cell_len == 0 {
        return;
    }
    let heap = u16_at(page, HEAP_START);
    if offset == heap {
        set_u16(page, HEAP_START, heap + cell_len);
    } else {
        let garbage = u16_at(page, GARBAGE);
        set_u16(page, GARBAGE, garbage + cell_len);
    }
}

/// Inserts an entry; false if the page has to be laid out anew for it, because the key lacks the prefix or room is short.
pub(crate) fn insert_leaf(page: &mut [u8], index: usize, key: &[u8], tag: u16, payload: &[u8]) -> bool {
    let Some(suffix) = key.strip_prefix(Node::new(page).prefix()) else { return false };
    let (suffix_len, head) = (suffix.len(), head_of(suffix));
    let Some(cell) = make_room(page, index, LEAF_SLOT_LEN, TAG_LEN + suffix_len + payload.len()) else { return false };
    let slot = NODE_HEADER_LEN + index * LEAF_SLOT_LEN;
    set_u32(page, slot, head);
    set_u16(page, slot + 4, cell);
    set_u16(page, slot + 6, suffix_len);
    set_u16(page, cell, tag as usize);
    page[cell + TAG_LEN..cell + TAG_LEN + suffix_len].copy_from_slice(suffix);
    page[cell + TAG_LEN + suffix_len..cell + TAG_LEN + suffix_len + payload.len()].copy_from_slice(payload);
    true
}

/// Replaces the value of an entry; false if the page has to be laid out anew for it.
pub(crate) fn replace_value(page: &mut [u8], index: usize, tag: u16, payload: &[u8]) -> bool {
    let node = Node::new(page);
    let (old_tag, old_payload) = node.leaf_payload(index);
    let (old_len, start) = (old_payload.len(), node.leaf_value_start(index));
    let (cell, cell_len) = node.leaf_cell(index);
    if old_len == payload.len() {
        page[start..start + old_len].copy_from_slice(payload);
        if old_tag != tag {
            set_u16(page, cell, tag as usize);
        }
        return true;
    }
    let new_len = cell_len - old_len + payload.len();
    let heap = u16_at(page, HEAP_START);
    let slots_end = NODE_HEADER_LEN + u16_at(page, COUNT) * LEAF_SLOT_LEN;
    if slots_end + new_len > heap {
        return false;
    }
    let new_cell = heap - new_len;
    let key_len = cell_len - old_len;
    page.copy_within(cell..cell + key_len, new_cell);
    page[new_cell + key_len..heap].copy_from_slice(payload);
    set_u16(page, new_cell, tag as usize);
    set_u16(page, HEAP_START, new_cell);
    set_u16(page, NODE_HEADER_LEN + index * LEAF_SLOT_LEN + 4, new_cell);
    let garbage = u16_at(page, GARBAGE);
    set_u16(page, GARBAGE, garbage + cell_len);
    true
}

/// Takes an entry out.
pub(crate) fn remove_leaf(page: &mut [u8], index: usize) {
    let (offset, cell_len) = Node::new(page).leaf_cell(index);
    remove_slot(page, index, LEAF_SLOT_LEN, offset, cell_len);
}

/// Inserts a separator and the child after it; false if the page has to be laid out anew for it.
pub(crate) fn insert_child(page: &mut [u8], index: usize, separator: &[u8], child: PageId) -> bool {
    let Some(suffix) = separator.strip_prefix(Node::new(page).prefix()) else { return false };
    let (suffix_len, head) = (suffix.len(), head_of(suffix));
    let cell_len = if suffix_len <= HEAD_LEN { 0 } else { suffix_len };
    let Some(cell) = make_room(page, index, INTERNAL_SLOT_LEN, cell_len) else { return false };
    let slot = NODE_HEADER_LEN + index * INTERNAL_SLOT_LEN;
    set_u32(page, slot, head);
    set_u32(page, slot + 4, child.0);
    set_u16(page, slot + 8, if cell_len == 0 { 0 } else { cell });
    set_u16(page, slot + 10, suffix_len);
    page[cell..cell + cell_len].copy_from_slice(if cell_len == 0 { &[] } else { suffix });
    true
}

/// Points the child at `place` (0 is the one before the first separator) to another page.
pub(crate) fn set_child(page: &mut [u8], place: usize, child: PageId) {
    let offset = match place.checked_sub(1) {
        None => LEFTMOST,
        Some(index) => NODE_HEADER_LEN + index * INTERNAL_SLOT_LEN + 4,
    };
    set_u32(page, offset, child.0);
}

/// Takes the child at `place` out, and with it the separator before it, or, of the first child, the one after it.
pub(crate) fn remove_child(page: &mut [u8], place: usize) {
    if place == 0 {
        let second = Node::new(page).child(1);
        set_child(page, 0, second);
    }
    let index = place.saturating_sub(1);
    let (offset, cell_len) = Node::new(page).internal_cell(index);
    remove_slot(page, index, INTERNAL_SLOT_LEN, offset, cell_len);
}
