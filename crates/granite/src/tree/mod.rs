//! One keyspace's data as readers see it: memtables over levels of tables, immutable once published.

pub(crate) mod fragments;
pub(crate) mod key_filter;
pub(crate) mod level_cursor;
pub(crate) mod merge;
pub(crate) mod table_handle;
pub(crate) mod version;
pub(crate) mod view;

pub(crate) use table_handle::{TableContext, TableHandle};
pub(crate) use version::Version;
pub(crate) use view::{MemBuffer, View};
