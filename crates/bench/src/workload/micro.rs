//! Tables of granite beside the database around them: blocks encoded, blocks decoded, and how wide the index above them is.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use granite::inspect::{Content, TableDump};
use granite::{Codec, Db, KeyspaceOptions, Options};

use super::{Benchmark, Kind, MIB, Site};
use crate::data::{KeyScheme, ValuePool, touch};
use crate::engines::{CountedDisk, NoDatabase};
use crate::measure::{Measurement, Work, drive};
use crate::process;

const ENTRIES: u64 = 20_000;
const VALUE_BYTES: u64 = 100;
const MEMORY_BYTES: usize = 64 * MIB;

/// What is done with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Micro {
    /// Sorted entries become blocks.
    Encode,
    /// Blocks become entries, past every cache.
    Decode,
    /// Its index is read, and counted.
    FanOut,
}

/// A database whose tables are written by bulk loads, so that nothing but tables is written.
struct Tables<'a> {
    keyspace: granite::Keyspace,
    disk: CountedDisk,
    values: ValuePool,
    site: &'a Site<'a>,
    entries: u64,
    loaded: u64,
}

impl<'a> Tables<'a> {
    fn open(site: &'a Site<'a>) -> Result<Self> {
        let disk = CountedDisk::new();
        let memory = site.parameters.memory_bytes.unwrap_or(MEMORY_BYTES);
        let db = Db::open(site.dir, &Options::new().vfs(disk.vfs()).memory_budget(memory))?;
        let keyspace = db.keyspace("default", KeyspaceOptions::new().codec(Codec::None).separation_threshold(None))?;
        let entries = site.scaled(site.param("entries", ENTRIES));
        Ok(Self { keyspace, disk, values: site.values(), site, entries, loaded: 0 })
    }

    /// Loads the next entries in the order of their keys. Returns how many, and their bytes.
    fn load(&mut self) -> Result<(u64, u64)> {
        let len = usize::try_from(self.site.param("value_bytes", VALUE_BYTES))?;
        let mut rng = self.site.rng(self.loaded);
        let range = self.loaded..self.loaded + self.entries;
        self.loaded = range.end;
        let values = &self.values;
        let entries = range.map(|index| (KeyScheme::Decimal16.key(index).to_vec(), values.value(&mut rng, len)));
        let report = self.keyspace.ingest(entries)?;
        ensure!(report.entries == self.entries, "{} of {} entries were loaded", report.entries, self.entries);
        Ok((report.entries, report.bytes))
    }
}

impl Micro {
    pub(super) fn run(self, site: &Site<'_>) -> Result<Measurement> {
        let mut tables = Tables::open(site)?;
        if self == Self::Encode {
            let disk = tables.disk.clone();
            let work: Work<'_> = Box::new(|recorder| {
                recorder.call(|| tables.load())?;
                Ok(true)
            });
            return drive(&disk, vec![work], 1, site.warmup(), site.measured());
        }
        let (count, bytes) = tables.load()?;
        drop(tables);
        let path = table_in(site.dir)?;
        let mut shape = None;
        let work: Work<'_> = Box::new(|recorder| {
            recorder.call(|| {
                let dump = granite::inspect::table(&path)?;
                ensure!(dump.damage.is_empty(), "a table is damaged: {:?}", dump.damage);
                if self == Self::Decode {
                    let seen = decode(&dump)?;
                    ensure!(seen == count, "{seen} of {count} entries were read");
                } else {
                    shape = Some(Shape::of(&dump)?);
                }
                Ok((count, bytes))
            })?;
            Ok(true)
        });
        let mut done = drive(&NoDatabase, vec![work], 1, site.warmup(), site.measured())?;
        if let Some(shape) = shape {
            done.extra = shape.figures();
        }
        Ok(done)
    }
}

/// The one table that a bulk load left.
fn table_in(dir: &Path) -> Result<PathBuf> {
    let mut tables = process::files_under(dir)?;
    tables.retain(|path| path.extension().is_some_and(|extension| extension == "sst"));
    ensure!(tables.len() == 1, "a bulk load left {} tables", tables.len());
    tables.pop().context("no table")
}

fn decode(dump: &TableDump) -> Result<u64> {
    let mut seen = 0;
    for entry in dump.entries() {
        let entry = entry?;
        if let Content::Inline(value) = &entry.content {
            black_box(touch(value));
        }
        seen += 1;
    }
    Ok(seen)
}

/// How many children each part of a table's index has.
struct Shape {
    entries: u64,
    data_blocks: u64,
    index_blocks: u64,
    index_bytes: u64,
    filter_bytes: u64,
    file_bytes: u64,
}

impl Shape {
    fn of(dump: &TableDump) -> Result<Self> {
        let properties = dump.properties.as_ref().context("a table has no properties")?;
        let (mut data_blocks, mut index_blocks, mut index_bytes, mut filter_bytes) = (0, 0, 0, 0);
        for block in &dump.blocks {
            match block.kind {
                "data" => data_blocks += 1,
                "index" | "top index" => {
                    index_blocks += u64::from(block.kind == "index");
                    index_bytes += block.len;
                }
                "filter" => filter_bytes += block.len,
                _ => {}
            }
        }
        ensure!(data_blocks > 0, "a table has no blocks");
        Ok(Self {
            entries: properties.entries,
            data_blocks,
            // A small table has the top alone.
            index_blocks: index_blocks.max(1),
            index_bytes,
            filter_bytes,
            file_bytes: dump.file_len,
        })
    }

    fn figures(&self) -> std::collections::BTreeMap<String, f64> {
        let entries = self.entries as f64;
        [
            ("entries_per_data_block", entries / self.data_blocks as f64),
            ("data_blocks_per_index_block", self.data_blocks as f64 / self.index_blocks as f64),
            ("index_bytes_per_entry", self.index_bytes as f64 / entries),
            ("filter_bytes_per_entry", self.filter_bytes as f64 / entries),
            ("file_bytes_per_entry", self.file_bytes as f64 / entries),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

pub(super) fn benchmarks() -> Vec<Benchmark> {
    [
        (
            "block-encode",
            "20,000 sorted entries of 16 B and 100 B into the blocks of a table, by a bulk load",
            Micro::Encode,
        ),
        ("block-decode", "every entry of such a table, its blocks read and checked past the cache", Micro::Decode),
        ("fan-out", "the index of such a table read; how many children each part of it has", Micro::FanOut),
    ]
    .into_iter()
    .map(|(name, about, micro)| Benchmark::new(format!("granite/{name}"), about, Kind::Micro(micro)))
    .map(|benchmark| benchmark.taking(&["entries", "value_bytes"]).in_ci(10))
    .collect()
}
