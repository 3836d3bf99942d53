//! Tree pages: slotted, with the common prefix of their keys stored once. The layout is in `docs/format/northstar.md`, "Tree pages".
//!
//! `view` reads, `edit` changes a page in place while there is room, `build` lays a page out anew, also when it becomes two or two become
//! one. Nothing here knows where pages come from.

mod build;
mod edit;
mod view;

#[cfg(test)]
mod tests;

pub(crate) use build::{
    InternalItem, Key, LeafItem, build_internal, build_leaf, fits_internal, fits_leaf, internal_items, leaf_items,
    rises_around, separator, split_internal, split_leaf,
};
pub(crate) use edit::{insert_child, insert_leaf, remove_child, remove_leaf, replace_value, set_child};
pub(crate) use view::{LeafValue, NODE_HEADER_LEN, Node, OVERFLOW_TAG, OverflowPointer, inline_value_max, key_len_max};

/// Length of the prefix that two keys share.
pub(crate) fn shared_prefix_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
