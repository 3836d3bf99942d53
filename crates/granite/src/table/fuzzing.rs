//! Doors for a fuzzer: every decoder of the format, fed with arbitrary bytes.

use std::path::Path;
use std::sync::Arc;

use super::block_cursor::BlockCursor;
use super::format::{FOOTER_LEN, Footer, Metaindex};
use super::index::{Index, TopIndex};
use super::properties::Properties;
use super::{Block, Filter, KeyHash, Malformed, range_tombstone_block};
use crate::key::{Seq, Trailer};

/// A file length up to which handles in fuzzed bytes may point.
const FILE_LEN: u64 = 1 << 20;

/// Runs every decoder of blocks over `bytes`. Nothing is expected of the answers, but that they come.
pub(crate) fn decode_block(bytes: &[u8]) {
    // Whether the bytes are well-formed is not the question here.
    let _decoded = Metaindex::decode(bytes);
    let _decoded = Properties::decode(bytes);
    let _decoded = range_tombstone_block::decode(bytes);
    if let Ok(filter) = Filter::parse(bytes) {
        filter.may_contain(KeyHash::of(bytes));
    }
    let (head, _) = bytes.split_at(bytes.len().min(8));
    for width in [0, 1, 32] {
        if let Ok(block) = Block::parse(bytes.to_vec(), width) {
            let _decoded = Index::parse(&block, FILE_LEN);
            let _decoded = TopIndex::parse(&block, FILE_LEN);
            let _walked = walk(&Arc::new(block), head);
        }
    }
}

/// Runs the decoder of the footer over the last bytes of `bytes`.
pub(crate) fn decode_footer(bytes: &[u8]) {
    if let Some(footer) = bytes.last_chunk::<FOOTER_LEN>() {
        let _decoded = Footer::decode(footer, Path::new("fuzz"), bytes.len() as u64);
    }
}

/// Moves through a block in every way, up to the first error.
fn walk(block: &Arc<Block>, key: &[u8]) -> Result<(), Malformed> {
    let trailer = Trailer::at(Seq::new(7));
    block.get(key, KeyHash::of(key), trailer)?;
    let mut cursor = BlockCursor::new();
    cursor.enter(Arc::clone(block));
    cursor.seek_to_first()?;
    while cursor.valid() {
        cursor.next()?;
    }
    cursor.seek_to_last()?;
    while cursor.valid() {
        cursor.prev()?;
    }
    cursor.seek(key, trailer)?;
    cursor.seek_before(key, trailer)?;
    if cursor.valid() {
        cursor.value();
        cursor.next()?;
    }
    Ok(())
}
