//! A table of the current or an older version: opened when first read, removed when no version names it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vfs::{OpenMode, Vfs};

use crate::cache::BlockCache;
use crate::error::{Error, Result};
use crate::handles::{Handle, HandleCache};
use crate::log::segment::{Segment, remove_obsolete};
use crate::manifest::TableMeta;
use crate::table::Table;

/// The path of table `number`.
pub(crate) fn table_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.sst"))
}

/// What every table of a database is opened with.
#[derive(Debug, Clone)]
pub(crate) struct TableContext {
    pub(crate) dir: PathBuf,
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) cache: Arc<BlockCache>,
    pub(crate) handles: Arc<HandleCache>,
}

/// A table, with what keeps its file and the segments it points into alive.
pub(crate) struct TableHandle {
    pub(crate) meta: TableMeta,
    /// Rising numbers, the same as in `meta.segments`.
    segments: Box<[Arc<Segment>]>,
    context: Arc<TableContext>,
    table: Handle<Table>,
    obsolete: AtomicBool,
}

impl std::fmt::Debug for TableHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableHandle").field("number", &self.meta.number).finish_non_exhaustive()
    }
}

impl TableHandle {
    pub(crate) fn new(meta: TableMeta, segments: Vec<Arc<Segment>>, context: &Arc<TableContext>) -> Arc<Self> {
        debug_assert_eq!(segments.len(), meta.segments.len());
        Arc::new(Self {
            meta,
            segments: segments.into(),
            context: Arc::clone(context),
            table: Handle::empty(),
            obsolete: AtomicBool::new(false),
        })
    }

    pub(crate) fn path(&self) -> PathBuf {
        table_path(&self.context.dir, self.meta.number)
    }

    fn open(&self) -> Result<Arc<Table>> {
        let path = self.path();
        let file = self.context.vfs.open(&path, OpenMode::Read).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::corrupt(&path, 0, "the manifest names this table but it is gone"),
            _ => Error::io("open", &path, error),
        })?;
        let (number, len) = (self.meta.number, self.meta.file_len);
        Ok(Arc::new(Table::open(file, &path, number, len, Arc::clone(&self.context.cache))?))
    }

    pub(crate) fn table(&self) -> Result<Arc<Table>> {
        self.table.get(&self.context.handles, || self.open())
    }

    /// Like [`TableHandle::table`] for the length of one call, without counting a reference.
    #[inline]
    pub(crate) fn with_table<R>(&self, use_it: impl FnOnce(&Arc<Table>) -> Result<R>) -> Result<R> {
        self.table.with(&self.context.handles, || self.open(), use_it)
    }

    /// Memory that the table takes outside of the block cache while it is open.
    pub(crate) fn open_bytes(&self) -> u64 {
        self.table.peek().map_or(0, |table| table.heap_bytes() as u64)
    }

    /// Bytes of the file that hold keys between the bounds, to the nearest partition.
    pub(crate) fn len_between(&self, from: Option<&[u8]>, to: Option<&[u8]>) -> Result<u64> {
        self.with_table(|table| {
            let start = from.map_or(0, |key| table.approximate_offset(key));
            let end = to.map_or(self.meta.file_len, |key| table.approximate_offset(key));
            Ok(end.saturating_sub(start))
        })
    }

    /// The segment `number`, if the table points into it.
    pub(crate) fn segment(&self, number: u64) -> Option<&Arc<Segment>> {
        let at = self.segments.binary_search_by_key(&number, |segment| segment.number).ok()?;
        self.segments.get(at)
    }

    pub(crate) fn segments(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    pub(crate) fn may_hold(&self, key: &[u8]) -> bool {
        self.meta.smallest.as_slice() <= key && key <= self.meta.largest.as_slice()
    }

    pub(crate) fn overlaps(&self, smallest: &[u8], largest: &[u8]) -> bool {
        self.meta.smallest.as_slice() <= largest && smallest <= self.meta.largest.as_slice()
    }

    /// Removes the file once the last version that names it is let go.
    pub(crate) fn mark_obsolete(&self) {
        self.obsolete.store(true, Ordering::Release);
    }
}

impl Drop for TableHandle {
    fn drop(&mut self) {
        if self.obsolete.load(Ordering::Acquire) {
            self.table.clear();
            remove_obsolete(&*self.context.vfs, &self.path());
        }
    }
}
