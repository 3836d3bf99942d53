//! Making ids of stores, and reading them from files.

use vfs::Vfs;

use super::StoreId;

/// A new id: 128 random bits.
pub(super) fn new_id(vfs: &dyn Vfs) -> StoreId {
    let random = u128::from(vfs.random_u64()) << 64 | u128::from(vfs.random_u64());
    StoreId(random.to_be_bytes())
}

/// The id in a file that holds nothing else but the end of the line, and white space that an editor may have added. `None` says all that there is to say about
/// other contents.
pub(super) fn parse_id(content: &[u8]) -> Option<StoreId> {
    std::str::from_utf8(content).ok()?.trim_end().parse().ok()
}
