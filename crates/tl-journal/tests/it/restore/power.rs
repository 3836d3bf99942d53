//! A loss of power at every call to the disk under the store, while the working directory keeps what was written to it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use granite::Background;
use tl_core::ObjectId;
use tl_journal::{
    CheckpointId, Dirty, Present, Reason, Repository, RepositoryConfig, RestoreRequest, UpdateRequest, unwatched,
};
use vfs_sim::{SimDisk, Sweep};

use super::{Disk, disk, in_order};
use crate::lab::dirty;

fn open(sim: &SimDisk, work: &Path) -> tl_journal::Result<Repository> {
    let config = RepositoryConfig::new("/store", Some(work.to_owned()));
    let (vfs, background) = (Arc::new(sim.clone()), Background::Inline);
    Repository::open(RepositoryConfig { vfs, background, reserve_bytes: 0, ..config })
}

/// What was acknowledged, and how the directory looked then.
#[derive(Default)]
struct Promises {
    checkpoints: Vec<(CheckpointId, ObjectId)>,
    states: Vec<Disk>,
    restored: bool,
    edited: bool,
}

impl Promises {
    fn add(&mut self, checkpoint: Option<tl_journal::Checkpoint>) -> CheckpointId {
        let checkpoint = checkpoint.expect("something changed");
        self.checkpoints.push((checkpoint.id, checkpoint.root));
        checkpoint.id
    }
}

fn program(sim: &SimDisk, work: &Path, promises: &mut Promises) -> tl_journal::Result<()> {
    if work.exists() {
        fs::remove_dir_all(work).unwrap();
    }
    fs::create_dir_all(work.join("d")).unwrap();
    for name in ["a", "d/b", "d/c"] {
        fs::write(work.join(name), format!("{name}, first")).unwrap();
    }
    let repository = open(sim, work)?;
    let sync = UpdateRequest::new(Reason::FsBatch);
    let first = promises.add(repository.reconcile(&sync)?.checkpoint);
    promises.states.push(disk(work));
    fs::write(work.join("a"), "a, second").unwrap();
    fs::remove_file(work.join("d/b")).unwrap();
    fs::write(work.join("new"), "new").unwrap();
    promises.add(repository.update(&dirty(["a", "d/b", "new"]), &sync)?.checkpoint);
    promises.states.push(disk(work));
    let present = Present { dirty: &Dirty::new(), ignored: &|_, _| false };
    let restored = repository.restore(&RestoreRequest::new(first), present, in_order(), &unwatched)?;
    repository.settle_restore(&unwatched)?;
    promises.add(restored.restored);
    promises.restored = true;
    fs::write(work.join("d/c"), "saved after the restore").unwrap();
    promises.edited = true;
    promises.add(repository.update(&dirty(["d/c"]), &sync)?.checkpoint);
    Ok(())
}

fn check(sim: &SimDisk, work: &Path, promises: &Promises) -> tl_journal::Result<()> {
    let found = disk(work);
    let repository = open(sim, work)?;
    let recovery = repository.recover_restore(false, in_order(), &unwatched)?;
    for (id, root) in &promises.checkpoints {
        let kept = repository.journal().get(*id)?.map(|kept| kept.root);
        assert_eq!(kept, Some(*root), "an acknowledged checkpoint is gone");
    }
    let now = disk(work);
    if promises.edited {
        assert_eq!(now, found, "what was saved after a restore that was over was changed");
    } else if promises.restored {
        assert_eq!(Some(&now), promises.states.first(), "a restore that was over is not what is there");
    } else if promises.states.len() > 1 {
        assert!(promises.states.contains(&now), "neither of both states: {now:#?}, after {recovery:?}");
    }
    // Whichever it is, it is recorded as it is, and the one that was left can be had back.
    repository.reconcile(&UpdateRequest::new(Reason::FsBatch))?;
    if promises.states.len() > 1 && promises.states.first() == Some(&now) {
        let present = Present { dirty: &Dirty::everything(), ignored: &|_, _| false };
        repository.undo(tl_journal::Provenance::default(), present, in_order(), &unwatched)?;
        assert_eq!(Some(&disk(work)), promises.states.get(1), "what the restore replaced is gone");
    }
    assert_eq!(repository.verify_index()?, []);
    Ok(())
}

/// If it fails, a loss of power during a restore loses a state, mixes two, or overwrites what was saved after it.
#[test]
fn a_power_loss_during_a_restore_leaves_one_of_both_states() {
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path().join("work");
    let sweep = if std::env::var_os("TL_LONG").is_some() { Sweep::default() } else { Sweep::with_seeds(2) };
    let report = sweep.run(
        SimDisk::new,
        |sim, promises: &mut Promises| program(sim, &work, promises),
        |sim, promises| check(sim, &work, promises),
    );
    let report = report.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(report.points > 20, "{report:?}");
}
