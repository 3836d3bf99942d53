//! Making ids of stores.

use vfs::Vfs;

use super::StoreId;

/// A new id: 128 random bits.
pub(super) fn new_id(vfs: &dyn Vfs) -> StoreId {
    let random = u128::from(vfs.random_u64()) << 64 | u128::from(vfs.random_u64());
    StoreId(random.to_be_bytes())
}
