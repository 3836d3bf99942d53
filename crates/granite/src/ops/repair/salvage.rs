//! One table: is it whole, and if not, what of it can be written anew.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use vfs::OpenMode;

use crate::cache::BlockCache;
use crate::compaction::output::{TableOutput, TableRules};
use crate::compaction::values::ValueMover;
use crate::db::DbCore;
use crate::error::{Error, Result};
use crate::key::{Kind, Seq, Trailer};
use crate::keyspace::KeyspaceCore;
use crate::log::pointer::ValuePointer;
use crate::log::segment::segment_path;
use crate::manifest::TableMeta;
use crate::ops::tables::{Met, Stretch, Walked, walk};
use crate::ops::verify::disagreements;
use crate::table::{Survey, Table};
use crate::tree::table_handle::table_path;

/// What becomes of a table.
pub(super) enum Fate {
    Kept,
    /// There is no such file.
    Gone,
    Rewritten(Saved),
}

/// What was saved of a damaged table, and what was not.
pub(super) struct Saved {
    pub(super) tables: Vec<TableMeta>,
    pub(super) entries: u64,
    pub(super) lost: Vec<Stretch>,
    pub(super) lost_values: Vec<(Vec<u8>, Seq)>,
    pub(super) lost_range_deletes: bool,
    pub(super) damaged_segments: BTreeSet<PathBuf>,
}

pub(super) struct Salvage<'a> {
    pub(super) bench: &'a Arc<DbCore>,
    pub(super) keyspace: &'a KeyspaceCore,
    pub(super) meta: &'a TableMeta,
    pub(super) bad_segments: &'a BTreeSet<u64>,
}

impl Salvage<'_> {
    pub(super) fn run(&self) -> Result<Fate> {
        let path = table_path(&self.bench.context.dir, self.meta.number);
        let vfs = &self.bench.context.vfs;
        let file = match vfs.open(&path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Fate::Gone),
            Err(error) => return Err(Error::io("open", &path, error)),
        };
        let len = file.len().map_err(|error| Error::io("read the length of", &path, error))?;
        let survey = Survey::new(Arc::clone(&file), &path, len)?;
        let walked = walk(&survey, &path, &self.bench.segments, &mut |_| Ok(()))?;
        let agrees = disagreements(self.keyspace.id, self.meta, &survey, &walked).is_empty();
        let stays = self.meta.segments.iter().all(|(number, _)| !self.bad_segments.contains(number));
        if stays && walked.findings.is_empty() && agrees && len == self.meta.file_len {
            let cache = Arc::new(BlockCache::new(0));
            match Table::open(file, &path, self.meta.number, len, cache).and_then(|table| table.verify()) {
                Ok(()) => return Ok(Fate::Kept),
                Err(Error::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let stamp = walked.seq_bounds.is_some_and(|(_, max)| max == Seq::ZERO).then_some(self.meta.seq_max);
        let rules = TableRules { table_len: u64::MAX, tombstones: survey.range_tombstones.clone() };
        let mut output = TableOutput::new(self.bench, self.keyspace, rules);
        let mut mover = ValueMover::new(self.bench, self.bad_segments);
        let mut moved = Vec::new();
        let width = survey.properties.as_ref().map_or(self.meta.smallest.len(), |_| 0);
        walk(&survey, &path, &self.bench.segments, &mut |met: Met<'_>| {
            // Only a foreign block could have such a key, and only where the properties are lost.
            if width > 0 && self.keyspace.options.check_key(met.key).is_err() {
                return Ok(());
            }
            let seq = stamp.unwrap_or_else(|| met.trailer.seq());
            if met.value_lost {
                // An older version that comes to light would be a wrong answer; that there is none is less so.
                return output.add(met.key, Trailer::new(seq, Kind::Delete), &[]);
            }
            let trailer = Trailer::new(seq, met.trailer.kind());
            let pointer = ValuePointer::decode(met.value).filter(|_| trailer.kind() == Kind::Separated);
            let new_place = match pointer {
                Some(pointer) => {
                    let segment = self.bench.segments.get(pointer.segment);
                    mover.relocate(self.keyspace.id, met.key, &pointer, &segment)?
                }
                None => None,
            };
            match new_place {
                Some(pointer) => {
                    moved.clear();
                    pointer.encode(&mut moved);
                    output.add(met.key, trailer, &moved)
                }
                None => output.add(met.key, trailer, met.value),
            }
        })?;
        // Values first: their names are synced together with the tables'.
        mover.finish()?;
        let mut tables = output.finish()?;
        for table in &mut tables {
            // A range delete may end right behind the last key, where the next table of the level begins.
            if !self.meta.largest.is_empty() && table.largest > self.meta.largest {
                table.largest.clone_from(&self.meta.largest);
            }
        }
        Ok(Fate::Rewritten(self.saved(survey.lost_range_tombstones, walked, tables)))
    }

    fn saved(&self, lost_tombstones: bool, walked: Walked, tables: Vec<TableMeta>) -> Saved {
        let dir = &self.bench.context.dir;
        let segments: BTreeSet<PathBuf> = walked.segments.keys().map(|&number| segment_path(dir, number)).collect();
        let damaged = walked.findings.iter().map(|finding| &finding.path).filter(|path| segments.contains(*path));
        Saved {
            entries: walked.entries - walked.lost_values.len() as u64,
            damaged_segments: damaged.cloned().collect(),
            lost: walked.lost,
            lost_values: walked.lost_values,
            lost_range_deletes: lost_tombstones && (self.meta.range_deletes > 0 || self.meta.smallest.is_empty()),
            tables,
        }
    }
}
