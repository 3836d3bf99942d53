//! Restores of a state that differs in a thousand files, beside Git's checkout of the same change.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use granite::Durability;
use hdrhistogram::Histogram;
use tl_journal::{Dirty, Present, RestoreOptions, RestoreRequest, unwatched};

use super::Contender;
use super::git::Git;
use super::keeper::Keeper;
use super::repository::Subject;
use super::tree::WorkTree;
use crate::data::Shuffled;
use crate::engines::NoDatabase;
use crate::measure::{Measurement, Work, drive, nanoseconds};
use crate::workload::Site;

const FILES: u64 = 10_000;
/// One file in so many differs between the two states.
const CHANGED_OF: u64 = 10;
const SIGNIFICANT_DIGITS: u8 = 3;

/// Two states by turns.
pub(super) fn run(site: &Site<'_>, contender: Contender) -> Result<Measurement> {
    let mut tree = WorkTree::borrow(site, site.scaled(FILES))?;
    let changed = tree.files() / CHANGED_OF;
    let done = match contender {
        Contender::Git(tool) => {
            let git = Git::init(tool, &site.dir.join("repository"), tree.root())?;
            git.commit_all()?;
            git.run(["tag", "state-0"])?;
            let bytes = change(&mut tree, changed)?;
            git.commit_all()?;
            git.run(["tag", "state-1"])?;
            site.settle_disk();
            let mut turn = 0;
            let work: Work<'_> = Box::new(|recorder| {
                let state = format!("state-{}", turn % 2);
                turn += 1;
                recorder.call(|| git.run(["checkout", "--quiet", &state]).map(|_| (changed, bytes)))?;
                Ok(true)
            });
            let done = drive(&NoDatabase, vec![work], 1, site.warmup(), site.measured())?;
            git.ensure_clean()?;
            done
        }
        _ => timelapse(site, &mut tree, changed)?,
    };
    tree.give_back()?;
    Ok(done)
}

/// Gives `count` files, spread over the tree, another content. Returns their bytes.
fn change(tree: &mut WorkTree, count: u64) -> Result<u64> {
    let order = Shuffled::new(tree.files());
    (0..count).try_fold(0, |bytes, place| Ok(bytes + tree.write(order.at(place), 1)?))
}

fn timelapse(site: &Site<'_>, tree: &mut WorkTree, changed: u64) -> Result<Measurement> {
    let subject = Subject::open(site, &site.dir.join("store"), Some(tree.root()))?;
    let record = || -> Result<_> {
        let recorded = subject.update(&Dirty::everything(), Durability::Sync)?;
        recorded.checkpoint.context("nothing changed between two states")
    };
    let mut states = vec![record()?];
    let bytes = change(tree, changed)?;
    states.push(record()?);
    site.settle_disk();
    // Whoever watches knows that nothing else changed.
    let (dirty, ignored) = (Dirty::new(), |_: &tl_core::RepoPath, _: bool| false);
    let present = Present { dirty: &dirty, ignored: &ignored };
    let mut settling = Histogram::<u64>::new(SIGNIFICANT_DIGITS)?;
    let mut turn = 0;
    let repository = &subject.repository;
    let work: Work<'_> = Box::new(|recorder| {
        let state = &states[turn % states.len()];
        turn += 1;
        recorder.call(|| {
            let request = RestoreRequest::new(state.id);
            let report = repository.restore(&request, present, RestoreOptions::default(), &unwatched)?;
            ensure!(report.receipt.is_exact() && report.counts.written == changed, "{:?}", report.counts);
            let restored = report.restored.context("a restore found nothing to do")?;
            ensure!(restored.root == state.root, "another state was restored");
            Ok((changed, bytes))
        })?;
        // Git's files are in the system's memory only as well when it has checked them out.
        let start = Instant::now();
        repository.settle_restore(&unwatched)?;
        settling.record(nanoseconds(start.elapsed()))?;
        Ok(true)
    });
    let mut done = drive(&subject.disk, vec![work], 1, site.warmup(), site.measured())?;
    // Restores write by several threads.
    (done.cost.allocations, done.cost.allocated_bytes) = (None, None);
    done.extra.insert("settle_p50_ms".to_owned(), settling.value_at_quantile(0.5) as f64 / 1e6);
    subject.ensure_clean()?;
    Ok(done)
}
