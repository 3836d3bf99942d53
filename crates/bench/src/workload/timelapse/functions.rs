//! Functions of Timelapse's libraries by themselves: hashing, trees, records of checkpoints, the journal, the index.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use granite::{Db, Durability, Options, WriteBatch};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tl_core::{Blob, Entry, EntryName, Mode, ObjectId, ObjectKind, Tree, TreeBuilder};
use tl_journal::{Checkpoint, Dirty, Journal};
use vfs::DiskVfs;

use super::draft;
use super::repository::{Subject, dirty};
use super::text::text;
use super::tree::{WorkTree, path_of};
use crate::engines::{CountedDisk, NoDatabase};
use crate::measure::{Measurement, Work, drive};
use crate::workload::Site;

/// Files of the tree whose index is written and read.
const INDEXED_FILES: u64 = 1000;

/// A function, and how much it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::workload) enum Function {
    /// Bytes become an id.
    Hash(usize),
    /// Entries become a tree, with its encoding and id.
    BuildTree(u64),
    /// A tree from its encoding.
    DecodeTree(u64),
    /// A checkpoint becomes a record.
    EncodeRecord,
    /// A record becomes a checkpoint.
    DecodeRecord,
    /// A checkpoint is appended to the journal, and synced or not.
    Append(Durability),
    /// The index of the files that changed is written with their checkpoint.
    SaveIndex,
    /// The index of all files is read and compared with the directory.
    LoadIndex,
}

impl Function {
    pub(super) fn run(self, site: &Site<'_>) -> Result<Measurement> {
        match self {
            Self::Hash(len) => {
                let content = text(&mut StdRng::seed_from_u64(site.parameters.seed), len);
                repeat(site, || {
                    black_box(ObjectId::of(ObjectKind::Blob, black_box(&content)));
                    Ok((1, len as u64))
                })
            }
            Self::BuildTree(entries) => {
                let entries = entries_of(entries, 0);
                repeat(site, || {
                    let tree = tree_of(black_box(&entries))?;
                    Ok((tree.len() as u64, tree.content().len() as u64))
                })
            }
            Self::DecodeTree(entries) => {
                let content = tree_of(&entries_of(entries, 0))?.content().to_vec();
                repeat(site, || {
                    let tree = Tree::decode(black_box(&content).clone())?;
                    Ok((tree.len() as u64, content.len() as u64))
                })
            }
            Self::EncodeRecord | Self::DecodeRecord => self.run_record(site),
            Self::Append(durability) => append(site, durability),
            Self::SaveIndex | Self::LoadIndex => self.run_index(site),
        }
    }

    fn run_record(self, site: &Site<'_>) -> Result<Measurement> {
        let db = Db::open(site.dir.join("db"), &Options::new())?;
        let journal = Journal::open(&db)?;
        let checkpoint = {
            let append = journal.begin_append();
            append.prepare(draft::of_a_save(&append, 1)?, &DiskVfs::new())?
        };
        let record = checkpoint.encode();
        let again = Checkpoint::decode(checkpoint.id, &record)?;
        ensure!(again == checkpoint, "a record became another checkpoint: {again:?}");
        let len = record.len() as u64;
        repeat(site, || {
            if self == Self::EncodeRecord {
                black_box(black_box(&checkpoint).encode());
            } else {
                black_box(Checkpoint::decode(checkpoint.id, black_box(&record))?);
            }
            Ok((1, len))
        })
    }

    /// The filesystem has its part in both: what stands in the index is only worth something beside what it says.
    fn run_index(self, site: &Site<'_>) -> Result<Measurement> {
        let mut tree = WorkTree::borrow(site, site.scaled(site.param("files", INDEXED_FILES)))?;
        let files = tree.files();
        let subject = Subject::open(site, &site.dir.join("store"), Some(tree.root()))?;
        subject.update(&Dirty::everything(), Durability::Buffered)?;
        let mut version = 0;
        let work: Work<'_> = Box::new(|recorder| {
            if self == Self::LoadIndex {
                recorder.call(|| {
                    let outcome = subject.update(&Dirty::everything(), Durability::Buffered)?;
                    ensure!(outcome.checkpoint.is_none(), "something changed: {:?}", outcome.stats);
                    Ok((files, files))
                })?;
                return Ok(true);
            }
            version += 1;
            let bytes = (0..files).try_fold(0, |sum, index| tree.write(index, version).map(|len| sum + len))?;
            let changed = dirty((0..files).map(path_of))?;
            recorder.call(|| {
                let outcome = subject.update(&changed, Durability::Buffered)?;
                let checkpoint = outcome.checkpoint.context("changes made no checkpoint")?;
                ensure!(checkpoint.stats.files() == files, "{:?}", checkpoint.stats);
                Ok((files, bytes))
            })?;
            Ok(true)
        });
        let mut done = drive(&subject.disk, vec![work], 1, site.warmup(), site.measured())?;
        // Files are read by several threads.
        (done.cost.allocations, done.cost.allocated_bytes) = (None, None);
        subject.ensure_clean()?;
        tree.give_back()?;
        Ok(done)
    }
}

/// Calls a function that needs no disk.
fn repeat(site: &Site<'_>, mut function: impl FnMut() -> Result<(u64, u64)> + Send) -> Result<Measurement> {
    let work: Work<'_> = Box::new(|recorder| recorder.call(&mut function).map(|()| true));
    drive(&NoDatabase, vec![work], 1, site.warmup(), site.measured())
}

fn append(site: &Site<'_>, durability: Durability) -> Result<Measurement> {
    let disk = CountedDisk::new();
    let clock = DiskVfs::new();
    let db = Db::open(site.dir.join("db"), &Options::new().vfs(disk.vfs()))?;
    let journal = Journal::open(&db)?;
    let mut number = 0;
    let work: Work<'_> = Box::new(|recorder| {
        number += 1;
        recorder.call(|| {
            let mut append = journal.begin_append();
            let mut batch = WriteBatch::new();
            let checkpoint = append.add(draft::of_a_save(&append, number)?, &clock, &mut batch)?;
            db.write(batch, durability)?;
            append.committed();
            Ok((1, checkpoint.id.to_bytes().len() as u64))
        })?;
        Ok(true)
    });
    let done = drive(&disk, vec![work], 1, site.warmup(), site.measured())?;
    ensure!(journal.count() == number, "{} of {number} checkpoints are in the journal", journal.count());
    Ok(done)
}

/// The entries of a tree of which one is that of `round`.
pub(super) fn entries_of(entries: u64, round: u64) -> Vec<(String, Entry)> {
    let entry = |number: u64| {
        let seed = if number == round % entries { number ^ round << 32 } else { number };
        let id = ObjectId::of(ObjectKind::Blob, &seed.to_le_bytes());
        (format!("source_{number}.rs"), Entry::file(Blob { id, len: number }, Mode::new(0o644)))
    };
    (0..entries).map(entry).collect()
}

pub(super) fn tree_of(entries: &[(String, Entry)]) -> Result<Tree> {
    let mut builder = TreeBuilder::new();
    for (name, entry) in entries {
        builder.add(EntryName::new(name.as_bytes())?, *entry);
    }
    Ok(builder.build()?)
}
