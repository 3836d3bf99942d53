//! Writes sorted entries into as many tables as they need.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use vfs::{File, OpenMode};

use crate::db::DbCore;
use crate::error::{Error, Result};
use crate::key::{Kind, Trailer};
use crate::keyspace::KeyspaceCore;
use crate::log::pointer::ValuePointer;
use crate::log::segment::remove_obsolete;
use crate::manifest::TableMeta;
use crate::options::KeyLayout;
use crate::range_tombstone::RangeTombstone;
use crate::table::{TableOptions, TableWriter};
use crate::tree::fragments::clip;
use crate::tree::table_handle::table_path;

/// How the entries are spread over tables.
#[derive(Debug, Clone)]
pub(crate) struct TableRules {
    /// Length in bytes at which a table is closed, between two keys.
    pub(crate) table_len: u64,
    /// Range deletes that go along, each cut at the borders of the tables.
    pub(crate) tombstones: Vec<RangeTombstone>,
}

/// A table's file that was just created.
pub(crate) struct NewTable {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    pub(crate) writer: TableWriter,
}

impl NewTable {
    pub(crate) fn create(db: &DbCore, keyspace: &KeyspaceCore) -> Result<Self> {
        let number = db.take_file_number();
        let path = table_path(&db.context.dir, number);
        let vfs = &db.context.vfs;
        let file = vfs.open(&path, OpenMode::CreateNew).map_err(|error| Error::io("create", &path, error))?;
        let options = &keyspace.options;
        let options = TableOptions {
            block_size: options.block_len,
            codec: options.codec,
            filter: options.filter,
            key_layout: match options.key_layout {
                KeyLayout::Plain => crate::table::KeyLayout::Plain,
                KeyLayout::Hash { width } => crate::table::KeyLayout::Hash { width: u16::from(width) },
            },
            keyspace: keyspace.id,
            file_id: vfs.random_u64(),
            ..TableOptions::default()
        };
        let writer = TableWriter::new(Arc::clone(&file), &path, number, options)?;
        Ok(Self { number, path, file, writer })
    }
}

struct Current {
    number: u64,
    path: PathBuf,
    file: Arc<dyn File>,
    writer: TableWriter,
    last_key: Vec<u8>,
    segments: BTreeMap<u64, u64>,
}

/// Takes entries in order. What is not finished is removed again.
pub(crate) struct TableOutput<'a> {
    db: &'a DbCore,
    keyspace: &'a KeyspaceCore,
    rules: TableRules,
    current: Option<Current>,
    /// Where the next table's range deletes begin.
    lower: Option<Vec<u8>>,
    done: Vec<TableMeta>,
    finished: bool,
}

impl<'a> TableOutput<'a> {
    pub(crate) const fn new(db: &'a DbCore, keyspace: &'a KeyspaceCore, rules: TableRules) -> Self {
        Self { db, keyspace, rules, current: None, lower: None, done: Vec::new(), finished: false }
    }

    fn begin(&mut self) -> Result<()> {
        let NewTable { number, path, file, writer } = NewTable::create(self.db, self.keyspace)?;
        let last_key = Vec::new();
        self.current = Some(Current { number, path, file, writer, last_key, segments: BTreeMap::new() });
        Ok(())
    }

    pub(crate) fn add(&mut self, key: &[u8], trailer: Trailer, value: &[u8]) -> Result<()> {
        let full = self
            .current
            .as_ref()
            .is_some_and(|current| current.writer.estimated_len() >= self.rules.table_len && current.last_key != key);
        if full {
            self.close(false)?;
        }
        if self.current.is_none() {
            self.begin()?;
        }
        let Some(current) = self.current.as_mut() else { return Ok(()) };
        if trailer.kind() == Kind::Separated {
            let pointer = ValuePointer::decode(value).ok_or_else(|| {
                Error::corrupt(&current.path, 0, "a value pointer that is to be written is malformed")
            })?;
            *current.segments.entry(pointer.segment).or_default() += u64::from(pointer.len);
        }
        current.writer.add(key, trailer, value)?;
        if current.last_key != key {
            current.last_key.clear();
            current.last_key.extend_from_slice(key);
        }
        Ok(())
    }

    /// Finishes the current table with the range deletes up to its last key, or with all that are left.
    fn close(&mut self, is_last: bool) -> Result<()> {
        // Range deletes without any entry need a table as well.
        if is_last && self.current.is_none() && !clip(&self.rules.tombstones, self.lower.as_deref(), None).is_empty() {
            self.begin()?;
        }
        let Some(mut current) = self.current.take() else { return Ok(()) };
        // The shortest key behind the last one: what a range delete covers from there on belongs to the next table.
        let mut upper = current.last_key.clone();
        upper.push(0);
        let upper = (!is_last).then_some(upper);
        for tombstone in clip(&self.rules.tombstones, self.lower.as_deref(), upper.as_deref()) {
            current.writer.add_range_tombstone(&tombstone.start, &tombstone.end, tombstone.seq)?;
        }
        self.lower = upper;
        let finished = current.writer.finish();
        let summary = match finished {
            Ok(summary) => summary,
            Err(error) => {
                remove_obsolete(&*self.db.context.vfs, &current.path);
                return Err(error);
            }
        };
        if let Err(error) = current.file.sync_data() {
            remove_obsolete(&*self.db.context.vfs, &current.path);
            return Err(Error::io("sync", &current.path, error));
        }
        let properties = summary.properties;
        let mut largest = if is_last { properties.largest } else { current.last_key.clone() };
        if largest > current.last_key && largest.last() == Some(&0) {
            // It is the end of a range delete, which is not covered itself: the key before it is the last one that is. A range
            // delete that was cut at the border of two tables ends where the following table may begin.
            largest.pop();
        }
        self.done.push(TableMeta {
            number: current.number,
            file_len: summary.file_len,
            entries: properties.entries,
            deletes: properties.deletes,
            range_deletes: properties.range_tombstones,
            smallest: properties.smallest,
            largest,
            seq_min: properties.min_seq,
            seq_max: properties.max_seq,
            segments: current.segments.into_iter().collect(),
        });
        Ok(())
    }

    /// Closes the last table and makes all of them durable, names included.
    pub(crate) fn finish(mut self) -> Result<Vec<TableMeta>> {
        self.close(true)?;
        if !self.done.is_empty() {
            let dir = &self.db.context.dir;
            self.db.context.vfs.sync_dir(dir).map_err(|error| Error::io("sync", dir, error))?;
        }
        self.finished = true;
        Ok(std::mem::take(&mut self.done))
    }
}

impl Drop for TableOutput<'_> {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let vfs = &*self.db.context.vfs;
        if let Some(current) = &self.current {
            remove_obsolete(vfs, &current.path);
        }
        for table in &self.done {
            remove_obsolete(vfs, &table_path(&self.db.context.dir, table.number));
        }
    }
}
