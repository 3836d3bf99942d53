//! Blocks as they lie in the file: stored bytes and a trailer with codec, raw length and checksum.

use super::Malformed;
use super::codec::{self, StoredCodec};
use super::format::BlockKind;
use crate::coding::Decoder;

pub(super) const TRAILER_LEN: usize = 9;

/// Longest block before compression: the largest key with the largest value fits.
pub(super) const RAW_LEN_MAX: usize = 2 << 30;

/// What a compressed block may expand to without being suspect, and per stored byte.
const FREE_RAW_LEN: u64 = 64 << 10;
const RATIO_MAX: u64 = 1024;

/// Where a block stands, as far as its checksum is bound to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) kind: BlockKind,
    pub(super) file_id: u64,
    pub(super) offset: u64,
}

/// True if a block of `raw_len` bytes may be stored compressed in `stored_len` bytes.
pub(super) const fn ratio_allowed(raw_len: usize, stored_len: usize) -> bool {
    raw_len <= RAW_LEN_MAX && raw_len as u64 <= FREE_RAW_LEN + RATIO_MAX * stored_len as u64
}

/// The trailer of a block.
pub(super) fn seal(stored: &[u8], codec: StoredCodec, raw_len: u32, place: Place) -> [u8; TRAILER_LEN] {
    let [a, b, c, d] = raw_len.to_le_bytes();
    let [e, f, g, h] = checksum(crate::checksum::crc32c(stored), &[codec as u8, a, b, c, d], place).to_le_bytes();
    [codec as u8, a, b, c, d, e, f, g, h]
}

/// Checks what was read from the file, and returns the block without trailer and compression.
pub(super) fn open(mut read: Vec<u8>, place: Place) -> Result<Vec<u8>, Malformed> {
    const SHORT: Malformed = Malformed("a block is shorter than its trailer");
    let stored_len = read.len().checked_sub(TRAILER_LEN).ok_or(SHORT)?;
    let (stored, trailer) = read.split_at_checked(stored_len).ok_or(SHORT)?;
    let (covered, found) = trailer.split_at_checked(5).ok_or(SHORT)?;
    let found = found.first_chunk().map(|found| u32::from_le_bytes(*found)).ok_or(SHORT)?;
    let computed = checksum(crate::checksum::crc32c(stored), covered, place);
    if !crate::checksum::is_same(crate::checksum::Site::TableBlock, computed, found) {
        return Err(Malformed("a block's checksum does not match"));
    }
    let mut fields = Decoder::new(covered);
    let codec = fields.u8().and_then(StoredCodec::from_u8).ok_or(Malformed("a block has an unknown codec"))?;
    let raw_len = fields.u32().ok_or(SHORT)? as usize;
    if codec == StoredCodec::None {
        if raw_len != stored_len {
            return Err(Malformed("an uncompressed block does not have the length it names"));
        }
        read.truncate(stored_len);
        return Ok(read);
    }
    if !ratio_allowed(raw_len, stored_len) {
        return Err(Malformed("a block claims to expand beyond the limit"));
    }
    codec::decompress(codec, stored, raw_len)
}

fn checksum(stored: u32, trailer: &[u8], place: Place) -> u32 {
    let [a, b, c, d, e, f, g, h] = place.file_id.to_le_bytes();
    let [i, j, k, l, m, n, o, p] = place.offset.to_le_bytes();
    let bound = [place.kind as u8, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p];
    crate::checksum::crc32c_append(crate::checksum::crc32c_append(stored, trailer), &bound)
}
