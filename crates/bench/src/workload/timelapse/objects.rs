//! Single objects: blobs, and a tree of ten thousand entries.

use anyhow::{Result, ensure};
use granite::Durability;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tl_core::ObjectId;

use super::functions::{entries_of, tree_of};
use super::repository::Subject;
use super::text::text;
use super::tree::content_len;
use crate::data::touch;
use crate::measure::{Measurement, Work, drive};
use crate::workload::Site;

const BLOBS: u64 = 20_000;
const TREE_ENTRIES: u64 = 10_000;
/// Trees that reads go round, more than the cache of trees holds.
const TREES: u64 = 16;
const POOL_BYTES: usize = 1 << 20;

/// What is done with an object. None of it waits for the disk: a checkpoint syncs once, however many objects it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::workload) enum Objects {
    PutBlob,
    GetBlob,
    PutTree,
    GetTree,
}

impl Objects {
    pub(super) fn run(self, site: &Site<'_>) -> Result<Measurement> {
        let subject = Subject::open(site, &site.dir.join("store"), None)?;
        let store = subject.repository.store();
        let pool = text(&mut StdRng::seed_from_u64(1), POOL_BYTES);
        let mut rng = site.rng(1);
        let mut fresh = 0;
        let mut blob = || {
            fresh += 1;
            let mut content = format!("{fresh}\n").into_bytes();
            let len = content_len(fresh, 0);
            let start = rng.random_range(0..POOL_BYTES - len);
            content.extend_from_slice(&pool[start..start + len]);
            content
        };
        let mut stored: Vec<(ObjectId, u64)> = Vec::new();
        match self {
            Self::GetBlob => {
                let capture = store.capture()?;
                for _ in 0..site.scaled(BLOBS) {
                    let put = capture.put_blob(&blob())?;
                    stored.push((put.id, put.len));
                }
                capture.commit(|_| {}, Durability::Buffered)?;
            }
            Self::GetTree => {
                for number in 0..TREES {
                    let capture = store.capture()?;
                    let tree = tree_of(&entries_of(site.scaled(TREE_ENTRIES), number))?;
                    stored.push((capture.put_tree(&tree)?, tree.content().len() as u64));
                    capture.commit(|_| {}, Durability::Buffered)?;
                }
            }
            Self::PutBlob | Self::PutTree => {}
        }
        if !stored.is_empty() {
            subject.repository.db().flush()?;
            subject.repository.db().wait_for_background()?;
            store.trim();
        }
        let mut choice = site.rng(2);
        let mut round = 0;
        let work: Work<'_> = Box::new(|recorder| {
            round += 1;
            match self {
                Self::PutBlob => {
                    let content = blob();
                    recorder.call(|| {
                        let capture = store.capture()?;
                        capture.put_blob(&content)?;
                        let done = capture.commit(|_| {}, Durability::Buffered)?;
                        ensure!(done.objects_new == 1, "a new blob was taken for a known one");
                        Ok((1, content.len() as u64))
                    })?;
                }
                Self::PutTree => {
                    let entries = entries_of(site.scaled(TREE_ENTRIES), round);
                    recorder.call(|| {
                        let tree = tree_of(&entries)?;
                        let capture = store.capture()?;
                        capture.put_tree(&tree)?;
                        capture.commit(|_| {}, Durability::Buffered)?;
                        Ok((tree.len() as u64, tree.content().len() as u64))
                    })?;
                }
                Self::GetBlob => {
                    let (id, len) = stored[choice.random_range(0..stored.len())];
                    recorder.call(|| {
                        let content = store.get_blob(&id, len)?;
                        ensure!(content.len() as u64 == len, "a blob is too short");
                        std::hint::black_box(touch(&content));
                        Ok((1, len))
                    })?;
                }
                Self::GetTree => {
                    let (id, len) = stored[round as usize % stored.len()];
                    recorder.call(|| Ok((store.get_tree(&id)?.len() as u64, len)))?;
                    // Each is read from the database.
                    store.trim();
                }
            }
            Ok(true)
        });
        drive(&subject.disk, vec![work], 1, site.warmup(), site.measured())
    }
}
