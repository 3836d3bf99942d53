//! CRC-32C (Castagnoli, as in iSCSI), the checksum of every format.

use crc_fast::CrcAlgorithm::Crc32Iscsi;
use crc_fast::Digest;

/// The comparisons of a checksum with what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Site {
    Page = 1,
    Meta = 2,
    SegmentHeader = 3,
    RecordHeader = 4,
    RecordTrailer = 5,
}

/// The comparison that is left out, for the tests that must notice it.
#[cfg(feature = "mutation")]
static LEFT_OUT: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Leaves out the comparison of this number; 0 leaves out none. For the test that must notice it.
#[cfg(feature = "mutation")]
pub(crate) fn leave_out(site: u8) {
    LEFT_OUT.store(site, std::sync::atomic::Ordering::Relaxed);
}

/// True if the checksum that was read is the one that was computed.
#[inline]
pub(crate) fn is_same(site: Site, computed: u32, read: u32) -> bool {
    #[cfg(feature = "mutation")]
    if LEFT_OUT.load(std::sync::atomic::Ordering::Relaxed) == site as u8 {
        return true;
    }
    let _only_for_mutation = site;
    computed == read
}

/// The CRC of `bytes`.
#[inline]
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(Crc32Iscsi, bytes) as u32
}

/// The CRC of several pieces in a row.
pub(crate) fn crc32c_of(pieces: &[&[u8]]) -> u32 {
    let mut digest = Digest::new(Crc32Iscsi);
    for piece in pieces {
        digest.update(piece);
    }
    digest.finalize() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files written elsewhere could not be read, and other tools could not check ours.
    #[test]
    fn the_published_check_values_come_out() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c_of(&[b"1234", b"", b"56789"]), 0xe306_9283);
    }
}
