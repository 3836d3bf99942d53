//! CRC-32C (Castagnoli, as in iSCSI), the checksum of every format.

use crc_fast::CrcAlgorithm::Crc32Iscsi;
use crc_fast::Digest;

/// The comparisons of a checksum with what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Site {
    SegmentHeader = 1,
    RecordHeader = 2,
    RecordMeta = 3,
    ReplayedValue = 4,
    Value = 5,
    ManifestHeader = 6,
    ManifestRecord = 7,
    TableFooter = 8,
    TableBlock = 9,
}

/// The comparison that is left out, for the tests that must notice it.
#[cfg(feature = "mutation")]
static LEFT_OUT: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Leaves out the comparison of this number; 0 leaves out none.
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

/// The CRC of what `crc` is the CRC of, followed by `bytes`.
#[inline]
pub(crate) fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    // The algorithm's register starts at all ones, and its result is the inverted register.
    let mut digest = Digest::new_with_init_state(Crc32Iscsi, u64::from(!crc));
    digest.update(bytes);
    digest.finalize() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_published_check_values_come_out() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b""), 0);
    }

    proptest! {
        #[test]
        fn appending_is_the_same_as_all_at_once(a in prop::collection::vec(any::<u8>(), 0..700), b in prop::collection::vec(any::<u8>(), 0..700)) {
            let whole = [a.as_slice(), b.as_slice()].concat();
            prop_assert_eq!(crc32c_append(crc32c(&a), &b), crc32c(&whole));
            prop_assert_eq!(crc32c_append(0, &b), crc32c(&b));
        }
    }
}
