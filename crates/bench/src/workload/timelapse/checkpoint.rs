//! Checkpoints of a few changed files: in trees of different sizes, beside Git and the floor, and in a small tree and a large one by turns.

use anyhow::{Context, Result, ensure};
use granite::Durability;
use hdrhistogram::Histogram;
use rand::RngExt;
use rand::rngs::StdRng;

use super::keeper;
use super::repository::{Subject, dirty};
use super::tree::{WorkTree, content_len, path_of};
use super::{Contender, floor};
use crate::data::{KeyScheme, ValuePool};
use crate::engine::{self, Engine, Op};
use crate::engines::CountedDisk;
use crate::measure::{Measurement, Work, drive, nanoseconds};
use crate::workload::Site;

/// Files that a checkpoint finds changed: any number of these, each as likely.
const CHANGED_MAX: u64 = 5;
/// The tree that a large one is compared with.
pub(super) const SMALL_FILES: u64 = 1000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// Saves, and a durable checkpoint after each few.
#[derive(Debug, Clone, Copy)]
pub(in crate::workload) struct Checkpoints {
    pub(super) files: u64,
}

impl Checkpoints {
    pub(super) fn run(self, site: &Site<'_>, contender: Contender) -> Result<Measurement> {
        let files = site.scaled(self.files);
        let mut saves = Saves::of(site, 1, files);
        match contender {
            Contender::Floor => on_floor(site, saves),
            Contender::Timelapse => {
                let mut session = Session::open(site, "store", files)?;
                let disk = session.subject.disk.clone();
                let work: Work<'_> = Box::new(|recorder| {
                    let (changed, bytes) = session.save(&mut saves)?;
                    recorder.call(|| session.checkpoint(&changed).map(|()| (changed.len() as u64, bytes)))?;
                    Ok(true)
                });
                let done = drive(&disk, vec![work], 1, site.warmup(), site.measured())?;
                session.close()?;
                Ok(done)
            }
            Contender::Git(_) | Contender::Jj => {
                let mut tree = WorkTree::borrow(site, files)?;
                let keeper = keeper::init(contender, &site.dir.join("repository"), tree.root())?;
                keeper.commit_all()?;
                site.settle_disk();
                let work: Work<'_> = Box::new(|recorder| {
                    let mut bytes = 0;
                    let changed = saves.draw();
                    for &index in &changed {
                        bytes += tree.write(index, saves.version)?;
                    }
                    recorder.call(|| keeper.commit_all().map(|()| (changed.len() as u64, bytes)))?;
                    Ok(true)
                });
                let done = drive(&crate::engines::NoDatabase, vec![work], 1, site.warmup(), site.measured())?;
                keeper.ensure_clean()?;
                tree.give_back()?;
                Ok(done)
            }
        }
    }
}

/// The same bytes to the floor.
fn on_floor(site: &Site<'_>, mut saves: Saves) -> Result<Measurement> {
    let (floor, values) = (floor(site)?, site.values());
    let floor: &dyn Engine = &*floor;
    let work: Work<'_> = Box::new(|recorder| {
        let changed = saves.draw();
        let ops = puts(&changed, saves.version, &values, &mut saves.rng);
        let bytes = ops.iter().map(Op::user_bytes).sum();
        recorder.call(|| {
            floor.write(&ops, engine::Durability::Sync)?;
            Ok((ops.len() as u64, bytes))
        })?;
        Ok(true)
    });
    drive(floor, vec![work], 1, site.warmup(), site.measured())
}

/// As many bytes as these files have, each under a key as long as an id.
pub(super) fn puts<'a>(files: &[u64], version: u64, values: &'a ValuePool, rng: &mut StdRng) -> Vec<Op<'a>> {
    let put = |&index: &u64| Op::Put(KeyScheme::Hash32.key(index), values.value(rng, content_len(index, version)));
    files.iter().map(put).collect()
}

/// Which files are saved, and how often that was.
struct Saves {
    rng: StdRng,
    files: u64,
    changed_max: u64,
    version: u64,
}

impl Saves {
    fn of(site: &Site<'_>, stream: u64, files: u64) -> Self {
        let changed_max = site.param("changed", CHANGED_MAX).max(1);
        Self { rng: site.rng(stream), files, changed_max, version: 0 }
    }

    fn draw(&mut self) -> Vec<u64> {
        self.version += 1;
        let count = self.rng.random_range(1..=self.changed_max);
        let mut changed: Vec<u64> = (0..count).map(|_| self.rng.random_range(0..self.files)).collect();
        changed.sort_unstable();
        changed.dedup();
        changed
    }
}

/// A working directory with a repository that has recorded all of it.
struct Session {
    tree: WorkTree,
    subject: Subject,
}

impl Session {
    fn open(site: &Site<'_>, store: &str, files: u64) -> Result<Self> {
        let tree = WorkTree::borrow(site, files)?;
        let subject = Subject::open(site, &site.dir.join(store), Some(tree.root()))?;
        let first = subject.update(&tl_journal::Dirty::everything(), Durability::Sync)?;
        ensure!(first.stats.files_added == files, "the first checkpoint has {:?}", first.stats);
        subject.repository.db().wait_for_background()?;
        site.settle_disk();
        Ok(Self { tree, subject })
    }

    fn save(&mut self, saves: &mut Saves) -> Result<(Vec<u64>, u64)> {
        let changed = saves.draw();
        let mut bytes = 0;
        for &index in &changed {
            bytes += self.tree.write(index, saves.version)?;
        }
        Ok((changed, bytes))
    }

    fn checkpoint(&self, changed: &[u64]) -> Result<()> {
        let dirty = dirty(changed.iter().map(|&index| path_of(index)))?;
        let outcome = self.subject.update(&dirty, Durability::Sync)?;
        let checkpoint = outcome.checkpoint.context("a save made no checkpoint")?;
        ensure!(checkpoint.stats.files() == changed.len() as u64, "a checkpoint has {:?}", checkpoint.stats);
        Ok(())
    }

    fn close(self) -> Result<()> {
        self.subject.ensure_clean()?;
        self.tree.give_back()
    }
}

/// Checkpoints in a small tree and in a large one by turns: whether the cost follows the change alone.
#[derive(Debug, Clone, Copy)]
pub(in crate::workload) struct Flatness {
    pub(super) files: u64,
}

impl Flatness {
    pub(super) fn run(self, site: &Site<'_>) -> Result<Measurement> {
        let small = site.scaled(SMALL_FILES);
        // Two trees, however small the scale is.
        let sizes = [small, site.scaled(self.files).max(small + 1)];
        let mut sides = Vec::new();
        for (number, files) in sizes.into_iter().enumerate() {
            let session = Session::open(site, &format!("store-{number}"), files)?;
            let saves = Saves::of(site, number as u64, files);
            sides.push((session, saves, Histogram::<u64>::new(SIGNIFICANT_DIGITS)?));
        }
        let mut turn = 0;
        let work: Work<'_> = Box::new(|recorder| {
            let (session, saves, histogram) = &mut sides[turn % sizes.len()];
            turn += 1;
            let (changed, bytes) = session.save(saves)?;
            let start = std::time::Instant::now();
            recorder.call(|| session.checkpoint(&changed).map(|()| (changed.len() as u64, bytes)))?;
            histogram.record(nanoseconds(start.elapsed()))?;
            Ok(true)
        });
        // Two disks are at work, so neither's counters are those of all operations.
        let mut done = drive(&crate::engines::NoDatabase, vec![work], 1, site.warmup(), site.measured())?;
        let mut medians = Vec::new();
        for (session, _, histogram) in sides {
            medians.push(histogram.value_at_quantile(0.5) as f64 / 1e3);
            session.close()?;
        }
        let [small, large] = medians[..] else { anyhow::bail!("not two sizes") };
        done.extra = [("p50_small_us", small), ("p50_large_us", large), ("p50_large_to_small_ratio", large / small)]
            .map(|(name, value)| (name.to_owned(), value))
            .into();
        Ok(done)
    }
}

/// The first checkpoint of a tree, into a store that is made for it.
#[derive(Debug, Clone, Copy)]
pub(in crate::workload) struct First {
    pub(super) files: u64,
}

impl First {
    pub(super) fn run(self, site: &Site<'_>, contender: Contender) -> Result<Measurement> {
        let files = site.scaled(self.files);
        if contender == Contender::Floor {
            return self.on_floor(site, files);
        }
        let tree = WorkTree::borrow(site, files)?;
        let bytes = tree.bytes();
        let disk = CountedDisk::new();
        let mut round = 0;
        let work: Work<'_> = Box::new(|recorder| {
            round += 1;
            let place = site.dir.join(format!("round-{round}"));
            recorder.call(|| {
                match contender {
                    Contender::Git(_) | Contender::Jj => keeper::init(contender, &place, tree.root())?.commit_all()?,
                    _ => {
                        let subject = Subject::open_counted(site, &place, Some(tree.root()), &disk)?;
                        let first = subject.update(&tl_journal::Dirty::everything(), Durability::Sync)?;
                        ensure!(first.stats.files_added == files, "the first checkpoint has {:?}", first.stats);
                    }
                }
                Ok((files, bytes))
            })?;
            if place.exists() {
                std::fs::remove_dir_all(&place)?;
            }
            Ok(true)
        });
        let mut done = drive(&disk, vec![work], 1, site.warmup(), site.measured())?;
        if contender != Contender::Timelapse {
            done.cost.syncs = None;
        }
        tree.give_back()?;
        Ok(done)
    }

    fn on_floor(self, site: &Site<'_>, files: u64) -> Result<Measurement> {
        let (floor, values) = (floor(site)?, site.values());
        let floor: &dyn Engine = &*floor;
        let all: Vec<u64> = (0..files).collect();
        let ops = puts(&all, 0, &values, &mut site.rng(1));
        let bytes = ops.iter().map(Op::user_bytes).sum();
        let work: Work<'_> = Box::new(|recorder| {
            recorder.call(|| {
                floor.write(&ops, engine::Durability::Sync)?;
                Ok((files, bytes))
            })?;
            Ok(true)
        });
        drive(floor, vec![work], 1, site.warmup(), site.measured())
    }
}
